"""Which images a presentation state is about (PS3.3 C.11.11)."""

from io import BytesIO

import pytest
from pydicom import FileDataset

from fixtures.builders import a_ct, a_multiframe, part10, uid
from fixtures.states import a_state
from relais.access.principals import Principal, Protocol
from relais.archive import Archive, presented
from relais.archive.ingest import store_part10
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import InstanceRef
from relais.errors import NotAcceptable, NotFound, TooLarge
from relais.index import lookup
from relais.index.rows import InstanceRow

ROSA = Principal(Protocol.WEB, "", "127.0.0.1")


def kept(archive: Archive, ds: FileDataset) -> InstanceRow:
    store_part10(archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
    row = lookup.instance(archive.db, ref(ds))
    assert row is not None
    return row


def ref(ds: FileDataset) -> InstanceRef:
    return InstanceRef(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)


def test_all_frames_or_those_that_are_named(archive: Archive) -> None:
    loop = a_multiframe(frames=4)
    kept(archive, loop)
    everything = presented.images(archive, ROSA, kept(archive, a_state(loop)))
    some = presented.images(archive, ROSA, kept(archive, a_state(loop, frames=[4, 2])))
    one = presented.images(archive, ROSA, kept(archive, a_state(loop, frames=[3])))
    assert [[one.number for one in found] for found in (everything, some, one)] == [[1, 2, 3, 4], [4, 2], [3]]
    assert {one.row.ref for one in everything} == {ref(loop)}
    assert everything[0].state.sop_instance_uid == loop.SOPInstanceUID


def test_images_that_are_not_here_are_not_found(archive: Archive) -> None:
    with pytest.raises(NotFound):
        presented.images(archive, ROSA, kept(archive, a_state(a_ct())))


def test_an_image_of_another_study_is_not_looked_for(archive: Archive) -> None:
    image = a_ct()
    kept(archive, image)
    with pytest.raises(NotFound):
        presented.images(archive, ROSA, kept(archive, a_state(image, StudyInstanceUID=uid("another"))))


def test_a_state_about_nothing_shows_nothing(archive: Archive) -> None:
    with pytest.raises(NotAcceptable):
        presented.images(archive, ROSA, kept(archive, a_state(a_ct(), ReferencedSeriesSequence=[])))


def test_a_state_applies_to_its_images_only(archive: Archive) -> None:
    image = a_ct()
    state = kept(archive, a_state(image))
    assert presented.applied_to(archive, state, ref(image)).part10
    with pytest.raises(NotAcceptable):
        presented.applied_to(archive, state, ref(a_ct()))


def test_references_without_number_are_refused(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presented, "MAX_REFERENCES", 0)
    image = a_ct()
    with pytest.raises(TooLarge):
        presented.applied_to(archive, kept(archive, a_state(image)), ref(image))


def test_a_state_beyond_all_measure_is_refused(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presented, "MAX_STATE_BYTES", 100)
    image = a_ct()
    with pytest.raises(TooLarge):
        presented.applied_to(archive, kept(archive, a_state(image)), ref(image))
