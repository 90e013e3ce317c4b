"""PS3.18 I: trap 14."""

import pytest
from pydicom import Dataset

from relais.dicomweb import store_response
from relais.dicomweb.store_response import Result
from relais.errors import (
    Conflict,
    Forbidden,
    InvalidDataSet,
    Mismatch,
    NodeError,
    OutOfResources,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
    UnsupportedSOPClass,
    UnsupportedTransferSyntax,
)

STORED = Result("1.2.3", "1.2.4", "http://x/studies/1/series/2/instances/1.2.4")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OutOfResources(), 0xA700),
        (TooLarge(), 0xA700),
        (Mismatch(), 0xA900),
        (InvalidDataSet(), 0xC000),
        (UnsupportedMedia(), 0xC000),
        (UnsupportedSOPClass(), 0x0122),
        (UnsupportedTransferSyntax(), 0xC122),
        (Conflict(), 0x0111),
        (Forbidden(), 0x0124),
        (Unavailable(), 0x0110),
        (NodeError(), 0x0110),
    ],
)
def test_every_failure_has_its_reason_as_an_integer(error: NodeError, reason: int) -> None:
    """PS3.18 table I.2-2"""
    document = store_response.document([Result("1.2.3", "1.2.4", failure=error)])
    (item,) = document["00081198"]["Value"]
    assert item["00081197"] == {"vr": "US", "Value": [reason]}
    assert item["00081155"]["Value"] == ["1.2.4"]
    assert "00081199" not in document
    assert "0008119A" not in document


def test_a_success_names_the_instance_and_no_failure() -> None:
    document = store_response.document([STORED], "http://x/studies/1")
    ds = Dataset.from_json(document)
    assert ds.RetrieveURL == "http://x/studies/1"
    assert ds.ReferencedSOPSequence[0].ReferencedSOPClassUID == "1.2.3"
    assert ds.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.4"
    assert ds.ReferencedSOPSequence[0].RetrieveURL == STORED.retrieve_url
    assert "FailedSOPSequence" not in ds
    assert "FailureReason" not in ds


def test_several_studies_have_no_common_retrieve_url() -> None:
    assert store_response.document([STORED])["00081190"] == {"vr": "UR"}


def test_a_failure_of_nobody_knows_what_is_an_other_failure_too() -> None:
    document = store_response.document([STORED, Result(failure=InvalidDataSet())])
    assert document["0008119A"]["Value"] == [{"00081197": {"vr": "US", "Value": [0xC000]}}]
    (item,) = document["00081198"]["Value"]
    assert item["00081155"] == {"vr": "UI"}
    assert len(document["00081199"]["Value"]) == 1
