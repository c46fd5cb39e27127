"""Notes: what a person may want to know of a kept message, worked out from its bytes when somebody looks it up.

Nothing of it is stored: it follows from the message alone.
"""

from collections.abc import Collection
from typing import Any

import msgspec

from richpanel.core.channel import Activity
from richpanel.core.codes import Code
from richpanel.core.events import order_event
from richpanel.core.ids import clean_id, email_address
from richpanel.core.inside import is_absent, merged
from richpanel.core.message import Message
from richpanel.core.money import decode_exact
from richpanel.core.order import OrderState, add, order_id
from richpanel.core.record import Meta
from richpanel.core.timestamps import call_time, event_time
from richpanel.core.traits import canonical_key


class Note(msgspec.Struct, omit_defaults=True, frozen=True):
    """Something that was not taken as given: its code, one sentence, and the fields it is about."""

    code: Code
    text: str
    fields: tuple[str, ...] = ()


def _note(code: Code, *fields: str) -> Note:
    return Note(code, code.text, fields)


def of_call(message: Message, meta: Meta, blocked: Collection[str]) -> list[Note]:
    """Give the notes of an identify, page or track call; `message.type` and the parsed `meta.sentAt` must be set."""
    found = _of_time(call_time(meta, message).note)
    given = (("userId", message.userId), ("anonymousId", message.anonymousId))
    ignored = tuple(key for key, value in given if value is not None and clean_id(value, blocked) is None)
    if ignored:
        found.append(_note(Code.ID_BLOCKED, *ignored))
    if message.type == "identify":
        found += _of_email("traits.", *(v for k, v in _object(message.traits).items() if canonical_key(k) == "email"))
    elif clean_id(message.userId, blocked) is not None:  # Else nothing looks at the email.
        around = _object(merged(meta.context, message.context)).get("traits")
        carried = _object(message.properties).get("email")
        if carried is None and isinstance(around, dict):
            found += _of_email("context.traits.", around.get("email"))
        else:
            found += _of_email("properties.", carried)
    ignored = _amounts(message)
    if ignored:
        found.append(_note(Code.AMOUNT_IGNORED, *(f"properties.{key}" for key in ignored)))
    return found


def of_activity(activity: Activity, meta: Meta) -> list[Note]:
    """Give the notes of channel activity."""
    return _of_time(event_time(meta.at, activity.timestamp).note) + _of_email("from.", activity.sender.email)


def _of_time(code: Code | None) -> list[Note]:
    return [] if code is None else [_note(code, "timestamp")]


def _of_email(place: str, *given: Any) -> list[Note]:
    unusable = any(value is not None and email_address(value) is None for value in given)
    return [_note(Code.EMAIL_IGNORED, f"{place}email")] if unusable else []


def _object(raw: msgspec.Raw) -> dict[str, Any]:
    value = None if is_absent(raw) else decode_exact(raw)
    return value if isinstance(value, dict) else {}


def _amounts(message: Message) -> tuple[str, ...]:
    """Name the amounts of an order's event that are no numbers."""
    name = message.event or ""
    if message.type != "track" or order_event(name) is None:
        return ()
    properties = _object(message.properties)
    named = order_id(name, properties)
    return () if named is None else add(OrderState(named), name, properties, (0, "", ""), 0)
