"""Ready answers in memory."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from relais.archive.search import Asked
from relais.dicom.attributes import Level
from relais.dicomweb.params import parse_search
from relais.web.kept import ENTRY_BYTES, MOST_KEY_CHARACTERS, Answer, Kept

MB = 1024 * 1024
ROOM_FOR_FOUR = 4 * (2 * ENTRY_BYTES)


def put(kept: Kept, key: str, size: int) -> None:
    assert b"".join(kept.keeping(key, 1, [b"x"] * size)) == b"x" * size


def a_search(query: str) -> tuple[Asked, tuple[str, ...]]:
    """What QIDO-RS keeps an answer under."""
    search = parse_search(query, Level.STUDY)
    return Asked(search.query, 1, None, ("web", "", "127.0.0.1"), ()), search.unmatched


def test_what_went_out_whole_is_kept() -> None:
    kept = Kept(MB)
    assert list(kept.keeping("a", 3, [b"1", b"23"])) == [b"1", b"23"]
    assert kept.get("a") == Answer(b"123", 3)
    assert kept.get("b") is None


def test_what_was_cut_off_is_not_kept() -> None:
    kept = Kept(MB)
    chunks = kept.keeping("a", 3, [b"1", b"23"])
    next(chunks)
    chunks.close()
    assert kept.get("a") is None


def test_what_was_not_asked_for_longest_goes_first() -> None:
    kept = Kept(ROOM_FOR_FOUR)
    for key in "abcd":
        put(kept, key, ENTRY_BYTES - 100)
    assert kept.get("a")
    put(kept, "e", ENTRY_BYTES - 100)
    assert kept.get("b") is None
    assert kept.get("a")


def test_what_is_too_large_is_passed_on_and_not_kept() -> None:
    kept = Kept(ROOM_FOR_FOUR)
    put(kept, "a", ENTRY_BYTES * 2)
    assert kept.get("a") is None
    put(Kept(0), "a", 1)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 2000))))
def test_no_more_is_kept_than_there_is_room_for(answers: list[tuple[str, int]]) -> None:
    kept = Kept(8000)
    for key, size in answers:
        put(kept, key, size)
        found = [kept.get(name) for name in "abcdef"]
        assert sum(len(answer.body) + ENTRY_BYTES for answer in found if answer) <= 8000


def keep_many_searches(kept: Kept) -> None:
    for number in range(3000):
        kept.put(a_search(f"AccessionNumber=N{number}"), Answer(b"[]"))
        uids = ",".join(f"9.{number}.{place}" for place in range(10))
        kept.put(a_search(f"StudyInstanceUID={uids}"), Answer(b"[]"))


def test_many_searches_that_found_nothing_take_no_more_than_there_is_room_for() -> None:
    """hardening.md 3: two bytes of an answer are not all that keeping it takes."""
    kept = Kept(MB)
    tracemalloc.start()
    try:
        keep_many_searches(Kept(0))
        before, _ = tracemalloc.get_traced_memory()  # what reading searches remembers is counted here
        keep_many_searches(kept)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept.get(a_search("AccessionNumber=N2999"))
    assert after - before < MB


def test_the_answer_to_a_very_long_question_is_not_kept() -> None:
    kept = Kept(MB)
    long = a_search("StudyInstanceUID=" + ",".join(f"9.{place}" for place in range(MOST_KEY_CHARACTERS // 5)))
    kept.put(long, Answer(b"[]"))
    assert kept.get(long) is None
