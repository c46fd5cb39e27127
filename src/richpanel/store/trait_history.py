"""The history of a person's traits: which identify call set what (`semantics.md` 4), read from the calls themselves.

The newest calls alone are read; what a trait is now, and which message made it so, stands in the profile anyway.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.core import traits
from richpanel.core.inside import is_absent
from richpanel.core.message import decode_message
from richpanel.core.profile import Profile, unpack
from richpanel.core.stamps import Stamp
from richpanel.core.traits import Trait
from richpanel.store import message_rows
from richpanel.store.bodies import Slice, bodies_of
from richpanel.store.bulk import fetch
from richpanel.store.decisions import Cuts
from richpanel.store.history import FOREVER
from richpanel.store.nearest import Sieve, sifted
from richpanel.store.sources import SourceRow

MOST_READ: Final = 200
"""So many identify calls are read, the newest."""
_IDENTIFIES: Final = Sieve(types=(0,))


class Was(NamedTuple):
    """What a trait became: its value as JSON text (None: removed), when (ms UTC), and which message made it so.

    `source` is the source's id.
    """

    value: str | None
    t: int
    message_id: str
    source: str


class TraitPast(NamedTuple):
    """A trait: what it is now, and what it was before, newest first."""

    key: str
    now: Was
    before: list[Was]


class Past(NamedTuple):
    """All traits of a person by key, those removed behind the others. `is_whole`: every identify call was read."""

    traits: list[TraitPast]
    is_whole: bool


def read_past(connection: Connection, log: Slice, sources: Mapping[int, SourceRow], profile: int) -> Past:
    """Read what became of a person's traits."""
    rows = fetch(connection, "SELECT state FROM profiles WHERE id = ?", profile)
    if not rows:
        return Past([], True)
    known = unpack(rows[0][0])
    found = sifted(connection, profile, FOREVER, MOST_READ, _IDENTIFIES)
    said = _said(connection, log, sources, found.numbers[:MOST_READ])
    past = [_past(key, trait, known, said.get(key, [])) for key, trait in known.traits.items()]
    past.sort(key=lambda each: (each.now.value is None, each.key))
    return Past(past, found.reached is None and len(found.numbers) <= MOST_READ)


def _said(
    connection: Connection, log: Slice, sources: Mapping[int, SourceRow], numbers: Iterable[int]
) -> dict[str, list[Trait]]:
    """Give what identify calls said of each key. One whose body is gone says nothing."""
    opened = message_rows.load(connection, numbers)
    bodies, cuts = bodies_of(connection, log), Cuts(connection)
    bodies.ahead(opened.values())
    cuts.ahead(opened.values())
    said: dict[str, list[Trait]] = {}
    for row in opened.values():
        body = message_rows.kept(bodies, row.place, row.size)
        if body is None:
            continue
        message, cut = decode_message(body), cuts.of(row)
        if cut is not None:
            cut.apply_to(message, msgspec.Raw())
        if is_absent(message.traits):
            continue
        given = message.messageId
        number = message_rows.message_id(bodies, row) if given is None or given == "" else str(given)
        stamp = (row.t, number, sources[row.source].id)
        for key, value in traits.read(message.traits).items():
            said.setdefault(key, []).append((value, stamp))
    return said


def _past(key: str, now: Trait, profile: Profile, said: list[Trait]) -> TraitPast:
    """Put together what a trait was: a message that said what was so already made nothing of it."""
    carried = profile.carried_email
    told = {stamp: value for value, stamp in (*said, now)}
    if key == "email" and carried is not None and traits.email(now, carried) == carried[0] and now[1] < carried[1]:
        told[carried[1]] = carried[0]
    changes: list[Was] = []
    for stamp in sorted(told):
        if not changes or changes[-1].value != told[stamp]:
            changes.append(_was(told[stamp], stamp))
    return TraitPast(key, changes[-1], changes[-2::-1])


def _was(value: str | None, stamp: Stamp) -> Was:
    return Was(value, *stamp)
