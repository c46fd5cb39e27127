"""The limit on tries: it grows, passes, forgets, holds for those that come at once, and keeps few rows."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, insert, select

from richpanel.store.database import open_engine
from richpanel.store.definitions import sign_in_tries
from richpanel.store.sign_in_tries import MOST, begin_try, wait_of, was_right
from tests.store.places import ENGINES, make, place

NOW = 1_795_000_000_000
KEYS = ("login ada", "client 203.0.113.7")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    directory = place(request.param, request, tmp_path)
    make(directory)
    engine = open_engine(directory.account_url)
    yield engine
    engine.dispose()


def tried(engine: Engine, now: int, *keys: str) -> int:
    with engine.begin() as connection:
        return begin_try(connection, keys or KEYS, now=now)


def test_each_failure_after_five_waits_longer(engine: Engine) -> None:
    assert [tried(engine, NOW) for _ in range(6)] == [0, 0, 0, 0, 0, 1]
    assert tried(engine, NOW + 999) == 1
    assert tried(engine, NOW + 1_000) == 0
    assert tried(engine, NOW + 1_000) == 2
    assert tried(engine, NOW + 1_000, "login bob", KEYS[1]) == 2, "the address has tried, whoever it says it is"
    assert tried(engine, NOW + 1_000, "login bob") == 0
    now = NOW + 3_000
    for pause in (4, 8, 16, 32, 64, 128, 256, 300, 300):
        assert tried(engine, now) == 0
        assert tried(engine, now) == pause
        now += pause * 1_000
    with engine.begin() as connection:
        assert wait_of(connection, KEYS, now=now) == 0
    now += 300_001
    assert [tried(engine, now) for _ in range(6)] == [0, 0, 0, 0, 0, 1], "quiet for long enough"


def test_who_was_right_begins_afresh(engine: Engine) -> None:
    for _ in range(5):
        tried(engine, NOW)
    with engine.begin() as connection:
        assert wait_of(connection, KEYS, now=NOW) == 1
        was_right(connection, KEYS)
        assert wait_of(connection, KEYS, now=NOW) == 0
    assert [tried(engine, NOW) for _ in range(6)] == [0, 0, 0, 0, 0, 1]


def test_tries_that_come_at_once_pass_no_sooner(engine: Engine) -> None:
    with ThreadPoolExecutor(12) as threads:
        waits = list(threads.map(lambda number: tried(engine, NOW, *(KEYS if number % 2 else KEYS[::-1])), range(24)))
    assert sorted(waits) == [0] * 5 + [1] * 19


def test_few_rows_are_kept(engine: Engine) -> None:
    def fill(name: str, number: int, until: int) -> None:
        rows = [{"key": f"{name} {each}", "failures": 9, "until": until} for each in range(number)]
        with engine.begin() as connection:
            connection.execute(insert(sign_in_tries), rows)

    def kept() -> int:
        with engine.begin() as connection:
            return connection.execute(select(func.count()).select_from(sign_in_tries)).scalar_one()

    fill("old", 150, NOW - 300_001)
    tried(engine, NOW)
    tried(engine, NOW)
    assert kept() == 2, "what is long over goes, some with each try"
    fill("new", MOST + 50, NOW + 60_000)
    tried(engine, NOW, "login eve")
    assert kept() == MOST + 1
    for number in range(3):
        tried(engine, NOW + 1_000, f"login {number}")
    assert kept() <= MOST + 1
