"""One question, two doors: C-FIND and the Search transaction have the same matches, or both refuse."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pynetdicom.association import Association
from werkzeug.test import Client

from fixtures.builders import a_ct, a_multiframe, a_series, a_sr, part10, uid
from fixtures.cast import LEFEBVRE, SURYA, YAMADA
from fixtures.dimse_node import dimse_node
from fixtures.pynetdicom_scu import STUDY_ROOT, UNCOMPRESSED, find_bytes, scu
from relais.archive.ingest import store_part10
from relais.dicom.origin import Channel, Origin
from relais.peers import identifier
from relais.web.app import create_app
from relais.web.settings import WebSettings

FIND, EXPLICIT = f"{STUDY_ROOT}.1", "1.2.840.10008.1.2.1"
THORAX, KNEE, LOOP, LAST = (uid(name) for name in ("both thorax", "both knee", "both loop", "both last"))
RELATIONAL_COMBINED, AND_FUZZY = b"\1\1\0", b"\1\1\1"
LEVELS = {
    "STUDY": ("studies", "StudyInstanceUID"),
    "SERIES": ("series", "SeriesInstanceUID"),
    "IMAGE": ("instances", "SOPInstanceUID"),
}
TEXTS = ["*", "?", "a1", "A1", "A*", "B_2", "B?2", "%", "?_2", "Knie links", "Knie*", "*i*", "", "A1\\B_2", "--"]
DATES = ["20240101", "2024-01-01", "20230105-20240101", "-20231231", "20240102-", "2024", "20230105-20200101", "-", "*"]
TIMES = ["1030", "000000", "235959", "1000-1200", "-0100", "2200-", "2200-0100", "25", "10:30"]
NAMES = ["*", "yamada*", "YAMADA^TAROU", "山田*", "zoe", "lefe*"]
MODALITIES = ["CT", "SR", "CT\\SR", "C*", "ct", "?T", ""]
NUMBERS = ["1", "01", "9", "-1", "x", "1.5"]
# Keywords by what is tried as their value; all are matched here at the level of studies, series or instances.
VALUES = {
    **dict.fromkeys(("AccessionNumber", "StudyID", "StudyDescription", "PatientID", "SeriesDescription"), TEXTS),
    **dict.fromkeys(("PatientName", "ReferringPhysicianName"), NAMES),
    **dict.fromkeys(("StudyDate", "PatientBirthDate"), DATES),
    "StudyTime": TIMES,
    **dict.fromkeys(("ModalitiesInStudy", "Modality"), MODALITIES),
    "PatientSex": ["M", "F", "O", "*", "m"],
    "StudyInstanceUID": [THORAX, f"{THORAX}\\{LOOP}", f"{KNEE} ", "1.2.3", "1.2.*", "*", ""],
    "SOPClassUID": ["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.11\\1.2.840.10008.5.1.4.1.1.2", "abc"],
    **dict.fromkeys(("SeriesNumber", "InstanceNumber"), NUMBERS),
    "ImageType": ["ORIGINAL"],  # not matched: both say so
}


@dataclass
class Doors:
    """The two ways in. *plain* and *fuzzy* are associations that negotiated the rest alike."""

    web: Client
    plain: Association
    fuzzy: Association


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with dimse_node(tmp_path_factory.mktemp("both") / "node") as node:
        for ds in _instances():
            store_part10(node.archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
        web = Client(create_app(node.archive, WebSettings(), {}))
        proposed = [(FIND, UNCOMPRESSED)]
        with (
            scu(node.port, proposed, extended={FIND: RELATIONAL_COMBINED}) as plain,
            scu(node.port, proposed, extended={FIND: AND_FUZZY}) as fuzzy,
        ):
            yield Doors(web, plain, fuzzy)


def _instances() -> Iterator[Dataset]:
    yield from a_series(3, StudyInstanceUID=THORAX, SeriesInstanceUID=uid("both series"), AccessionNumber="A1")
    yield a_sr(StudyInstanceUID=THORAX, AccessionNumber="A1", SeriesNumber=9)
    knee = a_ct(StudyInstanceUID=KNEE, AccessionNumber="B_2", StudyDescription="Knie links", **YAMADA)
    knee.StudyDate, knee.StudyTime = "20230105", "235959"
    yield knee
    yield a_multiframe(StudyInstanceUID=LOOP, AccessionNumber="", StudyDate="20240101", StudyTime="000000", **SURYA)
    yield a_ct(StudyInstanceUID=LAST, AccessionNumber="a1", StudyDate="20251231", **LEFEBVRE)


def by_find(assoc: Association, level: str, keys: dict[str, str]) -> tuple[set[str], bool] | None:
    """The unique keys that are found, and whether all keys were matched; None for a failure."""
    question = {"00080052": {"vr": "CS", "Value": [level]}}
    question |= {_tag(LEVELS[level][1]): {"vr": "UI"}}
    question |= {_tag(keyword): _element(dictionary_VR(keyword), value) for keyword, value in keys.items()}
    *answers, (last, _) = find_bytes(assoc, FIND, identifier.encode(question, EXPLICIT))
    if last != 0:
        return None
    found = {str(ds[LEVELS[level][1]].value) for _, ds in answers if ds is not None}
    assert len(found) == len(answers)
    return found, all(status == 0xFF00 for status, _ in answers)


def _tag(keyword: str) -> str:
    return f"{tag_for_keyword(keyword):08X}"


def _element(vr: str, value: str) -> dict[str, object]:
    if not value:
        return {"vr": vr}
    return {"vr": vr, "Value": [{"Alphabetic": value} if vr == "PN" else value]}


def by_search(web: Client, level: str, keys: dict[str, str], *, is_fuzzy: bool) -> tuple[set[str], bool] | None:
    """The same of the Search transaction."""
    path, unique = LEVELS[level]
    query = "&".join(f"{keyword}={quote(value)}" for keyword, value in keys.items())
    response = web.get(f"/dicom-web/{path}?{query}&fuzzymatching={str(is_fuzzy).lower()}")
    if response.status_code == 400:
        return None
    assert response.status_code == 200
    found = [row[_tag(unique)]["Value"][0] for row in response.json]
    assert len(found) == len(set(found))
    return set(found), "not matched" not in response.headers.get("Warning", "")


keys = st.dictionaries(st.sampled_from(sorted(VALUES)), st.integers(0, 99), min_size=1, max_size=3).map(
    lambda drawn: {keyword: VALUES[keyword][number % len(VALUES[keyword])] for keyword, number in drawn.items()}
)


@given(st.sampled_from(sorted(LEVELS)), keys, st.booleans())
@example(level="STUDY", asked={"PatientName": "zoe"}, is_fuzzy=True)
@example(level="IMAGE", asked={"PatientName": "zoe"}, is_fuzzy=False)
@example(level="STUDY", asked={"StudyInstanceUID": f"{THORAX}\\{LOOP}"}, is_fuzzy=False)
@example(level="SERIES", asked={"StudyTime": "2200-0100", "Modality": "CT"}, is_fuzzy=False)
@example(level="IMAGE", asked={"ImageType": "ORIGINAL", "PatientSex": "m"}, is_fuzzy=False)
@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_the_same_question_has_the_same_answer_at_both_doors(
    doors: Doors, level: str, asked: dict[str, str], is_fuzzy: bool
) -> None:
    """PS3.18 8.3.4.1: the matching is that of C-FIND."""
    found = by_search(doors.web, level, asked, is_fuzzy=is_fuzzy)
    same = by_find(doors.fuzzy if is_fuzzy else doors.plain, level, asked)
    if found is None or same is None:
        assert found == same, asked
        return
    assert found[0] == same[0], asked
    assert found[1] or not (same[1] and same[0]), "a key that is not matched is told at both; by C-FIND in each answer"


def test_every_value_that_is_tried_is_tried_alone(doors: Doors) -> None:
    hits = 0
    for keyword, values in VALUES.items():
        for value in values:
            for level in LEVELS:
                found = by_search(doors.web, level, {keyword: value}, is_fuzzy=False)
                same = by_find(doors.plain, level, {keyword: value})
                assert (found and found[0]) == (same and same[0]), (level, keyword, value)
                hits += bool(found and found[0])
    assert hits > 100
