"""Bodies in PostgreSQL: kept once, read one by one or ahead, and gone with all that heads say of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from richpanel.core.codes import Code
from richpanel.core.record import BodyGone, Discard, Meta, encode, head, item_offsets
from richpanel.store import bodies, message_rows
from richpanel.store.bodies import Kept, LogBodies, Place, StoredBodies, bodies_of, keep
from richpanel.store.database import open_engine, sqlite_url
from richpanel.store.migrating import migrate
from richpanel.store.postgres import schema_url
from tests.postgres_server import PostgresServer

START = 1 << 40
"""Where a record's payload begins."""


def record(*items: bytes, start: int = START, **meta: Any) -> list[Kept]:
    """A record's bodies, with its head."""
    payload = b"".join(encode(Meta(1, "src_1", [], **meta), list(items)))
    return [
        Kept(start + offset, offset, item, head(payload))
        for offset, item in zip(item_offsets(payload), items, strict=True)
    ]


THREE = record(b"{}", b'{"a":1}', b"[", ids={0: "given-0", 1: "given-1"}, ip="192.0.2.7")
OTHER = record(b"{}", start=START + (1 << 21))


@pytest.fixture
def connection(postgres: PostgresServer, tmp_path: Path) -> Iterator[Connection]:
    url = schema_url(postgres.create(tmp_path.name), "state")
    migrate(url, "state")
    engine = open_engine(url)
    with engine.begin() as opened:
        yield opened
    engine.dispose()


def rows(connection: Connection) -> dict[int, bytes]:
    return {place: bytes(data) for place, data in connection.exec_driver_sql("SELECT place, data FROM bodies")}


def test_how_far_back_they_go(connection: Connection) -> None:
    assert bodies.kept_since(connection) is None
    earlier = b"".join(encode(Meta(77, "src_1", []), [b"{}"]))
    (body,) = [Kept(500 + offset, offset, b"{}", head(earlier)) for offset in item_offsets(earlier)]
    keep(connection, OTHER)
    assert bodies.kept_since(connection) == 1
    keep(connection, [body])
    assert bodies.kept_since(connection) == 77


def test_what_is_kept_is_read(connection: Connection) -> None:
    keep(connection, [*THREE, *OTHER])
    stored = StoredBodies(connection)
    for _ in range(2):
        assert [stored(each.place, len(each.data)) for each in THREE] == [each.data for each in THREE]
        meta = message_rows.meta(stored, THREE[1].place, THREE[1].lead)
        assert (meta.ids, meta.ip, meta.sizes) == ({0: "given-0", 1: "given-1"}, "192.0.2.7", [2, 7, 1])
        stored.ahead([*THREE, *OTHER])
    with pytest.raises(BodyGone):
        stored(START + 1, 2)
    assert len(rows(connection)) == 6


def test_what_was_loaded_ahead_asks_nothing_more(connection: Connection) -> None:
    keep(connection, [*THREE, *OTHER])
    stored = StoredBodies(connection)
    stored.ahead([*THREE, *OTHER])
    connection.exec_driver_sql("DELETE FROM bodies")
    assert [stored(each.place, 0) for each in (*THREE, *OTHER)] == [each.data for each in (*THREE, *OTHER)]
    assert stored.head(START) == THREE[0].head[4:]
    stored.ahead(())
    with pytest.raises(BodyGone):
        stored(START, 0)


def test_a_head_is_kept_once_and_a_body_may_be_kept_once(connection: Connection) -> None:
    keep(connection, THREE[:1])
    keep(connection, THREE[1:])
    assert len(rows(connection)) == 4
    with pytest.raises(IntegrityError), connection.begin_nested():
        keep(connection, THREE[2:])
    assert bodies.there(connection, [THREE[0].place, 5]) == {THREE[0].place}


def test_a_head_goes_with_the_last_body(connection: Connection) -> None:
    keep(connection, [*THREE, *OTHER])
    bodies.remove(connection, [Place(THREE[0].place, THREE[0].lead)])
    assert b"given-0" not in rows(connection)[START]
    meta = message_rows.meta(StoredBodies(connection), THREE[1].place, THREE[1].lead)
    assert (meta.ids, meta.ip) == ({1: "given-1"}, "192.0.2.7")
    assert item_offsets(rows(connection)[START]) == [each.lead for each in THREE]
    bodies.remove(connection, THREE[1:])
    assert rows(connection) == {START + (1 << 21): OTHER[0].head, OTHER[0].place: b"{}"}
    bodies.remove(connection, THREE)  # Nothing is left to be removed.


def test_a_head_tells_nothing_of_what_was_refused_for_privacy(connection: Connection) -> None:
    discards = [Discard(Code.MESSAGE_TOO_LARGE, 40_000, "theirs")]
    kept, private, refused = record(b"{}", b"{}", b"{", ids={1: "theirs"}, discards=discards)
    keep(connection, [kept], [private.place, refused.place])
    assert b"theirs" not in rows(connection)[START]
    assert set(rows(connection)) == {START, kept.place}


def test_nothing_of_it_concerns_sqlite(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path, "state")
    migrate(url, "state")
    engine = open_engine(url)
    written = THREE[0].head + b"{}\n"
    with engine.begin() as connection:
        keep(connection, THREE)
        bodies.remove(connection, THREE)
        found = bodies_of(connection, lambda place, size: written[place - START :][:size])
        assert isinstance(found, LogBodies)
        assert bodies_of(connection, found) is found
        found.ahead(THREE)
        assert found(THREE[0].place, 2) == b"{}"
        assert found.head(START) == THREE[0].head[4:]
    engine.dispose()
