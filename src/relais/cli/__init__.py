"""The command `relais`: every subcommand, and how failures are told. Knows arguments and output, no DICOM.

A failure is one sentence on stderr and exit code 1; a command line that makes no sense ends with 2.
"""

from importlib import import_module
from typing import Any

import click

from relais import __version__
from relais.cli.shown import shown
from relais.config import ConfigError
from relais.errors import NodeError
from relais.node import log

# A command's module is imported when the command is used: the supervisor stays small, help comes at once.
COMMANDS = {
    "serve": "serve:serve",
    "import": "importing:import_",
    "find": "search:find",
    "pull": "pull:pull",
    "send": "send:send",
    "echo": "peers:echo",
    "peers": "peers:peers",
    "tokens": "tokens:tokens",
    "export": "exporting:export_",
    "backup": "backup:backup_",
    "restore": "backup:restore",
    "migrate": "migrate:migrate",
    "check": "maintain:check",
    "reindex": "maintain:reindex",
    "check-config": "check_config:check_config",
    "conformance": "conformance:conformance",
    "bench": "bench:bench",
}


class Program(click.Group):
    """The commands above; their expected failures become sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"relais.cli.{module}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as exc:
            raise click.ClickException("The configuration cannot be used.\n" + str(exc)) from exc
        except NodeError as exc:
            raise click.ClickException(shown(exc.message)) from exc


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def program() -> None:
    """Relais, an imaging node: it receives DICOM objects, keeps them safe, finds them, serves them and passes them on.

    Settings come from conf/relais.toml, or the file that --config names, and from RELAIS_<SECTION>__<KEY> in the
    environment. "relais check-config" shows them all.
    """
    log.configure("warning")
