"""Names from outside on the operator's terminal."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fixtures.builders import a_ct, part10
from relais.cli.shown import shown

Run = Callable[..., Any]
HOSTILE = "x\x1b[31mRED\x1b[0m\n\x9b\u202efdp.dcm"
HARMLESS = r"x\x1b[31mRED\x1b[0m\n\x9b\u202efdp.dcm"


def test_what_commands_a_terminal_is_spelled_out_and_letters_of_all_kinds_stay() -> None:
    assert shown(HOSTILE) == HARMLESS
    assert shown("山田　太郎 Müller שָׁלוֹם \U0001f600") == "山田　太郎 Müller שָׁלוֹם \U0001f600"
    assert shown("\udcff") == r"\udcff"  # a file name that is no UTF-8


def test_a_refused_member_of_a_strangers_disc_commands_no_terminal(tmp_path: Path, relais: Run) -> None:
    with zipfile.ZipFile(tmp_path / "disc.zip", "w") as archive:
        archive.writestr(HOSTILE, part10(a_ct())[:-100])
    told = relais("import", tmp_path / "disc.zip", code=1).stdout
    assert f"disc.zip!{HARMLESS}\n" in told
    printed = relais("import", tmp_path / "disc.zip", "--json", code=1).stdout
    assert not {"\x1b", "\x9b", "\u202e"} & set(printed)
    ((refused,),) = (one["examples"] for one in json.loads(printed)["refused"].values())
    assert refused.endswith(HOSTILE)


def test_a_sentence_of_a_failure_commands_no_terminal(tmp_path: Path, relais: Run) -> None:
    relais("import", tmp_path, code=0)
    told = relais("export", tmp_path / "out", "--patient", HOSTILE, code=1).stderr
    assert HARMLESS in told
    assert "\x1b" not in told
