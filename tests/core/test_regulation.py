"""Regulations: ids that can be recognised and not read, and receipts that cannot be changed unnoticed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.identity import ANONYMOUS, EMAIL, UID
from richpanel.core.regulation import (
    Erased,
    Named,
    Receipt,
    Regulation,
    broken,
    covers,
    decode_regulation,
    digest_of,
    encode_regulation,
    hashed,
    index_of,
    seal,
)
from richpanel.store.identities import hash_key

KEY = b"k" * 32


@given(kind=st.sampled_from([UID, ANONYMOUS, EMAIL]), value=st.text())
def test_an_id_is_found_by_its_hash(kind: int, value: str) -> None:
    made = hashed(KEY, kind, value)
    assert index_of(made) == hash_key(KEY, (kind, value))
    assert (len(made), made.isascii()) == (48, True)
    assert made == hashed(KEY, kind, value) != hashed(b"other key" * 4, kind, value)


def test_a_value_is_another_id_of_another_kind() -> None:
    assert hashed(KEY, UID, "a") != hashed(KEY, ANONYMOUS, "a")


def test_a_regulation_is_read_as_it_was_written() -> None:
    made = Regulation("reg_1", "SUPPRESS_WITH_DELETE", [Named(UID, hashed(KEY, UID, "ada"))], "admin")
    assert decode_regulation(encode_regulation(made)) == made
    assert b"ada" not in encode_regulation(made)
    assert (made.deletes, made.suppresses) == (True, True)


@pytest.mark.parametrize(("t", "expected"), [(9, False), (10, True), (19, True), (20, False), (30, True)])
def test_an_interval_ends_before_its_end(t: int, expected: bool) -> None:
    assert covers([(10, 20), (30, 31)], t) == expected


def chain(count: int) -> list[Receipt]:
    made: list[Receipt] = []
    for number in range(count):
        previous = made[-1].hash if made else ""
        tables = {"messages": digest_of(KEY, [str(number)])}
        made.append(seal(KEY, Receipt(f"reg_{number}", "DELETE", number, tables, digest_of(KEY, []), previous)))
    return made


def test_a_whole_chain_is_whole() -> None:
    assert broken(KEY, chain(0)) is None
    assert broken(KEY, chain(5)) is None


@pytest.mark.parametrize("at", range(4))
def test_whatever_is_done_to_a_chain_is_told(at: int) -> None:
    whole = chain(5)
    for changed in (
        [*whole[:at], msgspec.structs.replace(whole[at], finished_at=99), *whole[at + 1 :]],
        [*whole[:at], msgspec.structs.replace(whole[at], tables={}), *whole[at + 1 :]],
        [*whole[:at], *whole[at + 1 :]],
        [*whole[:at], whole[at], whole[at], *whole[at + 1 :]],
        [*whole[:at], whole[at + 1], whole[at], *whole[at + 2 :]],
        [seal(b"forged key" * 3, each) for each in whole],
    ):
        assert broken(KEY, changed) is not None


def test_a_count_and_hash_do_not_depend_on_the_order() -> None:
    assert digest_of(KEY, ["a", "b"]) == digest_of(KEY, ["b", "a"])
    assert digest_of(KEY, ["a", "b"]).hash != digest_of(KEY, ["ab"]).hash
    assert digest_of(KEY, []) == Erased(0, digest_of(KEY, []).hash)
