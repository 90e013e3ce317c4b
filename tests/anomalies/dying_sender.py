"""Stores one instance in the archive at FOLDER, says what became of it, and is gone at once as if it was killed."""

import io
import os
from pathlib import Path

from fixtures.builders import a_ct, part10
from fixtures.node import make_archive
from relais.archive import ingest
from relais.dicom.origin import Channel, Origin
from relais.errors import NodeError

archive = make_archive(Path(os.environ["FOLDER"]))
try:
    ingest.store_part10(archive, io.BytesIO(part10(a_ct())), Origin(Channel.IMPORT))
    said = "stored"
except NodeError as exc:
    said = f"refused: {exc}"
os.write(1, said.encode())
os._exit(9)
