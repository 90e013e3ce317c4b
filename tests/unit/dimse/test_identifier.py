import pytest

from fixtures.identifiers import keys
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.query import MatchKind
from relais.dicom.refs import InstanceRef, SeriesRef, StudyRef
from relais.dimse.identifier import Negotiated, find_request, ref_of, refs, retrieve_query
from relais.dimse.models import PATIENT_ROOT, PATIENT_STUDY_ONLY, STUDY_ROOT, Model, model_of
from relais.errors import InvalidRequest, Mismatch

RELATIONAL = Negotiated(relational=True)


def test_the_models_are_those_of_the_standard() -> None:
    """PS3.4 C.6.1.3, C.6.2.3"""
    assert model_of("1.2.840.10008.5.1.4.1.2.1.1") == (PATIENT_ROOT, "C-FIND")
    assert model_of("1.2.840.10008.5.1.4.1.2.2.2") == (STUDY_ROOT, "C-MOVE")
    assert model_of("1.2.840.10008.5.1.4.1.2.3.3") == (PATIENT_STUDY_ONLY, "C-GET")
    assert STUDY_ROOT.levels_above(Level.IMAGE) == (Level.STUDY, Level.SERIES)


def test_a_study_query_keeps_what_was_asked() -> None:
    request = find_request(keys(level="STUDY", StudyDate="20240101-", PatientName=None), STUDY_ROOT, Negotiated())
    assert request.query.level is Level.STUDY
    assert [(match.tag, match.kind) for match in request.query.matches] == [(0x00080020, MatchKind.RANGE)]
    assert request.query.return_keys == {0x00080020, 0x00100010}
    assert request.unknown == ()


@pytest.mark.parametrize(
    ("model", "identifier"),
    [
        (STUDY_ROOT, keys(level="PATIENT")),
        (STUDY_ROOT, keys(level="study", StudyInstanceUID="1.2")),
        (STUDY_ROOT, keys(StudyInstanceUID="1.2")),
        (STUDY_ROOT, keys(level=None)),
        (STUDY_ROOT, keys(level="SERIES")),
        (STUDY_ROOT, keys(level="SERIES", StudyInstanceUID=None)),
        (STUDY_ROOT, keys(level="SERIES", StudyInstanceUID=["1.2", "1.3"])),
        (STUDY_ROOT, keys(level="IMAGE", StudyInstanceUID="1.2")),
        (PATIENT_ROOT, keys(level="STUDY")),
        (PATIENT_STUDY_ONLY, keys(level="SERIES", PatientID="1", StudyInstanceUID="1.2")),
    ],
)
def test_what_does_not_fit_the_model_is_a_mismatch(model: Model, identifier: JsonDataset) -> None:
    """PS3.4 C.4.1.2.1"""
    with pytest.raises(Mismatch):
        find_request(identifier, model, Negotiated())
    with pytest.raises(Mismatch):
        retrieve_query(identifier, model, relational=False)


@pytest.mark.parametrize("value", ["1.2.*", "*", "x", "../1"])
def test_a_unique_key_above_the_level_must_be_a_uid(value: str) -> None:
    with pytest.raises(InvalidRequest):
        find_request(keys(level="SERIES", StudyInstanceUID=value), STUDY_ROOT, Negotiated())


def test_a_patient_id_above_the_level_must_not_be_a_wild_card() -> None:
    with pytest.raises(InvalidRequest):
        find_request(keys(level="STUDY", PatientID="1*"), PATIENT_ROOT, Negotiated())


def test_relational_queries_need_no_keys_above() -> None:
    """PS3.4 C.4.1.2.2.1"""
    request = find_request(keys(level="IMAGE", SOPInstanceUID="1.2"), STUDY_ROOT, RELATIONAL)
    assert request.query.level is Level.IMAGE


def test_every_value_of_a_key_must_match_where_that_was_negotiated() -> None:
    """PS3.4 C.2.2.2.8, C.5.1.1"""
    identifier = keys(level="STUDY", ModalitiesInStudy=["CT", "SR"])
    for negotiated, kinds in (
        (Negotiated(), [(MatchKind.MULTIPLE_VALUES, ("CT", "SR"))]),
        (
            Negotiated(multiple_values=True),
            [(MatchKind.SINGLE_VALUE, ("CT",)), (MatchKind.SINGLE_VALUE, ("SR",))],
        ),
    ):
        matches = find_request(identifier, STUDY_ROOT, negotiated).query.matches
        assert [(match.kind, match.values) for match in matches] == kinds


