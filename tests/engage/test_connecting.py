"""Connecting: whatever changes while a destination is told of everybody, it is told of each once, on both engines."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.engage.shop import Shop, shop_of
from tests.postgres_server import PostgresServer
from tests.store.places import ENGINES
from tests.web.running import furnish, running

GOLD = {"trait": "plan", "op": "=", "value": "gold"}
BEFORE = "furnished"


class Made(NamedTuple):
    """A furnished data directory, and on PostgreSQL the database beside it, to be copied."""

    path: Path
    server: PostgresServer | None


@pytest.fixture(scope="session", params=ENGINES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One for each engine."""
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    path = tmp_path_factory.mktemp("made") / "data"
    return Made(furnish(path, None if server is None else server.create(BEFORE)), server)


@pytest.fixture
def shop(made: Made, tmp_path: Path) -> Iterator[Shop]:
    """A shop with five people on each engine: `u0` to `u3` are gold, and a destination was told so."""
    url = None if made.server is None else made.server.create(tmp_path.name, BEFORE)
    shutil.copytree(made.path, tmp_path / "data")
    with running(tmp_path / "data", url) as site, shop_of(site) as opened:
        opened.audience("Golden", GOLD)
        opened.connect()
        for number in range(5):
            opened.known(f"u{number}", plan="gold" if number < 4 else "free")
        assert len(opened.settle()) == 4
        assert opened.filled() == []
        yield opened


def now_is(shop: Shop, uid: str, plan: str) -> None:
    shop.site.clock.ms += 1_000
    shop.known(uid, plan=plan)


def values(told: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(each["userId"], *each["traits"].values()) for each in told]


def test_who_changes_meanwhile_is_told_once(shop: Shop) -> None:
    shop.start(at_once=1)
    later = shop.connect()
    assert values(shop.fill()) == [("u0", True)]
    now_is(shop, "u2", "free")
    now_is(shop, "u2", "gold")  # Before it is told.
    now_is(shop, "u3", "free")
    assert values(shop.settle()) == [("u3", False)]
    now_is(shop, "u3", "gold")
    now_is(shop, "u4", "gold")
    shop.process()
    assert values(shop.tell()) == [("u3", True), ("u4", True)]  # In the log, and not folded yet.
    assert shop.filled() == [("u1", True), ("u2", True)]
    assert shop.given(later) == {"u0": [True], "u1": [True], "u2": [True], "u3": [False, True], "u4": [True]}


def test_what_is_under_way_when_it_is_connected_is_told_once(shop: Shop) -> None:
    now_is(shop, "u4", "gold")
    shop.process()
    shop.tell()
    later = shop.connect()
    assert shop.fill() == []
    assert shop.filled() == [("u0", True), ("u1", True), ("u2", True), ("u3", True)]
    assert shop.given(later) == {"u0": [True], "u1": [True], "u2": [True], "u3": [True], "u4": [True]}


def test_what_is_looked_for_when_it_is_connected_is_told_once(shop: Shop) -> None:
    """An audience that names whom it is for, and is for one more, between looking and appending."""
    shop.site.api("PATCH", "/audiences/golden", {"destinations": shop.connected})
    later = shop.connect()
    assert shop.settle() == []
    now_is(shop, "u4", "gold")
    shop.process()
    said = shop.teller.look()
    assert said is not None
    shop.site.api("PATCH", "/audiences/golden", {"destinations": shop.connected})
    assert shop.filler.notice(shop.site.clock()) != shop.teller.version
    assert values(shop.tell()) == [("u4", True)]
    shop.filled()
    assert shop.given(later) == {f"u{number}": [True] for number in range(5)}


def test_a_first_run_into_which_it_comes_is_told_once(shop: Shop) -> None:
    shop.start(at_once=2, firsts_under_way=2)
    shop.audience("Known", {"event": "Order Completed", "performed": False}, destinations=shop.connected)
    shop.process()
    assert values(shop.tell()) == [("u0", True), ("u1", True)]
    later = shop.connect()
    shop.site.api("PATCH", "/audiences/known", {"destinations": shop.connected})
    assert values(shop.settle()) == [("u2", True), ("u3", True), ("u4", True)]
    golden = {f"u{number}": 1 for number in range(4)}
    assert len(shop.filled()) == 4 + 2
    assert {uid: len(told) for uid, told in shop.given(later).items()} == {
        f"u{number}": 1 + golden.get(f"u{number}", 0) for number in range(5)
    }


def test_a_kill_behind_which_somebody_changes_repeats_nothing(shop: Shop) -> None:
    shop.start(at_once=2)
    later = shop.connect()
    assert values(shop.fill(note=False)) == [("u0", True), ("u1", True)]
    shop.start(at_once=2)  # It was killed after the append, and does not know.
    now_is(shop, "u1", "free")
    now_is(shop, "u2", "free")
    assert values(shop.settle()) == [("u1", False), ("u2", False)]
    assert shop.filled() == [("u0", True), ("u3", True)]
    assert shop.given(later) == {"u0": [True], "u1": [True, False], "u2": [False], "u3": [True]}


def test_who_is_connected_again_is_told_what_it_missed(shop: Shop) -> None:
    first, later = shop.connected[0], shop.connect()
    assert len(shop.filled()) == 4
    for id_ in (first, later):
        shop.site.api("PATCH", f"/destinations/{id_}", {"enabled": False})
    now_is(shop, "u1", "free")
    now_is(shop, "u4", "gold")
    assert values(shop.settle()) == [("u1", False), ("u4", True)]
    for id_ in (first, later):
        shop.site.api("PATCH", f"/destinations/{id_}", {"enabled": True})
        assert shop.filled() == [("u1", False), ("u4", True)]
        assert shop.given(id_) == {"u0": [True], "u1": [True, False], "u2": [True], "u3": [True], "u4": [True]}


def test_so_it_is_where_nobody_looked_while_it_was_off(shop: Shop) -> None:
    """Off and on again between two looks: its sources, and an audience's own list."""
    first, later = shop.connected[0], shop.connect()
    assert len(shop.filled()) == 4
    now_is(shop, "u1", "free")
    shop.process()
    (said,) = shop.tell()
    shop.site.api("PATCH", f"/destinations/{later}", {"sources": []})
    shop.process()
    shop.site.api("PATCH", f"/destinations/{later}", {"sources": [shop.engage]})
    assert shop.filled() == [(said["userId"], False)]
    now_is(shop, "u2", "free")
    shop.process()
    shop.site.api("PATCH", "/audiences/golden", {"destinations": [first]})
    shop.tell()
    shop.process()
    shop.site.api("PATCH", "/audiences/golden", {"destinations": None})
    assert shop.filled() == [("u2", False)]
    assert shop.given(later) == {"u0": [True], "u1": [True, False], "u2": [True, False], "u3": [True]}
