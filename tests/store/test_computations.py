"""Audiences and computed traits: versions beside each other, keys that are never used again; on either engine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from richpanel.core.announcing import Class
from richpanel.core.computed import read_computation
from richpanel.core.condition_json import read
from richpanel.core.membership import Audience
from richpanel.store import backfills, computations, plans
from richpanel.store.account import create_account
from richpanel.store.bulk import fetch
from richpanel.store.computations import ComputationChanges, ComputationRow
from richpanel.store.database import open_engine, sqlite_url
from richpanel.store.definitions import definitions_version
from richpanel.store.destinations import CATALOG_ID, DestinationChanges, add_destination
from richpanel.store.migrating import migrate
from richpanel.store.secrets import SecretBox
from richpanel.store.sources import list_sources
from richpanel.store.urls import schema_url
from tests.postgres_server import PostgresServer

NOW = 1_760_000_000_000
BOUGHT: dict[str, Any] = {"event": "Order Completed"}


@pytest.fixture(params=["sqlite", "postgresql"])
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Definitions without any audience."""
    if request.param == "sqlite":
        url = sqlite_url(tmp_path, "account")
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = schema_url(server.create(tmp_path.name), "account")
    migrate(url, "account")
    engine = open_engine(url)
    with engine.begin() as connection:
        create_account(connection, now=NOW)
    yield engine
    engine.dispose()


def audience(condition: dict[str, Any]) -> Audience:
    return Audience(read(condition))


def added(account: Engine, key: str, condition: dict[str, Any], *, draft: bool = False) -> ComputationRow:
    changes = ComputationChanges(name=key.title())
    with account.begin() as connection:
        return computations.add_computation(
            connection, "audience", key, audience(condition), changes, draft=draft, now=NOW
        )


def live(account: Engine, row: ComputationRow) -> ComputationRow:
    with account.begin() as connection:
        plans.begin(connection, row.newest.number, boundary=5, total=100)
        plans.go_live(connection, [row.newest.number], now=NOW + 1)
    return found(account, row.key)


def found(account: Engine, key: str, kind: Class = "audience") -> ComputationRow:
    with account.connect() as connection:
        row = computations.get_computation(connection, kind, key)
    assert row is not None
    return row


def test_the_first_one_makes_the_source_that_tells_of_it(account: Engine) -> None:
    row = added(account, "buyers", BOUGHT)
    added(account, "others", BOUGHT)
    with account.connect() as connection:
        assert [(source.type, source.write_keys) for source in list_sources(connection)] == [("engage", ())]
        assert [each.key for each in computations.list_computations(connection)] == ["buyers", "others"]
        assert definitions_version(connection) > 1
    assert (row.status, row.name, row.live, row.newest.version, row.newest.boundary) == (
        *("computing", "Buyers", None, 1, None),
    )
    assert row.id.startswith("aud_")
    assert row.newest.defined.what == audience(BOUGHT)
    assert found(account, row.id) == row


def test_a_first_run_goes_on_to_live(account: Engine) -> None:
    row = added(account, "buyers", BOUGHT)
    with account.begin() as connection:
        plans.begin(connection, row.newest.number, boundary=900, total=450)
        plans.begin(connection, row.newest.number, boundary=999, total=1)  # Too late.
        plans.advance(connection, row.newest.number, 300)
    plan = found(account, "buyers").newest
    assert (plan.boundary, plan.done, plan.total, plan.status) == (900, 300, 450, "computing")
    with account.begin() as connection:
        plans.go_live(connection, [plan.number], now=NOW + 7)
    row = found(account, "buyers")
    assert row.live is not None
    assert (row.status, row.live.live_at, row.live.done, row.next) == ("live", NOW + 7, 450, None)


