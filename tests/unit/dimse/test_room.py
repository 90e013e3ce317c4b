"""The memory that Identifiers may take: bounded over all associations, and over all workers."""

from relais.dimse.room import OWN_BYTES, SHARED_BYTES, Collected, Room
from relais.peers.wire.messages import MAX_IDENTIFIER_BYTES


def filled(room: Room) -> int:
    """How many associations get a whole Identifier beyond what is their own."""
    count = 0
    while Collected(room).more(OWN_BYTES + MAX_IDENTIFIER_BYTES):
        count += 1
    return count


def test_every_association_has_its_own_also_when_the_room_is_full() -> None:
    room = Room()
    assert filled(room) == SHARED_BYTES // MAX_IDENTIFIER_BYTES
    late = Collected(room)
    assert late.more(OWN_BYTES)
    assert not late.more(1)


def test_what_has_been_dealt_with_is_free_for_others() -> None:
    room = Room()
    first, second = Collected(room), Collected(room)
    assert first.more(OWN_BYTES + SHARED_BYTES)
    assert not second.more(OWN_BYTES + 1)
    second.clear()
    first.clear()
    assert second.more(OWN_BYTES + SHARED_BYTES)


def test_workers_share_it_and_each_can_take_one_identifier() -> None:
    assert [filled(Room(workers)) for workers in (1, 2, 4, 8, 64)] == [8, 4, 2, 1, 1]
