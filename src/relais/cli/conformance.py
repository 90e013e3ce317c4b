"""`relais conformance`: what this node conforms to, as PS3.2 wants it said."""

from pathlib import Path

import click

from relais.cli.common import config_of, config_option, json_option, print_json
from relais.conformance import document, statement


@click.command(short_help="Print the DICOM conformance statement.")
@config_option
@json_option
def conformance(config_file: Path | None, as_json: bool) -> None:
    """Print the DICOM conformance statement of a node that runs with this configuration, in Markdown."""
    found = statement(config_of(config_file))
    if as_json:
        print_json(document.as_json(found))
    else:
        click.echo(document.markdown(found), nl=False)
