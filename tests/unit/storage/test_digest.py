import hashlib

from hypothesis import given
from hypothesis import strategies as st

from relais.storage.digest import SIZE_BYTES, digest_of, new_digest


@given(st.lists(st.binary(max_size=50)))
def test_pieces_and_the_whole_have_one_digest(pieces: list[bytes]) -> None:
    digest = new_digest()
    for piece in pieces:
        digest.update(memoryview(piece))
    assert digest.digest() == digest_of(b"".join(pieces)) == hashlib.sha256(b"".join(pieces)).digest()


def test_a_digest_has_a_fixed_size() -> None:
    assert len(digest_of(b"")) == SIZE_BYTES
