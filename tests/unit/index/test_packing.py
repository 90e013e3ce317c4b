"""Packed documents: small, exact, and never believed blindly."""

import json
import threading

import orjson
import pytest
import zstandard

from relais.errors import Unavailable
from relais.index import packing

DS = {
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
    "00080020": {"vr": "DA", "Value": ["20240229"]},
    "00400275": {"vr": "SQ", "Value": [{"00401001": {"vr": "SH", "Value": ["R1", None]}}, {}]},
    "00280106": {"vr": "US", "Value": [0, -1.5]},
}


def test_a_document_comes_back_as_it_was_sorted_by_tag() -> None:
    found = packing.unpack(packing.pack(DS))
    assert found == DS
    assert list(found) == sorted(DS)


def test_many_come_back_in_their_order() -> None:
    documents = [{"00200013": {"vr": "IS", "Value": [number]}} for number in range(50)]
    assert packing.unpack_many([packing.pack(one) for one in documents]) == documents
    assert packing.unpack_many([]) == []


def test_what_every_document_says_costs_little() -> None:
    said = {"00080020": {"vr": "DA", "Value": ["20240229"]}, "00280010": {"vr": "US", "Value": [512]}}
    assert len(packing.pack(said)) < len(orjson.dumps(said)) / 2


def test_what_json_in_utf8_cannot_say_is_kept_as_far_as_it_goes() -> None:
    found = packing.unpack(packing.pack({"00081030": {"vr": "LO", "Value": ["A\ud800B", 10**30]}}))
    assert found["00081030"]["Value"] == ["A?B", 1e30]


def test_threads_do_not_disturb_each_other() -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        for turn in range(200):
            ds = {"00200013": {"vr": "IS", "Value": [number, turn]}}
            if packing.unpack(packing.pack(ds)) != ds:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_document_that_claims_to_be_giant_is_damaged() -> None:
    honest = packing.pack_document(json.dumps({}).encode())
    giant = zstandard.ZstdCompressor().compressobj(size=packing.MAX_DOCUMENT_BYTES + 1)
    lying = honest[:1] + giant.compress(b"x") + giant.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    with pytest.raises(Unavailable, match="damaged"):
        packing.unpack_documents([honest, lying])
