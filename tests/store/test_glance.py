"""A glance: the same as SQLAlchemy's own way of asking gives, followed while others write."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
import time_machine
from sqlalchemy import Connection, Engine, select

from richpanel.roles.keys import Sources
from richpanel.source.keys import KeySnapshot
from richpanel.store import definitions, ledger, progress, schema
from richpanel.store.bulk import insert
from richpanel.store.connectors import add_connector, delete_connector, list_connectors, rotate_connector
from richpanel.store.database import open_engine
from richpanel.store.definitions import definitions_version
from richpanel.store.directory import DataDirectory
from richpanel.store.glance import Glance, Unreadable, open_glance, secret_opener
from richpanel.store.glance_postgres import Schema
from richpanel.store.preparing import prepare
from richpanel.store.secrets import SecretBox
from richpanel.store.sources import (
    SourceChanges,
    add_source,
    add_write_key,
    delete_source,
    get_source,
    list_sources,
    revoke_write_key,
    rotate_write_key,
    update_source,
)
from richpanel.store.status import processed, source_counts
from tests.store.places import ENGINES, make, place


@pytest.fixture(params=ENGINES)
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> DataDirectory:
    return place(request.param, request, tmp_path)


@pytest.fixture
def box(directory: DataDirectory) -> SecretBox:
    return make(directory)


@pytest.fixture
def account(directory: DataDirectory, box: SecretBox) -> Iterator[Engine]:
    engine = open_engine(directory.account_url)
    yield engine
    engine.dispose()


@pytest.fixture
def glance(directory: DataDirectory, box: SecretBox) -> Iterator[Glance]:
    found = open_glance(directory.path, directory.database_url)
    yield found
    found.close()


def expected(connection: Connection) -> list[tuple[object, ...]]:
    """The sources as `store.sources` and `store.connectors` give them."""
    api_keys = {row.source_number: (row.api_key,) for row in list_connectors(connection)}
    table = definitions.connectors
    secrets = {row.source: (row.api_secret,) for row in connection.execute(select(table)) if row.deleted_at is None}
    return [
        (
            *(row.id, row.name, row.type, row.enabled),
            *(row.write_keys or api_keys.get(row.number, ()), row.rate_limit, row.identity_secret),
            *(secrets.get(row.number, ()), 0),
        )
        for row in list_sources(connection)
    ]


def test_a_connectors_secret_can_be_read_with_the_key_alone(
    account: Engine, directory: DataDirectory, box: SecretBox, glance: Glance
) -> None:
    with account.begin() as connection:
        added, secret = add_connector(connection, box, "Shop", now=1)
    (sealed,) = next(source.secrets for source in glance.sources() if source.id == added.source)
    assert secret not in sealed
    assert secret_opener(directory.path, None)(sealed) == secret
    assert secret_opener(directory.path, "x" * 40)(sealed) is None
    assert secret_opener(directory.path / "nowhere", None)(sealed) is None


def test_sources_and_what_opens_them(account: Engine, box: SecretBox, glance: Glance) -> None:
    def agree() -> None:
        with account.connect() as connection:
            assert list(map(tuple, glance.sources())) == expected(connection)
            assert glance.definitions_version() == definitions_version(connection)
            every = {row.number: row.id for row in list_sources(connection, deleted=True)}
            assert glance.source_ids() == every

    agree()
    with account.begin() as connection:
        shop = add_source(connection, "Shop", "web", now=1)
        gone = add_source(connection, "Gone", "mobile", now=2)
        add_write_key(connection, shop.number, now=3)
    agree()
    with account.begin() as connection:
        changes = SourceChanges(rate_limit=7, identity_verification=True, enabled=False)
        update_source(connection, shop.id, changes)
        delete_source(connection, gone.id, now=4)
        connector = list_connectors(connection)[0]
        rotate_connector(connection, box, connector.id)
    agree()
    with account.begin() as connection:
        update_source(connection, shop.id, SourceChanges(rate_limit=None, identity_verification=False))
        connection.execute(definitions.write_keys.update().where(definitions.write_keys.c.source == shop.number)
                           .values(revoked_at=5))  # fmt: skip
        delete_connector(connection, connector.id, now=6)
    agree()


def test_an_old_key_works_beside_the_new_one_until_its_end(account: Engine, box: SecretBox, glance: Glance) -> None:
    with account.begin() as connection:
        added, first = add_connector(connection, box, "Shop", now=1)
        again = rotate_connector(connection, box, added.id, keep_until=5_000)
        assert again is not None
        third = rotate_connector(connection, box, added.id, keep_until=3_000)
        assert third is not None

    def found(now: int) -> tuple[tuple[str, ...], list[str], int]:
        source = next(each for each in glance.sources(now) if each.id == added.source)
        return source.keys, [box.open(sealed) for sealed in source.secrets], source.ends_at

    (newer, secret), (newest, last) = again, third
    assert found(2_999) == ((newest.api_key, added.api_key, newer.api_key), [last, first, secret], 3_000)
    assert found(3_000) == ((newest.api_key, added.api_key), [last, first], 5_000)
    assert found(5_000) == ((newest.api_key,), [last], 0)
    with account.begin() as connection:
        delete_connector(connection, added.id, now=6)
    assert all(added.id != each.id and not each.ends_at for each in glance.sources(0))


def test_a_write_key_that_was_rotated_works_until_its_end_and_no_longer(account: Engine, glance: Glance) -> None:
    with account.begin() as connection:
        shop = add_source(connection, "Shop", "web", now=1)
        [old] = shop.write_keys
        new = rotate_write_key(connection, shop.number, old, keep_until=5_000, now=2)
        assert new is not None
        newest = rotate_write_key(connection, shop.number, new, keep_until=3_000, now=3)
        assert newest is not None
        for wrong in (old, new, "no such key"):
            assert rotate_write_key(connection, shop.number, wrong, keep_until=9_000, now=4) is None
        row = get_source(connection, shop.id)
        assert row is not None
        assert (row.write_keys, row.retired) == ((newest,), ((old, 5_000), (new, 3_000)))

    def found(now: int) -> tuple[set[str], int]:
        source = next(each for each in glance.sources(now) if each.id == shop.id)
        return set(source.keys), source.ends_at

    assert found(2_999) == ({newest, new, old}, 3_000)
    assert found(3_000) == ({newest, old}, 5_000)
    assert found(5_000) == ({newest}, 0)
    with account.begin() as connection:
        last = rotate_write_key(connection, shop.number, newest, keep_until=None, now=6)
    assert found(0)[0] == {last, new, old}, "without an overlap it stops at once"
    with account.begin() as connection:
        assert revoke_write_key(connection, old, now=7)
        delete_source(connection, shop.id, now=8)
    assert shop.id not in [each.id for each in glance.sources(0)]


def test_the_door_lets_go_of_a_rotated_key_by_itself(account: Engine, glance: Glance) -> None:
    """Nothing is written at that moment: the clock alone does it."""
    now = 1_795_000_000_000
    with account.begin() as connection:
        shop = add_source(connection, "Shop", "web", now=1)
        [old] = shop.write_keys
        new = rotate_write_key(connection, shop.number, old, keep_until=now + 60_000, now=now)
    keys = KeySnapshot()
    sources = Sources(glance, keys)
    for at, works in ((now, {old, new}), (now + 59_999, {old, new}), (now + 60_000, {new}), (now + 90_000, {new})):
        with time_machine.travel(at / 1_000, tick=False):
            keys.replace(sources.load())
        assert {each for each in (old, new) if each in keys.write_keys} == works


def test_how_far_the_log_is_applied(directory: DataDirectory, glance: Glance) -> None:
    assert glance.progress() == (0, 0)
    state = open_engine(directory.state_url)
    for position in (10, 20):
        with state.begin() as connection:
            progress.advance(connection, position, position + 1, 5)
            insert(connection, schema.counters, [(1, "kept", position)], replace=True)
        with state.connect() as connection:
            found = processed(connection)
            assert glance.progress() == (found.position, found.messages) == (position, position + 1)
            assert glance.received_at() == 5
            assert glance.suppressed_version() == (0, 0)
            assert glance.suppressed() == frozenset()
            assert glance.counts() == [(1, "kept", position)]
            assert source_counts(connection) == {1: {"kept": position}}
    state.dispose()


def test_what_cannot_be_read_is_said_and_tried_again(tmp_path: Path) -> None:
    glance = open_glance(tmp_path / "data", None)
    for ask in (glance.progress, glance.sources, glance.definitions_version):
        with pytest.raises(Unreadable, match=r"(state|account)\.db cannot be read"):
            ask()
    prepare(DataDirectory(tmp_path / "data"))
    assert glance.progress() == (0, 0)
    assert {source.type for source in glance.sources()} == {"segment", "web", "channel"}
    glance.close()


def test_it_changes_nothing(glance: Glance) -> None:
    with pytest.raises(Unreadable, match=r"attempt to write|read-only transaction"):
        glance._account.ask("DELETE FROM sources")
    assert glance.sources()


def test_refusals_are_counted_by_all(directory: DataDirectory, account: Engine, glance: Glance) -> None:
    other = open_glance(directory.path, directory.database_url)
    glance.count_refusals({("src_a", 0): 2, ("src_b", 3_600_000): 1}, "suppressed")
    other.count_refusals({("src_a", 0): 3}, "suppressed")
    other.close()
    assert sorted(glance.refusals()) == [("src_a", 5), ("src_b", 1)]
    with account.connect() as connection:
        assert set(ledger.refusals(connection, 9)) == {
            ("src_a", 0, "suppressed", 5),
            ("src_b", 3_600_000, "suppressed", 1),
        }


def test_a_name_may_hold_anything(account: Engine, glance: Glance) -> None:
    with account.begin() as connection:
        add_source(connection, "a\0b\1", "web", now=1)
    assert "a\0b\1" in [source.name for source in glance.sources()]


def test_a_database_that_hangs_is_given_up_and_asked_again(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The front goes on with the keys that it has; a frozen server gives no error of its own."""
    directory = place("postgresql", request, tmp_path)
    make(directory)
    assert directory.database_url is not None
    schema = Schema(directory.database_url, "account", seconds=0.5)
    glance = Glance(schema, schema, schema)
    version = glance.definitions_version()
    ((pid,),) = schema.ask("SELECT pg_backend_pid()")
    os.kill(pid, signal.SIGSTOP)
    try:
        started = monotonic()
        with pytest.raises(Unreadable, match=r"the schema account cannot be read: no answer within 0\.5 s"):
            glance.definitions_version()
        assert monotonic() - started < 2
        assert glance.definitions_version() == version, "over a new connection"
    finally:
        os.kill(pid, signal.SIGCONT)
    with pytest.raises(Unreadable, match=r"statement timeout|no answer"):
        schema.ask("SELECT pg_sleep(5)")
    with pytest.raises(Unreadable, match="cannot be written"):
        schema.write("INSERT INTO nowhere VALUES (?)", [(1,)])
    assert glance.definitions_version() == version
    glance.close()


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    glance = open_glance(tmp_path, "postgresql://richpanel:hunter2@127.0.0.1:1/none")
    with pytest.raises(Unreadable, match=r"the schema state cannot be read: .*refused") as caught:
        glance.progress()
    assert "hunter2" not in str(caught.value)
