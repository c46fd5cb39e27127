"""What destinations outside are told of audiences: what holds when it is sent, with the email of then."""

from collections.abc import Iterator

import pytest

from richpanel.deliver.payloads import Known, Payload, prepare
from richpanel.store import outbox
from richpanel.store.account import read_account
from richpanel.store.bodies import bodies_of
from richpanel.store.computations import all_computations
from richpanel.store.sources import list_sources
from tests.deliver.asked import asked
from tests.engage.shop import DAY, Shop, shop_of
from tests.web.running import Site


@pytest.fixture
def shop(site: Site) -> Iterator[Shop]:
    """A shop without audiences."""
    with shop_of(site) as opened:
        yield opened


def said(shop: Shop, destination: str) -> list[dict[str, object]]:
    """The user properties of what waits for the destination outside, in log order."""
    state, account = shop.engines[:2]
    with state.connect() as connection, account.connect() as definitions:
        found, _ = outbox.waiting(connection, 2, 0, 100)
        sources = {row.number: row for row in list_sources(definitions)}
        known = Known(
            read_account(definitions), sources, destination, exact=True, computations=all_computations(definitions)
        )
        prepared = prepare(connection, bodies_of(connection, shop.site.reader.slice), known, asked(found, 2))
    return [each.event["userProperties"] for each in prepared if isinstance(each, Payload)]


def test_what_is_sent_late_says_what_was_told_last(shop: Shop) -> None:
    shop.audience("Buyers", {"event": "Order Completed", "within": {"days": 30}})
    engage = next(each["id"] for each in shop.site.get("/sources")["data"] if each["type"] == "engage")
    stranger = {"name": "Stranger", "endpoint": "https://example.com", "sources": [engage]}
    made = shop.site.api("POST", "/destinations", {**stranger, "settings": {"apiKey": "k"}})
    assert made.status == 201, made.body
    shop.known("42", email="ada@example.com")
    shop.ordered("42")
    assert len(shop.settle()) == 1
    assert said(shop, made.json()["id"]) == [{"uid": "42", "buyers": True, "email": "ada@example.com"}]
    shop.site.clock.ms += 30 * DAY
    shop.known("42", email="ada@example.org")
    assert len(shop.settle()) == 1
    late = {"uid": "42", "buyers": False, "email": "ada@example.org"}
    assert said(shop, made.json()["id"]) == [late, late]
