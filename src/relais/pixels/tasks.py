"""What a worker can do, by name: the other half of pixels.workers. Knows pixels and files, not pipes."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import Any

from relais.dicom.elements import Element
from relais.dicom.planes import Affine
from relais.errors import NotAcceptable, NotFound, Unavailable
from relais.pixels import masks, wire
from relais.pixels.attributes import modality_of
from relais.pixels.blending import Layer
from relais.pixels.decode import (
    Decoded,
    decode_frame,
    decode_frames,
    decode_to_bytes,
    holds_several_frames,
    stored_values,
    to_bytes,
)
from relais.pixels.encoders import encode_frame
from relais.pixels.image import ImageHeader, ImagePixel, check_size, read_part10_header
from relais.pixels.masks import Values
from relais.pixels.part10_file import Part10File
from relais.pixels.presentation import Presentation
from relais.pixels.presentation import read as read_presentation
from relais.pixels.render import animate, render, render_blended
from relais.pixels.request import from_fields
from relais.pixels.settings import PixelSettings
from relais.pixels.syntaxes import can_transcode
from relais.pixels.transcode import transcode

Fields = dict[str, Any]

REMEMBERED = 4  # frames of one file, as they are decoded


class Tasks:
    """Answers requests, one at a time."""

    def __init__(self, settings: PixelSettings) -> None:
        self._settings = settings
        self._tasks: dict[str, Callable[[Fields, memoryview], bytes]] = {
            "render": self._render,
            "decode": self._decode,
            "encode": self._encode,
            "render_at": self._render_at,
            "render_file": self._render_file,
            "blend": self._blend,
            "decode_file": self._decode_file,
            "encode_file": self._encode_file,
        }

    def run(self, request: wire.Message, progress: Callable[[], None]) -> bytes:
        """The body of the answer. Raises what the pool passes on."""
        fields, body = request.fields, memoryview(request.body)
        if fields["task"] == "transcode":
            transcode(Path(fields["path"]), fields["target"], Path(fields["out"]), self._settings, progress)
            return b""
        if fields["task"] == "animate":
            return self._animate(fields, progress)
        return self._tasks[fields["task"]](fields, body)

    def _render(self, fields: Fields, body: memoryview) -> bytes:
        end = len(body) - fields.get("state_bytes", 0)
        return self._rendered(fields, *_split(fields, body[:end]), body[end:])

    def _render_at(self, fields: Fields, state: memoryview) -> bytes:
        with Path(fields["path"]).open("rb", buffering=0) as file:
            header, frame = _read(file, [(0, fields["header_bytes"])]), _read(file, fields["pieces"])
        return self._rendered(fields, header, frame, state)

    def _rendered(self, fields: Fields, header: bytes, frame: bytes, state: memoryview) -> bytes:
        image = self._image(fields, header)
        decoded = decode_frame(frame, fields["transfer_syntax_uid"], image.pixel)
        return render(decoded, image, from_fields(fields["request"]), fields["frame_number"], _state(fields, state))

    def _decode(self, fields: Fields, body: memoryview) -> bytes:
        header, frame = _split(fields, body)
        image = self._image(fields, header)
        return decode_to_bytes(frame, fields["transfer_syntax_uid"], image.pixel)

    def _encode(self, fields: Fields, body: memoryview) -> bytes:
        header, frame = _split(fields, body)
        image = self._image(fields, header)
        decoded = decode_frame(frame, fields["transfer_syntax_uid"], image.pixel)
        return encode_frame(decoded, fields["target"], image.pixel)

    def _render_file(self, fields: Fields, body: memoryview) -> bytes:
        number, state = fields["frame_number"], _state(fields, body)
        with Part10File(Path(fields["path"]), self._settings) as file:
            pixels, image = self._open(file)
            frame = _frames(file, pixels, image.pixel)
            decoded, difference = frame(number), _difference(frame, image, number, state)
        return render(decoded, image, from_fields(fields["request"]), number, state, difference)

    def _blend(self, fields: Fields, part10: memoryview) -> bytes:
        state = _state(fields, part10)
        assert state is not None
        under = self._layer(fields["path"], fields["sop_instance_uid"], fields["frame_number"])
        over = self._layer(**fields["over"]) if fields["over"] else None
        return render_blended(under, over, from_fields(fields["request"]), state)

    def _layer(self, path: str, sop_instance_uid: str, frame_number: int, onto: Affine = (1, 0, 0, 0, 1, 0)) -> Layer:
        with Part10File(Path(path), self._settings) as file:
            pixels, image = self._open(file)
            decoded = _decoded(file, pixels, image.pixel, frame_number)
        a, b, c, d, e, f = onto
        stored = stored_values(decoded.samples, image.pixel)
        return Layer(stored, image, sop_instance_uid, frame_number, (a, b, c, d, e, f))

    def _animate(self, fields: Fields, progress: Callable[[], None]) -> bytes:
        with Part10File(Path(fields["path"]), self._settings) as file:
            pixels, image = self._open(file)

            frame = _frames(file, pixels, image.pixel)

            def frames() -> Iterator[tuple[int, Decoded, Values | None]]:
                for number in fields["frame_numbers"]:
                    yield number, frame(number), _difference(frame, image, number)
                    progress()  # it has been written

            return animate(frames(), len(fields["frame_numbers"]), image, from_fields(fields["request"]))

    def _decode_file(self, fields: Fields, _: memoryview) -> bytes:
        number = fields["frame_number"]
        with Part10File(Path(fields["path"]), self._settings) as file:
            pixels, image = self._open(file)
            if (decoded := _component_frame(file, image.pixel, number)) is not None:
                return to_bytes(decoded, image.pixel)
            return decode_to_bytes(*file.frame(number, pixels, image.pixel), image.pixel)

    def _encode_file(self, fields: Fields, _: memoryview) -> bytes:
        with Part10File(Path(fields["path"]), self._settings) as file:
            pixels, image = self._open(file)
            decoded = _decoded(file, pixels, image.pixel, fields["frame_number"])
        return encode_frame(decoded, fields["target"], image.pixel)

    def _open(self, file: Part10File) -> tuple[Element, ImageHeader]:
        if not can_transcode(file.transfer_syntax_uid):
            raise NotAcceptable(f"Frames in Transfer Syntax {file.transfer_syntax_uid} are not decoded here.")
        pixels = file.require_pixels()
        image = file.read_image(pixels)
        check_size(image.pixel, self._settings.max_frame_pixels, self._settings.max_frame_bytes)
        return pixels, image

    def _image(self, fields: Fields, header: bytes) -> ImageHeader:
        image = read_part10_header(header, fields["transfer_syntax_uid"])
        check_size(image.pixel, self._settings.max_frame_pixels, self._settings.max_frame_bytes)
        return image


def _split(fields: Fields, body: memoryview) -> tuple[bytes, bytes]:
    """The header and the frame of a request."""
    header_bytes = fields["header_bytes"]
    return bytes(body[:header_bytes]), bytes(body[header_bytes:])


def _read(file: FileIO, pieces: Sequence[tuple[int, int]]) -> bytes:
    """What stands at *pieces*, (offset, length) each, one behind the other."""
    read = b"".join([os.pread(file.fileno(), length, offset) for offset, length in pieces])
    if len(read) < sum(length for _, length in pieces):
        raise Unavailable("A stored object ends too early.")
    return read


def _state(fields: Fields, part10: memoryview) -> Presentation | None:
    """The presentation state that goes with a request, as it applies to the frame."""
    if not part10:
        return None
    return read_presentation(bytes(part10), fields["sop_instance_uid"], fields["frame_number"])


def _frames(file: Part10File, pixels: Element, pixel: ImagePixel) -> Callable[[int], Decoded]:
    """Frames by their numbers. Some are remembered: a mask is taken from many frames in turn."""
    return lru_cache(maxsize=REMEMBERED)(lambda number: _decoded(file, pixels, pixel, number))


def _difference(
    frame: Callable[[int], Decoded], image: ImageHeader, number: int, state: Presentation | None = None
) -> Values | None:
    """What is left of frame *number* where *state*, or without one the image itself, subtracts a mask from it."""
    if image.pixel.photometric_interpretation not in {"MONOCHROME1", "MONOCHROME2"}:
        return None
    count = image.pixel.number_of_frames
    mask = masks.of(state.attributes, number, count) if state else masks.recommended(image.attributes, number, count)
    if mask is None:
        return None
    modality = state.modality if state else modality_of(image.attributes, number)
    return masks.subtracted(mask, lambda one: stored_values(frame(one).samples, image.pixel), modality)


def _decoded(file: Part10File, pixels: Element, pixel: ImagePixel, number: int) -> Decoded:
    if (decoded := _component_frame(file, pixel, number)) is not None:
        return decoded
    return decode_frame(*file.frame(number, pixels, pixel), pixel)


def _component_frame(file: Part10File, pixel: ImagePixel, number: int) -> Decoded | None:
    """Frame *number* where codestreams may hold several frames (PS3.5 8.2.5), else None. Raises NotFound."""
    if not holds_several_frames(pixel, file.transfer_syntax_uid):
        return None
    before = 0
    for bitstream in file.bitstreams(pixel):
        frames = decode_frames(bitstream, file.transfer_syntax_uid, pixel)
        if before < number <= before + len(frames):
            return frames[number - before - 1]
        before += len(frames)
    raise NotFound(f"The instance has {before} frames.")
