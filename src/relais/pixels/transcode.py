"""A whole Part 10 file into Explicit or Implicit VR Little Endian, frame by frame. Knows files, codecs and elements.

1. File Meta Information is written anew, with what it said of the instance's origin.
2. What is not about pixels stays as it is (pixels.recode); Group Lengths are left out.
3. Native Pixel Data is copied, turned round where it was big endian. Encapsulated Pixel Data is decoded; Photometric
   Interpretation becomes that of the decoded pixels, Planar Configuration and the marks of lossy compression stay.
   Where only the Transfer Syntax told that something was lost, Lossy Image Compression says it (PS3.3 C.7.6.1.1.5).
4. Offset tables and an icon that is itself compressed have no place in the result and are left out (PS3.5 A.4).
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from struct import Struct
from typing import BinaryIO

import numpy as np

from relais.dicom import part10, uids
from relais.dicom.elements import PIXEL_DATA, Element
from relais.errors import InvalidDataSet, NotAcceptable, TooLarge
from relais.pixels.decode import container_bytes, decode_frames, photometric_after_decoding, to_bytes
from relais.pixels.image import ImageHeader, ImagePixel, check_size
from relais.pixels.part10_file import Part10File
from relais.pixels.recode import CompressedInside, Form, Recoder, Scope, vr_of
from relais.pixels.settings import PixelSettings
from relais.pixels.syntaxes import JPEG_LOSSY, JPEG_LS_NEAR_LOSSLESS, can_transcode

MAX_NATIVE_BYTES = 0xFFFFFFFE  # the length of Pixel Data is 32 bits; larger instances cannot be made native

_PHOTOMETRIC_INTERPRETATION, _PLANAR_CONFIGURATION, _BITS_ALLOCATED = 0x00280004, 0x00280006, 0x00280100
_LOSSY_IMAGE_COMPRESSION = 0x00282110
_ENCAPSULATED_ONLY = frozenset({0x7FE00001, 0x7FE00002, 0x7FE00003})  # offset table, its lengths, total length
_ICON_IMAGE_SEQUENCE = 0x00880200
_COMPRESSED_PIXELS = b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"  # Pixel Data of undefined length
_UINT, _USHORT = Struct("<I"), Struct("<H")

# JPEG 2000 and its kin allow reversible compression in the syntaxes for lossy images, too.
_SURELY_LOSSY = JPEG_LOSSY | {JPEG_LS_NEAR_LOSSLESS}

Progress = Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Edits:
    """Attributes of the result that differ, and whether Pixel Data is to be decoded."""

    values: dict[int, tuple[bytes, bytes]]
    image: ImageHeader | None


def transcode(path: Path, target_uid: str, out_path: Path, settings: PixelSettings, progress: Progress) -> None:
    """Write *path* to *out_path* in *target_uid*; *progress* is called after every frame.

    Raises NotAcceptable, InvalidDataSet, TooLarge; *out_path* is then incomplete.
    """
    if target_uid not in uids.TRANSCODE_TARGETS:
        raise NotAcceptable(f"Nothing is transcoded to Transfer Syntax {target_uid}.")
    with Part10File(path, settings) as source, out_path.open("wb") as out:
        if not can_transcode(source.transfer_syntax_uid):
            raise NotAcceptable(f"Transfer Syntax {source.transfer_syntax_uid} cannot be transcoded.")
        edits = _edits(source, settings)
        out.write(part10.encode_head(replace(source.meta, transfer_syntax_uid=target_uid)))
        _Transcoding(source, out, Form(uids.is_implicit(target_uid)), edits, progress).run()


def _edits(source: Part10File, settings: PixelSettings) -> _Edits:
    pixels = source.found.pixel
    if pixels is None or not source.is_encapsulated(pixels):
        return _Edits({}, None)
    image = source.read_image(pixels)
    check_size(image.pixel, settings.max_frame_pixels, settings.max_frame_bytes)
    values = _corrected(image.pixel, source.transfer_syntax_uid)
    if source.transfer_syntax_uid in _SURELY_LOSSY and not image.attributes.get("LossyImageCompression"):
        values[_LOSSY_IMAGE_COMPRESSION] = (b"CS", b"01")
    return _Edits(values, image)


def _corrected(pixel: ImagePixel, transfer_syntax_uid: str) -> dict[int, tuple[bytes, bytes]]:
    """VR and value of what decoding changes (PS3.5 8.2)."""
    photometric = photometric_after_decoding(pixel, transfer_syntax_uid).encode("ascii", "replace")
    values = {_PHOTOMETRIC_INTERPRETATION: (b"CS", photometric + b" " * (len(photometric) % 2))}
    if pixel.samples_per_pixel > 1:
        values[_PLANAR_CONFIGURATION] = (b"US", _USHORT.pack(pixel.is_planar))
    if pixel.bits_allocated != 1:
        values[_BITS_ALLOCATED] = (b"US", _USHORT.pack(container_bytes(pixel) * 8))
    return values


class _Transcoding:
    """One file on its way."""

    def __init__(self, source: Part10File, out: BinaryIO, target: Form, edits: _Edits, progress: Progress) -> None:
        self._source, self._out, self._target = source, out, target
        self._edits = edits
        self._progress = progress
        self._scope = Scope()
        self._recoder = self._recoder_to(out)

    def run(self) -> None:
        """Elements in their order; corrected ones take the place of theirs, or stand where they belong."""
        pending = sorted(self._edits.values)
        for element in self._source.found.elements.values():
            while pending and pending[0] <= element.tag:
                self._write_edit(pending.pop(0))
            if element.tag & 0xFFFF and element.tag not in self._left_out():
                self._copy(element)

    def _left_out(self) -> frozenset[int]:
        """Elements that are written anew, or not at all."""
        return _ENCAPSULATED_ONLY.union(self._edits.values) if self._edits.image else frozenset()

    def _write_edit(self, tag: int) -> None:
        vr, value = self._edits.values[tag]
        self._scope.observe(tag, value)
        self._recoder.write(tag, vr, value)

    def _copy(self, element: Element) -> None:
        if element.tag == PIXEL_DATA:
            self._write_pixels(element)
        elif element.tag == _ICON_IMAGE_SEQUENCE:
            self._copy_icon(element)
        else:
            self._recoder.copy(element, self._scope)

    def _copy_icon(self, element: Element) -> None:
        """Deviation: an icon with compressed pixels is left out; it is optional (PS3.3 C.7.6.1.1.6)."""
        copy = BytesIO()
        with suppress(CompressedInside):
            self._recoder_to(copy).copy(element, self._scope)
            if _COMPRESSED_PIXELS not in copy.getvalue():
                self._out.write(copy.getbuffer())

    def _write_pixels(self, pixels: Element) -> None:
        bits_allocated = self._scope.bits_allocated
        if self._edits.image is not None:
            self._write_decoded(self._edits.image.pixel)
            return
        vr = pixels.vr.encode() if pixels.vr else vr_of(PIXEL_DATA, self._scope)
        self._recoder.write_header(PIXEL_DATA, vr, pixels.length + pixels.length % 2)
        word_bytes = self._source.pixel_word_bytes(pixels, bits_allocated)
        self._recoder.copy_bytes(pixels.value_offset, pixels.length, word_bytes)
        self._out.write(b"\0" * (pixels.length % 2))

    def _write_decoded(self, pixel: ImagePixel) -> None:
        """Frames as they come, the length of them all when it is known."""
        self._recoder.write_header(PIXEL_DATA, b"OW" if container_bytes(pixel) > 1 else b"OB", 0)
        start = self._out.tell()
        frames = _FrameWriter(self._out, pixel)
        for bitstream in self._source.bitstreams(pixel):
            for decoded in decode_frames(bitstream, self._source.transfer_syntax_uid, pixel):
                frames.write(to_bytes(decoded, pixel))
                self._progress()
        if frames.count != pixel.number_of_frames:
            raise InvalidDataSet(f"{frames.count} frames were found where {pixel.number_of_frames} should be.")
        frames.finish()
        end = self._out.tell()
        self._out.seek(start - _UINT.size)
        self._out.write(_UINT.pack(end - start))
        self._out.seek(end)

    def _recoder_to(self, out: BinaryIO) -> Recoder:
        source = self._source
        return Recoder(source.read_at, source.size, source.form, out, self._target)


class _FrameWriter:
    """Native frames one after the other; frames of single bits are packed without gaps (PS3.5 8.1.1)."""

    def __init__(self, out: BinaryIO, pixel: ImagePixel) -> None:
        self._out = out
        self._bits_in_last_byte = pixel.frame_bits % 8 if pixel.bits_allocated == 1 else 0
        self._frame_bits = pixel.frame_bits
        self._waiting = np.empty(0, np.uint8)
        self._size_bytes = 0
        self.count = 0

    def write(self, frame: bytes) -> None:
        self.count += 1
        if not self._bits_in_last_byte:
            self._write(frame)
            return
        bits = np.unpackbits(np.frombuffer(frame, np.uint8), count=self._frame_bits, bitorder="little")
        bits = np.concatenate([self._waiting, bits])
        whole = len(bits) - len(bits) % 8
        self._waiting = bits[whole:]
        self._write(np.packbits(bits[:whole], bitorder="little").tobytes())

    def finish(self) -> None:
        """What is left, and padding to an even length."""
        self._write(np.packbits(self._waiting, bitorder="little").tobytes())
        self._write(b"\0" * (self._size_bytes % 2))

    def _write(self, data: bytes) -> None:
        self._size_bytes += len(data)
        if self._size_bytes > MAX_NATIVE_BYTES:
            raise TooLarge("The decoded Pixel Data would be longer than its length can say.")
        self._out.write(data)
