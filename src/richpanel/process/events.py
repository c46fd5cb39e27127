"""Events of people as audiences see them, read again from what is stored: for first runs and for fresh folds."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Final

import msgspec
from sqlalchemy import Connection

from richpanel.core.happened import VIEWS, Happened, event_name, happened, name_of
from richpanel.core.identity import MAX_UIDS
from richpanel.process.incoming import TYPE_NUMBERS, Incoming
from richpanel.process.refold import Reader
from richpanel.store import history, names

_AT_ONCE: Final = 1_000
"""Messages that are opened at a time."""
_TRACK: Final = TYPE_NUMBERS["track"]
_VIEWED: Final = {TYPE_NUMBERS[kind]: name for kind, (name, _) in VIEWS.items()}


def opened(message: Incoming, around: Collection[str]) -> Happened | None:
    """Open a message as an event, None where it is none; with its context where its name is among `around`."""
    shared = msgspec.Raw() if message.whole is not None else message.meta.context  # A cut one's has it already.
    return happened(message.message, message.stamp, shared, around=name_of(message.message) in around)


def events_of(
    reader: Reader, profiles: Collection[int], wanted: Collection[str], around: Collection[str]
) -> Iterator[tuple[int, Happened]]:
    """Give the events of profiles that have one of these names, as (profile, event), in no order.

    Of an event whose body retention let go the name and the time are known.
    """
    if not profiles or not wanted:
        return
    rows = _rows(reader.connection, profiles, wanted)
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        owners = {number: profile for profile, _, number, _ in some}
        found = {message.n: message for message in reader.open(owners)}
        for profile, t, number, name in some:
            message = found.get(number)
            if message is None:
                yield profile, Happened((t, f"#{number}", ""), name)
            elif (event := opened(message, around)) is not None and event.name == name:
                yield profile, event


def _rows(
    connection: Connection, profiles: Collection[int], wanted: Collection[str]
) -> list[tuple[int, int, int, str]]:
    """Give (profile, t, number, name) of events."""
    spans: defaultdict[int, list[tuple[int, history.Span]]] = defaultdict(list)
    for profile, theirs in history.of_profiles(connection, profiles, MAX_UIDS).items():
        for span in theirs:
            spans[span.identity].append((profile, span))
    kinds = [kind for kind, name in _VIEWED.items() if name in wanted]
    stored = history.events(connection, spans, [_TRACK, *kinds])
    tracked = {event for _, _, _, kind, event in stored if kind == _TRACK and event is not None}
    spelled = {number: event_name(value) for number, value in names.by_number(connection, tracked).items()}
    found = []
    for identity, t, number, kind, event in stored:
        name = spelled.get(event or 0) if kind == _TRACK else _VIEWED[kind]
        if name is None or name not in wanted:
            continue
        owner = next((profile for profile, span in spans[identity] if span.from_t <= t < span.to_t), None)
        if owner is not None:
            found.append((owner, t, number, name))
    return found
