"""`richpanel audiences`: memberships counted again on demand. It works beside a running server, and writes nothing."""

import sys
from contextlib import closing
from time import time
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter
from rich.progress import Progress, SpinnerColumn, TextColumn
from sqlalchemy import Connection

from richpanel.commands.invocation import AsJson, Data, console, existing, fail, print_json, print_table, state
from richpanel.core.announcing import Class
from richpanel.core.identity import UID
from richpanel.core.money import decode_exact, encode_exact
from richpanel.log.opening import open_reader
from richpanel.process.definitions import Definitions, Watch
from richpanel.process.differing import Difference, Differs, Looked, differing
from richpanel.process.refold import Reader
from richpanel.store import identities, memberships
from richpanel.store.computations import ComputationRow
from richpanel.store.database import open_engine, reading
from richpanel.store.memberships import ALL

_SAMPLE: Final = 100
"""So many of those who differ are named, of each audience and computed trait."""
_WHY: Final[dict[Difference, str]] = {
    "value": "the messages say another value",
    "events": "other events are kept than are stored",
}

Wanted = Annotated[str | None, Parameter(help="Only this audience or computed trait: its id or key.")]


class _Person(msgspec.Struct, rename="camel"):
    """Somebody who differs: the value that is kept, and the one by the messages."""

    uid: str | None
    anonymous_id: str | None
    kept: Any
    counted: Any
    what: Difference

    @property
    def cells(self) -> list[str | None]:
        """Give what a table shows."""
        values = [encode_exact(each).decode() for each in (self.kept, self.counted)]
        return [self.uid or self.anonymous_id, *values, _WHY[self.what]]


class _Checked(msgspec.Struct, rename="camel"):
    """What came of an audience or computed trait."""

    id: str
    key: str
    kind: Class
    looked: int
    differing: int
    sample: list[_Person]


def check(id: Wanted = None, /, *, json: AsJson = False, data: Data = None) -> None:
    """Count everybody again by the stored messages, and tell who differs from what is kept."""
    directory = existing(data)
    account = open_engine(directory.account_url, read_only=True, cache_mib=1)
    try:
        known = Watch(account).current()
        wanted = _wanted(known, id)
        with (
            state(directory) as engine,
            reading(engine) as connection,
            closing(open_reader(directory.log, directory.log_url)) as log,
        ):
            reached = memberships.reached(connection)
            rows = [row for row in wanted if row.live is not None and reached.get(row.live.number) == ALL]
            rows = [row for row in rows if row.live is not None and row.live.number in known.ready.ready]
            found = _look(Reader(connection, known, log.slice), known, rows)
            shown = [_shown(connection, row, found[row.number]) for row in rows]
    except ConnectionError as error:
        fail(str(error))
    finally:
        account.dispose()
    left = [row.key for row in wanted if row not in rows]
    if json:
        print_json({"data": shown, "notComputed": left})
    else:
        _print(shown, left)
    if any(each.differing for each in shown):
        sys.exit(1)


def _wanted(known: Definitions, id: str | None) -> list[ComputationRow]:
    rows = [row for row in known.computations if id is None or id in (row.id, row.key)]
    if id is not None and not rows:
        fail(f"there is no audience or computed trait {id!r}")
    return rows


def _look(reader: Reader, known: Definitions, rows: list[ComputationRow]) -> dict[int, Looked]:
    """Look at everybody by what is live, all at once; by number of the audience or computed trait."""
    plans = {row.live.number: row.number for row in rows if row.live is not None}
    found: dict[int, Looked] = {}
    out = console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=out, disable=not out.is_terminal, transient=True) as bar:
        task = bar.add_task("reading the messages", total=None)
        for found in differing(reader, known.ready, sorted(plans), int(time() * 1000), sample=_SAMPLE):
            looked = max(each.looked for each in found.values())
            bar.update(task, description=f"{looked:,} counted again" if looked else "reading the messages")
    return {plans[number]: each for number, each in found.items()}


def _shown(connection: Connection, row: ComputationRow, found: Looked) -> _Checked:
    known = identities.by_number(connection, [each.profile for each in found.sample])
    sample = [_who(each, *known[each.profile][:2]) for each in found.sample]
    return _Checked(row.id, row.key, row.kind, found.looked, found.differing, sample)


def _who(differs: Differs, kind: int, value: str) -> _Person:
    uid, anonymous_id = (value, None) if kind == UID else (None, value)
    return _Person(uid, anonymous_id, decode_exact(differs.kept), decode_exact(differs.counted), differs.what)


def _print(shown: list[_Checked], left: list[str]) -> None:
    cells = [[each.key, each.kind, f"{each.looked:,}", f"{each.differing:,}"] for each in shown]
    print_table(["key", "kind", "counted again", "differing"], cells, empty="There is nothing to count again.")
    who = [[each.key, *one.cells] for each in shown for one in each.sample]
    if who:
        print_table(["key", "who", "kept", "by the messages", "why"], who, empty="")
    for key in left:
        console().print(f"{key} is not computed yet, or cannot be: its page says which.")
