"""What can be made of an instance, by its Transfer Syntax: trap 10."""

import pytest
from pydicom import uid

from relais.dicom.layout import Layout
from relais.dicom.refs import InstanceRef
from relais.dicomweb.media_types import DICOM, OCTET_STREAM, Offer, parse_accept, select
from relais.errors import NotAcceptable
from relais.index.rows import InstanceRow
from relais.web.offers import frame_offers, instance_offers

EXPLICIT = uid.ExplicitVRLittleEndian
PARTS = 'multipart/related; type="application/dicom"'
FRAMES = 'multipart/related; type="application/octet-stream"'


def row(syntax: str) -> InstanceRow:
    layout = Layout(dataset_offset=400, pixel_offset=1000)
    ref = InstanceRef("1.2", "1.3", "1.4")
    return InstanceRow(1, 1, ref, "1.5", syntax, 1, "key", 2000, b"", b"", layout, 0.0, 1)


def instance(syntax: str, accept: str) -> Offer:
    return select(parse_accept(accept), instance_offers(row(syntax), may_be_single=True))


def frame(syntax: str, accept: str) -> Offer:
    return select(parse_accept(accept), frame_offers(row(syntax), may_be_single=True))


@pytest.mark.parametrize(
    ("stored", "default", "as_stored"),
    [
        (EXPLICIT, EXPLICIT, EXPLICIT),
        (uid.ImplicitVRLittleEndian, EXPLICIT, EXPLICIT),
        (uid.ExplicitVRBigEndian, EXPLICIT, EXPLICIT),
        (uid.DeflatedExplicitVRLittleEndian, EXPLICIT, uid.DeflatedExplicitVRLittleEndian),
        (uid.JPEGLSLossless, EXPLICIT, uid.JPEGLSLossless),
        (uid.HTJ2KLossless, EXPLICIT, uid.HTJ2KLossless),
        (uid.JPEGBaseline8Bit, uid.JPEGBaseline8Bit, uid.JPEGBaseline8Bit),
        (uid.JPEG2000, uid.JPEG2000, uid.JPEG2000),
        (uid.MPEG4HP41, uid.MPEG4HP41, uid.MPEG4HP41),
    ],
)
def test_the_default_and_the_stored_form_of_an_instance(stored: str, default: str, as_stored: str) -> None:
    """Trap 10: Explicit VR Little Endian, except where only lossy data exists."""
    assert instance(stored, PARTS).transfer_syntax_uid == default
    assert instance(stored, "*/*").transfer_syntax_uid == default
    assert instance(stored, f"{PARTS}; transfer-syntax=*").transfer_syntax_uid == as_stored


def test_lossy_images_are_decoded_when_that_is_asked_for() -> None:
    accept = f"{PARTS}; transfer-syntax={EXPLICIT}"
    assert instance(uid.JPEGBaseline8Bit, accept).transfer_syntax_uid == EXPLICIT
    with pytest.raises(NotAcceptable):
        instance(uid.MPEG4HP41, accept)


@pytest.mark.parametrize("never", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_implicit_vr_and_big_endian_never_leave(never: str) -> None:
    """Trap 10."""
    with pytest.raises(NotAcceptable):
        instance(never, f"{PARTS}; transfer-syntax={never}")


@pytest.mark.parametrize(
    ("stored", "media_type"),
    [
        (uid.JPEGBaseline8Bit, "image/jpeg"),
        (uid.JPEGLosslessSV1, "image/jpeg"),
        (uid.RLELossless, "image/dicom-rle"),
        (uid.JPEGLSNearLossless, "image/jls"),
        (uid.JPEG2000, "image/jp2"),
        (uid.HTJ2K, "image/jphc"),
        (uid.MPEG4HP41, "video/mp4"),
    ],
)
def test_frames_have_their_own_media_type(stored: str, media_type: str) -> None:
    for accept in (f"{FRAMES}; transfer-syntax=*", f"{FRAMES}; transfer-syntax={stored}"):
        assert frame(stored, accept).transfer_syntax_uid == stored
    assert frame(stored, f'multipart/related; type="{media_type}"') == Offer(media_type, True, stored)
    assert not frame(stored, media_type).is_multipart


@pytest.mark.parametrize("stored", [EXPLICIT, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.JPEG2000])
def test_frames_are_decoded_by_default(stored: str) -> None:
    for accept in ("*/*", FRAMES):
        assert frame(stored, accept) == frame(stored, f"{FRAMES}; transfer-syntax={EXPLICIT}")
        assert (frame(stored, accept).media_type, frame(stored, accept).is_multipart) == (OCTET_STREAM, True)


def test_what_cannot_be_decoded_comes_as_stored_or_not_at_all() -> None:
    assert frame(uid.MPEG4HP41, "*/*").media_type == "video/mp4"
    with pytest.raises(NotAcceptable):
        frame(uid.MPEG4HP41, FRAMES)


def test_several_instances_have_no_single_part_form() -> None:
    """Trap 10."""
    with pytest.raises(NotAcceptable):
        select(parse_accept(DICOM), instance_offers(row(EXPLICIT), may_be_single=False))
