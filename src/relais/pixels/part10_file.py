"""A Part 10 file opened for its pixels: where they are, and one frame after the other. Knows no codecs."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np

from relais.dicom import part10, uids
from relais.dicom.elements import UNDEFINED, Element
from relais.dicom.frames import frame_table
from relais.dicom.inflate import Inflated
from relais.dicom.json_model import JsonDataset
from relais.dicom.scan import scan
from relais.errors import InvalidDataSet, InvalidRequest, NotFound, TooLarge
from relais.pixels.decode import holds_several_frames
from relais.pixels.image import ImageHeader, ImagePixel, read_header
from relais.pixels.recode import form_of, swapped
from relais.pixels.settings import PixelSettings

_START_OF_CODESTREAM = b"\xff\x4f\xff\x51"


class Part10File:
    """The Data Set lies from *start* to *size* of what *read_at* reads, inflated. Use as a context manager.

    Raises InvalidDataSet if it is no Part 10 file or its Data Set is malformed.
    """

    def __init__(self, path: Path, settings: PixelSettings) -> None:
        self._settings = settings
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.meta, self.start = part10.parse_whole_head(self._read_file(0, part10.MAX_HEAD_BYTES + 16))
            self.transfer_syntax_uid = self.meta.transfer_syntax_uid
            self.read_at, self.size = self._read_file, os.fstat(self._descriptor).st_size
            if uids.is_deflated(self.transfer_syntax_uid):
                inflated = Inflated(self._read_file, self.start, self.size)
                self.read_at, self.start, self.size = inflated.read_at, 0, inflated.size_bytes
            self.found = scan(self.read_at, self.start, self.size, self.transfer_syntax_uid)
            self.form = form_of(self.found, self.transfer_syntax_uid)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._descriptor)

    def require_pixels(self) -> Element:
        """Pixel Data, Float Pixel Data or Double Float Pixel Data. Raises InvalidRequest without any."""
        if self.found.pixel is None:
            raise InvalidRequest("This instance has no Pixel Data.")
        return self.found.pixel

    def is_encapsulated(self, pixels: Element) -> bool:
        """Raises InvalidDataSet if *pixels* and the Transfer Syntax say different things."""
        is_announced = uids.is_encapsulated(self.transfer_syntax_uid)
        if is_announced != (pixels.length == UNDEFINED):
            raise InvalidDataSet(f"Pixel Data is {'not ' * is_announced}encapsulated, against its Transfer Syntax.")
        return is_announced

    def read_image(self, pixels: Element) -> ImageHeader:
        """What the Data Set says about *pixels*. Raises InvalidDataSet, InvalidRequest, TooLarge."""
        length = pixels.offset - self.start
        if length > self._settings.max_header_bytes:
            raise TooLarge(f"{length} bytes before Pixel Data are more than the limit.")
        return read_header(self.read_at(self.start, length), self.transfer_syntax_uid, pixels.tag)

    def require_frames(self, pixels: Element, pixel: ImagePixel) -> None:
        """Raises InvalidDataSet if *pixels* are too few bytes for the Number of Frames, which nobody need believe.

        Where a codestream holds several frames, how many is known when it is decoded: here each has a byte at least.
        """
        count = pixel.number_of_frames
        if not self.is_encapsulated(pixels):
            self._native_bits(count, pixels, pixel)
        elif not holds_several_frames(pixel, self.transfer_syntax_uid):
            self._fragments_of_frames(pixel)
        elif self.found.fragments is None or sum(self.found.fragments.lengths[1:]) < count:
            raise InvalidDataSet(f"Pixel Data is too short for {count} frames.")

    def frame(self, number: int, pixels: Element, pixel: ImagePixel) -> tuple[bytes, str]:
        """Frame *number*, counted from 1, and the Transfer Syntax that it is in. Raises NotFound, InvalidDataSet."""
        if not 1 <= number <= pixel.number_of_frames:
            raise NotFound(f"The instance has {pixel.number_of_frames} frames.")
        if not self.is_encapsulated(pixels):
            return self._native_frame(number, pixels, pixel), uids.EXPLICIT_VR_LITTLE_ENDIAN
        return self._joined(self._fragments_of_frames(pixel)[number - 1]), self.transfer_syntax_uid

    def bitstreams(self, pixel: ImagePixel) -> Iterator[bytes]:
        """Every bitstream of encapsulated pixels, one after the other: a frame each, but for JPEG 2000 Part 2."""
        if holds_several_frames(pixel, self.transfer_syntax_uid):
            yield from self._codestreams()
        else:
            for fragments in self._fragments_of_frames(pixel):
                yield self._joined(fragments)

    def pixel_word_bytes(self, pixels: Element, bits_allocated: int) -> int:
        """In what words native pixels are to be turned round: not at all in a little endian Data Set.

        Samples of 8 bits and less are packed into 16-bit words if the VR is OW (PS3.5 8.1.1, 8.3).
        Reading: larger ones are turned round as a whole, as pydicom does. GDCM and DCMTK turn 32-bit samples in words
        of 16 bits, which makes noise of the only such file known (Seen: rtdose_expb.dcm of pydicom).
        """
        if not self.form.is_big_endian:
            return 1
        if bits_allocated > 8:
            return bits_allocated // 8 if bits_allocated in (16, 32, 64) else 2
        return 2 if pixels.vr == "OW" else 1

    def _native_frame(self, number: int, pixels: Element, pixel: ImagePixel) -> bytes:
        """Little endian, beginning on a byte even where frames of single bits do not (PS3.5 8.1.1)."""
        first_bit, bits = self._native_bits(number, pixels, pixel)
        start, last = first_bit // 8, (first_bit + bits + 7) // 8
        word_bytes = self.pixel_word_bytes(pixels, pixel.bits_allocated)
        margin = start % word_bytes
        end = min(last + word_bytes, pixels.length)
        data = self.read_at(pixels.value_offset + start - margin, end - start + margin)
        data = swapped(data, word_bytes)[margin : margin + last - start]
        if first_bit % 8 == 0 and bits % 8 == 0:
            return data
        samples = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[first_bit % 8 :][:bits]
        return np.packbits(samples, bitorder="little").tobytes()

    def _native_bits(self, number: int, pixels: Element, pixel: ImagePixel) -> tuple[int, int]:
        """The first bit of frame *number*, and how many there are. Raises InvalidDataSet if they are not all there."""
        bits = pixel.fitting(pixels.length // pixel.number_of_frames).frame_bits
        if number * bits > pixels.length * 8:
            raise InvalidDataSet(f"Pixel Data ends before frame {number} is complete.")
        return (number - 1) * bits, bits

    def _fragments_of_frames(self, pixel: ImagePixel) -> list[range]:
        """For every frame the fragments that it is made of. Raises InvalidDataSet if nobody can tell."""
        table = frame_table(self.found, self.read_at, _as_json(pixel), self.transfer_syntax_uid)
        if table is None:
            raise InvalidDataSet(f"{pixel.number_of_frames} frames cannot be told apart among the fragments.")
        first, ranges = 1, []  # fragment 0 is the Basic Offset Table
        for share in table.shares or (1,) * table.count:
            ranges.append(range(first, first + share))
            first += share
        return ranges

    def _joined(self, fragments: range) -> bytes:
        assert self.found.fragments is not None
        offsets, lengths = self.found.fragments.offsets, self.found.fragments.lengths
        size = sum(lengths[fragments.start : fragments.stop])
        if size > self._settings.max_frame_bytes:
            raise TooLarge(f"A frame of {size} bytes is larger than the limit.")
        return b"".join(self.read_at(offsets[index], lengths[index]) for index in fragments)

    def _codestreams(self) -> Iterator[bytes]:
        """JPEG 2000 codestreams, however many frames each may hold, by the marker that they begin with."""
        assert self.found.fragments is not None
        offsets = self.found.fragments.offsets
        starts = [index for index in range(1, len(offsets)) if self.read_at(offsets[index], 4) == _START_OF_CODESTREAM]
        for start, end in zip(starts, [*starts[1:], len(offsets)], strict=True):
            yield self._joined(range(start, end))

    def _read_file(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)


def _as_json(pixel: ImagePixel) -> JsonDataset:
    """What dicom.frames looks at."""
    return {"00280008": {"vr": "IS", "Value": [pixel.number_of_frames]}}
