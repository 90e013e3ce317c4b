"""`relais serve`: run the node."""

import sys
from dataclasses import replace
from pathlib import Path

import click

from relais.cli.common import config_of, config_option
from relais.config import Config, address


@click.command()
@config_option
@click.option(
    "--samples",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Once ready, send the DICOM files of this folder to the node by C-STORE, if its archive is empty.",
)
@click.option("--role", type=click.Choice(["dimse", "web", "background", "samples"]), hidden=True)
@click.option("--parent", type=int, hidden=True, expose_value=False)  # heeded in __main__, before all this is loaded
def serve(config_file: Path | None, samples: Path | None, role: str | None) -> None:
    """Run the node until it is told to end by Ctrl-C or SIGTERM.

    It starts several processes for DIMSE and for HTTP and one for background work, and starts again what dies. Log
    lines go to stderr; what to open is printed when the node is ready.
    """
    if role is not None:
        from relais.node import roles  # noqa: PLC0415 - the supervisor stays small without what the roles load

        sys.exit(roles.run(role))
    from relais.node import serve as node_serve  # noqa: PLC0415

    sys.exit(node_serve.serve(config_of(config_file), _tell, samples))


def _tell(config: Config, about_samples: str) -> None:
    dimse = replace(config.dimse)
    lines = [
        "",
        f"  {config.node.name} is ready.",
        f"  Pages        {config.public_url}/",
        f"  DICOMweb     {config.public_url}/dicom-web",
        f"  DIMSE        {dimse.ae_title} at {address(dimse.host, dimse.port)}",
        f"  Data         {config.node.data_dir}",
        *([f"  Samples      {about_samples}"] if about_samples else []),
        "  End it with Ctrl-C.",
        "",
    ]
    click.echo("\n".join(lines))
