"""Members: sizes are noted where they change and thinned, and values that say nothing are none; on both engines."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from richpanel.core.conditions import Named, Performed
from richpanel.core.membership import Audience
from richpanel.store.bulk import insert
from richpanel.store.computations import ComputationChanges, add_computation
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.members import count_values, list_sizes, note_size, noted_sizes, value_since, values_of
from richpanel.store.schema import memberships
from tests.store.places import ENGINES, make, place

HOUR, DAY = 3_600_000, 86_400_000
NOW = 1_764_000_000_000


@pytest.fixture(scope="module", params=ENGINES)
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DataDirectory:
    """An account on each engine."""
    path: Path = tmp_path_factory.mktemp(f"members_{request.param}")
    made = place(request.param, request, path)
    make(made)
    return made


@pytest.fixture
def account(directory: DataDirectory) -> Iterator[Connection]:
    """Its definitions."""
    engine = open_engine(directory.account_url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def state(directory: DataDirectory) -> Iterator[Connection]:
    """Its state."""
    engine = open_engine(directory.state_url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def test_sizes_are_kept_by_the_hour_after_a_week(account: Connection) -> None:
    what = Audience(Performed(Named("Seen")))
    changes = ComputationChanges(name="Some")
    of = add_computation(account, "audience", "some", what, changes, draft=True, now=NOW).number
    first = NOW - 9 * DAY
    for number in range(9 * 144):
        note_size(account, of, number, now=first + number * HOUR // 6)
        note_size(account, of, number, now=first + number * HOUR // 6 + 1)  # The same again is not noted.
    kept = list_sizes(account, of, 10_000)
    old, new = [at for at, _ in kept if at < NOW - 7 * DAY - HOUR], [at for at, _ in kept if at >= NOW - 7 * DAY]
    assert len(old) == len({at // HOUR for at in old}) == 47
    assert all(at % HOUR == HOUR // 6 * 5 for at in old)  # The last of each hour.
    assert len(new) == 7 * 144
    assert kept[-1] == (NOW - HOUR // 6, 9 * 144 - 1)
    assert noted_sizes(account)[of] == 9 * 144 - 1


def test_values_that_say_nothing_are_none(state: Connection) -> None:
    values = ("1.5", "null", "0", "[]", '"gold"')
    rows = [(9, profile, b"", value, NOW, None, 1) for profile, value in enumerate(values)]
    insert(state, memberships, rows)
    assert count_values(state, 9) == 2
    assert [values_of(state, profile, [8, 9]) for profile in range(5)] == [{9: "1.5"}, {}, {}, {}, {9: '"gold"'}]
    assert (value_since(state, 9, 0), value_since(state, 9, 7)) == (NOW, None)
