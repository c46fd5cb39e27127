"""Notes: what of a message was not taken as given is named, with the field (semantics.md 1, 2, 4, 6)."""

import json
from typing import Any

import pytest

from richpanel.core import notes
from richpanel.core.channel import decode_activity
from richpanel.core.codes import Code
from richpanel.core.ids import BLOCKED_IDS
from richpanel.core.message import decode_message
from richpanel.core.record import Meta

NOW = 1_760_000_000_000
THEN = "2025-01-01T00:00:00Z"
ORDER = {"type": "track", "event": "Order Completed"}


def noted(item: dict[str, Any], **meta: Any) -> list[tuple[str, tuple[str, ...]]]:
    message = decode_message(json.dumps({"userId": "u1", "timestamp": THEN, **item}).encode())
    found = notes.of_call(message, Meta(NOW, "s", [], **meta), BLOCKED_IDS)
    assert all(note.text == note.code.text for note in found)
    return [(note.code.value, note.fields) for note in found]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"type": "page"}, []),
        ({"type": "page", "timestamp": None}, [("timestamp_replaced", ("timestamp",))]),
        ({"type": "page", "timestamp": "soon"}, [("timestamp_replaced", ("timestamp",))]),
        ({"type": "page", "timestamp": NOW + 1}, [("timestamp_in_future", ("timestamp",))]),
        ({"type": "page", "userId": "null", "anonymousId": "a"}, [("id_blocked", ("userId",))]),
        ({"type": "identify", "traits": {"email": "none"}}, [("email_ignored", ("traits.email",))]),
        ({"type": "identify", "traits": {"E_mail": 7}}, [("email_ignored", ("traits.email",))]),
        ({"type": "identify", "traits": {"email": None}}, []),
        ({"type": "identify", "traits": {"email": "a@x"}}, []),
        ({"type": "track", "properties": {"email": ""}}, [("email_ignored", ("properties.email",))]),
        ({"type": "track", "properties": {"email": "a@x"}, "context": {"traits": {"email": "none"}}}, []),
        ({"type": "page", "context": {"traits": {"email": "none"}}}, [("email_ignored", ("context.traits.email",))]),
        ({"type": "page", "userId": None, "anonymousId": "a", "properties": {"email": "none"}}, []),
        (
            {**ORDER, "properties": {"order_id": "o", "total": "ten", "tax": [], "shipping": "1.50"}},
            [("amount_ignored", ("properties.tax", "properties.total"))],
        ),
        ({**ORDER, "properties": {"total": "ten"}}, []),
        (
            {**ORDER, "event": "Order Refunded", "properties": {"order_id": "o", "total": "all"}},
            [("amount_ignored", ("properties.total",))],
        ),
        ({"type": "track", "event": "Product Viewed", "properties": {"order_id": "o", "total": "ten"}}, []),
    ],
)
def test_notes_of_calls(item: dict[str, Any], expected: list[tuple[str, tuple[str, ...]]]) -> None:
    found = noted(item)
    assert sorted((code, tuple(sorted(fields))) for code, fields in found) == expected


def test_the_door_and_the_record_decide_about_the_time() -> None:
    ahead = {"type": "page", "timestamp": NOW + 5}
    assert noted(ahead, sentAt=NOW + 10) == []
    assert noted(ahead, sentAt=NOW + 10, door="import") == [("timestamp_in_future", ("timestamp",))]
    assert noted({"type": "page", "timestamp": None, "originalTimestamp": THEN}, door="segment") == []


def test_what_a_batch_says_for_all_its_calls_is_looked_at_too() -> None:
    meta = {"context": json.dumps({"traits": {"email": "none"}}).encode()}
    assert noted({"type": "page"}, **meta) == [("email_ignored", ("context.traits.email",))]


def test_notes_of_activity() -> None:
    body = {"messageId": "m", "channel": "email", "from": {"email": "none", "uid": "u1"}}
    found = notes.of_activity(decode_activity(json.dumps(body).encode()), Meta(NOW, "s", []))
    assert [note.code for note in found] == [Code.TIMESTAMP_REPLACED, Code.EMAIL_IGNORED]