def test_keys_that_we_do_not_keep_at_this_level_are_told() -> None:
    """PS3.4 C.2.2.1.3"""
    identifier = keys(level="STUDY", PregnancyStatus=None, SeriesDescription=None, PatientID=None)
    assert set(find_request(identifier, STUDY_ROOT, Negotiated()).unknown) == {0x001021C0, 0x0008103E}


def test_how_to_answer_is_no_key() -> None:
    """PS3.4 C.4.1.1.3.1"""
    identifier = keys(
        level="STUDY", SpecificCharacterSet="ISO_IR 192", TimezoneOffsetFromUTC="+0100", RetrieveAETitle=None
    )
    request = find_request(identifier, STUDY_ROOT, Negotiated())
    assert (request.query.matches, request.asked, request.unknown) == ((), {}, ())


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        (keys(level="STUDY", StudyInstanceUID=["1.2", "1.3"]), [StudyRef("1.2"), StudyRef("1.3")]),
        (keys(level="SERIES", StudyInstanceUID="1.2", SeriesInstanceUID="1.3"), [SeriesRef("1.2", "1.3")]),
        (
            keys(level="IMAGE", StudyInstanceUID="1", SeriesInstanceUID="2", SOPInstanceUID=["3", "4"]),
            [InstanceRef("1", "2", "3"), InstanceRef("1", "2", "4")],
        ),
        (keys(level="STUDY", StudyInstanceUID=["1.3", "1.2", "1.3"]), [StudyRef("1.3"), StudyRef("1.2")]),
    ],
)
def test_a_retrieve_that_names_all_levels_needs_no_search(identifier: JsonDataset, expected: list[object]) -> None:
    """PS3.4 C.4.2.2.1"""
    assert refs(retrieve_query(identifier, STUDY_ROOT, relational=False)) == expected


@pytest.mark.parametrize(
    ("model", "identifier", "relational"),
    [
        (PATIENT_ROOT, keys(level="PATIENT", PatientID="7"), False),
        (PATIENT_ROOT, keys(level="STUDY", PatientID="7", StudyInstanceUID="1.2"), False),
        (STUDY_ROOT, keys(level="SERIES", SeriesInstanceUID="1.3"), True),
        (STUDY_ROOT, keys(level="IMAGE", StudyInstanceUID="1", SOPInstanceUID="1.3"), True),
    ],
)
def test_a_retrieve_that_does_not_name_them_is_searched_for(
    model: Model, identifier: JsonDataset, relational: bool
) -> None:
    assert refs(retrieve_query(identifier, model, relational=relational)) is None


@pytest.mark.parametrize(
    ("model", "identifier"),
    [
        (STUDY_ROOT, keys(level="STUDY")),
        (STUDY_ROOT, keys(level="STUDY", StudyInstanceUID=None)),
        (STUDY_ROOT, keys(level="STUDY", StudyInstanceUID="*")),
        (STUDY_ROOT, keys(level="STUDY", StudyInstanceUID=["1.2", "*"])),
        (STUDY_ROOT, keys(level="STUDY", StudyInstanceUID="1.2", SeriesInstanceUID="1.3")),
        (PATIENT_ROOT, keys(level="PATIENT", PatientID="*")),
        (PATIENT_ROOT, keys(level="PATIENT", PatientID="?1")),
        (PATIENT_ROOT, keys(level="PATIENT", PatientID=None)),
        (PATIENT_ROOT, keys(level="PATIENT", PatientID=["1", "2"])),
    ],
)
@pytest.mark.parametrize("relational", [False, True])
def test_a_retrieve_never_names_everything(model: Model, identifier: JsonDataset, relational: bool) -> None:
    with pytest.raises(InvalidRequest):
        retrieve_query(identifier, model, relational=relational)


def test_keys_that_are_not_unique_do_not_narrow_a_retrieve() -> None:
    """Client lesson 7"""
    identifier = keys(level="STUDY", StudyInstanceUID="1.2", AccessionNumber="A", PatientName={"Alphabetic": "*"})
    assert refs(retrieve_query(identifier, STUDY_ROOT, relational=False)) == [StudyRef("1.2")]


def test_a_row_of_a_search_becomes_a_reference() -> None:
    row = keys(StudyInstanceUID="1", SeriesInstanceUID="2", SOPInstanceUID="3")
    assert ref_of(row, Level.STUDY) == StudyRef("1")
    assert ref_of(row, Level.SERIES) == SeriesRef("1", "2")
    assert ref_of(row, Level.IMAGE) == InstanceRef("1", "2", "3")
