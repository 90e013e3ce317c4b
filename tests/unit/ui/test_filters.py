"""The search form: what people type becomes keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relais.dicom.attributes import Level
from relais.dicom.matching import matches
from relais.dicom.query import MatchKind, Query
from relais.errors import InvalidRequest
from relais.ui import filters
from relais.ui.filters import Filters


def found_by(filled_in: Filters, **attributes: str) -> bool:
    tags = {"name": ("00100010", "PN"), "patient_id": ("00100020", "LO"), "accession": ("00080050", "SH"),
            "description": ("00081030", "LO"), "date": ("00080020", "DA"), "modality": ("00080061", "CS")}  # fmt: skip
    json = {}
    for name, value in attributes.items():
        tag, vr = tags[name]
        json[tag] = {"vr": vr, "Value": [{"Alphabetic": value}] if vr == "PN" else value.split("\\")}
    return matches(json, filters.query(filled_in))


def test_an_empty_form_asks_for_everything() -> None:
    assert filters.query(Filters()).matches == ()
    assert filters.query(Filters()).level is Level.STUDY
    assert not Filters().is_narrowed


def test_words_of_a_name_are_found_by_their_beginnings_in_any_order() -> None:
    assert found_by(Filters(name="isa mor"), name="MOREAU^Isabelle")
    assert found_by(Filters(name="lefevre"), name="LEFÈVRE^Hélène")
    assert found_by(Filters(name="Moreau, Isabelle"), name="MOREAU^Isabelle")
    assert not found_by(Filters(name="reau"), name="MOREAU^Isabelle")


def test_a_pattern_is_taken_as_a_pattern() -> None:
    assert found_by(Filters(name="*eau*"), name="MOREAU^Isabelle")
    assert not found_by(Filters(patient_id="99*"), patient_id="0099")


def test_ids_are_found_by_any_part() -> None:
    assert found_by(Filters(patient_id="8213"), patient_id="0458213706")
    assert found_by(Filters(accession="0612"), accession="RIV240612087")
    assert not found_by(Filters(accession="0613"), accession="RIV240612087")


def test_ids_are_found_whatever_the_case() -> None:
    assert found_by(Filters(patient_id="jp-00"), patient_id="JP-0007")
    assert found_by(Filters(accession="RIV24"), accession="riv240612087")


@pytest.mark.parametrize("typed", ["irm droit", "DROIT Genou", "genou irm"])
def test_the_words_of_a_description_may_stand_in_any_order_and_case(typed: str) -> None:
    assert found_by(Filters(description=typed), description="IRM genou Droit")
    assert not found_by(Filters(description=f"{typed} gauche"), description="IRM genou Droit")


@pytest.mark.parametrize("typed", ["thorax", "Thorax", "THORAX", "cérébrale", "cerebrale"])
def test_descriptions_are_found_whatever_the_case(typed: str) -> None:
    assert found_by(Filters(description=typed), description="TDM THORAX CEREBRALE") is True


def test_accents_in_a_description_may_be_typed_or_not() -> None:
    assert found_by(Filters(description="cérébrale"), description="IRM CÉRÉBRALE")


def test_dates_are_inclusive_and_may_be_open() -> None:
    assert found_by(Filters(date_from="2024-06-12", date_to="2024-06-12"), date="20240612")
    assert found_by(Filters(date_from="2024-06-12"), date="20250101")
    assert not found_by(Filters(date_to="2024-06-11"), date="20240612")


def test_any_of_several_modalities_will_do() -> None:
    assert found_by(Filters(modalities=("MR", "CT")), modality="CT\\SR")
    assert not found_by(Filters(modalities=("MR",)), modality="CT\\SR")


def test_a_backslash_cannot_smuggle_in_another_value() -> None:
    assert not found_by(Filters(patient_id="zzz\\8213"), patient_id="0458213706")


def test_a_date_that_is_none_is_refused_with_a_sentence() -> None:
    with pytest.raises(InvalidRequest, match="StudyDate"):
        filters.query(Filters(date_from="soon"))


@pytest.mark.parametrize("limit", ["-1", "ten", "1e3", "٣"])
def test_limits_that_are_no_numbers_are_refused(limit: str) -> None:
    with pytest.raises(InvalidRequest):
        filters.parse({"limit": limit})


def test_limits_have_a_top_and_a_default() -> None:
    assert filters.parse({"limit": "999999"}).limit == 100
    assert filters.parse({"limit": "0"}).limit == 25
    assert filters.parse({}).offset == 0


@given(
    st.builds(
        Filters,
        name=st.text(max_size=20).map(str.strip),
        patient_id=st.text(max_size=20).map(str.strip),
        modalities=st.lists(st.sampled_from(["CT", "MR", "US"]), unique=True).map(tuple),
        limit=st.sampled_from(filters.PAGE_SIZES),
        offset=st.integers(0, 10**6),
    )
)
def test_a_form_survives_its_query_string(filled_in: Filters) -> None:
    from urllib.parse import parse_qs

    parsed = parse_qs(filled_in.query_string())
    again = filters.parse({name: values[0] for name, values in parsed.items()}, parsed.get("modality", []))
    assert again == filled_in


def test_a_link_changes_only_what_it_says() -> None:
    asked = Filters(name="mor", modalities=("CT",), offset=50)
    assert asked.query_string(offset=75) == "name=mor&modality=CT&offset=75"
    assert asked.query_string(offset=0, name="") == "modality=CT"


def test_other_studies_need_an_id_and_heed_its_issuer() -> None:
    assert filters.others_of_patient("", "RIVEMONT", 10) is None
    query = filters.others_of_patient("0458*", "RIVEMONT", 10)
    assert isinstance(query, Query)
    kinds = {match.kind for match in query.matches}
    assert kinds == {MatchKind.SINGLE_VALUE}, "a star in an ID means itself here"


def test_other_studies_of_an_id_without_issuer_have_none_either() -> None:
    query = filters.others_of_patient("4711", "", 10)
    assert query is not None
    assert [match.kind for match in query.matches] == [MatchKind.SINGLE_VALUE, MatchKind.EMPTY_VALUE]
