from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relais.dicom.refs import InstanceRef
from relais.errors import InvalidRequest
from relais.storage import layout

REF = InstanceRef("1.2.3", "1.2.3.4", "1.2.3.4.5")


def test_a_person_finds_an_instance_by_its_uids() -> None:
    assert layout.instance_key(REF, "0123abcd") == "c4/1.2.3/1.2.3.4/1.2.3.4.5.0123abcd.dcm"


def test_the_same_study_is_always_in_the_same_folder() -> None:
    keys = {layout.instance_key(REF.series.instance(f"1.{n}"), layout.fresh_token()) for n in range(50)}
    assert {PurePosixPath(key).parent.as_posix() for key in keys} == {"c4/1.2.3/1.2.3.4"}


def test_every_token_is_new() -> None:
    assert len({layout.fresh_token() for _ in range(1000)}) == 1000


def test_the_longest_uids_fit() -> None:
    uid = "1." + "2" * 62
    key = layout.instance_key(InstanceRef(uid, uid, uid), "0" * 8)
    assert len(key) == layout.MAX_KEY_LENGTH
    assert max(map(len, key.split("/"))) < 255


@pytest.mark.parametrize("bad", ["", "..", "../..", "1.2/3", "1.2\0", "/etc", "1..2", "1." + "2" * 63, "1.2\n"])
def test_what_is_no_uid_never_becomes_a_path(bad: str) -> None:
    for ref in (InstanceRef(bad, "1", "1"), InstanceRef("1", bad, "1"), InstanceRef("1", "1", bad)):
        if bad != "1.2\0":  # padding, which goes
            with pytest.raises(InvalidRequest):
                layout.instance_key(ref, "0123abcd")


@pytest.mark.parametrize("token", ["", "../../..", "0123ABCD", "0123abc", "0123abcde", "0123abc\n"])
def test_what_is_no_token_never_becomes_a_path(token: str) -> None:
    with pytest.raises(InvalidRequest):
        layout.instance_key(REF, token)


@given(st.text(alphabet="0123456789abcdef./\\ \n\0dcm", max_size=60))
def test_a_key_has_four_parts_and_stays_where_it_is(text: str) -> None:
    if layout.is_key(text):
        parts = text.split("/")
        assert len(parts) == 4
        assert not {"", ".", ".."} & set(parts)


def test_what_is_no_key_is_refused() -> None:
    for text in ("", "../x", "c4/1.2.3/1.2.3.4", "a0/1.2.3/1.2.3.4/1.2.3.4.5.dcm", "a0/1/1/1.0123abcd.dcm\n"):
        with pytest.raises(InvalidRequest):
            layout.require_key(text)
