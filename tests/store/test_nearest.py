"""What stands next to an instant: exactly that, over however many parts and identities, in a handful of statements."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from sqlalchemy import Connection, event

from richpanel.core.identity import ANONYMOUS, MAX_UIDS, UID, Run
from richpanel.store import history, identities, parts, schema
from richpanel.store.bulk import insert, on_postgres
from richpanel.store.database import open_engine, sqlite_url
from richpanel.store.history import FOREVER
from richpanel.store.migrating import migrate
from richpanel.store.nearest import ENTRY_TYPES, nearest
from richpanel.store.postgres import schema_url
from tests.postgres_server import PostgresServer

ME, OTHER = 1, 2
ALIASES: Final = range(3, 140)
PARTS: Final = 6
SPAN: Final = 1_000
"""Ms from the start of one part to that of the next, which it overlaps by half."""


class Kept(NamedTuple):
    identity: int
    t: int
    n: int
    type: int


def histories() -> list[Kept]:
    """Six parts of what a person of many devices did, much of it at the same instants, and what others did there."""
    dice = random.Random(7)
    kept = []
    for n in range(PARTS * 150):
        t = n // 150 * SPAN + dice.randrange(0, 2 * SPAN, 10)
        kept.append(Kept(dice.choice((ME, ME, OTHER, *ALIASES)), t, n, dice.choice((0, 1, 1, 2, 2, 6))))
    return kept


KEPT: Final = histories()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    folder: Path = tmp_path_factory.mktemp("nearest")
    url = sqlite_url(folder, "state")
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = schema_url(server.create(folder.name), "state")
    migrate(url, "state")
    engine = open_engine(url)
    with engine.begin() as opened:
        known: list[tuple[int, identities.Key, tuple[Run, ...]]] = [(ME, (UID, "me"), ()), (OTHER, (UID, "other"), ())]
        known += [(alias, (ANONYMOUS, f"device {alias}"), linked(alias)) for alias in ALIASES]
        identities.add(opened, b"secret", known)
        spans: dict[int, tuple[int, int]] = {}
        placed = []
        for identity, t, n, kind in KEPT:
            part = 0 if on_postgres(opened) else n // 150
            low, high = spans.get(part, (t, t))
            spans[part] = min(low, t), max(high, t)
            placed.append((part, identity, t, n, kind))
        parts.widen(opened, spans)
        insert(opened, schema.history, placed)
        yield opened
    engine.dispose()


def linked(alias: int) -> tuple[Run, ...]:
    """Whose a device is when: each third one changes hands, there and back."""
    first = Run((10 * alias, f"m{alias}", "s"), ME)
    if alias % 3:
        return (first,)
    return (first, Run((10 * alias + 500, f"n{alias}", "s"), OTHER), Run((10 * alias + 2_500, f"o{alias}", "s"), ME))


def theirs(connection: Connection) -> list[Kept]:
    """What belongs on the timeline, by the spans alone."""
    spans = history.of_profile(connection, ME, MAX_UIDS)
    return [
        row
        for row in KEPT
        if row.type in ENTRY_TYPES
        and any(row.identity == span.identity and span.from_t <= row.t < span.to_t for span in spans)
    ]


def expected(rows: list[Kept], at: int, limit: int, newer: bool) -> list[int]:
    """The instant itself, and whole instants beyond it until there are more than asked for."""
    found = [row for row in rows if row.t == at]
    beyond: list[Kept] = []
    for t in sorted({row.t for row in rows if (row.t > at if newer else row.t < at)}, reverse=not newer):
        if len(beyond) > limit:
            break
        beyond += [row for row in rows if row.t == t]
    return sorted(row.n for row in found + beyond)


@pytest.mark.parametrize("limit", [1, 7, 50, 500])
@pytest.mark.parametrize("newer", [False, True])
def test_it_is_exactly_what_stands_there(connection: Connection, limit: int, newer: bool) -> None:
    rows = theirs(connection)
    assert len({row.identity for row in rows}) > 100, "more than one statement asks for"
    for at in (-1, *range(0, (PARTS + 1) * SPAN, 610), FOREVER):
        found = nearest(connection, ME, at, limit, newer=newer)
        assert sorted(found.numbers) == expected(rows, at, limit, newer)


def test_of_all_parts_the_rest_is_asked_at_once(connection: Connection) -> None:
    """A person with two devices, a page of whose timeline takes all parts."""
    asked = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    with connection.begin_nested() as nested:
        identities.add(connection, b"secret", [(200, (UID, "two"), ())])
        identities.set_runs(connection, [(device, (Run((0, "m", "s"), 200),)) for device in (3, 4)])
        event.listen(connection, "before_cursor_execute", note)
        found = nearest(connection, 200, FOREVER, 50)
        event.remove(connection, "before_cursor_execute", note)
        nested.rollback()
    assert sorted(found.numbers) == [row.n for row in KEPT if row.identity in (3, 4) and row.type in ENTRY_TYPES]
    assert len(asked) <= 4
