"""The ledger: what was forgotten stays so; a younger ledger of the same account is taken over."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from richpanel.core.codes import Code
from richpanel.core.regulation import Named, Regulation, broken, digest_of, hashed
from richpanel.store import ledger
from richpanel.store.account import create_account
from richpanel.store.database import open_engine, sqlite_url
from richpanel.store.definitions import definitions_version
from richpanel.store.ledger import Tombstone
from richpanel.store.migrating import migrate
from tests.store.places import ENGINES, place

KEY = b"k" * 32
STONE = Tombstone(1, hashed(KEY, 1, "a1"), 0, 101, True, hashed(KEY, 0, "u1"))


def made(url: str) -> Engine:
    migrate(url, "account")
    engine = open_engine(url)
    with engine.begin() as connection:
        create_account(connection, now=1)
    return engine


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    directory = place(request.param, request, tmp_path)
    directory.path.mkdir()
    opened = made(directory.account_url)
    yield opened
    opened.dispose()


def regulation(name: str) -> Regulation:
    return Regulation(name, "DELETE", [Named(0, hashed(KEY, 0, "u1"))])


def follow(engine: Engine, name: str, *, finish: bool = True) -> None:
    with engine.begin() as connection:
        tables = {"messages": digest_of(KEY, [name])}
        ledger.begin(connection, regulation(name), 100, tombstones=[STONE], messages=[7, -7], erased=tables)
        if finish:
            ledger.finish(connection, KEY, name, 200)


def test_a_regulation_goes_its_way(engine: Engine) -> None:
    with engine.begin() as connection:
        assert ledger.note(connection, regulation("r1"), 100)
        assert not ledger.note(connection, regulation("r1"), 100)
        version = definitions_version(connection)
    follow(engine, "r1", finish=False)
    with engine.begin() as connection:
        row = ledger.find(connection, "r1")
        assert row is not None
        assert (row.status, row.receipt) == ("RUNNING", None)
        assert definitions_version(connection) > version, "every process hears of new tombstones"
        ledger.explain(connection, ["r1"], "a backup runs")
        ledger.finish(connection, KEY, "r1", 200)
        row = ledger.find(connection, "r1")
        assert row is not None
        assert row.receipt is not None
        assert (row.status, row.finished_at, row.problem) == ("FINISHED", 200, None)
        assert row.receipt.tables == {"messages": digest_of(KEY, ["r1"])}
    follow(engine, "r1")  # A state that is made anew meets it again.
    with engine.connect() as connection:
        assert ledger.find(connection, "r1") == row
        assert ledger.all_tombstones(connection) == ({STONE.hashed: [(0, 101)]}, {STONE.hashed: [101]})
        assert ledger.erased_among(connection, [7, 8]) == {7}


def test_what_did_not_get_into_the_log_is_withdrawn_and_nothing_else(engine: Engine) -> None:
    follow(engine, "r1")
    with engine.begin() as connection:
        ledger.note(connection, regulation("r2"), 100)
        ledger.withdraw(connection, "r1")
        ledger.withdraw(connection, "r2")
        assert [row.id for row in ledger.newest(connection, 10)] == ["r1"]


def test_what_never_came_is_given_up_and_comes_nevertheless(engine: Engine) -> None:
    with engine.begin() as connection:
        ledger.note(connection, regulation("r1"), 100)
        ledger.note(connection, regulation("r2"), 200)
        assert not ledger.lost(connection, 100)
        assert ledger.lost(connection, 101)
        ledger.give_up(connection, 101)
        assert not ledger.lost(connection, 101)
        assert [row.status for row in ledger.oldest_first(connection)] == ["FAILED", "INITIALIZED"]
    follow(engine, "r1")
    with engine.connect() as connection:
        row = ledger.find(connection, "r1")
        assert row is not None
        assert (row.status, row.problem) == ("FINISHED", None)


def test_receipts_are_chained_in_the_order_in_which_they_are_written(engine: Engine) -> None:
    follow(engine, "r1", finish=False)
    follow(engine, "r2")
    follow(engine, "r3")
    with engine.begin() as connection:
        ledger.finish(connection, KEY, "r1", 300)
        assert [receipt.regulation for receipt in ledger.chain(connection)] == ["r2", "r3", "r1"]
        assert broken(KEY, ledger.chain(connection)) is None


def test_a_younger_ledger_is_taken_over(engine: Engine, tmp_path: Path) -> None:
    other = made(sqlite_url(tmp_path, "account"))
    for name in ("r1", "r2", "r3"):
        follow(other, name)
    follow(engine, "r1")
    follow(engine, "r2", finish=False)
    counts = {("src", 0, Code.ERASED): 3}
    with other.begin() as theirs, engine.begin() as connection:
        ledger.count_refusals(theirs, counts)
        ledger.count_refusals(theirs, counts)
        ledger.count_refusals(connection, counts)
        assert ledger.adopt(connection, theirs) == ["r2", "r3"]
        assert ledger.adopt(connection, theirs) == []
        assert ledger.chain(connection) == ledger.chain(theirs)
        assert ledger.tombstones_of(connection, "r3") == [STONE]
        assert ledger.refusals(connection, 10) == [("src", 0, "erased", 6)]
    other.dispose()
