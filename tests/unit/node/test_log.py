"""Log lines."""

import logging
import re
import sys

import pytest

from relais.node import log
from relais.telemetry import context


@pytest.fixture(autouse=True)
def restored_logging():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def test_a_line_says_when_who_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info")
    with context.bound(assoc="a1b2"):
        logging.getLogger("relais.dimse.store").info("service=C-STORE status=0000")
    line = capsys.readouterr().err
    assert re.fullmatch(
        r"at=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=info from=relais\.dimse\.store pid=\d+ assoc=a1b2 "
        r"service=C-STORE status=0000\n",
        line,
    )


def test_no_message_makes_a_second_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info")
    logging.getLogger("relais").info("evil\nlevel=error from=forged \x1b[31m")
    assert capsys.readouterr().err.count("\n") == 1


def test_a_traceback_stays_on_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info")
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("relais").exception("event=bug")
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "traceback=Traceback" in line
    assert "ValueError: why" in line


def test_other_peoples_libraries_are_heard_from_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info")
    logging.getLogger("pynetdicom.events").info("chatter")
    logging.getLogger("pynetdicom.dul").error("what a peer did wrong, which the door tells itself")
    logging.getLogger("pynetdicom.events").warning("trouble")
    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == ["trouble"]


def test_configuring_again_replaces_the_handler(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info")
    log.configure("error")
    logging.getLogger("relais").info("quiet")
    logging.getLogger("relais").error("loud")
    assert capsys.readouterr().err.count("loud") == 1
    assert logging.getLogger().handlers[0].stream is sys.stderr  # type: ignore[attr-defined]
