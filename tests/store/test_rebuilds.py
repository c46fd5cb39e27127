"""How far the newest rebuild is, on both engines; and that a change of settings, back again too, leaves one due."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection

from richpanel.store import account, rebuilds
from richpanel.store.database import open_engine
from richpanel.store.rebuilds import SILENT_MS, RebuildRow
from tests.store.places import ENGINES, make, place

NOW = 1_764_000_000_000


@pytest.fixture(params=ENGINES)
def conn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    directory = place(request.param, request, tmp_path)
    make(directory)
    made = open_engine(directory.account_url)
    with made.begin() as connection:
        yield connection
    made.dispose()


def test_it_is_told_from_its_beginning_to_its_end(conn: Connection) -> None:
    assert rebuilds.newest(conn) is None
    rebuilds.begin(conn, now=NOW)
    rebuilds.tell(conn, "fold", 30, 120, now=NOW + 1)
    row = rebuilds.newest(conn)
    assert row == RebuildRow("fold", 30, 120, NOW, NOW + 1, None, None)
    assert (row.share, row.runs(NOW + 2), row.runs(NOW + 1 + SILENT_MS)) == (0.25, True, False)
    rebuilds.end(conn, "the disk is full", now=NOW + 9)
    row = rebuilds.newest(conn)
    assert row is not None
    assert (row.ended_at, row.problem, row.runs(NOW + 9)) == (NOW + 9, "the disk is full", False)
    rebuilds.begin(conn, now=NOW + 20)
    assert rebuilds.newest(conn) == RebuildRow("fold", 0, None, NOW + 20, NOW + 20, None, None)


def test_one_is_due_until_the_state_was_made_with_the_present_settings(conn: Connection) -> None:
    first = account.create_account(conn, now=NOW)
    other = msgspec.structs.replace(first, currency="EUR")
    account.write_account(conn, other, folded=False)
    assert account.folded_with(conn) is None, "nothing was folded"
    account.write_account(conn, other)
    assert account.folded_with(conn) is None, "nothing was changed"
    account.write_account(conn, first)
    assert account.folded_with(conn) == other
    account.write_account(conn, other)
    assert account.folded_with(conn) == other, "what came in between was folded with others"
    account.made_anew(conn, first)
    assert account.folded_with(conn) == first, "changed while it was made"
    account.made_anew(conn, other)
    assert account.folded_with(conn) is None
