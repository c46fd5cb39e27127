"""Copying a state from SQLite to PostgreSQL: every row, whatever stands in it, and what goes on behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from richpanel.core.codes import Code
from richpanel.core.conditions import Named, Performed
from richpanel.core.membership import Audience
from richpanel.core.record import BodyGone, Discard
from richpanel.process.rebuilding import Known, compare_states
from richpanel.store import bodies, half_copy, moving, schema
from richpanel.store.account import account_name
from richpanel.store.bodies import LogBodies, StoredBodies
from richpanel.store.bulk import fetch, insert, run
from richpanel.store.database import Branch, open_engine, reading
from richpanel.store.half_copy import HalfCopy, HalfCopyError
from richpanel.store.migrating import migrate
from richpanel.store.moving import MOVES, copy_table, digest_of, settle
from richpanel.store.moving_account import copy_account, digest_of_account
from richpanel.store.moving_bodies import copy_bodies, count_bodies, digest_of_bodies
from richpanel.store.numbering import Taking
from richpanel.store.postgres import schema_url
from richpanel.store.row_digest import RowDigest
from richpanel.store.search import matching
from richpanel.store.tokens import add_token, find_token
from richpanel.store.users import add_user, check_login
from tests.postgres_server import PostgresServer
from tests.process.account import Account, Arrived, copy_of, make_template
from tests.process.audiences import add
from tests.process.calls import activity, identify, page, track
from tests.process.regulations import regulation

HUGE = 2**62
LONG = "N" * 400
BRANCHES: tuple[Branch, ...] = ("account", "state")
BAD = Code.ID_NOT_STRING
STORY = [
    Arrived([page(0, None, "a1"), track(1, "Order Completed", None, "a1", order_id="o1", total=10)]),
    Arrived([identify(2, "u1", "a1", email="a@x", name="Zoë Ångström"), page(40, "u1", "a1"), page(120, "u1")]),
    Arrived([identify(20, "u2", "a1"), page(30, None, "a1"), track(3, "Order Refunded", "u1", order_id="o1", total=1)]),
    Arrived([activity(50, email="a@x")], "Channels", door="channel"),
    Arrived([page(0, "nul\0and\1one", "a\0"), page(60, None, "a2"), identify(61, "gid://shop/1", "a3", name=LONG)]),
    Arrived([page(1, "u1", "a1", richpanel_session_id="s" * 900)], discards=[(Discard(BAD, 5, "d1"), b"{bad}")]),
]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_template(tmp_path_factory.mktemp("template") / "data")


@pytest.fixture
def account(template: Any, tmp_path: Path) -> Iterator[Account]:
    made = copy_of(template, tmp_path / "data")
    yield made
    made.close()


@pytest.fixture(scope="module")
def empty(postgres: PostgresServer) -> str:
    """The name of a database with this version's tables."""
    url = postgres.create("moving")
    for branch in BRANCHES:
        migrate(schema_url(url, branch), branch)
    return "moving"


@pytest.fixture
def place(postgres: PostgresServer, empty: str, tmp_path: Path) -> Iterator[str]:
    """A new database like it."""
    yield postgres.create(tmp_path.name, empty)
    postgres.drop(tmp_path.name)


@contextmanager
def opened(place: str, branch: str = "state") -> Iterator[Engine]:
    engine = open_engine(schema_url(place, branch))
    yield engine
    engine.dispose()


@contextmanager
def state_of(account: Account) -> Iterator[Connection]:
    engine = open_engine(account.directory.state_url, read_only=True)
    with reading(engine) as connection:
        yield connection
    engine.dispose()


def move(account: Account, new: Engine, position: int = 1 << 40, log: Any = None) -> dict[str, RowDigest]:
    """Copies the state as the command does, and holds every table against its digest."""
    with state_of(account) as old:
        digests = {name: copy_table(old, new, name, lambda _: None) for name in MOVES}
        kept = copy_bodies(old, new, LogBodies(log or account.reader.slice), lambda _: None)
        with new.begin() as connection:
            settle(old, connection, position)
    with reading(new) as connection:
        assert {name: digest_of(connection, name, lambda _: None) for name in MOVES} == digests
        assert digest_of_bodies(connection, lambda _: None) == kept
    return digests


def test_a_state_that_was_copied_is_what_it_was(account: Account, place: str) -> None:
    add(account, "viewed", Audience(Performed(Named("Page Viewed"))))
    account.write([*STORY, Arrived([page(0, None, "a1")])])
    account.write(STORY[:1])  # Repeats: the same ids once more.
    account.process()
    with opened(place) as new:
        digests = move(account, new)
        empty = ("manual", "suppressed", "pieces", "outbox", "told")
        assert {name for name in MOVES if not digests[name].rows} == set(empty)
        known = Known(account.settings.hash_key, account.sources, account.reader.slice, 0)
        with state_of(account) as old, reading(new) as copied:
            tallies = compare_states(old, copied, known, lambda *_: None)
            assert [tally for tally in tallies if not tally.is_equal] == []
            assert sum(tally.equal for tally in tallies) > 30
            assert fetch(copied, "SELECT position FROM progress") == [(1 << 40,)]
            for q in ("zoe", "ang", "a@x", "gid"):
                assert sorted(_found(old, q)) == sorted(_found(copied, q)) != []


