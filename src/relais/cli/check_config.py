"""`relais check-config`: what the node would run with."""

import json
import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from relais.cli.common import config_option, json_option, print_json, print_table
from relais.config import Config, described, load, not_heeded
from relais.peers.certificate import valid_until

SOON = timedelta(days=30)  # enough to have a certificate renewed
_PEM = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@click.command("check-config", short_help="Check the configuration and print every setting.")
@config_option
@json_option
def check_config(config_file: Path | None, as_json: bool) -> None:
    """Check the configuration and print every setting with its effective value and where it was written.

    Secrets are masked. What is wrong is told in one sentence each, and the exit code is then 1.
    A certificate that has expired, or will within 30 days, is told too; the node starts with it.
    So is a variable of the environment that is named like a setting and is none.
    """
    loaded = load(config_file)
    settings = list(described(loaded))
    for sentence in (*not_heeded(), *_expiring(loaded.config, datetime.now(UTC))):
        click.echo(f"Warning: {sentence}", err=True)
    if as_json:
        print_json([{"section": s, "key": k, "value": v, "source": where} for s, k, v, where in settings])
        return
    print_table(
        ["section", "key", "value", "from"],
        [(f"[{s}]", k, v if isinstance(v, str) else json.dumps(v), where) for s, k, v, where in settings],
    )
    click.echo(f"\nThe configuration is good. It was read from {loaded.file or 'the defaults'} and the environment.")


def _expiring(config: Config, now: datetime) -> Iterator[str]:
    """A sentence for each file of certificates of the node of which one is not valid for much longer than *now*."""
    named = [("[dimse]", config.dimse.tls_certificate), ("[web]", config.web.tls_certificate)]
    named += [(f"[[peers]] {peer.name}", peer.tls_certificate) for peer in config.peers if peer.tls_certificate]
    for where, path in named:
        until = min(_ends(path), default=None) if path else None
        if until is not None and until < now + SOON:
            verb = "expired" if until < now else "expires"
            yield f"{where} tls_certificate {path} {verb} on {until:%Y-%m-%d at %H:%M} UTC."


def _ends(path: str) -> Iterator[datetime]:
    """Until when each certificate of that PEM file is valid."""
    for text in _PEM.findall(Path(path).read_text("latin-1")):
        yield valid_until(ssl.PEM_cert_to_DER_cert(text))
