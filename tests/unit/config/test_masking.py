"""Nothing of a password is shown, however it was written into a URL; what is none stays."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from relais.cli import program
from relais.config import masked

M = "********"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://relais:geheim@h:5432/x", f"postgresql://relais:{M}@h:5432/x"),
        ("postgresql://:geheim@h/x", f"postgresql://:{M}@h/x"),
        ("postgresql://relais@h/x?password=geheim", f"postgresql://relais@h/x?password={M}"),
        (
            "postgresql://h/x?sslpassword=geheim&sslmode=verify-full",
            f"postgresql://h/x?sslpassword={M}&sslmode=verify-full",
        ),
        ("postgresql:///x?user=relais&password=geheim", f"postgresql:///x?user=relais&password={M}"),
        ("postgresql://h/x?PASSWORD=geheim&geheim", f"postgresql://h/x?PASSWORD={M}"),
        ("postgresql://h/x?password=geh@geheim", f"postgresql://h/x?password={M}"),
        ("postgresql://relais:ge/geheim@h", f"postgresql://relais:{M}@h"),
        ("postgresql://relais:geheim?x@h", f"postgresql://relais:{M}@h"),
        ("postgresql://relais:p@geheim#word@h/x", f"postgresql://relais:{M}@h/x"),
        ("postgresql://relais:geh:geheim@h/x", f"postgresql://relais:{M}@h/x"),
        ("postgresql:///relais:geheim@h/x", f"postgresql:///relais:{M}@h/x"),
        ("postgresql://relais:geheim", f"postgresql://relais:{M}"),
        ("postgresql://relais:geheim/x", f"postgresql://relais:{M}"),
        ("s3://KEY:geheim@bucket/prefix", f"s3://KEY:{M}@bucket/prefix"),
        ("https://u:geheim@s3.example.org", f"https://u:{M}@s3.example.org"),
        ("https://h/dicom-web?access_token=geheim", f"https://h/dicom-web?access_token={M}"),
    ],
)
def test_the_password_in_a_url_is_masked(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize(
    "text",
    [
        "geheim",
        "sqlite:////data/a:b@c/index.sqlite",
        "file:///data/a:b@c",
        "postgresql://relais@h:5432,[::1]:5433/x?sslmode=require&passfile=/run/secrets/pgpass&application_name=a",
        "postgresql:///x?host=/run/postgresql",
        "https://[2001:db8::1]:8443/relais",
        "http://localhost:*",
        "s3://bucket/prefix",
    ],
)
def test_what_holds_no_password_is_shown_as_it_is(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_check_config_shows_no_password_of_any_url(tmp_path: Path, form: tuple[str, ...]) -> None:
    file = tmp_path / "relais.toml"
    file.write_text(
        '[index]\nurl = "postgresql:///x?user=relais&password=geheim"\n[storage]\nurl = "s3://bucket"\n'
        '[node]\npublic_url = "https://u:geheim@example.org"\n[web]\ncors_origins = ["https://u:geheim@example.org"]\n'
    )
    found = CliRunner().invoke(program, ["check-config", "--config", str(file), *form])
    assert found.exit_code == 0, found.output
    assert "geheim" not in found.output
    assert f"postgresql:///x?user=relais&password={M}" in found.output
    assert not form or json.loads(found.stdout)


@pytest.mark.parametrize(
    "text",
    [
        '[storage]\nurl = "s3://KEY:geheim@bucket"',
        '[storage]\nendpoint_url = "https://u:geheim@h"',  # which nothing needs, and the log would tell
        '[index]\nurl = "postgres://relais:geheim@h/x"',
        '[storage]\naccess_key_id = "a"\nsecret_access_key = ["geheim"]',
        '[[peers]]\nname = "A"\nkind = "orthanc"\nurl = "http://u:geheim@h"\npassword = ["geheim"]',
    ],
)
def test_a_sentence_about_what_cannot_be_used_tells_no_secret(tmp_path: Path, text: str) -> None:
    file = tmp_path / "relais.toml"
    file.write_text(text)
    found = CliRunner().invoke(program, ["check-config", "--config", str(file)])
    assert found.exit_code == 1
    assert "geheim" not in found.output
