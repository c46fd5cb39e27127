"""Memberships as stored are what the definition says (core/reasons.py), whatever comes in which order and when."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.computed import Computation
from richpanel.core.identity import UID
from richpanel.core.membership import Audience
from richpanel.process import running, tending
from richpanel.process.deciding import TOLD
from richpanel.process.definitions import Watch
from richpanel.process.shared_batch import SharedBatches
from richpanel.store import gathering
from richpanel.store.database import open_engine
from tests.process.account import ARRIVAL, MINUTE, Arrived, Template, copy_of, on_postgres, on_sqlite
from tests.process.audiences import (
    add,
    assert_checked,
    assert_defined,
    assert_looked,
    assert_told,
    audiences,
    computed,
    library,
    tell,
    tend,
)
from tests.process.dump import dump
from tests.process.histories import histories, plans
from tests.process.reference_erasure import Erasure, left_by
from tests.process.regulations import regulation
from tests.process.tables import leftovers
from tests.process.test_law import arrivals, brief, filters, process, set_filters
from tests.process.test_law_erasure import erasures, written
from tests.process.test_rebuilding import different, rebuilt
from tests.process.test_shared_law import entries, handed, share

made = st.lists(audiences | computed, min_size=1, max_size=2)
later = st.sampled_from([0, 1, 15 * MINUTE, 60 * MINUTE, 100 * MINUTE, 10_000 * MINUTE])
begun = st.integers(0, 6)
"""After how many batches the last one is made."""


def check(
    template: Template,
    records: list[Arrived],
    plan: Sequence[tuple[int, bool]],
    whats: Sequence[Audience | Computation],
    begin: int,
    after: int,
    rules: Sequence[str] = (),
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "NARROWEST", 2)
        patch.setattr(running, "WIDEST", 2)
        patch.setattr(gathering, "STEP", 3)
        patch.setattr(gathering, "MOST", 4 if begin % 2 else 1_000)  # Read from the histories, or by number.
        patch.setattr(tending, "DUE", 3)
        account = copy_of(template, Path(folder) / "data")
        try:
            if rules:
                set_filters(account, rules)
            numbers = library(account)
            numbers += [add(account, f"made{at}", what) for at, what in enumerate(whats[:-1])]
            account.write(records)
            turn = 0
            while True:
                if turn == begin:
                    numbers.append(add(account, "last", whats[-1]))
                applied = account.step(plan[turn % len(plan)][0])
                if applied is None:
                    break
                if plan[turn % len(plan)][1]:
                    account.restart()
                else:
                    account.worker.tend(applied.received_at)
                turn += 1
            if turn < begin:
                numbers.append(add(account, "last", whats[-1]))
            now = max((each.at for each in records), default=0) + after
            tend(account, now)
            arrived = arrivals(account, records, rules)
            for number in numbers:
                assert_defined(account, number, arrived, now)
                assert_looked(account, number, now)
            assert_checked(account, numbers, now)
            people = dump(account)
            tell(account, now)
            for number in numbers:
                assert_told(account, number)
            assert tell(account, now) == 0
            assert dump(account) == people  # It is an output: nobody is another for it.
            assert leftovers(account) == {}
        finally:
            account.close()


@on_sqlite
@brief(200)
@given(records=histories, plan=plans, whats=made, begin=begun, after=later)
def test_they_are_the_definition(
    template: Template,
    records: list[Arrived],
    plan: list[tuple[int, bool]],
    whats: list[Audience | Computation],
    begin: int,
    after: int,
) -> None:
    check(template, records, plan, whats, begin, after)


@on_sqlite
@brief(60)
@given(records=histories, plan=plans, whats=made, begin=begun, rules=filters)
def test_it_is_so_where_filters_drop_messages_and_take_fields(
    template: Template,
    records: list[Arrived],
    plan: list[tuple[int, bool]],
    whats: list[Audience | Computation],
    begin: int,
    rules: list[str],
) -> None:
    check(template, records, plan, whats, begin, 0, rules)


@on_postgres
@brief(30)
@given(records=histories, plan=plans, whats=made, begin=begun, after=later)
def test_they_are_the_definition_on_postgresql(
    template: Template,
    records: list[Arrived],
    plan: list[tuple[int, bool]],
    whats: list[Audience | Computation],
    begin: int,
    after: int,
) -> None:
    check(template, records, plan, whats, begin, after)


@brief(60)
@given(records=histories, wanted=erasures, plan=plans, after=later)
def test_what_is_left_is_defined_by_what_was_not_erased(
    template: Template,
    records: list[Arrived],
    wanted: list[tuple[int, Erasure]],
    plan: list[tuple[int, bool]],
    after: int,
) -> None:
    """Also what was told is forgotten with its person, and the messages that told it are."""
    with TemporaryDirectory() as folder:
        account = copy_of(template, Path(folder) / "data")
        try:
            numbers = library(account)
            left = left_by(written(account, records, wanted))
            process(account, plan)
            now = max([ARRIVAL, *(each.at for each in records), *(each.at for _, each in wanted)]) + MINUTE
            tend(account, now)
            tell(account, now)
            for number in numbers:
                assert_defined(account, number, left.arrived, now, left.parted)
                assert_told(account, number)
            for uid in ("u1", "u2", "u3"):
                account.write([regulation(account, "DELETE", {"uid": uid}, name=f"end_{uid}")])
            process(account, plan)
            assert account.rows("SELECT * FROM told") == []
            kept = "SELECT m.plan FROM memberships m JOIN identities i ON i.id = m.profile WHERE i.kind = ?"
            assert account.rows(kept, UID) == []
            assert account.rows("SELECT n FROM messages WHERE outcome = ?", TOLD) == []
            assert leftovers(account) == {}
        finally:
            account.close()


@on_postgres
@brief(25)
@given(records=histories, plan=handed, whats=made, after=later)
def test_they_are_the_definition_whoever_applies_the_messages(
    template: Template, records: list[Arrived], plan: dict[str, int], whats: list[Audience | Computation], after: int
) -> None:
    """Time does what it does, and first runs go on, while others have batches."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "NARROWEST", 2)
        patch.setattr(running, "WIDEST", 2)
        patch.setattr(gathering, "STEP", 3)
        patch.setattr(gathering, "MOST", 4 if len(records) % 2 else 1_000)  # Read from the histories, or by number.
        account = copy_of(template, Path(folder) / "data")
        try:
            numbers = library(account)
            stream = entries(account, records)
            half = len(stream) // 2
            share(account, stream[:half], plan)
            numbers += [add(account, f"made{at}", what) for at, what in enumerate(whats)]
            ended = threading.Event()
            assert account.database is not None
            state = open_engine(account.database.state_url)
            shared = SharedBatches(state, Watch(account.account_engine))
            now = max((each.at for each in records), default=0) + after

            def go_on() -> None:
                while not ended.is_set():
                    shared.tend(now, now, [])

            try:
                with ThreadPoolExecutor(1) as threads:
                    tending_ = threads.submit(go_on)
                    try:
                        share(account, stream[half:], plan)
                    finally:
                        ended.set()
                    tending_.result()
                while shared.tend(now, now, []):
                    pass
            finally:
                state.dispose()
            arrived = arrivals(account, records)
            for number in numbers:
                assert_defined(account, number, arrived, now)
        finally:
            account.close()


@brief(60)
@given(records=histories, plan=plans, whats=made, begin=begun, after=later)
def test_a_state_made_anew_has_the_same(
    template: Template,
    records: list[Arrived],
    plan: list[tuple[int, bool]],
    whats: list[Audience | Computation],
    begin: int,
    after: int,
) -> None:
    """Whatever was told, also where retention has let go of it."""
    with TemporaryDirectory() as folder:
        account = copy_of(template, Path(folder) / "data")
        try:
            library(account)
            account.write(records[:begin])
            process(account, plan)
            for at, what in enumerate(whats):
                add(account, f"made{at}", what)
            account.write(records[begin:])
            process(account, plan)
            now = max([ARRIVAL, *(each.at for each in records)]) + after
            tend(account, now)
            if after % 2:
                tell(account, now)
                account.change("UPDATE told SET number = number + 4")
            assert different(rebuilt(account, now=now)) == {}
        finally:
            account.close()