def _found(connection: Any, q: str) -> list[Any]:
    statement, parameters = matching(connection, q)
    return [row[0] for row in fetch(connection, statement, *parameters)]


def test_numbers_go_on_behind_those_that_were_given(account: Account, place: str) -> None:
    account.write(STORY)
    account.process()
    account.change("DELETE FROM duplicates")
    ((messages,),) = account.rows("SELECT messages FROM progress")
    ((identities,),) = account.rows("SELECT max(id) FROM identities")
    ((names,),) = account.rows("SELECT max(id) FROM names")
    with opened(place) as new:
        move(account, new)
        with new.begin() as connection:
            assert Taking().messages(connection, 3) == messages + 1
            assert Taking().identities(connection, 3) == identities + 1
            insert(connection, schema.names, [("new",)], columns=("value",))
            assert fetch(connection, "SELECT id FROM names WHERE value = 'new'") == [(names + 1,)]
            assert fetch(connection, "SELECT count(*) FROM parts") == [(1,)]


def gone(place: int, size: int) -> bytes:
    raise BodyGone(f"{place} {size}")


AWKWARD: list[tuple[str, tuple[Any, ...]]] = [
    ("names", (1, "\0\1 \\N \t\n \U0001f600")),
    ("names", (2, "x" * 2_000_000)),
    ("identities", (HUGE, -HUGE, 0, "\0" * 3, b"")),
    ("identities", (1, -(2**63), 1, "", None)),
    ("ownership", (HUGE, 0)),
    ("addresses", (1, -HUGE, "\1m\0", "src", 2, 3)),
    ("messages", (HUGE, HUGE, 1, 52, 0, 1, 0, -HUGE, HUGE, HUGE, None, None, 0, None)),
    ("history", (7, 1, HUGE, 3 << 19, 2)),
    ("profiles", (1, 1, HUGE, -1, None, -HUGE, b"")),
    ("profiles", (2, 0, 0, 0, "n\0" * 400, 0, b"\0\xff\\x00")),
    ("sessions", (1, "k\0" * 2_000, 0, HUGE, b"")),
    ("orders", (HUGE, 1, "o\0" * 3_000, 1, 0, "[]", b"")),
    ("order_profiles", (HUGE, HUGE)),
    ("channel_activity", (1, None, None, None, HUGE, 1)),
    ("manual", (1, 0, 1, 2, -1, "m\0", "s", None)),
    ("duplicates", (HUGE, 1, HUGE, 1, 1, 1, 1)),
    ("discards", (5, None, 1, 2, "code", 3, 0, 100_000, 1)),
    ("changes", (1, '{"a": "\\u0000"}\0')),
    ("counters", (1, "kept", HUGE)),
    ("suppressed", (9, "h", 0, "u", HUGE)),
    ("pieces", (1, 1, 1, 2, 0, HUGE, b"", b"\0", b"\xff" * 70_000)),
    ("message_ids", (3, -(2**63), 3 << 19)),
]


def test_whatever_a_row_holds_is_there_afterwards(account: Account, place: str) -> None:
    for table, row in AWKWARD:
        account.change(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(row))})', *row)
    with opened(place) as new:
        digests = move(account, new, log=gone)
        for table in {table for table, _ in AWKWARD}:
            rows = [_as_it_is_there(table, row) for name, row in AWKWARD if name == table]
            columns = ", ".join(f'"{name}"' for name in MOVES[table].columns)
            with reading(new) as connection:
                assert sorted(fetch(connection, f'SELECT {columns} FROM "{table}"'), key=str) == sorted(rows, key=str)
            assert digests[table].rows == len(rows)