def test_an_edit_is_computed_beside_what_is_live(account: Engine) -> None:
    first = live(account, added(account, "buyers", BOUGHT))
    with account.begin() as connection:
        computations.redefine(connection, first, audience({"event": "Refunded"}), now=NOW + 2)
    row = found(account, "buyers")
    assert row.live == first.live
    assert row.next is not None
    assert (row.status, row.next.version, row.next.status) == ("live", 2, "computing")
    row = live(account, row)
    assert row.live is not None
    assert (row.live.version, row.next) == (2, None)
    with account.begin() as connection:
        old = first.newest.number
        assert plans.unswept(connection) == [old]
        plans.swept(connection, old, now=NOW)
        assert plans.unswept(connection) == []


def test_versions_are_kept_with_who_made_them_and_what_they_came_to(account: Engine) -> None:
    first = live(account, added(account, "buyers", BOUGHT))
    with account.begin() as connection:
        computations.redefine(connection, first, audience({"event": "Refunded"}), now=NOW + 2, by="ann")
        (second, _) = plans.versions(connection, first.number, 10)
        plans.go_live(connection, [second.plan.number], now=NOW + 9, sizes={first.newest.number: 31})
        plans.go_live(connection, [], now=NOW + 10, sizes={first.newest.number: 32})  # It has ended.
        kept = plans.versions(connection, first.number, 10)
        assert [each.plan.version for each in plans.versions(connection, first.number, 1)] == [2]
    assert [(each.plan.version, each.plan.status, each.made_by, each.ended_at, each.size) for each in kept] == [
        (2, "live", "ann", None, None),
        (1, "retired", None, NOW + 9, 31),
    ]
    assert kept[1].plan.defined.what == audience(BOUGHT)


def test_an_edit_of_an_edit_takes_its_place(account: Engine) -> None:
    row = live(account, added(account, "buyers", BOUGHT))
    for name in ("Refunded", "Returned"):
        with account.begin() as connection:
            row = computations.redefine(connection, row, audience({"event": name}), now=NOW)
    assert row.live is not None
    assert row.next is not None
    assert (row.live.version, row.next.version) == (1, 3)


def test_who_asks_for_what_is_edited_gets_a_version_too(account: Engine) -> None:
    buyers = live(account, added(account, "buyers", BOUGHT))
    live(account, added(account, "fans", {"audience": "buyers"}))
    live(account, added(account, "superfans", {"not": {"audience": "fans"}}))
    live(account, added(account, "apart", BOUGHT))
    with account.begin() as connection:
        everything = computations.list_computations(connection)
        assert [row.key for row in computations.asking(everything, buyers)] == ["fans", "superfans"]
        computations.redefine(connection, buyers, audience({"event": "Refunded"}), now=NOW)
    assert [found(account, key).newest.version for key in ("buyers", "fans", "superfans", "apart")] == [2, 2, 2, 1]
    assert found(account, "superfans").newest.defined.audiences["buyers"] == audience({"event": "Refunded"})
    old = found(account, "superfans").live
    assert old is not None
    assert old.defined.audiences["buyers"] == audience(BOUGHT)


def test_who_asks_for_a_computed_trait_gets_a_version_with_it(account: Engine) -> None:
    orders = read_computation({"kind": "count", **BOUGHT})
    with account.begin() as connection:
        trait = computations.add_computation(
            connection, "trait", "orders", orders, ComputationChanges(name="Orders"), draft=False, now=NOW
        )
    assert trait.id.startswith("trt_")
    live(account, added(account, "many", {"computed": "orders", "op": ">", "value": 3}))
    edited = read_computation({"kind": "count", "event": "Refunded"})
    with account.begin() as connection:
        computations.redefine(connection, trait, edited, now=NOW)
    row = found(account, "many")
    assert row.next is not None
    assert row.next.defined.traits == {"orders": edited}


def test_a_draft_is_not_computed_until_it_is_started(account: Engine) -> None:
    row = added(account, "buyers", BOUGHT, draft=True)
    assert row.status == "draft"
    with account.begin() as connection:
        row = computations.change_computation(connection, row, ComputationChanges(key="clients", name="Clients"))
        row = computations.redefine(connection, row, audience({"event": "Refunded"}), now=NOW)
        assert (row.status, row.key, row.newest.version) == ("draft", "clients", 2)
        assert computations.named([row]).audiences == {}
        row = computations.start(connection, row, now=NOW)
    assert (row.status, row.newest.version, row.newest.defined.what) == (
        *("computing", 3, audience({"event": "Refunded"})),
    )


