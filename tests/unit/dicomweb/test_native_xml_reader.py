"""The Native DICOM Model (PS3.19 A.1), read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file

from relais.dicom.json_model import JsonDataset, from_dataset, to_dataset
from relais.dicomweb import native_xml, native_xml_reader
from relais.dicomweb.native_xml_reader import parse
from relais.errors import InvalidDataSet, InvalidRequest, TooLarge

HEAD = '<?xml version="1.0"?><NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">'


def read(inside: str) -> JsonDataset:
    return parse(f"{HEAD}{inside}</NativeDicomModel>".encode())


@pytest.mark.parametrize("name", ["CT_small.dcm", "reportsi.dcm", "test-SR.dcm", "rtplan.dcm", "UN_sequence.dcm"])
def test_a_real_data_set_comes_back_from_xml(name: str) -> None:
    ds = dcmread(get_testdata_file(name), stop_before_pixels=True)  # type: ignore[arg-type]
    json = from_dataset(ds)
    assert to_dataset(parse(native_xml.document(json))) == to_dataset(json)


@pytest.mark.parametrize(
    "name", ["LEFEBVRE-OE^Anne Marie^^Dr", "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce", "==x", "^B", "A^B^C^D^E"]
)
def test_names_come_back_from_xml(name: str) -> None:
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), name.split("="), strict=False)
    json = {"00100010": {"vr": "PN", "Value": [{group: text for group, text in groups if text}]}}
    assert parse(native_xml.document(json)) == json


def test_empty_values_and_items_between_others_keep_their_places() -> None:
    """PS3.19 table A.1.5-2"""
    found = read(
        '<DicomAttribute tag="00080008" vr="CS"><Value number="3">C</Value><Value number="1">A</Value></DicomAttribute>'
        '<DicomAttribute tag="00081140" vr="SQ"><Item number="2"/></DicomAttribute>'
        '<DicomAttribute tag="00100020" vr="LO"/>'
    )
    assert found["00080008"]["Value"] == ["A", None, "C"]
    assert found["00081140"]["Value"] == [None, {}]
    assert found["00100020"] == {"vr": "LO"}


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        ("00080008", "CS", ["ORIGINAL", None, None]),
        ("00080008", "CS", [None, None]),
        ("00081070", "PN", [{"Alphabetic": "A"}, None, None]),
        ("00200032", "DS", [1.5, None, None]),
    ],
)
def test_empty_values_at_the_end_come_back(tag: str, vr: str, value: list[object]) -> None:
    """PS3.19 table A.1.5-2: they count for the value multiplicity."""
    json = {tag: {"vr": vr, "Value": value}}
    assert from_dataset(to_dataset(parse(native_xml.document(json)))) == json


def test_white_space_belongs_to_the_value() -> None:
    found = read('<DicomAttribute tag="00204000" vr="LT">\n<Value number="1"> a\n b </Value>\n</DicomAttribute>')
    assert found["00204000"]["Value"] == [" a\n b "]


def test_private_attributes_get_a_block_and_its_creator() -> None:
    """PS3.5 7.8.1; PS3.19 table A.1.5-2."""
    attributes = "".join(
        f'<DicomAttribute tag="0009{tag}" vr="LO" privateCreator="{creator}"><Value number="1">{creator}{tag}</Value>'
        "</DicomAttribute>"
        for creator, tag in (("ACME", "0001"), ("OTHER", "0001"), ("ACME", "0002"), ("KEEPS", "1503"))
    )
    found = read('<DicomAttribute tag="00090010" vr="LO"><Value number="1">OTHER</Value></DicomAttribute>' + attributes)
    values = {tag: element["Value"][0] for tag, element in sorted(found.items())}
    assert values == {
        "00090010": "OTHER",
        "00090011": "ACME",
        "00090015": "KEEPS",
        "00091001": "OTHER0001",
        "00091101": "ACME0001",
        "00091102": "ACME0002",
        "00091503": "KEEPS1503",
    }


def in_blocks(*tags: str) -> JsonDataset:
    """Private attributes whose values are their tags, all of one creator, with its reservations."""
    creators = {f"{tag[:4]}00{tag[4:6]}": {"vr": "LO", "Value": ["ACME"]} for tag in tags}
    return dict(sorted((creators | {tag: {"vr": "LO", "Value": [tag]} for tag in tags}).items()))


@pytest.mark.parametrize(
    "tags",
    [
        ("00091001", "00091101"),
        ("00091001", "00091003", "00092001", "00092002"),
        ("00091002", "00091101", "00091102"),
        ("00091002", "00091101", "00091201"),
        ("00091002", "00091101"),
    ],
)
def test_the_blocks_of_one_private_creator_come_back(tags: tuple[str, ...]) -> None:
    """PS3.5 7.8.1: it may reserve several; in XML their numbers are left out."""
    assert parse(native_xml.document(in_blocks(*tags))) == in_blocks(*tags)


def with_creator(*tags: str, creator: str = "ACME") -> str:
    return "".join(
        f'<DicomAttribute tag="{tag}" vr="LO" privateCreator="{creator}"><Value>{number}</Value></DicomAttribute>'
        for number, tag in enumerate(tags)
    )


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        (("00090001", "00090001"), ("00091001", "00091101")),
        (("00090002", "00090001"), ("00091002", "00091001")),
        (("00091503", "00090001"), ("00091503", "00091501")),
    ],
)
def test_a_private_attribute_that_comes_again_begins_another_block(
    came: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    found = read(with_creator(*came))
    assert [found[tag]["Value"] for tag in expected] == [[str(number)] for number in range(len(came))]
    assert all(found[f"000900{tag[4:6]}"]["Value"] == ["ACME"] for tag in expected)


def test_a_block_that_a_tag_names_is_no_one_elses() -> None:
    found = read(with_creator("00090001") + with_creator("00091003", creator="KEEPS"))
    values = {tag: element["Value"][0] for tag, element in found.items()}
    assert values == {"00090010": "KEEPS", "00090011": "ACME", "00091003": "0", "00091101": "0"}


def test_a_block_whose_creator_is_missing_is_not_free() -> None:
    orphan = '<DicomAttribute tag="00091001" vr="LO"><Value>whose?</Value></DicomAttribute>'
    values = {tag: element["Value"][0] for tag, element in read(orphan + with_creator("00090001")).items()}
    assert values == {"00090011": "ACME", "00091001": "whose?", "00091101": "0"}


def test_a_public_attribute_has_no_private_creator() -> None:
    assert read(with_creator("00100020")) == {"00100020": {"vr": "LO", "Value": ["0"]}}


@pytest.mark.parametrize(
    "inside",
    [
        '<DicomAttribute tag="00100020" vr="LO"/>' * 2,
        '<DicomAttribute tag="0020000d" vr="UI"/><DicomAttribute tag="0020000D" vr="UI"/>',
        with_creator("00091503", "00090003", creator="KEEPS"),
    ],
)
def test_an_attribute_that_comes_twice_is_refused(inside: str) -> None:
    """One of its values would be lost."""
    with pytest.raises(InvalidDataSet, match="is given twice"):
        read(inside)


def test_a_group_without_room_for_another_creator_is_refused() -> None:
    one = '<DicomAttribute tag="00090001" vr="LO" privateCreator="{}"/>'
    read("".join(one.format(number) for number in range(240)))
    with pytest.raises(InvalidDataSet, match="no room"):
        read("".join(one.format(number) for number in range(241)))


def test_bulk_data_and_inline_binary_are_told_apart() -> None:
    found = read(
        '<DicomAttribute tag="7FE00010" vr="OW"><BulkData uri="bulk/1"/></DicomAttribute>'
        '<DicomAttribute tag="00282000" vr="OB"><InlineBinary>AQ\n I=</InlineBinary></DicomAttribute>'
    )
    assert found["7FE00010"] == {"vr": "OW", "BulkDataURI": "bulk/1"}
    assert found["00282000"] == {"vr": "OB", "InlineBinary": "AQI="}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"junk",
        b"<a/>",
        HEAD.encode(),
        f"{HEAD}<Value/></NativeDicomModel>".encode(),
        f'{HEAD}<DicomAttribute tag="00100020" vr="LO"><Else/></DicomAttribute></NativeDicomModel>'.encode(),
        f'{HEAD}<DicomAttribute tag="00100020"><Value number="0"/></DicomAttribute></NativeDicomModel>'.encode(),
        f'{HEAD}<DicomAttribute tag="00100020"><Value number="-1"/></DicomAttribute></NativeDicomModel>'.encode(),
        f'{HEAD}<DicomAttribute tag="00100020"><Value number="x"/></DicomAttribute></NativeDicomModel>'.encode(),
        b'<?xml version="1.0" encoding="nonsense"?><NativeDicomModel/>',
        b"<!DOCTYPE a><NativeDicomModel/>",
    ],
)
def test_what_is_no_native_dicom_model_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse(document)


def test_entities_cannot_be_declared() -> None:
    """hardening.md 5, 6: no entity, external or multiplied."""
    for entity in ('<!ENTITY a SYSTEM "file:///etc/passwd">', '<!ENTITY a "b"><!ENTITY c "&a;&a;&a;">'):
        document = f"<!DOCTYPE x [{entity}]><NativeDicomModel><DicomAttribute tag='00100020'>&a;</DicomAttribute>"
        with pytest.raises(InvalidDataSet, match="document type"):
            parse(f"{document}</NativeDicomModel>".encode())


def test_depth_and_gaps_are_bounded() -> None:
    """hardening.md 5."""
    with pytest.raises(InvalidDataSet, match="nested"):
        read('<DicomAttribute tag="00081140" vr="SQ"><Item>' * 150 + "</Item></DicomAttribute>" * 150)
    with pytest.raises(InvalidDataSet, match="left out"):
        read('<DicomAttribute tag="00080008" vr="CS"><Value number="99999999"/></DicomAttribute>')


def test_elements_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """hardening.md 3: one of seven bytes takes some six hundred of memory."""
    monkeypatch.setattr(native_xml_reader, "MAX_ELEMENTS", 100)
    attribute = '<DicomAttribute tag="00081140" vr="SQ">{}</DicomAttribute>'
    assert len(read(attribute.format("<Item/>" * 98))["00081140"]["Value"]) == 98
    with pytest.raises(TooLarge, match="at most 100 XML elements"):
        read(attribute.format("<Item/>" * 99))
    with pytest.raises(TooLarge, match="at most 100 XML elements"):
        read('<DicomAttribute tag="00200032" vr="DS"><Value>' + "1\\" * 98 + "</Value></DicomAttribute>")


def test_an_unknown_element_is_refused_at_once() -> None:
    """However much of it follows, well-formed or not."""
    with pytest.raises(InvalidDataSet, match="Native DICOM Model"):
        read("<a>" + "<a/>" * 1_000_000 + "<")


@pytest.mark.parametrize("many", [100, 1_000_000])
def test_the_attributes_of_elements_are_bounded(many: int) -> None:
    """Of one element, and of all: their names are remembered for as long as a document is read."""
    names = [f'a{number}="x>"' for number in range(many)]
    one_tag = f'<DicomAttribute tag="00081140" {" ".join(names)}/>'
    each_its_own = "".join(f'<Value number="1" {name}/>' for name in names[:140_000])
    for inside in (one_tag, f'<DicomAttribute tag="00081140">{each_its_own}</DicomAttribute>'):
        if many == 100:
            assert "00081140" in read(inside)
            continue
        with pytest.raises(InvalidDataSet):
            read(inside)


def test_long_texts_and_comments_are_no_tags() -> None:
    long = "QUJD" * 200_000
    found = read(
        f"<!-- {'x' * 1000} -->"
        f'<DicomAttribute tag="00282000" vr="OB"><InlineBinary>{long}</InlineBinary></DicomAttribute>'
        f'<DicomAttribute tag="00282001" vr="OB"><InlineBinary><![CDATA[{long}]]></InlineBinary></DicomAttribute>'
    )
    assert found["00282000"]["InlineBinary"] == found["00282001"]["InlineBinary"] == long


@given(st.text('<>/"=&; aDicomAttributeValuenumber1', max_size=80))
def test_no_document_does_anything_but_be_read_or_refused(inside: str) -> None:
    try:
        read(inside)
    except InvalidRequest:
        return
