"""What an account has seen lately: names of events, paths of properties and traits, to be offered in forms."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from richpanel.core.happened import VIEWS
from richpanel.core.message import TYPES, decode_message
from richpanel.store import message_rows, names
from richpanel.store.bodies import Bodies, Slice, bodies_of
from richpanel.store.bulk import fetch
from richpanel.store.message_rows import COLUMNS, StoredMessage

_LOOKED_AT: Final = 20_000
"""Messages whose names are looked at, the newest."""
_OPENED: Final = 200
"""Messages that are opened, about as many of each name, so that a rare one shows what it carries, too."""
_OF_EACH: Final = 3
"""How many of a name are opened at least."""
_MOST: Final = 300
_DEEPEST: Final = 3
_TRACK, _IDENTIFY = TYPES.index("track"), TYPES.index("identify")
_NOTHING: Final[Mapping[str, Any]] = {}


class Seen(msgspec.Struct, frozen=True):
    """Names of events, the most frequent first; paths of properties, each with the event it was seen at; of traits."""

    events: list[str]
    properties: dict[str, str]
    traits: list[str]


NOTHING_SEEN: Final = Seen([], {}, [])


def list_seen(connection: Connection, log: Slice | Bodies) -> Seen:
    """Look at the newest messages."""
    ((newest,),) = fetch(connection, "SELECT coalesce(max(n), 0) FROM messages")
    rows = fetch(
        connection,
        "SELECT type, event, count(*), max(n) FROM messages WHERE n > ? AND outcome = 0 GROUP BY type, event "
        "ORDER BY count(*) DESC LIMIT ?",
        *(newest - _LOOKED_AT, _MOST),
    )
    texts = names.by_number(connection, [row[1] for row in rows if row[1] is not None])
    events = [name for row in rows if (name := _name(row[0], texts.get(row[1]))) is not None]
    each = max(_OF_EACH, _OPENED // max(len(rows), 1))
    found = (row for kind, event, _, last in rows for row in _newest(connection, kind, event, last, each))
    some = list(islice(found, _OPENED))
    properties, traits = dict[str, str](), dict[str, None]()
    bodies = bodies_of(connection, log)
    bodies.ahead(some)
    for row in some:
        body = message_rows.kept(bodies, row.place, row.size)
        if body is None or row.type >= len(TYPES):
            continue
        message = decode_message(body)
        if row.type == _IDENTIFY:
            traits.update(dict.fromkeys(_paths(_object(message.traits))))
        elif (name := _name(row.type, texts.get(row.event or 0))) is not None:
            for path in _paths(_object(message.properties)):
                properties.setdefault(path, name)
    return Seen(list(dict.fromkeys(events)), dict(islice(properties.items(), _MOST)), list(traits)[:_MOST])


def _name(kind: int, event: str | None) -> str | None:
    if kind == _TRACK:
        return event
    view = VIEWS.get(TYPES[kind]) if kind < len(TYPES) else None
    return None if view is None else view[0]


def _newest(connection: Connection, kind: int, event: int | None, last: int, most: int) -> list[StoredMessage]:
    named = "event IS NULL" if event is None else "event = ?"
    given = (kind,) if event is None else (kind, event)
    rows = fetch(
        connection,
        f"SELECT {COLUMNS} FROM messages WHERE type = ? AND {named} AND n <= ? AND n > ? AND outcome = 0 "
        "ORDER BY n DESC LIMIT ?",
        *(*given, last, last - _LOOKED_AT // 10, most),
    )
    return [StoredMessage(*row) for row in rows]


def _object(raw: msgspec.Raw) -> Mapping[str, Any]:
    found = msgspec.json.decode(raw) if raw else None
    return found if isinstance(found, dict) else _NOTHING


def _paths(given: Mapping[str, Any], before: str = "", depth: int = 1) -> Iterator[str]:
    """Give the paths to values, also into objects and the objects of lists."""
    for key, value in given.items():
        path = f"{before}{key}"
        inner = next((each for each in value if isinstance(each, dict)), None) if isinstance(value, list) else value
        if isinstance(inner, dict) and depth < _DEEPEST:
            yield from _paths(inner, f"{path}.", depth + 1)
        else:
            yield path
