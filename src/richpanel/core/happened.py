"""Events as audiences and computed traits see them: page and track calls, each with a name (`semantics.md` 8).

Names match as those of Segment's specs do (`core.events`). A page call is `Page Viewed`, a screen call `Screen Viewed`,
with its name as `page_name` or `screen_name` among the properties.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from richpanel.core.events import canonical
from richpanel.core.inside import merged
from richpanel.core.message import Message
from richpanel.core.money import decode_exact
from richpanel.core.stamps import Stamp

VIEWS: Final = {"page": ("Page Viewed", "page_name"), "screen": ("Screen Viewed", "screen_name")}
_NOTHING: Final[Mapping[str, Any]] = {}
_ABSENT: Final = msgspec.Raw()


class Happened(NamedTuple):
    """An event: its place in the order, its name as `event_name` gives it, and what it carries, with exact numbers."""

    stamp: Stamp
    name: str
    properties: Mapping[str, Any] = _NOTHING
    context: Mapping[str, Any] = _NOTHING

    @property
    def t(self) -> int:
        """Event time, ms UTC."""
        return self.stamp[0]


def event_name(name: str) -> str:
    """Give a name the one spelling by which events and conditions meet."""
    return canonical(name) or name


def name_of(message: Message) -> str | None:
    """Give the name by which conditions know a call; None where it is no event."""
    if message.type == "track":
        return event_name(message.event) if message.event else None
    view = VIEWS.get(message.type or "")
    return None if view is None else view[0]


def happened(
    message: Message, stamp: Stamp, shared_context: msgspec.Raw = _ABSENT, *, around: bool = True
) -> Happened | None:
    """Open a call as an event, None where it is none. Ask `name_of` first: most events concern no audience.

    Its context is opened where somebody looks `around` (`watching.Watch.around`).
    """
    name = name_of(message)
    if name is None:
        return None
    properties = _object(message.properties)
    view = VIEWS.get(message.type or "")
    if view is not None and message.name:
        properties = {**properties, view[1]: message.name}
    context = _object(merged(shared_context, message.context)) if around else _NOTHING
    return Happened(stamp, name, properties, context)


def _object(raw: msgspec.Raw) -> Mapping[str, Any]:
    found = decode_exact(raw) if raw else None
    return found if isinstance(found, dict) else _NOTHING
