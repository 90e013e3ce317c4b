"""Frames as images: which media types there are, one or many, still or moving (PS3.18 8.7.4). Knows HTTP, not pixels.

Reading: an instance of several frames, asked for without a frame list, is its first frame where one image is
acceptable, all of them in motion as image/gif, and all of them one by one in a multipart answer.

Deviation: of several images one by one, those that turn out to be damaged, or beyond a limit, when their turn comes are
left out, as the answer has begun; if there is no other, that is the answer.
"""

import logging
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from flask import Response

from relais.archive import render, retrieve
from relais.archive.blended import Over
from relais.dicom import json_model
from relais.dicomweb import media_types
from relais.dicomweb.media_types import JPEG, PNG, MediaRange, Offer
from relais.dicomweb.multipart import Part
from relais.errors import InvalidRequest, NodeError, NotAcceptable, TooLarge
from relais.index.rows import InstanceRow
from relais.pixels.workers import AppliedState, RenderRequest
from relais.telemetry.line import fields
from relais.web import payload
from relais.web.door import Door, door, principal
from relais.web.payload import Single
from relais.web.rendering import Rendering

GIF, JP2, JPH, JXL = "image/gif", "image/jp2", "image/jph", "image/jxl"
MOST_PICTURES = 100_000  # in one answer; more are refused
MOST_LOST_S = (
    120.0  # on pictures that are left out of one answer; after that it breaks off: each may take half a minute
)
STILL = (JPEG, PNG, GIF, JP2, JPH, JXL)
IN_PARTS = tuple(Offer(name, is_multipart=True) for name in STILL)
WITH_PROFILE = (JPEG, PNG)  # into which ICC profiles are put here (PS3.18 8.3.5.1.5)

SAMPLES_PER_PIXEL, PHOTOMETRIC_INTERPRETATION = 0x00280002, 0x00280004

NO_WINDOW = "A window changes nothing in a colour image."
NO_QUALITY = "The quality parameter has no meaning for {} and was ignored."

log = logging.getLogger(__name__)


class Picture(NamedTuple):
    """A frame, and the presentation state that it is shown by, if there is one, as archive.presented says."""

    row: InstanceRow
    number: int
    state: AppliedState | None = None
    over: Over | None = None
    is_blended: bool = False


def of(rows: Iterable[InstanceRow]) -> list[Picture]:
    """Every frame of *rows*. Raises TooLarge beyond MOST_PICTURES: a few bytes may claim any Number of Frames.

    Seen: Number of Frames 0 in instances with one frame.
    """
    found: list[Picture] = []
    for row in rows:
        if len(found) + row.number_of_frames > MOST_PICTURES:
            raise TooLarge(f"More than {MOST_PICTURES} frames are not rendered in one answer; name those you want.")
        found += [Picture(row, number) for number in range(1, max(row.number_of_frames, 1) + 1)]
    return found


def offers(pictures: Sequence[Picture], *, is_one_instance: bool, may_be_first: bool) -> tuple[Offer, ...]:
    """What can be made of *pictures*. *may_be_first* lets the first of several stand for all."""
    single: tuple[str, ...] = STILL if len(pictures) == 1 or may_be_first else ()
    if len(pictures) > 1 and is_one_instance and pictures[0].state is None and GIF not in single:
        single = (GIF,)
    return tuple(Offer(name) for name in single) + IN_PARTS


def answer(
    pictures: Sequence[Picture], asked: Rendering, ranges: tuple[MediaRange, ...], offers: Sequence[Offer]
) -> Response:
    """*pictures* in the best form that is acceptable."""
    offer = media_types.select(ranges, offers)
    if asked.icc_profile != "no" and offer.media_type not in WITH_PROFILE:
        raise InvalidRequest(f"There is no ICC profile in {offer.media_type} here; iccprofile must be no.")
    wanted = asked.request(offer.media_type)
    if offer.is_multipart:
        response = _parts(pictures, wanted)
    elif offer.media_type == GIF and len(pictures) > 1:
        response = _moving(pictures, wanted)
    else:
        response = still(pictures[0], wanted)
    response = warn(response, asked, offer.media_type)
    if asked.window is not None and len({picture.row.ref for picture in pictures}) == 1 and _is_colour(pictures[0].row):
        response = payload.add_warning(response, NO_WINDOW)
    return response


def still(picture: Picture, wanted: RenderRequest) -> Response:
    """One frame as an image file."""
    etag = _etag(picture, (picture.number,), wanted)
    if payload.is_unchanged(etag):
        return payload.not_modified(etag)
    data = _made(door(), picture, wanted)
    location = "" if picture.state else _location(door(), picture)
    return payload.single(Single(wanted.media_type, len(data), (data,), etag, location))


