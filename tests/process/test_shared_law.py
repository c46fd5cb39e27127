"""The law where several workers write one state: whatever they are handed, in whichever order and how often."""

import random
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.log.contract import HEADER_SIZE, Entry
from richpanel.log.stream import start_of
from richpanel.process.definitions import Watch
from richpanel.process.shared_batch import OvertakenError, SharedBatches
from richpanel.store import progress, stored_records
from richpanel.store.database import open_engine
from tests.process.account import Account, Arrived, Template, copy_of, on_postgres
from tests.process.histories import histories
from tests.process.test_law import arrivals, assert_law, brief, filters, set_filters, small_pieces
from tests.process.test_rebuilding import Remade, different, remaking

WORKERS = 3
pytestmark = on_postgres
handed = st.fixed_dictionaries(
    {
        "at_once": st.integers(1, 6),
        "again": st.integers(0, 3),
        "seed": st.integers(0, 1 << 16),
    },
)


def entries(account: Account, records: Sequence[Arrived]) -> list[Entry]:
    """The records as a stream has them."""
    found = []
    for sequence, each in enumerate(records, 1):
        payload = b"".join(account._payload(each))
        found.append(Entry(start_of(sequence), start_of(sequence) + HEADER_SIZE + len(payload), payload))
    return found


def share(account: Account, stream: Sequence[Entry], plan: dict[str, int]) -> None:
    """Have the stream applied by workers, each handed some records at a time, in any order, some of them twice."""
    chance = random.Random(plan["seed"])
    size = plan["at_once"]
    assert account.database is not None
    batches = [(list(stream[start : start + size]), False) for start in range(0, len(stream), size)]
    batches += [(chance.sample(stream, min(size, len(stream))), True) for _ in range(plan["again"])]
    chance.shuffle(batches)
    begin = threading.Barrier(WORKERS)
    state = open_engine(account.database.state_url)

    def work(number: int) -> None:
        shared = SharedBatches(state, Watch(account.account_engine))
        begin.wait()
        for batch, seen in batches[number::WORKERS]:
            left = sorted(batch)
            while left:
                try:
                    count, _ = shared.apply(left, orderly=False, seen=seen)
                except OvertakenError:
                    continue
                left = left[count:]

    try:
        with ThreadPoolExecutor(WORKERS) as threads:
            for done in [threads.submit(work, number) for number in range(WORKERS)]:
                done.result()
    finally:
        state.dispose()


def remake(account: Account, stream: Sequence[Entry], plan: dict[str, int]) -> None:
    """Make the state anew while workers write it, and when they are done; both are compared."""
    ended = threading.Event()

    def follow(made: Remade) -> None:
        while not ended.is_set():
            made.advance(lambda _: None)
            assert different(made.compared()) == {}

    with remaking(account) as made, ThreadPoolExecutor(1) as threads:
        following = threads.submit(follow, made)
        try:
            share(account, stream, plan)
        finally:
            ended.set()
        following.result()
        assert different(made.compared()) == {}


def check(template: Template, records: list[Arrived], plan: dict[str, int], rules: Collection[str] = ()) -> None:
    with TemporaryDirectory() as folder:
        account = copy_of(template, Path(folder) / "data")
        try:
            if rules:
                set_filters(account, rules)
            stream = entries(account, records)
            share(account, stream, plan)
            assert_law(account, arrivals(account, records, rules))
            assert account.read(progress.read).position == (stream[-1].end if stream else 0)
        finally:
            account.close()


@brief(40)
@given(records=histories, plan=handed, rules=st.just([]) | filters)
def test_it_is_the_fold_of_the_set_of_messages_whoever_applies_them(
    template: Template, records: list[Arrived], plan: dict[str, int], rules: list[str]
) -> None:
    check(template, records, plan, rules)


@brief(12)
@given(records=histories, plan=handed)
def test_it_is_so_where_histories_are_in_pieces(
    template: Template, records: list[Arrived], plan: dict[str, int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        small_pieces(patch)
        check(template, records, plan)


@brief(25)
@given(records=histories, plan=handed)
def test_a_state_made_anew_while_they_write_equals_theirs(
    template: Template, records: list[Arrived], plan: dict[str, int]
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_records, "_ROWS", 1 + plan["seed"] % 7)
        account = copy_of(template, Path(folder) / "data")
        try:
            remake(account, entries(account, records), plan)
        finally:
            account.close()