def test_what_failed_says_why_and_can_be_tried_again(account: Engine) -> None:
    row = added(account, "buyers", BOUGHT)
    with account.begin() as connection:
        plans.fail(connection, row.newest.number, "The disk is full.")
    row = found(account, "buyers")
    assert (row.status, row.newest.problem) == ("failed", "The disk is full.")
    with account.begin() as connection:
        row = computations.start(connection, row, now=NOW)
    assert (row.status, row.newest.version, row.newest.problem) == ("computing", 2, None)


def test_what_is_paused_goes_on(account: Engine) -> None:
    row = live(account, added(account, "buyers", BOUGHT))
    with account.begin() as connection:
        row = computations.pause(connection, row, now=NOW + 5)
        assert (row.status, row.paused_at) == ("paused", NOW + 5)
        row = computations.start(connection, row, now=NOW + 6)
    assert (row.status, row.newest.version) == ("live", 1)


def test_what_is_deleted_keeps_its_key_and_waits_for_its_traits(account: Engine) -> None:
    row = live(account, added(account, "buyers", BOUGHT))
    with account.begin() as connection:
        computations.delete_computation(connection, row, now=NOW + 9)
        assert computations.list_computations(connection) == []
        assert computations.used_keys(connection) == {"buyers"}
        assert [(each.number, each.key) for each in computations.ended(connection)] == [(row.number, "buyers")]
        assert plans.unswept(connection) == [row.newest.number]
        computations.release(connection, row.number, now=NOW + 10)
        computations.release(connection, row.number, now=NOW + 11)
        rows = fetch(connection, "SELECT deleted_at, released_at FROM computations")
    assert [tuple(each) for each in rows] == [(NOW + 9, NOW + 10)]


def test_destinations_and_track_calls_are_kept(account: Engine) -> None:
    row = added(account, "buyers", BOUGHT)
    assert (row.destinations, row.tracks) == (None, False)
    changes = ComputationChanges(destinations=["dst_1", "dst_2"], tracks=True)
    with account.begin() as connection:
        row = computations.change_computation(connection, row, changes)
        assert (row.destinations, row.tracks, row.newest.version) == (("dst_1", "dst_2"), True, 1)
        row = computations.change_computation(connection, row, ComputationChanges(destinations=None))
    assert row.destinations is None


def test_a_backfill_begins_with_a_pair_and_ends_with_it(account: Engine) -> None:
    row = live(account, added(account, "buyers", BOUGHT))
    with account.begin() as connection:
        one = add_destination(connection, SecretBox("k" * 32), CATALOG_ID, DestinationChanges(name="One"), now=NOW)
        pair = (row.number, one.number)
        backfills.follow(connection, [pair], now=NOW)
        backfills.follow(connection, [pair], now=NOW + 1)
        (begun,) = backfills.running(connection)
        assert (begun.destination_id, begun.everybody, begun.total) == (one.id, False, None)
        backfills.begin(connection, begun.number, 7)
        backfills.advance(connection, begun.number, reached=12, mark="ab", done=5)
    (shown,) = found(account, "buyers").backfills
    assert (shown.reached, shown.mark, shown.done, shown.total) == (12, "ab", 5, 7)
    with account.begin() as connection:
        backfills.finish(connection, begun.number, now=NOW + 2)
        backfills.follow(connection, [pair], now=NOW + 3)
        assert backfills.running(connection) == []
        backfills.follow(connection, [], now=NOW + 4)
        backfills.follow(connection, [pair], now=NOW + 5)
        (again,) = backfills.running(connection)
        assert (again.everybody, again.number > begun.number) == (True, True)
        backfills.follow(connection, [], now=NOW + 6)
        assert backfills.running(connection) == []
