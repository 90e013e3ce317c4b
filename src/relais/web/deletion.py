"""Deletion of studies, series and instances, and the notes it leaves. Knows HTTP, not what it means to delete.

PS3.18 has no such transaction; this is the DELETE that other archives have under the same URLs. What is deleted has no
validator of its own, only each of its representations has: no If-Match but `*` is true of it (RFC 9110 13.1.1).
"""

from datetime import UTC, datetime

from flask import Blueprint, Response, abort, request

from relais.archive import delete as archive_delete
from relais.archive import retrieve
from relais.archive.delete import Note, Reason
from relais.dicom import uids
from relais.dicom.refs import Ref, StudyRef
from relais.dicomweb import paths
from relais.dicomweb.media_types import DICOM, JSON
from relais.errors import InvalidRequest, NotFound
from relais.web import payload
from relais.web.door import API, door, principal, query_parameters
from relais.web.payload import Single

MAX_NOTES = 1000  # in one answer, newest first

routes = Blueprint("deletion", __name__)
notes = Blueprint("rejections", __name__)


@routes.delete("/studies/<study>")
def delete_study(study: str) -> Response:
    """Delete a study."""
    return _delete(paths.ref(study))


@routes.delete("/studies/<study>/series/<series>")
def delete_series(study: str, series: str) -> Response:
    """Delete a series."""
    return _delete(paths.ref(study, series))


@routes.delete("/studies/<study>/series/<series>/instances/<instance>")
def delete_instance(study: str, series: str, instance: str) -> Response:
    """Delete an instance."""
    return _delete(paths.ref(study, series, instance))


def _delete(ref: Ref) -> Response:
    reason = _reason(_parameters("reason").get("reason", ""))
    if request.headers.get("If-Match", "*").strip() != "*":
        retrieve.revision(door().archive, principal(), ref)  # what is not there is that, whatever the condition
        abort(412, "Nothing is deleted: If-Match can only be * here.")
    deleted = archive_delete.delete(door().archive, principal(), ref, reason)
    return Response(status=204, headers={"Link": f'<{_url(deleted.note)}>; rel="describedby"; type="{DICOM}"'})


@notes.get("/rejections")
def rejections() -> Response:
    """What was deleted, when and why, newest first; with `study` only of that study."""
    asked = _parameters("study").get("study")
    if asked is not None and not uids.is_valid(asked):
        raise InvalidRequest("study must be a Study Instance UID.")
    study = StudyRef(asked) if asked else None
    found = archive_delete.notes(door().archive, principal(), study, MAX_NOTES)
    return payload.json_document([_described(note) for note in found], JSON)


@notes.get("/rejections/<uid>")
def rejection(uid: str) -> Response:
    """One rejection note, as the Key Object Selection that it is."""
    _parameters()
    if not uids.is_valid(uid):
        raise NotFound
    document = archive_delete.note(door().archive, principal(), uid)
    return payload.single(Single(DICOM, len(document), [document], etag=uid, filename=f"{uid}.dcm"))


def _described(note: Note) -> dict[str, object]:
    return {
        "StudyInstanceUID": note.study.study_instance_uid,
        "SOPInstanceUID": note.sop_instance_uid,
        "at": datetime.fromtimestamp(note.at, UTC).isoformat(timespec="milliseconds"),
        "reason": note.reason,
        "meaning": Reason(note.reason).meaning,
        "instances": note.instances,
        "url": _url(note.sop_instance_uid),
    }


def _parameters(*known: str) -> dict[str, str]:
    """The query parameters. Raises InvalidRequest for one that is not *known*: who asks for more must not get less."""
    found = query_parameters()
    if strange := sorted(found.keys() - set(known)):
        raise InvalidRequest(f"There is no query parameter {ascii(strange[0])[:80]} here.")
    return found


def _reason(text: str) -> Reason:
    try:
        return Reason(text)
    except ValueError as exc:
        codes = ", ".join(f"{reason} ({reason.meaning})" for reason in Reason if reason)
        raise InvalidRequest(f"reason must be one of {codes}.") from exc


def _url(uid: str) -> str:
    return f"{door().public_url}{API}/rejections/{uid}"
