"""Memberships as stored are what the definition says (core/reasons.py), whatever comes in which order and when."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.computed import Computation
from richpanel.core.membership import Audience
from richpanel.process import tending
from tests.process.account import MINUTE, Arrived, Template, copy_of, on_postgres, on_sqlite
from tests.process.audiences import add, assert_defined, audiences, computed, library, tend
from tests.process.histories import histories, plans
from tests.process.test_law import arrivals, law

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
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tending, "SLICE", 2)
        patch.setattr(tending, "DUE", 3)
        account = copy_of(template, Path(folder) / "data")
        try:
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
            arrived = arrivals(account, records)
            for number in numbers:
                assert_defined(account, number, arrived, now)
        finally:
            account.close()


@on_sqlite
@law(200)
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


@on_postgres
@law(30)
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
