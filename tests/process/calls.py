"""Calls as a shop makes them, minutes after the beginning; each has an id of its own unless one is given."""

from typing import Any

from tests.process.account import at


def call(kind: str, minutes: float, uid: str | None, device: str | None, **fields: Any) -> dict[str, Any]:
    """A call of one of Segment's types."""
    ids = {key: value for key, value in (("userId", uid), ("anonymousId", device)) if value is not None}
    name = "-".join([kind, str(minutes), *ids.values()])
    return {"type": kind, "messageId": name, "timestamp": at(minutes), **ids, **fields}


def identify(minutes: float, uid: str | None = None, device: str | None = None, /, **traits: Any) -> dict[str, Any]:
    """An identify call."""
    return call("identify", minutes, uid, device, traits=traits)


def page(minutes: float, uid: str | None = None, device: str | None = None, /, **properties: Any) -> dict[str, Any]:
    """A page call."""
    return call("page", minutes, uid, device, name="Home", properties=properties)


def track(
    minutes: float, event: str, uid: str | None = None, device: str | None = None, /, **properties: Any
) -> dict[str, Any]:
    """A track call."""
    return call("track", minutes, uid, device, event=event, properties=properties)


def activity(minutes: float, /, **sender: Any) -> dict[str, Any]:
    """Channel activity, as the log keeps it."""
    return {
        "messageId": f"activity-{minutes}",
        "channel": "email",
        "from": sender,
        "subject": "Where is my order?",
        "body": "Hello",
        "timestamp": at(minutes),
    }
