"""What a worker is asked, without the process around it."""

import numpy as np
import pytest

from fixtures.images import JPEG, an_image, encode, part10_split, texture
from relais.dicom import uids
from relais.errors import InvalidDataSet, TooLarge
from relais.pixels import wire
from relais.pixels.request import RenderRequest, to_fields
from relais.pixels.settings import PixelSettings
from relais.pixels.tasks import Tasks

PIXELS = texture(8)


def ask(task: str, header: bytes, transfer_syntax: str, frame: bytes) -> bytes:
    fields = {
        "task": task,
        "header_bytes": len(header),
        "transfer_syntax_uid": transfer_syntax,
        "frame_number": 1,
        "request": to_fields(RenderRequest("image/png")),
    }
    return Tasks(PixelSettings()).run(wire.Message(fields, header + frame), lambda: None)


def test_header_and_frame_come_as_one_body() -> None:
    header, frame = part10_split(an_image(PIXELS))
    assert ask("decode", header, uids.EXPLICIT_VR_LITTLE_ENDIAN, frame) == PIXELS.tobytes()
    assert ask("render", header, JPEG + "80", encode(PIXELS, JPEG + "80", 8)).startswith(b"\x89PNG")


def test_the_size_is_looked_at_before_the_frame() -> None:
    header, _ = part10_split(an_image(PIXELS, Rows=65535, Columns=65535))
    with pytest.raises(TooLarge):
        ask("decode", header, JPEG + "80", b"never looked at")


def test_a_codestream_of_one_frame_is_a_frame() -> None:
    """PS3.5 8.2.5"""
    frames = np.stack([PIXELS, PIXELS])
    header, _ = part10_split(an_image(frames, frames=True))
    assert ask("decode", header, JPEG + "92", encode(PIXELS, JPEG + "90", 8)) == PIXELS.tobytes()
    pair = encode(np.dstack([PIXELS] * 3), JPEG + "90", 8)
    with pytest.raises(InvalidDataSet, match="3 components"):
        ask("decode", header, JPEG + "92", pair)


@pytest.mark.parametrize("transfer_syntax", [uids.IMPLICIT_VR_LITTLE_ENDIAN, uids.EXPLICIT_VR_BIG_ENDIAN])
def test_numbers_of_either_sign_are_read_in_every_encoding(transfer_syntax: str) -> None:
    """PS3.6 calls them "US or SS"; the padding is not to count for the range of what is shown."""
    ds = an_image(np.array([[-2000, 0, 100]], np.int16), PixelPaddingValue=-2000)
    ds["PixelPaddingValue"].VR = "SS"
    native, frame = part10_split(ds)
    expected = ask("render", native, uids.EXPLICIT_VR_LITTLE_ENDIAN, frame)
    if uids.is_big_endian(transfer_syntax):
        ds.PixelData = np.frombuffer(ds.PixelData, "u2").byteswap().tobytes()
    ds.file_meta.TransferSyntaxUID = transfer_syntax
    header = part10_split(ds)[0] if transfer_syntax != uids.EXPLICIT_VR_BIG_ENDIAN else _big_endian_header(ds)
    assert ask("render", header, transfer_syntax, ds.PixelData) == expected


def _big_endian_header(ds) -> bytes:  # type: ignore[no-untyped-def]
    from fixtures.builders import part10

    whole = part10(ds)
    return whole[: whole.rindex(b"\x7f\xe0\x00\x10") + 4]
