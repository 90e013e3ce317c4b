"""What is not an image and can be read all the same: structured reports and encapsulated documents. Knows no markup."""

from collections.abc import Iterator

from relais.archive import Archive, documents
from relais.archive.retrieve import Body
from relais.archive.stored_dataset import open_dataset
from relais.dicom import report as reports
from relais.dicom.report import Report
from relais.errors import NotAcceptable
from relais.index.rows import InstanceRow

ENCAPSULATED_DOCUMENT = "00420011"


def report(archive: Archive, row: InstanceRow) -> Report | None:
    """The structured report that *row* is; None if it is none. Raises NotAcceptable if it cannot be read."""
    with open_dataset(archive, row) as stored:
        try:
            return reports.read(stored.small) if reports.is_report(stored.small) else None
        except Exception as exc:  # pydicom raises whatever the bytes made it raise
            raise NotAcceptable("The report cannot be read.") from exc


def document(archive: Archive, row: InstanceRow) -> Body:
    """The Encapsulated Document without its padding. Raises NotFound if there is none."""
    body = documents.bulkdata(archive, row, ENCAPSULATED_DOCUMENT)
    with open_dataset(archive, row) as stored:
        declared = stored.small.get("EncapsulatedDocumentLength")
    if declared != body.length - 1:
        return body
    return Body(body.length - 1, _without_last(body.chunks), body.transfer_syntax_uid)


def _without_last(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """All but the last byte."""
    held = b""
    for chunk in chunks:
        if held:
            yield held
        held = chunk
    yield held[:-1]
