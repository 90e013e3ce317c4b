"""archive.readers: those who are being sent many objects count while they are."""

from contextlib import ExitStack, closing

from relais.archive.readers import FEW, Readers


def test_who_counts_is_who_has_begun_and_has_neither_ended_nor_been_closed() -> None:
    readers = Readers()
    streams = [readers.one_more(iter([b"one", b"two"])) for _ in range(FEW + 1)]
    assert readers.are_few()
    with ExitStack() as closed:
        for stream in streams:
            assert next(stream) == b"one"
            closed.enter_context(closing(stream))
        assert not readers.are_few()
        assert list(streams[0]) == [b"two"]
        assert readers.are_few()
    late = [readers.one_more(iter([b"one"])) for _ in range(FEW)]
    for stream in late:
        next(stream)
    assert readers.are_few()
