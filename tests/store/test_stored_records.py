"""Records out of the table of bodies: whole ones as they were, and of others what is kept."""

import pytest
from sqlalchemy import Connection

from richpanel.core import record as records
from richpanel.core.record import encode
from richpanel.store import bodies, stored_records
from richpanel.store.bodies import keep
from richpanel.store.stored_records import StoredRecord, put_heads
from tests.store.test_bodies import OTHER, START, THREE, connection, record

__all__ = ["connection"]

THIRD = record(*(b'{"n":%d}' % number for number in range(9)), start=START + (2 << 21))


def read(connection: Connection, position: int = 0, until: int | None = None, size: int = 1 << 20) -> list[int]:
    """The starts of the records that are read."""
    return [each.start for each in stored_records.read(connection, position, until, size)]


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 1_000])
def test_whole_records_are_what_came(connection: Connection, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(stored_records, "_ROWS", rows)
    keep(connection, [*THIRD, *THREE, *OTHER])
    found = stored_records.read(connection, 0)
    for each, kept in zip(found, (THREE, OTHER, THIRD), strict=True):
        meta, items, _ = records.decode(each.payload)
        assert each.payload == b"".join(encode(meta, [body.data for body in kept]))
        assert [each.start + offset for offset, _ in items] == [body.place for body in kept] == sorted(each.places)
        assert each.head == kept[0].head


def test_they_are_read_some_at_a_time(connection: Connection) -> None:
    keep(connection, [*THREE, *OTHER, *THIRD])
    first, second, third = stored_records.read(connection, 0)
    assert read(connection, size=1) == [first.start]
    assert read(connection, first.end) == [second.start, third.start]
    assert read(connection, first.end, third.start) == [second.start]
    assert read(connection, third.end) == read(connection, first.end, second.start) == []


def test_what_is_not_kept_is_spaces(connection: Connection) -> None:
    keep(connection, [THREE[0], THREE[2], *OTHER])
    found = stored_records.read(connection, 0)[0]
    assert found.places == {THREE[0].place, THREE[2].place}
    _, items, _ = records.decode(found.payload)
    assert [records.is_erased(body) for _, body in items] == [False, True, False]
    bodies.remove(connection, [bodies.Place(THREE[2].place, THREE[2].lead)])
    assert stored_records.read(connection, 0)[0].places == {THREE[0].place}


def test_heads_are_kept_as_they_are_now(connection: Connection) -> None:
    keep(connection, THREE)
    (found,) = stored_records.read(connection, 0)
    scrubbed = records.erase_head(THREE[0].head, [THREE[1].lead])
    put_heads(connection, [StoredRecord(found.start, scrubbed + found.payload[len(scrubbed) :], found.places)])
    assert stored_records.read(connection, 0)[0].head == scrubbed != THREE[0].head


def test_a_row_of_no_record_is_told(connection: Connection) -> None:
    keep(connection, THREE)
    connection.exec_driver_sql("DELETE FROM bodies WHERE place = %s", (START,))
    with pytest.raises(ValueError, match="is no record's head"):
        stored_records.read(connection, 0)
