"""Whose a study is when some of it is removed: of two patients in one study the index names the first.

Rows of instances say nothing of their patient, so files of what is left are asked, one as a rule. Knows no SQL.
"""

from relais.archive import Archive
from relais.dicom.elements import reader_of
from relais.dicom.header import read_header
from relais.dicom.json_model import JsonDataset
from relais.dicom.part10 import read_head
from relais.dicom.refs import Ref, StudyRef
from relais.errors import NodeError
from relais.index import lookup, parents
from relais.index.rows import InstanceRow


def of(archive: Archive, removed: Ref, study: JsonDataset) -> JsonDataset | None:
    """The attributes of the first instance left without *removed*, if none that is left is of the patient of *study*.

    None also if nothing is left, or what is left cannot be read now.
    """
    if isinstance(removed, StudyRef):
        return None
    gone = {row.key for row in lookup.instances(archive.db, removed)}
    rows = lookup.instances(archive.db, StudyRef(removed.study_instance_uid))
    first: JsonDataset | None = None
    for row in sorted((row for row in rows if row.key not in gone), key=lambda row: row.stored_at):
        try:
            found = _attributes(archive, row)
        except NodeError:
            return None
        if parents.is_of_patient(found, study):
            return None
        first = first or found
    return first


def _attributes(archive: Archive, row: InstanceRow) -> JsonDataset:
    with archive.store.open(row.key) as stream:
        meta, head = read_head(stream.read)
        return read_header(reader_of(stream), row.size_bytes, len(head), meta.transfer_syntax_uid).attributes