def warn(response: Response, asked: Rendering, media_type: str) -> Response:
    """Say that quality changed nothing, if it did not."""
    is_idle = asked.quality is not None and media_type not in (JPEG, JXL)
    return payload.add_warning(response, *([NO_QUALITY.format(media_type)] if is_idle else []))


def _is_colour(row: InstanceRow) -> bool:
    attributes = retrieve.attributes(door().archive, principal(), row.ref)
    is_palette = json_model.text(attributes, PHOTOMETRIC_INTERPRETATION) == "PALETTE COLOR"
    return is_palette or json_model.values(attributes, SAMPLES_PER_PIXEL)[:1] == [3]


def _moving(pictures: Sequence[Picture], wanted: RenderRequest) -> Response:
    numbers = tuple(picture.number for picture in pictures)
    etag = _etag(pictures[0], numbers, wanted)
    if payload.is_unchanged(etag):
        return payload.not_modified(etag)
    row = pictures[0].row
    data = _animated(door(), row, numbers, wanted)
    some = "" if len(numbers) == row.number_of_frames else f"/frames/{','.join(map(str, numbers))}"
    location = f"{door().url(row.ref)}{some}/rendered"
    return payload.single(Single(GIF, len(data), (data,), etag, location))


def _parts(pictures: Sequence[Picture], wanted: RenderRequest) -> Response:
    """The first is made before the answer begins: if none can be, that is the answer.

    HEAD makes no picture of several, and one that is alone.
    """
    if all(picture.row.layout.pixel_offset is None for picture in pictures):
        raise NotAcceptable(render.NO_IMAGE)
    parts = payload.begun(_each(door(), pictures, wanted))
    return payload.multipart(wanted.media_type, parts, is_lazy=len(pictures) > 1)


def _each(here: Door, pictures: Sequence[Picture], wanted: RenderRequest) -> Iterator[Part]:
    """A part for each of *pictures* that can be made. Raises why the first could not, if that is none.

    Raises what the last one did, too, when more than MOST_LOST_S have gone on those that could not.
    Of what a presentation state shows, the first tells whether it can be shown at all.
    """
    has_one, failures, lost_s = False, [], 0.0
    for picture in pictures:
        began_at = time.monotonic()
        try:
            data = _made(here, picture, wanted)
        except (InvalidRequest, NotAcceptable, TooLarge) as error:
            lost_s += time.monotonic() - began_at
            if (picture.state and not has_one) or lost_s > MOST_LOST_S:
                raise
            uid = picture.row.ref.sop_instance_uid
            log.warning(fields(event="left out", sop_instance_uid=uid, frame=picture.number, error=error.message))
            failures.append(error)
            continue
        has_one = True
        headers = (("Content-Type", wanted.media_type), ("Content-Location", _location(here, picture)))
        yield Part(headers, (data,), len(data))
    if failures and not has_one:
        raise failures[0]


def _location(here: Door, picture: Picture) -> str:
    return f"{here.url(picture.row.ref)}/frames/{picture.number}/rendered"


def _made(here: Door, picture: Picture, wanted: RenderRequest) -> bytes:
    row, number, state, over, is_blended = picture
    try:
        if state and is_blended:
            return render.overlaid(here.archive, row, number, over, wanted, state)
        return render.rendered(here.archive, row, number, wanted, state)
    except InvalidRequest as error:
        raise _refusal(error, wanted) from error


def _refusal(error: InvalidRequest, wanted: RenderRequest) -> NodeError:
    """Without a region the parameters were right: it is the instance that is no image."""
    region = (wanted.viewport.sx, wanted.viewport.sy, wanted.viewport.sw, wanted.viewport.sh) if wanted.viewport else ()
    return error if any(region) else NotAcceptable(error.message)


def _animated(here: Door, row: InstanceRow, numbers: tuple[int, ...], wanted: RenderRequest) -> bytes:
    try:
        return render.animation(here.archive, row, numbers, wanted)
    except InvalidRequest as error:
        raise _refusal(error, wanted) from error


def _etag(picture: Picture, numbers: tuple[int, ...], wanted: RenderRequest) -> str:
    state = picture.state.part10 if picture.state else b""
    over = f"{picture.over.row.digest.hex()} {picture.over.number} {picture.over.onto}" if picture.over else ""
    key = zlib.crc32(state, zlib.crc32(f"{numbers} {wanted} {over}".encode()))
    return f"{picture.row.digest.hex()[:32]}-{picture.row.revision}-{numbers[0]}-{key:08x}"
