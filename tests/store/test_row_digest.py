"""The digest of rows: the same for the same rows in any order, and for no others."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from richpanel.store.row_digest import RowDigest

value = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=4) | st.binary(max_size=4)
rows = st.lists(st.tuples(value, value), max_size=8)


def digest(*lots: list[tuple[Any, ...]]) -> RowDigest:
    made = RowDigest()
    for lot in lots:
        made.add(lot)
    return made


def kinds(found: list[tuple[Any, ...]]) -> list[str]:
    return sorted(repr(row) for row in found)


@given(rows, rows, st.randoms())
def test_rows_in_any_order_and_in_any_lots_give_one_digest_and_others_another(
    some: list[tuple[Any, ...]], others: list[tuple[Any, ...]], chance: Any
) -> None:
    shuffled = [*some, *others]
    chance.shuffle(shuffled)
    assert digest(some, others) == digest(shuffled)
    assert str(digest(some, others)) == str(digest(shuffled))
    assert (digest(some) == digest(others)) == (kinds(some) == kinds(others))


def test_a_row_that_is_there_twice_counts_twice_and_what_a_field_holds_stays_in_it() -> None:
    assert digest([(1,), (1,)]) != digest([(1,)])
    assert digest([("a", "b")]) != digest([("ab", "")])
    assert digest([("a",)]) != digest([(b"a",)])
    assert digest([(1,)]) != digest([(True,)])
    assert digest([]).rows == 0
