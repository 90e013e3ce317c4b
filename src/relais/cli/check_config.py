"""`relais check-config`: what the node would run with."""

import json
from pathlib import Path

import click

from relais.cli.common import config_option, json_option, print_json, print_table
from relais.config import described, load


@click.command("check-config", short_help="Check the configuration and print every setting.")
@config_option
@json_option
def check_config(config_file: Path | None, as_json: bool) -> None:
    """Check the configuration and print every setting with its effective value and where it was written.

    Secrets are masked. What is wrong is told in one sentence each, and the exit code is then 1.
    """
    loaded = load(config_file)
    settings = list(described(loaded))
    if as_json:
        print_json([{"section": s, "key": k, "value": v, "source": where} for s, k, v, where in settings])
        return
    print_table(
        ["section", "key", "value", "from"],
        [(f"[{s}]", k, v if isinstance(v, str) else json.dumps(v), where) for s, k, v, where in settings],
    )
    click.echo(f"\nThe configuration is good. It was read from {loaded.file or 'the defaults'} and the environment.")
