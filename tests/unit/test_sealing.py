"""What is sealed opens with its key, for its purpose and at its place, and nowhere else."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contact_hub.operations.sealed_file import PIECE_BYTES, SealedWriter, read_pieces
from contact_hub.sealing import OVERHEAD, Sealer, Unsealable

KEY = "the first key of the city hall"
NEXT = "the second key of the city hall"

data = st.binary(max_size=300)


@given(data, st.binary(max_size=20))
def test_what_is_sealed_opens_again(words: bytes, about: bytes) -> None:
    sealed = Sealer(KEY).seal("attachment", words, about)
    assert Sealer(KEY).unseal("attachment", sealed, about) == words
    assert len(sealed) == len(words) + OVERHEAD


@given(data, st.data())
def test_a_change_of_any_bit_is_noticed(words: bytes, draw: st.DataObject) -> None:
    sealer = Sealer(KEY)
    sealed = bytearray(sealer.seal("totp", words))
    where = draw.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[where // 8] ^= 1 << where % 8
    with pytest.raises(Unsealable):
        sealer.unseal("totp", bytes(sealed))


@given(data, st.data())
def test_a_part_that_is_missing_is_noticed(words: bytes, draw: st.DataObject) -> None:
    sealer = Sealer(KEY)
    sealed = sealer.seal("totp", words)
    with pytest.raises(Unsealable):
        sealer.unseal("totp", sealed[: draw.draw(st.integers(0, len(sealed) - 1))])


def test_the_same_words_are_never_sealed_alike() -> None:
    assert len({Sealer(KEY).seal("totp", b"123456") for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("sealer", "purpose", "about", "why"),
    [
        (Sealer(KEY), "webhook secret", b"row 1", "something else"),
        (Sealer(KEY), "totp", b"row 2", "something else"),
        (Sealer(NEXT), "totp", b"row 1", "another SECRET_KEY"),
    ],
)
def test_another_purpose_place_or_key_does_not_open(
    sealer: Sealer, purpose: str, about: bytes, why: str
) -> None:
    sealed = Sealer(KEY).seal("totp", b"secret", b"row 1")
    with pytest.raises(Unsealable, match=why):
        sealer.unseal(purpose, sealed, about)


def test_a_former_key_still_opens_and_only_the_present_one_seals() -> None:
    old = Sealer(KEY).seal("totp", b"secret")
    both = Sealer(NEXT, KEY)
    assert both.unseal("totp", old) == b"secret"
    anew = both.seal("totp", b"secret")
    assert anew.startswith(both.head)
    assert not old.startswith(both.head)
    assert Sealer(NEXT).unseal("totp", anew) == b"secret"


def test_no_key_is_found_in_what_it_derives_or_in_its_name() -> None:
    sealer = Sealer(KEY)
    assert sealer.key("a") != sealer.key("b")
    assert sealer.key("a", salt=b"1" * 32) != sealer.key("a")
    assert KEY.encode().hex()[:8] != sealer.key_id


# Files ---------------------------------------------------------------------------------------------


def _written(*parts: bytes, key: str = KEY) -> bytes:
    file = io.BytesIO()
    writer = SealedWriter(file, Sealer(key), "backup")
    for part in parts:
        writer.write(part)
        writer.end_piece()
    writer.close()
    assert writer.written == len(file.getvalue())
    return file.getvalue()


def _read(sealed: bytes, key: str = KEY) -> bytes:
    return b"".join(read_pieces(io.BytesIO(sealed), Sealer(key), "backup"))


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_a_file_opens_again(parts: list[bytes]) -> None:
    assert _read(_written(*parts)) == b"".join(parts)


def test_a_file_of_many_pieces_opens_again_and_lets_nothing_through() -> None:
    words = b"Mrs Byrne wrote this. " * (3 * PIECE_BYTES // 22)
    sealed = _written(words)
    assert _read(sealed) == words
    assert b"Mrs Byrne" not in sealed


@settings(max_examples=300)
@given(st.data())
def test_a_change_of_any_bit_of_a_file_is_noticed(draw: st.DataObject) -> None:
    sealed = bytearray(_written(b"manifest", b"one", b"two"))
    where = draw.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[where // 8] ^= 1 << where % 8
    with pytest.raises(Unsealable):
        _read(bytes(sealed))


def test_a_file_cut_short_anywhere_is_noticed() -> None:
    sealed = _written(b"manifest", b"one", b"two")
    for length in range(len(sealed)):
        with pytest.raises(Unsealable):
            _read(sealed[:length])


def _pieces(sealed: bytes) -> tuple[bytes, list[bytes]]:
    head, rest = sealed[:55], sealed[55:]
    found = []
    while rest:
        size = 5 + int.from_bytes(rest[1:5], "big")
        found.append(rest[:size])
        rest = rest[size:]
    return head, found


@pytest.mark.parametrize(
    "change",
    [
        lambda pieces: [pieces[1], pieces[0], *pieces[2:]],  # mixed up
        lambda pieces: [pieces[0], *pieces[2:]],  # one left out
        lambda pieces: [pieces[0], pieces[0], *pieces[1:]],  # one doubled
        lambda pieces: pieces[:-1],  # without its end
        lambda pieces: [*pieces, pieces[-1]],  # with two ends
        lambda pieces: [*pieces[:-2], b"\1" + pieces[-2][1:]],  # an end where there was none
    ],
)
def test_pieces_in_another_order_are_noticed(change: Callable[[list[bytes]], list[bytes]]) -> None:
    head, pieces = _pieces(_written(b"manifest", b"one", b"two"))
    assert _read(head + b"".join(pieces))
    with pytest.raises(Unsealable):
        _read(head + b"".join(change(pieces)))


def test_pieces_of_another_file_do_not_fit() -> None:
    head, pieces = _pieces(_written(b"manifest", b"one"))
    _, others = _pieces(_written(b"manifest", b"two"))
    with pytest.raises(Unsealable):
        _read(head + pieces[0] + others[1] + pieces[2])


def test_a_wrong_key_and_a_foreign_file_are_told_apart() -> None:
    with pytest.raises(Unsealable, match="another SECRET_KEY"):
        _read(_written(b"x"), key=NEXT)
    with pytest.raises(Unsealable, match="no sealed file"):
        _read(b"PK\x03\x04 something else entirely, and long enough to be a head of a file")
