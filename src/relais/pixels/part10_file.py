"""A Part 10 file opened for its pixels: where they are, and one frame after the other. Knows no codecs.

A deflated Data Set is inflated into a temporary file first, as far as the settings allow (PS3.5 A.5).
"""

import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Self, cast

import numpy as np
from pydicom.encaps import generate_fragments, generate_frames, get_frame

from relais.dicom import part10, uids
from relais.errors import InvalidDataSet, InvalidRequest, NotFound, TooLarge
from relais.pixels.decode import holds_several_frames
from relais.pixels.elements import ElementHeader, ElementReader, Encoding, encoding_of
from relais.pixels.image import ImageHeader, read_header
from relais.pixels.recode import CHUNK_BYTES, PIXEL_DATA, actual_encoding, swapped
from relais.pixels.settings import MEGABYTE, PixelSettings

FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA = 0x7FE00008, 0x7FE00009
PIXEL_TAGS = frozenset({PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA})

_INFLATED_IN_MEMORY = 64 * MEGABYTE  # more goes to disk
_START_OF_CODESTREAM = b"\xff\x4f\xff\x51"


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Pixel Data, Float Pixel Data or Double Float Pixel Data: where its tag and where its value begin."""

    header: ElementHeader
    start: int
    offset: int


class Part10File:
    """*stream* holds the Data Set from *start* on, inflated, in *encoding*. Use as a context manager."""

    def __init__(self, path: Path, settings: PixelSettings) -> None:
        self._settings = settings
        self._open = ExitStack()
        with ExitStack() as on_error:
            on_error.callback(self._open.close)
            self.stream: BinaryIO = self._open.enter_context(path.open("rb"))
            self.meta, self.start = part10.parse_whole_head(self.stream.read(part10.MAX_HEAD_BYTES + 16))
            self.transfer_syntax_uid = self.meta.transfer_syntax_uid
            if uids.is_deflated(self.transfer_syntax_uid):
                self.stream, self.start = self._inflated(), 0
            self.stream.seek(self.start)
            declared = encoding_of(self.transfer_syntax_uid)
            self.encoding: Encoding = actual_encoding(self.stream.read(8), declared)
            on_error.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._open.close()

    def elements(self) -> ElementReader:
        """A reader that stands before the first element."""
        self.stream.seek(self.start)
        return ElementReader(self.stream, self.encoding)

    def find_pixels(self) -> PixelElement | None:
        """The element with the pixels, None without one."""
        reader, start = self.elements(), self.start
        while header := reader.next():
            if header.tag in PIXEL_TAGS:
                return PixelElement(header, start, self.stream.tell())
            reader.skip(header)
            start = self.stream.tell()
        return None

    def require_pixels(self) -> PixelElement:
        """The same. Raises InvalidRequest without one."""
        if (pixels := self.find_pixels()) is None:
            raise InvalidRequest("This instance has no Pixel Data.")
        return pixels

    def is_encapsulated(self, pixels: PixelElement) -> bool:
        """Raises InvalidDataSet if *pixels* and the Transfer Syntax say different things."""
        is_announced = uids.is_encapsulated(self.transfer_syntax_uid)
        if is_announced != pixels.header.has_undefined_length:
            raise InvalidDataSet(f"Pixel Data is {'not ' * is_announced}encapsulated, against its Transfer Syntax.")
        return is_announced

    def read_image(self, pixels: PixelElement) -> ImageHeader:
        """What the Data Set says about *pixels*. Raises InvalidDataSet, InvalidRequest, TooLarge."""
        length = pixels.start - self.start
        if length > self._settings.max_header_bytes:
            raise TooLarge(f"{length} bytes before Pixel Data are more than the limit.")
        self.stream.seek(self.start)
        return read_header(self.stream.read(length), self.encoding)

    def frame(self, number: int, pixels: PixelElement, image: ImageHeader) -> tuple[bytes, str]:
        """Frame *number*, counted from 1, and the Transfer Syntax that it is in. Raises NotFound, InvalidDataSet."""
        if not 1 <= number <= image.pixel.number_of_frames:
            raise NotFound(f"The instance has {image.pixel.number_of_frames} frames.")
        if not self.is_encapsulated(pixels):
            return self._native_frame(number, pixels, image), uids.EXPLICIT_VR_LITTLE_ENDIAN
        self.stream.seek(pixels.offset)
        try:
            data = get_frame(self.stream, number - 1, number_of_frames=image.pixel.number_of_frames)
        except MemoryError:
            raise
        except Exception as exc:  # whatever pydicom makes of broken fragments
            raise InvalidDataSet(f"Frame {number} cannot be found among the fragments.") from exc
        return data, self.transfer_syntax_uid

    def bitstreams(self, pixels: PixelElement, image: ImageHeader) -> Iterator[bytes]:
        """Every bitstream of encapsulated *pixels*, one after the other: a frame each, but for JPEG 2000 Part 2."""
        self.stream.seek(pixels.offset)
        try:
            if holds_several_frames(image.pixel, self.transfer_syntax_uid):
                yield from _codestreams(generate_fragments(self.stream))
            else:
                yield from generate_frames(self.stream, number_of_frames=image.pixel.number_of_frames)
        except (ValueError, TypeError, OSError) as exc:
            raise InvalidDataSet("The frames cannot be told apart among the fragments.") from exc

    def _native_frame(self, number: int, pixels: PixelElement, image: ImageHeader) -> bytes:
        """Little endian, beginning on a byte even where frames of single bits do not (PS3.5 8.1.1)."""
        bits = image.pixel.frame_bits
        first_bit = (number - 1) * bits
        start, last = first_bit // 8, (first_bit + bits + 7) // 8
        if last > pixels.header.length:
            raise InvalidDataSet(f"Pixel Data ends before frame {number} is complete.")
        word_bytes = self.pixel_word_bytes(pixels, image.pixel.bits_allocated)
        margin = start % word_bytes
        self.stream.seek(pixels.offset + start - margin)
        data = self.stream.read(min(last + word_bytes, pixels.header.length) - start + margin)
        data = swapped(data, word_bytes)[margin : margin + last - start]
        if first_bit % 8 == 0:
            return data
        samples = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[first_bit % 8 :][:bits]
        return np.packbits(samples, bitorder="little").tobytes()

    def pixel_word_bytes(self, pixels: PixelElement, bits_allocated: int) -> int:
        """In what words native pixels are to be turned round: not at all in a little endian Data Set.

        Samples of 8 bits and less are packed into 16-bit words if the VR is OW (PS3.5 8.1.1, 8.3).
        Reading: larger ones are turned round as a whole, as pydicom does. GDCM and DCMTK turn 32-bit samples in words
        of 16 bits, which makes noise of the only such file known (Seen: rtdose_expb.dcm of pydicom).
        """
        if not self.encoding.is_big_endian:
            return 1
        if bits_allocated > 8:
            return bits_allocated // 8 if bits_allocated in (16, 32, 64) else 2
        return 2 if pixels.header.vr == b"OW" else 1

    def _inflated(self) -> BinaryIO:
        limit = self._settings.max_inflated_bytes
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        out = cast(BinaryIO, self._open.enter_context(SpooledTemporaryFile(_INFLATED_IN_MEMORY)))  # noqa: SIM115
        self.stream.seek(self.start)
        size = 0
        try:
            while not inflater.eof and (chunk := inflater.unconsumed_tail or self.stream.read(CHUNK_BYTES)):
                inflated = inflater.decompress(chunk, CHUNK_BYTES)
                size += len(inflated)
                if size > limit:
                    raise TooLarge(f"A deflated Data Set inflates to more than the limit of {limit} bytes.")
                out.write(inflated)
        except zlib.error as exc:
            raise InvalidDataSet("The deflated Data Set cannot be inflated.") from exc
        out.seek(0)
        return out


def _codestreams(fragments: Iterator[bytes]) -> Iterator[bytes]:
    """Fragments joined into JPEG 2000 codestreams, the offset table left away."""
    pending = b""
    for fragment in fragments:
        if fragment.startswith(_START_OF_CODESTREAM) and pending.startswith(_START_OF_CODESTREAM):
            yield pending
            pending = b""
        pending = fragment if not pending.startswith(_START_OF_CODESTREAM) else pending + fragment
    if pending.startswith(_START_OF_CODESTREAM):
        yield pending
