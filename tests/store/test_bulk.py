"""Statements for many rows mean the same on either engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import BigInteger, Column, Connection, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.exc import IntegrityError

from richpanel.store.bulk import (
    LISTED,
    NAMED,
    PAIRS,
    Named,
    Pairs,
    delete,
    fetch,
    index_text,
    insert,
    listed,
    many,
    run,
    update,
)
from richpanel.store.database import open_engine
from richpanel.store.postgres import schema_url
from tests.postgres_server import PostgresServer

THINGS = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("big", BigInteger, nullable=False),
    Column("order", Text),
    Column("state", LargeBinary),
)
SECRET = "somebody@example.com"


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'things.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = schema_url(server.create(tmp_path.name), "public")
    engine = open_engine(url)
    with engine.begin() as opened:
        THINGS.create(opened)
        yield opened
    engine.dispose()


def things(connection: Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in fetch(connection, 'SELECT id, big, "order", state FROM things ORDER BY id')]


@pytest.mark.parametrize("count", [1, 31, 200])
def test_rows_come_back_as_they_went_in(connection: Connection, count: int) -> None:
    rows = [
        (n, n << 40, None if n % 3 else f"häß\t\\N\n{n}", None if n % 2 else bytes(range(256))) for n in range(count)
    ]
    insert(connection, THINGS, rows)
    assert things(connection) == rows


TEXTS = ["", "\0", "\0a", "\1", "\1\1", "\1\2", "\2", "a", "a\0", "a\0\0", "a\0b", "a\1", "ab", "é", "\U0001f600"]


@pytest.mark.parametrize("count", [1, 50])
def test_a_text_may_hold_anything_and_is_ordered_by_its_bytes(connection: Connection, count: int) -> None:
    for copy in range(count):
        insert(connection, THINGS, [(copy * 100 + n, copy, text, None) for n, text in enumerate(TEXTS)])
    found = fetch(connection, 'SELECT "order" FROM things WHERE big = 0 ORDER BY "order"')
    assert [row[0] for row in found] == sorted(TEXTS, key=str.encode)
    for text in TEXTS:
        assert fetch(connection, 'SELECT count(*) FROM things WHERE "order" = ?', text) == [(count,)]


def test_numbers_with_texts_are_looked_for_by_both(connection: Connection) -> None:
    insert(connection, THINGS, [(n, n << 40, text, None) for n, text in enumerate(TEXTS)])
    wanted = [(n << 40, text) for n, text in enumerate(TEXTS)] + [(0, "a"), (1 << 60, ""), (-1, "é")]
    statement = f'SELECT id FROM {NAMED} asked CROSS JOIN things ON big = asked.number AND "order" = asked.name'
    assert sorted(row[0] for row in fetch(connection, statement, Named(wanted))) == list(range(len(TEXTS)))


def test_replacing_overwrites_and_the_last_of_several_counts(connection: Connection) -> None:
    insert(connection, THINGS, [(1, 1, "old", b"x"), (2, 2, "stays", None)])
    insert(connection, THINGS, [(1, 5, "first", None), (3, 3, "new", None), (1, 6, "last", b"y")], replace=True)
    assert things(connection) == [(1, 6, "last", b"y"), (2, 2, "stays", None), (3, 3, "new", None)]


def test_ignoring_leaves_what_is_there(connection: Connection) -> None:
    insert(connection, THINGS, [(1, 1, "old", None)])
    insert(connection, THINGS, [(1, 9), (2, 9), (2, 8)], columns=("id", "big"), ignore=True)
    assert things(connection) == [(1, 1, "old", None), (2, 9, None, None)]


def test_rows_are_changed_and_deleted_by_their_keys(connection: Connection) -> None:
    insert(connection, THINGS, [(n, n, str(n), None) for n in range(5)])
    update(
        connection, THINGS, [(None, b"", 1), ("x", b"z", 2), ("y", None, 9)], columns=("order", "state"), keys=("id",)
    )
    delete(connection, THINGS, [(3, 3), (4, 3)], keys=("id", "big"))
    assert things(connection) == [(0, 0, "0", None), (1, 1, None, b""), (2, 2, "x", b"z"), (4, 4, "4", None)]


def test_lists_and_numbered_marks(connection: Connection) -> None:
    insert(connection, THINGS, [(n, n * 10, f"{n}%", None) for n in range(5)])
    assert fetch(connection, f"SELECT id FROM things WHERE id IN {LISTED} ORDER BY id", listed([1, 3, 77])) == [
        (1,),
        (3,),
    ]
    assert fetch(connection, f"SELECT id FROM things WHERE id IN {LISTED}", listed(())) == []
    named = fetch(
        connection, f'SELECT id FROM things WHERE "order" IN {LISTED} AND id < ?', listed({"1%", "2%", "4%"}), 4
    )
    assert sorted(named) == [(1,), (2,)]
    assert fetch(connection, "SELECT id FROM things WHERE big >= ?2 AND id <= ?1 AND big < ?2 + 11", 3, 20) == [
        (2,),
        (3,),
    ]
    assert run(connection, "UPDATE things SET big = 0 WHERE id > ? AND \"order\" LIKE '%'", 2) == 2
    many(connection, "UPDATE things SET big = ?2 WHERE id = ?1 OR big = ?2", [(0, 7), (1, 8)])
    assert [row[:2] for row in things(connection)] == [(0, 7), (1, 8), (2, 20), (3, 0), (4, 0)]


@pytest.mark.parametrize("count", [0, 1, 63, 64, 500])
def test_lists_may_have_any_length(connection: Connection, count: int) -> None:
    insert(connection, THINGS, [(n, n % 3, f"{n}%", None) for n in range(600)])
    wanted = [*range(0, 2 * count, 2)] * 2
    statement = f'SELECT id FROM things WHERE id IN {LISTED} AND "order" IN {LISTED} AND big < ? ORDER BY id'
    found = fetch(connection, statement, listed(wanted), listed(f"{n}%" for n in range(count)), 2)
    assert [row[0] for row in found] == [n for n in range(0, count, 2) if n % 3 < 2]
    assert run(connection, f"DELETE FROM things WHERE id IN {LISTED}", listed(wanted)) == min(count, 300)


def test_pairs_are_a_table(connection: Connection) -> None:
    insert(connection, THINGS, [(n, n * 10, None, None) for n in range(5)])
    statement = f"WITH given AS {PAIRS} SELECT id, low FROM given CROSS JOIN things ON big > low AND big <= high"
    assert sorted(fetch(connection, statement, Pairs([(0, 10), (25, 40), (7, 7)]))) == [(1, 0), (3, 25), (4, 25)]
    assert fetch(connection, statement, Pairs()) == []


def test_what_comes_to_a_count_is_added(connection: Connection) -> None:
    insert(connection, THINGS, [(1, 10, None, None)])
    for more in (5, -7):
        insert(connection, THINGS, [(1, more), (more, more)], columns=("id", "big"), plus="big")
    assert [row[:2] for row in things(connection)] == [(-7, -7), (1, 8), (5, 5)]


def test_a_very_long_text_has_something_shorter_that_stands_for_it(connection: Connection) -> None:
    long = "é" * 32_768
    shown = {index_text(connection, each) for each in (long, f"{long}x", f"x{long}", "short", "short ")}
    assert len(shown) == 5
    assert "short" in shown
    if connection.dialect.name == "postgresql":
        assert max(len(text.encode()) for text in shown) < 2_000
    else:
        assert long in shown


@pytest.mark.parametrize("count", [2, 50])
def test_an_error_tells_nobody_s_values(connection: Connection, count: int) -> None:
    rows = [(n // 2, n, SECRET, None) for n in range(count)]
    with pytest.raises(IntegrityError) as caught, connection.begin_nested():
        insert(connection, THINGS, rows)
    assert SECRET not in str(caught.value)
    assert "(0)" not in str(caught.value)
    assert things(connection) == []