def _as_it_is_there(table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
    """PostgreSQL has no parts, and no room for long texts in what people are sorted by, or sessions found by."""
    if table in ("history", "message_ids"):
        return (0, *row[1:])
    if table == "profiles":
        return tuple(value[:500] if isinstance(value, str) else value for value in row)
    if table == "sessions":
        return (row[0], f"{row[1][:500]} {sha256(row[1].encode()).hexdigest()}", *row[2:])
    return row


def test_ids_that_share_a_hash_are_counted_up(account: Account, place: str) -> None:
    rows = [(part, hashed, (part << 19) + hashed) for part in (0, 1, 2) for hashed in range(1, 900)]
    rows += [(0, 5, 100_000), (0, 5, 100_001)]
    with account.state_engine.begin() as connection:
        insert(connection, schema.message_ids, rows)
    with opened(place) as new:
        move(account, new)
        with reading(new) as connection:
            found = fetch(connection, "SELECT part, n FROM message_ids WHERE hash = 5 ORDER BY part")
            assert [row[0] for row in found] == [0, 1, 2, 3, 4]
            assert {row[1] for row in found} == {5, 100_000, 100_001, (1 << 19) + 5, (2 << 19) + 5}


def test_bodies_are_where_they_were_and_what_was_let_go_of_stays_behind(account: Account, place: str) -> None:
    spoken = [(Discard(BAD, 5, f"secret{n}"), b"{bad%d}" % n) for n in (1, 2)]
    account.write([Arrived([page(0, "u1"), page(1, "u2")], discards=spoken), *STORY])
    account.process()
    ((id_, at, size),) = account.rows("SELECT id, place, size FROM discards ORDER BY id LIMIT 1")
    account.change("DELETE FROM discards WHERE id = ?", id_)
    account.change("INSERT INTO let_go (place, size, at) VALUES (?, ?, 0)", at, size)
    ((retained,),) = account.rows("SELECT place FROM messages ORDER BY n DESC LIMIT 1")

    def log(place: int, size: int) -> bytes:
        if place == retained:
            raise BodyGone("retention had it")
        return account.reader.slice(place, size)

    with opened(place) as new, state_of(account) as old:
        assert count_bodies(old) == sum(account.rows(f"SELECT count(*) FROM {each}")[0][0] for each in moving_tables())
        copy_bodies(old, new, LogBodies(log), lambda _: None)
        with reading(new) as connection:
            stored = StoredBodies(connection)
            for table in moving_tables():
                for where, length, lead in account.rows(f"SELECT place, size, lead FROM {table}"):
                    if where == retained:
                        assert bodies.there(connection, [where]) == set()
                        continue
                    assert stored(where, length) == account.reader.slice(where, length)
                    assert stored.head(where - lead).startswith(b'{"at":')
            everything = b"".join(bytes(row[0]) for row in fetch(connection, "SELECT data FROM bodies"))
            assert b"secret1" not in everything
            assert b"secret2" in everything
            assert b"{bad1}" not in everything


def moving_tables() -> tuple[str, ...]:
    return ("messages", "duplicates", "discards")


def test_of_what_is_still_to_be_erased_only_the_end_of_the_regulation_is_left(account: Account, place: str) -> None:
    account.write([*STORY, regulation(account, "DELETE", {"uid": "u1"})])
    account.process()
    assert len(account.rows("SELECT * FROM erasing")) > 3
    with opened(place) as new:
        move(account, new)
        with reading(new) as connection:
            owed = fetch(connection, "SELECT place, size, regulation FROM erasing")
            assert owed == [(0, 0, "reg_1")]
            everything = b"".join(bytes(row[0]) for row in fetch(connection, "SELECT data FROM bodies"))
    assert b"a@x" not in everything


def test_definitions_are_copied_with_secrets_and_numbers(account: Account, place: str) -> None:
    with account.account_engine.begin() as connection:
        _, token = add_token(connection, "Robot", now=5)
        add_user(connection, "ada", "correct horse", now=6)
        connection.exec_driver_sql("INSERT INTO erased_messages VALUES (-9223372036854775808), (5)")
        connection.exec_driver_sql("INSERT INTO tombstones VALUES ('h', 0, 0, ?, 1, 1, 'p')", (HUGE,))
        connection.exec_driver_sql("UPDATE sources SET name = ? WHERE number = 1", ("a\0b\1",))
    with opened(place, "account") as new, reading(account.account_engine) as old:
        with new.begin() as connection:
            written = copy_account(old, connection)
        with new.begin() as connection:
            assert digest_of_account(connection) == written == digest_of_account(old)
            assert account_name(connection) == account_name(old)
            assert find_token(connection, token) is not None
            assert check_login(connection, "ada", "correct horse") is not None
            ((number,),) = fetch(old, "SELECT max(number) FROM sources")
            run(
                connection,
                "INSERT INTO sources (id, name, type, enabled, identity_verification, created_at) "
                "VALUES ('src_new', 'New', 'web', true, false, 1)",
            )
            assert fetch(connection, "SELECT number FROM sources WHERE id = 'src_new'") == [(number + 1,)]


def test_half_a_copy_is_nobodys_and_can_be_emptied(account: Account, place: str) -> None:
    account.write(STORY)
    account.process()
    mark = HalfCopy("id", "name", "RICHPANEL", "2026")
    with opened(place, "account") as accounts, opened(place) as new:
        with accounts.begin() as connection:
            assert half_copy.find(connection) is None
            half_copy.mark(connection, mark)
            half_copy.mark(connection, mark)
        move(account, new)
        with accounts.begin() as connection, new.begin() as state:
            assert half_copy.find(connection) == mark
            with pytest.raises(HalfCopyError, match="migrate-to"):
                half_copy.refuse(connection)
            assert not moving.is_empty(state)
            moving.clear(state)
            moving.clear(connection, keep=("half_copy",))
            assert moving.is_empty(state)
            assert half_copy.find(connection) == mark
            assert Taking().messages(state, 1) == 1
            half_copy.put_in_force(connection)
            half_copy.refuse(connection)
        move(account, new)
