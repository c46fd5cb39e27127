"""The law with regulations in the history (semantics.md 1 and 10): what is left is the fold of what was not erased."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.store import parts, piece_rows, schema
from tests.process import reference
from tests.process.account import ARRIVAL, MINUTE, T0, Account, Arrived, Template, copy_of, on_postgres, on_sqlite
from tests.process.dump import dump
from tests.process.histories import EMAILS, histories, plans
from tests.process.reference_erasure import Erasure, left_by
from tests.process.reference_messages import Arrival
from tests.process.regulations import regulation
from tests.process.tables import leftovers
from tests.process.test_law import arrivals, assert_found, brief, differences, process, small_pieces

named = st.one_of(
    st.sampled_from(("u1", "u2")).map(lambda value: ("uid", value)),
    st.sampled_from(("a1", "a2")).map(lambda value: ("anonymousId", value)),
    st.just(("email", EMAILS[0])),
)
instants = st.sampled_from((T0 + 90 * MINUTE, T0 + 30 * MINUTE, ARRIVAL + 90 * 60 * MINUTE))
"""When a regulation came in: amid the times that the messages tell, or long after them."""
erasures = st.lists(st.tuples(st.integers(0, 12), st.builds(Erasure, named, instants)), max_size=3)
KEYS = {"uid": "uid", "anonymousId": "device", "email": "email"}


def written(account: Account, records: list[Arrived], wanted: list[tuple[int, Erasure]]) -> list[Arrival | Erasure]:
    """Write the records with the regulations among them; give what the reference takes."""
    history: list[Arrival | Erasure] = []
    for index in range(len(records) + 1):
        for number, (place, erasure) in enumerate(wanted):
            if min(place, len(records)) == index:
                kind, value = erasure.named
                record = regulation(account, "DELETE", {KEYS[kind]: value}, name=f"reg_{number}")
                record.at = erasure.at
                account.write([record])
                history.append(erasure)
        if index < len(records):
            account.write([records[index]])
            history += arrivals(account, [records[index]])
    return history


def check(
    template: Template, records: list[Arrived], wanted: list[tuple[int, Erasure]], plan: list[tuple[int, bool]]
) -> None:
    """Apply records and regulations as planned, and compare all people with the reference."""
    with TemporaryDirectory() as folder:
        account = copy_of(template, Path(folder) / "data")
        try:
            left = left_by(written(account, records, wanted))
            process(account, plan)
            expected = reference.fold(left.arrived, left.parted)
            assert differences(dump(account), expected) == {}
            assert_found(account, expected)
            assert leftovers(account) == {}
            assert_pieces_hold_what_is_there(account)
        finally:
            account.close()


@on_postgres
@brief(25)
@given(records=histories, wanted=erasures, plan=plans)
def test_it_is_so_on_postgresql_where_histories_are_in_pieces(
    template: Template, records: list[Arrived], wanted: list[tuple[int, Erasure]], plan: list[tuple[int, bool]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        small_pieces(patch, 2 + len(records) % 2)
        check(template, records, wanted, plan)


@on_sqlite
@brief(150)
@given(records=histories, wanted=erasures, plan=plans)
def test_what_is_left_is_the_fold_of_what_was_not_erased(
    template: Template, records: list[Arrived], wanted: list[tuple[int, Erasure]], plan: list[tuple[int, bool]]
) -> None:
    check(template, records, wanted, plan)


@on_sqlite
@brief(100)
@given(records=histories, wanted=erasures, plan=plans)
def test_it_is_so_where_histories_are_in_pieces_and_span_many_parts(
    template: Template, records: list[Arrived], wanted: list[tuple[int, Erasure]], plan: list[tuple[int, bool]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        small_pieces(patch, 2 + len(records) % 2)
        for module in (schema, parts):
            patch.setattr(module, "PART", 4)
        patch.setattr(parts, "_BITS", 1 << 9)
        check(template, records, wanted, plan)


def assert_pieces_hold_what_is_there(account: Account) -> None:
    """A piece is made of bodies: one of a message that is gone would keep what was erased."""
    there = {number for (number,) in account.rows("SELECT n FROM messages")}
    for identity, low, high in account.rows("SELECT DISTINCT identity, low, high FROM pieces"):
        for piece in account.read(piece_rows.outlines, identity, low, high + 1):
            assert piece.numbers <= there
