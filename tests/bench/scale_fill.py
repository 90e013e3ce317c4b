"""An index of very many studies, filled in bulk with the rows that registering one instance after the other would give.

Knows the schema: a test compares its rows with those of index.composite, table by table. What it saves is what the
public path spends on looking up what cannot be there and on being durable at every step.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench import scale_data
from relais.db import connect
from relais.db.database import Database
from relais.db.settings import for_path
from relais.db.transaction import Transaction
from relais.dicom import person_name
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.index import columns, letters, packing, short
from relais.index.mapping import pack_key
from relais.index.rows import InstanceFacts

CHUNK = 5000  # studies of one transaction
FORM = "0016"  # the newest migration that changes what rows look like: indexes of before are made anew


class Filler:
    """One empty index on its way to being full. *now* is when everything was stored, as the rows say."""

    def __init__(self, path: Path, now: float) -> None:
        Database(for_path(path)).close()
        self._connection = connect.writer(for_path(path))
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "cache_size=-1500000"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._now = now
        self._words: set[str] = set()
        self._names: dict[tuple[str, ...], int] = {}
        self._labels: dict[tuple[int, str], int] = {}
        self._known_labels = 0
        self._kept: dict[tuple[str, tuple[str, ...]], int] = {}
        self._patients: Counter[tuple[str, str]] = Counter()
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._studies = self._series = self._instances = self._size_bytes = 0

    def fill(self, studies: Iterable[list[InstanceFacts]]) -> None:
        """Enter *studies*, each the instances of one, with one instance for each series."""
        for study in studies:
            self._study(study)
            if self._studies % CHUNK == 0:
                self._flush()
        self._flush()

    def close(self) -> None:
        """Write what is counted at the end, and make the file one that a node can open."""
        self._flush()
        connection = self._connection
        rows = [(*patient, count) for patient, count in self._patients.items()]
        connection.executemany("INSERT INTO patient VALUES (?, ?, ?)", sorted(rows))
        totals = (len(rows), self._studies, self._series, self._instances, self._size_bytes, self._instances)
        names = "patients = ?, studies = ?, series = ?, instances = ?, size_bytes = ?, revision = ?"
        connection.execute(f"UPDATE totals SET {names}", totals)
        connection.execute("PRAGMA locking_mode=NORMAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.close()

    def _study(self, instances: list[InstanceFacts]) -> None:
        self._studies += 1
        first = columns.parts(instances[0].attributes)[Level.STUDY]
        values = self._searched(first, Level.STUDY)
        values["date_time"] = columns.date_time(values["study_date"], values["study_time"])
        values["patient_letters"] = letters.of_study(first.attributes)
        self._mark("study", Level.STUDY, self._studies, values)
        self._patients[values["patient_id"], values["issuer_of_patient_id"]] += 1
        size_bytes = sum(one.size_bytes for one in instances)
        modalities, classes = set(), set()
        for facts in instances:
            modality, sop_class = self._one_series(facts)
            modalities.add(modality)
            classes.add(sop_class)
        dates = {"created_at": self._now, "updated_at": self._now, "revision": self._instances}
        counts = {"series_count": len(instances), "instance_count": len(instances), "size_bytes": size_bytes}
        said = {"study_instance_uid": instances[0].ref.study_instance_uid, "modalities": "\\".join(sorted(modalities))}
        self._add("study", {"id": self._studies, **values, **said, **counts, **dates})
        searched = ("patient_id", "accession_number")
        self._add("study_trigram", {"rowid": self._studies} | {name: values[name] for name in searched})
        for modality in sorted(modalities):
            row = {"modality": modality, "date_time": values["date_time"], "study_fk": self._studies}
            self._add("study_modality", row)
        for sop_class in sorted(classes):
            self._add("study_sop_class", {"study_fk": self._studies, "sop_class_uid": sop_class})

    def _one_series(self, facts: InstanceFacts) -> tuple[str, int]:
        self._series += 1
        self._instances += 1
        self._size_bytes += facts.size_bytes
        parts = columns.parts(facts.attributes)
        values = self._searched(parts[Level.SERIES], Level.SERIES)
        self._mark("series", Level.SERIES, self._series, values)
        counts = {"instance_count": 1, "size_bytes": facts.size_bytes, "revision": self._instances}
        dates = {"created_at": self._now, "updated_at": self._now}
        place = {"id": self._series, "series_instance_uid": facts.ref.series_instance_uid, "study_fk": self._studies}
        self._add("series", place | values | counts | dates)
        sop_class = self._id("uid", uid=facts.sop_class_uid)
        self._instance(facts, parts[Level.IMAGE].attributes, sop_class)
        return str(values["modality"]), sop_class

    def _instance(self, facts: InstanceFacts, ds: JsonDataset, sop_class: int) -> None:
        origin, layout = facts.origin, facts.layout
        values = columns.values(ds, Level.IMAGE) | {
            "id": self._instances,
            "series_fk": self._series,
            "sop_instance_uid": facts.ref.sop_instance_uid,
            "sop_class_uid": sop_class,
            "transfer_syntax_uid": self._id("uid", uid=facts.transfer_syntax_uid),
            "origin_fk": self._id(
                "origin",
                channel=str(origin.channel),
                address=origin.address,
                calling_ae_title=origin.calling_ae_title,
                called_ae_title=origin.called_ae_title,
                user=origin.user,
            ),
            "key": pack_key(facts.key, facts.ref),
            "size_bytes": facts.size_bytes,
            "digest": facts.digest,
            "head_digest": facts.head_digest,
            "dataset_offset": layout.dataset_offset,
            "pixel_offset": layout.pixel_offset,
            "frame_table": layout.frame_table,
            "stored_at": facts.received_at,
            "revision": self._instances,
            "attributes": packing.pack(ds),
        }
        self._add("instance", values)
        change = {"revision": self._instances, "at": self._now, "kind": "stored", "instance_fk": self._instances}
        self._add("change", change)

    def _searched(self, part: columns.Part, level: Level) -> dict[str, Any]:
        values = columns.values(part.attributes, level)
        for column in columns.name_columns(level):
            values[column.name] = self._name(columns.text_of(part.attributes, column))
        return values | {"present": part.present, "attributes": short.pack(level, part.attributes, values)}

    def _name(self, text: str) -> int | None:
        keys = person_name.keys(text)
        if not any(keys):
            return None
        if keys not in self._names:
            new = self._names[keys] = len(self._names) + 1
            groups = dict(zip(("alphabetic", "ideographic", "phonetic"), keys, strict=True))
            self._add("person_name", {"id": new} | groups)
            self._add("person_name_trigram", {"rowid": new} | groups)
            for word in person_name.words(text):
                self._add("person_name_word", {"word": word, "name_fk": new})
                if word not in self._words:
                    self._words.add(word)
                    self._add("person_word", {"word": word})
        return self._names[keys]

    def _mark(self, table: str, level: Level, row_id: int, values: dict[str, Any]) -> None:
        labels = columns.labels(values, level)
        ids = [self._labels.setdefault(label, len(self._labels) + 1) for label in labels]
        first_new = self._known_labels
        for label, number in zip(labels, ids, strict=True):
            if number > first_new:
                self._add("label", {"id": number, "tag": label[0], "value": label[1]})
        self._known_labels = len(self._labels)
        self._add(f"{table}_label", {"rowid": row_id, "labels": " ".join(map(str, ids))})

    def _id(self, table: str, **values: str) -> int:
        """The id of a row that is kept once."""
        key = (table, tuple(values.values()))
        if key not in self._kept:
            self._kept[key] = 1 + sum(name == table for name, _ in self._kept)
            self._add(table, {"id": self._kept[key], **values})
        return self._kept[key]

    def _add(self, table: str, values: dict[str, Any]) -> None:
        self._rows.setdefault(table, []).append(values)

    def _flush(self) -> None:
        self._connection.execute("BEGIN")
        tx = Transaction(self._connection, self._now)
        for table, rows in self._rows.items():
            names = list(rows[0])
            marks = ", ".join("?" * len(names))
            quoted = ", ".join(f'"{name}"' for name in names)
            tx.executemany(f"INSERT INTO {table}({quoted}) VALUES ({marks})", (tuple(row.values()) for row in rows))
        self._connection.execute("COMMIT")
        self._rows.clear()


def make(path: Path, count: int, now: float) -> None:
    """An index of *count* studies, spread evenly over the ten years of scale_data, at *path* when it is complete."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    filler = Filler(unfinished, now)
    numbers = range(0, scale_data.STUDIES, scale_data.STUDIES // count)
    filler.fill(list(scale_data.facts_of(number)) for number in numbers[:count])
    filler.close()
    unfinished.rename(path)
