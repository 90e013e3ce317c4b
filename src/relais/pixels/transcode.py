"""A whole Part 10 file into another Transfer Syntax, frame by frame. Knows files, codecs and elements.

1. File Meta Information is written anew, with what it said of the instance's origin.
2. What is not about pixels stays as it is (pixels.recode); Group Lengths are left out. What is about them follows them
   (pixels.edits).
3. Native Pixel Data that stays native is copied, turned round where it was big endian. All other Pixel Data is decoded,
   and encoded again if the target is a compressed syntax.
4. Offset tables and an icon that is itself compressed have no place in a native result and are left out (PS3.5 A.4).
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from relais.dicom import part10, uids
from relais.dicom.elements import PIXEL_DATA, UNDEFINED, Element
from relais.errors import InvalidDataSet, NotAcceptable
from relais.pixels.decode import Decoded, container_bytes, decode_frame, decode_frames, to_bytes
from relais.pixels.edits import LOSSY_RATIO, RATIO_CHARACTERS, Edits, derived_meta, of_loss, of_pixels
from relais.pixels.encoders import encode_frame, shape_of
from relais.pixels.image import ImageHeader, ImagePixel, check_size
from relais.pixels.part10_file import Part10File
from relais.pixels.pixel_writers import FragmentWriter, NativeWriter
from relais.pixels.recode import CompressedInside, Form, Recoder, Scope, vr_of
from relais.pixels.settings import PixelSettings
from relais.pixels.syntaxes import ENCODABLE, LOSSY_WHEN_ENCODED, can_encode, can_transcode

_ENCAPSULATED_ONLY = frozenset({0x7FE00001, 0x7FE00002, 0x7FE00003})  # offset table, its lengths, total length
_ICON_IMAGE_SEQUENCE = 0x00880200
_COMPRESSED_PIXELS = b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"  # Pixel Data of undefined length

Progress = Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Plan:
    """The target, the attributes of the result that differ, and the image if its frames have to be decoded."""

    target_uid: str
    edits: Edits
    image: ImageHeader | None

    @property
    def form(self) -> Form:
        return Form(uids.is_implicit(self.target_uid))


def transcode(path: Path, target_uid: str, out_path: Path, settings: PixelSettings, progress: Progress) -> None:
    """Write *path* to *out_path* in *target_uid*; *progress* is called after every frame.

    Raises NotAcceptable, InvalidDataSet, TooLarge; *out_path* is then incomplete.
    """
    if target_uid not in ENCODABLE.union(uids.TRANSCODE_TARGETS):
        raise NotAcceptable(f"Nothing is transcoded to Transfer Syntax {target_uid}.")
    with Part10File(path, settings) as source, out_path.open("wb") as out:
        if not can_transcode(source.transfer_syntax_uid):
            raise NotAcceptable(f"Transfer Syntax {source.transfer_syntax_uid} cannot be transcoded.")
        plan = _plan(source, target_uid, settings)
        out.write(part10.encode_head(derived_meta(source.meta, target_uid)))
        _Transcoding(source, out, plan, progress).run()


def _plan(source: Part10File, target_uid: str, settings: PixelSettings) -> _Plan:
    pixels, is_encoded = source.found.pixel, uids.is_encapsulated(target_uid)
    if not is_encoded and (pixels is None or not source.is_encapsulated(pixels)):
        return _Plan(target_uid, {}, None)
    if pixels is None or pixels.tag != PIXEL_DATA:
        raise NotAcceptable("Without integer Pixel Data there is nothing to compress (PS3.5 A.4).")
    image = source.read_image(pixels)
    check_size(image.pixel, settings.max_frame_pixels, settings.max_frame_bytes)
    source.require_frames(pixels, image.pixel)
    if is_encoded and not can_encode(target_uid, shape_of(image.pixel)):
        raise NotAcceptable(f"This image cannot be encoded in Transfer Syntax {target_uid}.")
    loss = of_loss(source) if target_uid in LOSSY_WHEN_ENCODED else {}
    return _Plan(target_uid, of_pixels(image, source.transfer_syntax_uid, target_uid) | loss, image)


class _Transcoding:
    """One file on its way."""

    def __init__(self, source: Part10File, out: BinaryIO, plan: _Plan, progress: Progress) -> None:
        self._source, self._out, self._plan = source, out, plan
        self._progress = progress
        self._ratio_end = 0
        self._scope = Scope()
        self._recoder = self._recoder_to(out)

    def run(self) -> None:
        """Elements in their order; corrected ones take the place of theirs, or stand where they belong."""
        pending = sorted(self._plan.edits)
        for element in self._source.found.elements.values():
            while pending and pending[0] <= element.tag:
                self._write_edit(pending.pop(0))
            if element.tag & 0xFFFF and element.tag not in self._left_out():
                self._copy(element)

    def _left_out(self) -> frozenset[int]:
        """Elements that are written anew, or not at all."""
        return _ENCAPSULATED_ONLY.union(self._plan.edits) if self._plan.image else frozenset()

    def _write_edit(self, tag: int) -> None:
        vr, value = self._plan.edits[tag]
        self._scope.observe(tag, value)
        self._recoder.write(tag, vr, value)
        if tag == LOSSY_RATIO:
            self._ratio_end = self._out.tell()

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
        if self._plan.image is not None:
            self._write_frames(pixels, self._plan.image.pixel)
            return
        vr = pixels.vr.encode() if pixels.vr else vr_of(PIXEL_DATA, self._scope)
        self._recoder.write_header(PIXEL_DATA, vr, pixels.length + pixels.length % 2)
        word_bytes = self._source.pixel_word_bytes(pixels, bits_allocated)
        self._recoder.copy_bytes(pixels.value_offset, pixels.length, word_bytes)
        self._out.write(b"\0" * (pixels.length % 2))

    def _write_frames(self, pixels: Element, pixel: ImagePixel) -> None:
        """Frames as they come, and what is known only after the last one."""
        target_uid = self._plan.target_uid
        is_encoded = uids.is_encapsulated(target_uid)
        vr = b"OB" if is_encoded or container_bytes(pixel) == 1 else b"OW"
        self._recoder.write_header(PIXEL_DATA, vr, UNDEFINED if is_encoded else 0)
        frames = FragmentWriter(self._out, pixel) if is_encoded else NativeWriter(self._out, pixel)
        for decoded in self._decoded(pixels, pixel):
            frames.write(encode_frame(decoded, target_uid, pixel) if is_encoded else to_bytes(decoded, pixel))
            self._progress()
        if frames.count != pixel.number_of_frames:
            raise InvalidDataSet(f"{frames.count} frames were found where {pixel.number_of_frames} should be.")
        frames.finish()
        if self._ratio_end:
            self._write_ratio(frames.count * pixel.frame_bytes / frames.size_bytes)

    def _decoded(self, pixels: Element, pixel: ImagePixel) -> Iterator[Decoded]:
        """All frames, in their order."""
        source = self._source
        if source.is_encapsulated(pixels):
            for bitstream in source.bitstreams(pixel):
                yield from decode_frames(bitstream, source.transfer_syntax_uid, pixel)
        else:
            for number in range(1, pixel.number_of_frames + 1):
                yield decode_frame(*source.frame(number, pixels, pixel), pixel)

    def _write_ratio(self, ratio: float) -> None:
        """Into the room that was left for it."""
        end = self._out.tell()
        self._out.seek(self._ratio_end - RATIO_CHARACTERS)
        self._out.write(f"{ratio:.2f}".ljust(RATIO_CHARACTERS).encode())
        self._out.seek(end)

    def _recoder_to(self, out: BinaryIO) -> Recoder:
        source = self._source
        return Recoder(source.read_at, source.size, source.form, out, self._plan.form)
