"""Ready answers in memory."""

from hypothesis import given
from hypothesis import strategies as st

from relais.web.kept import Answer, Kept


def put(kept: Kept, key: str, size: int) -> None:
    assert b"".join(kept.keeping(key, 1, [b"x"] * size)) == b"x" * size


def test_what_went_out_whole_is_kept() -> None:
    kept = Kept(100)
    assert list(kept.keeping("a", 3, [b"1", b"23"])) == [b"1", b"23"]
    assert kept.get("a") == Answer(b"123", 3)
    assert kept.get("b") is None


def test_what_was_cut_off_is_not_kept() -> None:
    kept = Kept(100)
    chunks = kept.keeping("a", 3, [b"1", b"23"])
    next(chunks)
    chunks.close()
    assert kept.get("a") is None


def test_what_was_not_asked_for_longest_goes_first() -> None:
    kept = Kept(40)
    for key in "abcd":
        put(kept, key, 10)
    assert kept.get("a")
    put(kept, "e", 10)
    assert kept.get("b") is None
    assert kept.get("a")


def test_what_is_too_large_is_passed_on_and_not_kept() -> None:
    kept = Kept(40)
    put(kept, "a", 11)
    assert kept.get("a") is None
    put(Kept(0), "a", 1)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 30))))
def test_no_more_is_kept_than_there_is_room_for(answers: list[tuple[str, int]]) -> None:
    kept = Kept(50)
    for key, size in answers:
        put(kept, key, size)
        found = [kept.get(name) for name in "abcdef"]
        assert sum(len(answer.body) for answer in found if answer) <= 50
