"""Backfilling: who is connected later is told of everybody who is in, once, and nobody else is told again."""

from collections.abc import Iterator
from typing import Any

import pytest

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
        assert opened.filled() == []
        opened.site.clock.ms += 30 * DAY - 1_000
        for number in range(1, 4):
            opened.ordered(f"u{number}")
        opened.process()
        opened.site.clock.ms += 1_000
        assert [each["userId"] for each in opened.settle()] == ["u0"]
        yield opened


def progress(shop: Shop) -> list[dict[str, Any]]:
    return list(shop.site.get("/audiences/buyers")["backfills"])


def outcomes(shop: Shop, message: dict[str, Any]) -> dict[str, str]:
    (trace,) = shop.site.get(f"/messages/{message['messageId']}")["data"]
    return {each["destination"]: each["outcome"] for each in trace["decisions"]}


def test_who_is_in_is_told_to_the_new_one_alone(shop: Shop) -> None:
    shop.start(at_once=3)
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
    assert shop.filled() == [("u3", True)]
    assert progress(shop) == []
    assert shop.settle() == []  # It was no change.
    shop.site.clock.ms += DAY
    shop.ordered("u4")
    (told,) = shop.settle()
    assert outcomes(shop, told)[later] == "kept"
    assert shop.filled() == []


def test_it_begins_once_all_is_folded_that_came_before_the_destination(shop: Shop) -> None:
    shop.ordered("u4")
    shop.process()
    (told,) = shop.tell()
    later = shop.connect()
    assert shop.fill() == []
    shop.process()
    assert outcomes(shop, told)[later] == "kept"  # It was decided about with the destination there.
    assert [each["userId"] for each in shop.fill()] == ["u1", "u2", "u3"]


def test_a_kill_neither_loses_nor_repeats(shop: Shop) -> None:
    shop.start(at_once=2)
    later = shop.connect()
    (one,) = shop.fill()
    shop.process()
    again = shop.fill(note=False)
    shop.start(at_once=2)  # It was killed after the append, and does not know.
    assert shop.fill() == []  # What the log has may be it.
    shop.process()
    assert shop.fill() == again
    assert shop.filled() == []
    assert progress(shop) == []
    assert shop.given(later) == {"u1": [True], "u2": [True], "u3": [True]}
    assert outcomes(shop, one)[later] == "kept"


def test_it_begins_again_where_a_state_made_anew_numbers_uids_otherwise(shop: Shop) -> None:
    shop.start(at_once=2)
    shop.connect()
    first = shop.fill()
    shop.process()
    with shop.engines[1].begin() as account:
        run(account, "UPDATE backfills SET mark = 'of another uid' WHERE finished_at IS NULL")
    assert shop.fill() == first
    assert shop.filled() == [("u2", True), ("u3", True)]
    assert progress(shop) == []


def test_nothing_is_filled_while_the_source_is_off(shop: Shop) -> None:
    assert shop.site.api("PATCH", f"/sources/{shop.engage}", {"enabled": False}).status == 200
    shop.connect()
    assert shop.filled() == []
    assert shop.site.api("PATCH", f"/sources/{shop.engage}", {"enabled": True}).status == 200
    assert shop.filled() == [("u1", True), ("u2", True), ("u3", True)]


def test_a_computed_trait_and_an_audiences_own_list(shop: Shop) -> None:
    asked = {"name": "Orders", "kind": "count", "event": "Order Completed", "destinations": shop.connected}
    assert shop.site.api("POST", "/traits", asked).status == 201
    assert len(shop.settle()) == 4
    shop.connect()
    assert shop.filled() == [("u1", True), ("u2", True), ("u3", True)]
    shop.site.api("PATCH", "/traits/orders", {"destinations": shop.connected})
    assert shop.filled() == [("u0", 1), ("u1", 2), ("u2", 2), ("u3", 2)]
