"""Events as conditions see them: their names, and what they carry with exact numbers."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from richpanel.core.happened import Happened, event_name, happened, name_of
from richpanel.core.message import decode_message

STAMP = (5, "m", "web")


def opened(item: dict[str, Any], shared: bytes = b"") -> Happened | None:
    return happened(decode_message(msgspec.json.encode(item)), STAMP, msgspec.Raw(shared))


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ({"type": "track", "event": "Order Completed"}, "Order Completed"),
        ({"type": "track", "event": "order_completed"}, "Order Completed"),
        ({"type": "track", "event": "Our Own"}, "Our Own"),
        ({"type": "page", "name": "Pricing"}, "Page Viewed"),
        ({"type": "screen"}, "Screen Viewed"),
        ({"type": "identify"}, None),
        ({"type": "channel"}, None),
        ({"type": "track"}, None),
    ],
)
def test_names(item: dict[str, Any], name: str | None) -> None:
    assert name_of(decode_message(msgspec.json.encode(item))) == name
    found = opened(item)
    assert (found and found.name) == name


def test_conditions_name_events_in_any_spelling() -> None:
    assert event_name("Completed Order") == event_name("order completed") == "Order Completed"
    assert event_name("our own") == "our own"


def test_a_page_carries_its_name() -> None:
    found = opened({"type": "page", "name": "Pricing", "properties": {"path": "/p"}})
    assert found == Happened(STAMP, "Page Viewed", {"path": "/p", "page_name": "Pricing"})
    assert opened({"type": "screen", "name": "Home"}) == Happened(STAMP, "Screen Viewed", {"screen_name": "Home"})


def test_numbers_are_exact_and_the_batchs_context_counts() -> None:
    message = decode_message(b'{"type":"track","event":"A","properties":{"total":0.10},"context":{"ip":"1"}}')
    found = happened(message, STAMP, msgspec.Raw(b'{"ip":"2","locale":"en"}'))
    assert found is not None
    assert found.properties == {"total": Decimal("0.10")}
    assert found.context == {"ip": "1", "locale": "en"}
    assert found.t == 5
    assert happened(message, STAMP, msgspec.Raw(b'{"ip":"2"}'), around=False) == found._replace(context={})


def test_what_is_no_object_carries_nothing() -> None:
    assert happened(
        decode_message(b'{"type":"track","event":"A","properties":null,"context":null}'), STAMP
    ) == Happened(STAMP, "A")
