"""archive.integrity: what is damaged never leaves as a whole, however often it was read before."""

import io
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from fixtures.builders import a_ct, part10
from fixtures.node import content_of, overwrite, spoil
from relais.access.principals import OPERATOR
from relais.archive import Archive, ingest, integrity, retrieve
from relais.archive.integrity import CHUNK_BYTES, HANDY_BYTES, SMALL_BYTES, WHOLE_BYTES, Damaged, verified_chunks
from relais.archive.readers import FEW, READERS
from relais.dicom.origin import Channel, Origin
from relais.index.rows import InstanceRow
from relais.storage.base import is_far_away
from relais.storage.digest import Digest, new_digest

SIDES = {"small": 64, "handy": 512, "large": 1200}  # the largest one has more than WHOLE_BYTES


def kept(archive: Archive, side: int) -> InstanceRow:
    ds = a_ct(rows=side, columns=side)
    stored = ingest.store_part10(archive, io.BytesIO(part10(ds)), Origin(Channel.IMPORT))
    return retrieve.instances(archive, OPERATOR, stored.ref)[0]


@pytest.fixture(params=["few", "many"])
def crowd(request: pytest.FixtureRequest) -> Iterator[str]:
    """How many are being sent something meanwhile."""
    with ExitStack() as closed:
        for _ in range(FEW + 1 if request.param == "many" else 0):
            stream = closed.enter_context(closing(READERS.one_more(iter([b"begun", b"left"]))))
            next(stream)
        yield request.param


def flip(archive: Archive, row: InstanceRow, place: int) -> None:
    """Change one byte of the stored object, counted from its end if *place* is negative."""
    spoil(archive, row.key, place)


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES)
@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("place", [-1, 600])
@pytest.mark.usefixtures("crowd")
def test_a_changed_byte_is_found(archive: Archive, side: int, is_known: bool, place: int) -> None:
    row = kept(archive, side)
    assert (row.size_bytes > WHOLE_BYTES) == (side == SIDES["large"])
    if is_known:
        assert sum(map(len, verified_chunks(archive, row, 0))) == row.size_bytes
    flip(archive, row, place if place < 0 else row.layout.dataset_offset + place)
    for offset in (0, row.layout.dataset_offset):
        left = 0
        with pytest.raises(Damaged):
            for chunk in verified_chunks(archive, row, offset):
                left += len(chunk)
        assert left < row.size_bytes - offset


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES)
@pytest.mark.usefixtures("crowd")
def test_a_changed_head_is_found(archive: Archive, side: int) -> None:
    row = kept(archive, side)
    flip(archive, row, 200)
    with pytest.raises(Damaged):
        list(verified_chunks(archive, row, 0))
    assert sum(map(len, verified_chunks(archive, row, row.layout.dataset_offset)))


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES)
@pytest.mark.usefixtures("crowd")
def test_a_shortened_object_is_found(archive: Archive, side: int) -> None:
    row = kept(archive, side)
    overwrite(archive, row.key, content_of(archive, row.key)[:-1])
    with pytest.raises(Damaged):
        list(verified_chunks(archive, row, 0))


def test_a_check_compares_the_digest_itself_whatever_is_remembered(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = kept(archive, 64)
    list(verified_chunks(archive, row, 0))
    began = []

    def counted() -> Digest:
        began.append(row)
        return new_digest()

    monkeypatch.setattr(integrity, "new_digest", counted)
    list(verified_chunks(archive, row, 0))
    assert not began
    list(verified_chunks(archive, row, 0, always=True))
    assert began


def test_what_is_remembered_is_bounded(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "KNOWN_OBJECTS", 2)
    for _ in range(5):
        list(verified_chunks(archive, kept(archive, 16), 0))
    assert len(integrity._Check._checksums) <= 2


def test_what_many_are_sent_leaves_in_small_chunks_and_what_few_are_sent_in_one(archive: Archive, crowd: str) -> None:
    row = kept(archive, SIDES["handy"])
    assert SMALL_BYTES < row.size_bytes <= HANDY_BYTES
    chunks = list(verified_chunks(archive, row, 0))
    assert b"".join(chunks) == content_of(archive, row.key)
    assert (len(chunks) == 1) == (crowd == "few" or is_far_away(archive.store))
    assert len(chunks) == 1 or max(map(len, chunks)) <= CHUNK_BYTES
    assert len(list(verified_chunks(archive, row, 0, always=True))) == 1
