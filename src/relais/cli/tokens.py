"""`relais tokens`: secrets for who uses the web door. Knows the configuration's form, and keeps nothing."""

import json

import click

from relais.access.tokens import ACTIONS, READS, TokenSettings, digest, make
from relais.cli.common import json_option, print_json


@click.command(short_help="Make a token for a person or a program.")
@click.argument("name")
@click.option("--may", multiple=True, type=click.Choice(ACTIONS), help="What it allows; again for more.")
@json_option
def tokens(name: str, may: tuple[str, ...], as_json: bool) -> None:
    """Make a token for NAME, a person or a program, and print it with the lines that make the node accept it.

    It is shown this once: the configuration holds only its digest. Without --may it allows to search and to retrieve.
    """
    secret = make()
    try:
        made = TokenSettings(name, digest(secret), may or READS)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="NAME") from exc
    if as_json:
        print_json({"name": made.name, "token": secret, "sha256": made.sha256, "may": list(made.may)})
        return
    click.echo(f"{name} shows this token, as Bearer or as the password to its name:\n\n    {secret}\n")
    click.echo("These lines belong into the configuration file; they count from the next start:\n")
    click.echo(f'[[tokens]]\nname = {json.dumps(made.name, ensure_ascii=False)}\nsha256 = "{made.sha256}"')
    click.echo(f"may = {json.dumps(list(made.may))}")
