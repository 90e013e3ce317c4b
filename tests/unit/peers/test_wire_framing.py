"""PS3.8 9.3.5 and E"""

import struct

from hypothesis import given
from hypothesis import strategies as st

from relais.peers.wire import framing


def joined(buffers: list[framing.Buffer]) -> bytes:
    return b"".join(bytes(buffer) for buffer in buffers)


def parsed(data: bytes) -> list[tuple[int, int, bytes]]:
    """(context ID, message control header, fragment) of P-DATA-TF PDUs with one PDV each."""
    found = []
    while data:
        kind, length = struct.unpack_from(">BxI", data)
        pdv_length, context_id, control = struct.unpack_from(">IBB", data, 6)
        assert kind == 4
        assert length == pdv_length + 4
        found.append((context_id, control, data[12 : 6 + length]))
        data = data[6 + length :]
    return found


@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(1, 30).map(lambda half: 2 * half))
def test_fragments_are_the_same_bytes_cut_into_full_pieces(chunks: list[bytes], size: int) -> None:
    found = list(framing.fragments(chunks, size))
    assert b"".join(joined(pieces) for pieces, _ in found) == b"".join(chunks)
    assert [is_last for _, is_last in found] == [False] * (len(found) - 1) + [True]
    assert all(sum(map(len, pieces)) == size for pieces, _ in found[:-1])
    assert sum(map(len, found[-1][0])) <= size


@given(st.binary(min_size=1, max_size=100), st.binary(max_size=100), st.integers(8, 64))
def test_a_message_is_its_command_set_and_then_its_data_set(command: bytes, data: bytes, maximum: int) -> None:
    size = framing.fragment_size(maximum)
    found = parsed(joined(framing.message(3, command, data, size)))
    assert {context_id for context_id, _, _ in found} == {3}
    assert b"".join(fragment for _, control, fragment in found if control & 1) == command
    assert b"".join(fragment for _, control, fragment in found if not control & 1) == data
    assert sum(control & 2 for _, control, _ in found) == (4 if data else 2)
    assert all(len(fragment) + framing.PDV_OVERHEAD <= maximum for _, _, fragment in found)


@given(st.binary(min_size=1, max_size=40), st.lists(st.binary(max_size=60), max_size=5), st.integers(8, 64))
def test_many_messages_are_each_as_if_it_were_alone(command: bytes, data_sets: list[bytes], maximum: int) -> None:
    size = framing.fragment_size(maximum)
    alone = [joined(framing.message(5, command, data, size)) for data in data_sets]
    assert framing.messages(5, command, data_sets, size) == b"".join(alone)


def test_an_empty_data_set_that_was_announced_is_one_empty_fragment() -> None:
    assert [(joined(pieces), is_last) for pieces, is_last in framing.fragments([], 10)] == [(b"", True)]


def test_a_peer_without_a_maximum_gets_fragments_of_ours() -> None:
    """PS3.8 D.1: 0 is no maximum"""
    assert framing.fragment_size(0) == framing.MAX_FRAGMENT - framing.PDV_OVERHEAD
    assert framing.fragment_size(1) == 2
    assert framing.fragment_size(16384) == 16378
