"""Backfilling: who is connected later is told of everybody who is in, once, and nobody else is told again."""

from collections.abc import Iterator
from typing import Any

import pytest

from richpanel.engage import backfilling
from richpanel.store.bulk import run
from tests.engage.shop import DAY, Shop, shop_of
from tests.web.running import Site

BOUGHT = {"event": "Order Completed", "within": {"days": 30}}


@pytest.fixture
def shop(site: Site) -> Iterator[Shop]:
    """A shop where three of five people are in an audience, and a destination that was connected when it was made."""
    with shop_of(site) as opened:
        opened.audience("Buyers", BOUGHT)
        opened.connect()
        for number in range(5):
            opened.known(f"u{number}")
        for number in range(4):
            opened.ordered(f"u{number}")
        assert len(opened.settle()) == 4
        assert filled(opened) == []
        opened.site.clock.ms += 30 * DAY - 1_000
        for number in range(1, 4):
            opened.ordered(f"u{number}")
        opened.process()
        opened.site.clock.ms += 1_000
        assert [each["userId"] for each in opened.settle()] == ["u0"]
        yield opened


def filled(shop: Shop) -> list[tuple[str, Any]]:
    """Lets all backfills go to their end; gives whom they told what."""
    told = []
    for _ in range(10):
        told += [(each["userId"], *each["traits"].values()) for each in shop.fill()]
        shop.process()
    return told


def progress(shop: Shop) -> list[dict[str, Any]]:
    return list(shop.site.get("/audiences/buyers")["backfills"])


def outcomes(shop: Shop, message: dict[str, Any]) -> dict[str, str]:
    (trace,) = shop.site.get(f"/messages/{message['messageId']}")["data"]
    return {each["destination"]: each["outcome"] for each in trace["decisions"]}


def test_who_is_in_is_told_to_the_new_one_alone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfilling, "AT_ONCE", 3)
    later = shop.connect()
    first = shop.fill()
    assert [each["userId"] for each in first] == ["u1", "u2"]  # Of three who were told, u0 is out.
    assert progress(shop) == [{"destination": later, "done": 2, "total": 3}]
    assert first[0]["integrations"] == {"All": False, later: True, "Warehouses": {"all": False}}
    assert first[0]["traits"] == {"buyers": True}
    shop.process()
    others = outcomes(shop, first[0])
    assert others.pop(later) == "kept"
    assert set(others.values()) == {"filtered"}
    assert filled(shop) == [("u3", True)]
    assert progress(shop) == []
    assert shop.settle() == []  # It was no change.
    shop.site.clock.ms += DAY
    shop.ordered("u4")
    (told,) = shop.settle()
    assert outcomes(shop, told)[later] == "kept"
    assert filled(shop) == []


def test_it_begins_once_all_is_folded_that_came_before_the_destination(shop: Shop) -> None:
    shop.ordered("u4")
    shop.process()
    shop.tell()
    shop.connect()
    assert shop.fill() == []
    shop.process()
    assert [each["userId"] for each in shop.fill()] == ["u1", "u2", "u3", "u4"]


def test_a_kill_neither_loses_nor_repeats(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfilling, "AT_ONCE", 2)
    later = shop.connect()
    (one,) = shop.fill()
    shop.process()
    again = shop.fill(note=False)
    shop.start()  # It was killed after the append, and does not know.
    assert shop.fill() == []  # What the log has may be it.
    shop.process()
    assert shop.fill() == again
    assert filled(shop) == []
    assert progress(shop) == []
    engage = next(each["id"] for each in shop.site.get("/sources")["data"] if each["type"] == "engage")
    rows = shop.site.get("/messages", source=engage, limit=500)["data"]
    kept = [row for row in rows if outcomes(shop, row).get(later) == "kept"]
    assert sorted(row["uid"] for row in kept) == ["u1", "u2", "u3"]
    assert one["messageId"] in {row["messageId"] for row in kept}


def test_it_begins_again_where_a_state_made_anew_numbers_uids_otherwise(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfilling, "AT_ONCE", 2)
    shop.connect()
    first = shop.fill()
    shop.process()
    with shop.engines[1].begin() as account:
        run(account, "UPDATE backfills SET mark = 'of another uid' WHERE finished_at IS NULL")
    assert shop.fill() == first
    assert filled(shop) == [("u2", True), ("u3", True)]
    assert progress(shop) == []


def test_nothing_is_filled_while_the_source_is_off(shop: Shop) -> None:
    engage = next(each["id"] for each in shop.site.get("/sources")["data"] if each["type"] == "engage")
    assert shop.site.api("PATCH", f"/sources/{engage}", {"enabled": False}).status == 200
    shop.connect()
    assert filled(shop) == []
    assert shop.site.api("PATCH", f"/sources/{engage}", {"enabled": True}).status == 200
    assert filled(shop) == [("u1", True), ("u2", True), ("u3", True)]


def test_who_is_connected_again_is_told_of_those_too_who_left(shop: Shop) -> None:
    first = shop.connected[0]
    shop.site.api("PATCH", f"/destinations/{first}", {"enabled": False})
    assert filled(shop) == []
    shop.site.api("PATCH", f"/destinations/{first}", {"enabled": True})
    assert filled(shop) == [("u0", False), ("u1", True), ("u2", True), ("u3", True)]


def test_a_computed_trait_and_an_audiences_own_list(shop: Shop) -> None:
    asked = {"name": "Orders", "kind": "count", "event": "Order Completed", "destinations": shop.connected}
    assert shop.site.api("POST", "/traits", asked).status == 201
    assert len(shop.settle()) == 4
    shop.connect()
    assert filled(shop) == [("u1", True), ("u2", True), ("u3", True)]
    shop.site.api("PATCH", "/traits/orders", {"destinations": shop.connected})
    assert filled(shop) == [("u0", 1), ("u1", 2), ("u2", 2), ("u3", 2)]
