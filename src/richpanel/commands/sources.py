"""`richpanel source`: add, list, enable, disable. A running server follows within a second."""

from time import time
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from richpanel.commands.invocation import (
    AsJson,
    Data,
    console,
    definitions,
    existing,
    fail,
    print_json,
    print_table,
    ready,
)
from richpanel.core.timestamps import iso
from richpanel.store.sources import (
    SourceChanges,
    SourceRow,
    add_source,
    list_sources,
    match_sources,
    rotate_write_key,
    update_source,
)

_LONGEST_OVERLAP: Final = 30 * 86_400
Wanted = Annotated[str, Parameter(help="The source's id, name or write key.")]


def _shown(source: SourceRow) -> dict[str, object]:
    """Give a source as the command prints it (contract.md): `writeKey` is the first of its keys."""
    return {
        "id": source.id,
        "name": source.name,
        "type": source.type,
        "writeKey": source.write_keys[0] if source.write_keys else None,
    }


def add(
    name: Annotated[str, Parameter(help="What people call it.")],
    *,
    type: Annotated[Literal["web", "mobile", "server"], Parameter(help="Where its calls come from.")],
    connect: Annotated[
        bool, Parameter(help="Connect it to the Richpanel destination of the first start (--no-connect: to nothing).")
    ] = True,
    json: AsJson = False,
    data: Data = None,
) -> None:
    """Add a source and show its write key."""
    if not name.strip():
        fail("a source needs a name", 2)
    with definitions(ready(data), write=True) as connection:
        source = add_source(connection, name, type, now=int(time() * 1000), connect=connect)
    if json:
        print_json(_shown(source))
        return
    print_table(["id", "name", "type", "write key"], [list(_shown(source).values())], empty="")


def list_all(*, json: AsJson = False, data: Data = None) -> None:
    """List the sources."""
    with definitions(existing(data)) as connection:
        sources = list_sources(connection)
    if json:
        rows = [
            {**_shown(s), "enabled": s.enabled, "rateLimit": s.rate_limit, "createdAt": iso(s.created_at)}
            for s in sources
        ]
        print_json({"data": rows})
        return
    cells = [[s.id, s.name, s.type, "yes" if s.enabled else "no", ", ".join(s.write_keys)] for s in sources]
    print_table(["id", "name", "type", "enabled", "write key"], cells, empty="There are no sources.")


def enable(source: Wanted, *, json: AsJson = False, data: Data = None) -> None:
    """Take messages from a source again."""
    _set(source, True, json, data)


def disable(source: Wanted, *, json: AsJson = False, data: Data = None) -> None:
    """Refuse messages from a source: its calls are answered with 403."""
    _set(source, False, json, data)


def rotate(
    source: Wanted,
    *,
    key: Annotated[str | None, Parameter(help="Which of its write keys, where it has several.")] = None,
    overlap: Annotated[int, Parameter(help="For so many seconds the old key works, too; 0 stops it at once.")] = 86_400,
    json: AsJson = False,
    data: Data = None,
) -> None:
    """Issue a write key in the place of one, which is refused by itself when the overlap is over."""
    if not 0 <= overlap <= _LONGEST_OVERLAP:
        fail(f"an overlap is from 0 to {_LONGEST_OVERLAP} seconds", 2)
    now = int(time() * 1000)
    until = now + overlap * 1_000 if overlap else None
    with definitions(existing(data), write=True) as connection:
        found = the_one(source, match_sources(connection, source))
        old = key or (found.write_keys[0] if len(found.write_keys) == 1 else None)
        if old is None:
            fail(f"{found.name} has {len(found.write_keys)} write keys: name one by --key")
        made = rotate_write_key(connection, found.number, old, keep_until=until, now=now)
        if made is None:
            fail(f"{found.name} has no write key {old!r} that is in force")
    ends = None if until is None else iso(until)
    if json:
        print_json({"id": found.id, "name": found.name, "writeKey": made, "oldKey": old, "oldKeyEndsAt": ends})
    else:
        row = [found.id, found.name, made, ends or "now"]
        print_table(["id", "name", "new write key", "old one works until"], [row], empty="")


def _set(wanted: str, enabled: bool, json: bool, data: Data) -> None:
    with definitions(existing(data), write=True) as connection:
        found = match_sources(connection, wanted)
        source = the_one(wanted, found)
        update_source(connection, source.id, SourceChanges(enabled=enabled))
    if json:
        print_json({**_shown(source), "enabled": enabled})
    else:
        console().print(f"{source.name} ({source.id}) is {'enabled' if enabled else 'disabled'}.")


def the_one(wanted: str, found: list[SourceRow]) -> SourceRow:
    """Give the one source that was meant; end the command where it is none or several."""
    if not found:
        fail(f"there is no source {wanted!r}: see `richpanel source list`")
    if len(found) > 1:
        fail(f"{len(found)} sources are called {wanted!r}: name one by its id ({', '.join(s.id for s in found)})")
    return found[0]
