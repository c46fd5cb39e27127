"""Pieces as stored: what is read is what was kept, and they are found by time and by what they hold."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from richpanel.core.profile import Profile
from richpanel.core.session import Event, of_event
from richpanel.store import piece_rows
from richpanel.store.database import open_engine, sqlite_url
from richpanel.store.migrating import migrate
from richpanel.store.piece_rows import Outline, Piece
from richpanel.store.postgres import schema_url
from tests.postgres_server import PostgresServer

SESSIONS = [of_event(Event((t, f"m{t}", "s"), key, page="/")) for t, key in ((10, ""), (20, "k"), (90, ""))]
PIECE = Piece(Profile(created=10, seen=90, events=3, open=SESSIONS), [("o1", (20, "m20", "s"))])


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    url = sqlite_url(tmp_path, "state")
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = schema_url(server.create(tmp_path.name), "state")
    migrate(url, "state")
    engine = open_engine(url)
    with engine.begin() as opened:
        piece_rows.add(opened, 1, (10, 90), [70_000, 3, 5], PIECE)
        piece_rows.add(opened, 1, (100, 200), [4, 6], PIECE)
        piece_rows.add(opened, 2, (10, 90), [8], PIECE)
        yield opened
    engine.dispose()


def test_what_is_read_is_what_was_kept(connection: Connection) -> None:
    (outline,) = piece_rows.outlines(connection, 1, 0, 50)
    assert outline == Outline(1, 10, 90, {3, 5, 70_000})
    assert piece_rows.load(connection, outline.id) == PIECE


@pytest.mark.parametrize(
    ("span", "found"), [((0, 10), []), ((0, 11), [1]), ((90, 100), [1]), ((91, 100), []), ((50, 1000), [1, 2])]
)
def test_they_are_found_by_time(connection: Connection, span: tuple[int, int], found: list[int]) -> None:
    assert [outline.id for outline in piece_rows.outlines(connection, 1, *span)] == found


def test_what_holds_a_message_or_may_is_given_up(connection: Connection) -> None:
    piece_rows.remove_with(connection, [(1, 7)])
    assert [outline.id for outline in piece_rows.outlines(connection, 1, 0, 1000)] == [2]
    piece_rows.remove(connection, [2])
    assert piece_rows.outlines(connection, 1, 0, 1000) == []
    assert len(piece_rows.outlines(connection, 2, 0, 1000)) == 1
