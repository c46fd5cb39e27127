"""REST: `/regulations` and `/suppressions`: erase people, keep them out, let them in again (`semantics.md` 10).

A regulation enters through the log like any message, and holds from its place there on. It carries keyed hashes alone.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, NamedTuple
from uuid import uuid4

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException, ServiceUnavailableException
from litestar.params import JSONBody, SkipValidation
from msgspec import Meta
from sqlalchemy import Connection

from richpanel.core.identity import ANONYMOUS, EMAIL, PHONE, UID
from richpanel.core.ids import clean_id, email_address, phone_address
from richpanel.core.record import Meta as RecordMeta
from richpanel.core.record import encode
from richpanel.core.regulation import (
    DOOR,
    MAX_IDS,
    Erased,
    Named,
    Receipt,
    Regulation,
    RegulationType,
    encode_regulation,
    hashed,
)
from richpanel.core.timestamps import iso
from richpanel.log.contract import LogClosed, LogFull, LogUnsure, LogWriter
from richpanel.store import ledger, suppressed
from richpanel.store.account import AccountSettings
from richpanel.store.identities import Key, provisional
from richpanel.store.ledger import RegulationRow, Status
from richpanel.web.channels import NoWriter, TooBusy
from richpanel.web.paging import Identifier, Paged, answer_bad_values, bad_field
from richpanel.web.paths import decode_id, segment
from richpanel.web.stores import Reading, Stores

Id = Annotated[str, Meta(min_length=1, max_length=4_096)] | int
_PATH: Final = "/api/v1/regulations/%s"
MAX_BODY: Final = 2 << 20
"""5,000 ids of 400 bytes."""


class NewRegulation(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What to do, and with whom: at most 5,000 ids in all. An address is an email or a phone number."""

    type: RegulationType
    uids: list[Id] = []
    anonymous_ids: list[Id] = []
    addresses: list[Id] = []


class ErasedView(msgspec.Struct, frozen=True):
    """How many rows, and the HMAC-SHA256 of what they were."""

    count: int
    hash: str


class WalView(msgspec.Struct, frozen=True):
    """A position in PostgreSQL's write-ahead log, and when it was there."""

    lsn: str
    at: str


class ReceiptView(msgspec.Struct, rename="camel", frozen=True):
    """What was erased, by table. `hash` is an HMAC of all else, `previous` that of the receipt before.

    `wal`, where the state is on PostgreSQL: its write-ahead log up to `lsn`, and base backups and archived segments
    from before `at`, still have what was erased, for as long as they are kept.
    """

    tables: dict[str, ErasedView]
    tombstones: ErasedView
    previous: str
    hash: str
    wal: WalView | None = None


class RegulationView(msgspec.Struct, rename="camel", kw_only=True):
    """A regulation and how far it is; `ids` counts what it names. `problem` says why it does not get on."""

    id: str
    type: RegulationType
    status: Status
    created_at: str
    finished_at: str | None
    ids: int
    by: str | None
    problem: str | None
    receipt: ReceiptView | None


class SuppressionView(msgspec.Struct):
    """Somebody who is kept out, by the keyed hash of the uid, and how many anonymousIds are for their sake."""

    uid: str
    aliases: int


class RegulationList(msgspec.Struct):
    """A page of regulations, the newest first."""

    data: list[RegulationView]
    next: str | None


class SuppressionList(msgspec.Struct):
    """A page of suppressions, in the order of their hashes."""

    data: list[SuppressionView]
    next: str | None


class NotTaken(ServiceUnavailableException):
    """The log did not take the regulation in."""


def view(row: RegulationRow) -> RegulationView:
    """Show a regulation."""
    return RegulationView(
        id=row.id,
        type=row.regulation.type,
        status=row.status,
        created_at=iso(row.created_at),
        finished_at=None if row.finished_at is None else iso(row.finished_at),
        ids=len(row.regulation.ids),
        by=row.regulation.by,
        problem=row.problem,
        receipt=None if row.receipt is None else _receipt(row.receipt),
    )


def _receipt(receipt: Receipt) -> ReceiptView:
    def shown(erased: Erased) -> ErasedView:
        return ErasedView(erased.count, erased.hash)

    tables = {table: shown(erased) for table, erased in receipt.tables.items()}
    wal = None if receipt.wal is msgspec.UNSET else WalView(receipt.wal.lsn, iso(receipt.wal.at))
    return ReceiptView(tables, shown(receipt.tombstones), receipt.previous, receipt.hash, wal)


class Wanted(NamedTuple):
    """What somebody asks for; `keys` are the ids, cleaned."""

    type: RegulationType
    keys: Sequence[Key]
    by: str | None


def regulation_of(wanted: Wanted, secret: bytes) -> Regulation:
    """Make the regulation: it names people by keyed hashes alone."""
    named = [Named(kind, hashed(secret, kind, value)) for kind, value in dict.fromkeys(wanted.keys)]
    return Regulation(f"reg_{uuid4().hex}", wanted.type, named, wanted.by)


async def enter(stores: Stores, writer: LogWriter | None, wanted: Wanted) -> RegulationRow:
    """Put a regulation into the log, and give how it stands. Raises NoWriter, TooBusy, NotTaken."""
    if writer is None:
        raise NoWriter("This process does not take regulations in; ask the one that does.")
    known = await stores.definitions()
    secret = known.account.hash_key
    # As a sources' state does not matter: whoever may not be kept is erased though all doors are closed.
    source = next(row for row in known.sources.values() if row.type == "channel")
    regulation = regulation_of(wanted, secret)
    at = stores.now()
    await stores.define(lambda conn: ledger.note(conn, regulation, at))
    try:
        record = RecordMeta(at=at, source=source.id, sizes=[], door=DOOR)
        await writer.append(encode(record, [encode_regulation(regulation)]))
    except (LogFull, LogClosed, OSError) as error:
        await stores.define(lambda conn: ledger.withdraw(conn, regulation.id))
        busy = "The log cannot take more now. Nothing was kept."
        if isinstance(error, LogFull):
            raise TooBusy(busy, headers={"Retry-After": "1"}) from None
        raise NotTaken(busy, headers={"Retry-After": "1"}) from error
    except LogUnsure as error:
        said = "The log did not answer: the regulation may have been taken in or not. Ask again later, or repeat it."
        await stores.define(lambda conn: ledger.explain(conn, [regulation.id], said))
        raise NotTaken(said, headers={"Retry-After": "1"}) from error
    return await stores.look_up(lambda conn: ledger.get(conn, regulation.id))


def keys_of(asked: NewRegulation, account: AccountSettings) -> list[Key]:
    """Clean the ids; one that stands for nobody is refused. Raises ValidationException."""
    found: list[Key] = []
    for field, kind, values in (("uids", UID, asked.uids), ("anonymousIds", ANONYMOUS, asked.anonymous_ids)):
        for number, value in enumerate(values):
            cleaned = clean_id(value, account.blocked_ids)
            if cleaned is None:
                raise bad_field(f"{field}[{number}]", "This id stands for nobody.")
            found.append((kind, cleaned))
    for number, value in enumerate(asked.addresses):
        email = email_address(value)
        phone = phone_address(value, account.phone_country) if email is None else None
        if email is None and phone is None:
            raise bad_field(f"addresses[{number}]", "An address is an email or a phone number.")
        found.append((EMAIL, email) if email is not None else (PHONE, phone or ""))
    return found


def check(asked: NewRegulation) -> None:
    """Refuse what no regulation can be. Raises ValidationException."""
    given = len(asked.uids) + len(asked.anonymous_ids) + len(asked.addresses)
    if not given:
        raise bad_field("uids", "A regulation names at least one id.")
    if given > MAX_IDS:
        raise bad_field("uids", f"A regulation may name {MAX_IDS:,} ids at the most, all kinds together.")
    if asked.type != "DELETE" and (asked.anonymous_ids or asked.addresses):
        field = "anonymousIds" if asked.anonymous_ids else "addresses"
        raise bad_field(field, f"{asked.type} is about uids; only DELETE takes other ids.")


async def _checked(stores: Stores, asked: NewRegulation) -> Sequence[Key]:
    check(asked)
    keys = keys_of(asked, (await stores.definitions()).account)
    return await stores.read(lambda reading: with_provisional(reading, keys))


def with_provisional(reading: Reading, keys: Iterable[Key]) -> list[Key]:
    """Name customers who have no uid yet by the address or id that stands for it."""
    listed = list(keys)
    uids = [value for kind, value in listed if kind == UID]
    return [*listed, *provisional(reading.state, reading.account.hash_key, uids)]


@post(
    "/regulations",
    operation_id="addRegulation",
    tags=["Privacy"],
    status_code=202,
    request_max_body_size=MAX_BODY,
    raises=[TooBusy, NoWriter],
)
async def add_regulation(
    stores: Given[Stores], log_writer: Given[SkipValidation[LogWriter | None]], data: JSONBody[NewRegulation]
) -> Response[RegulationView]:
    """Erase people, keep them out, or let them in again.

    DELETE erases who has these ids, now: their customers, messages, orders and everything else, in every store; what
    comes late of them is refused, and what they do afterwards starts afresh. An anonymousId or an address means whom a
    message with it alone would belong to. SUPPRESS refuses calls of uids from now on, SUPPRESS_WITH_DELETE erases them
    as well, UNSUPPRESS ends it. The answer is a job: ask for it by its id until its status is FINISHED.
    """
    row = await enter(stores, log_writer, Wanted(data.type, await _checked(stores, data), None))
    return Response(view(row), headers={"Location": _PATH % segment(row.id)})


@get("/regulations", operation_id="listRegulations", tags=["Privacy"])
async def list_regulations(stores: Given[Stores], asked: Given[Paged]) -> RegulationList:
    """List regulations, the newest first."""
    before = answer_bad_values(lambda: number_of(asked.cursor))
    return await stores.look_up(lambda conn: list_page(conn, before, asked.limit))


def list_page(connection: Connection, before: int | None, limit: int) -> RegulationList:
    """Read a page of regulations."""
    rows = ledger.newest(connection, limit + 1, before)
    more = str(rows[limit - 1].number) if len(rows) > limit else None
    return RegulationList([view(row) for row in rows[:limit]], more)


def number_of(cursor: str | None) -> int | None:
    """Read a cursor. Raises ValueError."""
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise ValueError("this cursor is not one that was given")
    return int(cursor)


@get("/regulations/{regulation_id:str}", operation_id="getRegulation", tags=["Privacy"], raises=[NotFoundException])
async def get_regulation(stores: Given[Stores], regulation_id: Identifier) -> RegulationView:
    """Tell how far a regulation is; once it is FINISHED, with its receipt."""
    wanted = decode_id(regulation_id)
    row = await stores.look_up(lambda conn: ledger.find(conn, wanted))
    if row is None:
        raise NotFoundException("There is no regulation with this id.")
    return view(row)


@get("/suppressions", operation_id="listSuppressions", tags=["Privacy"])
async def list_suppressions(stores: Given[Stores], asked: Given[Paged]) -> SuppressionList:
    """List who is kept out, by keyed hashes: nobody can be read from them."""
    after = asked.cursor or ""
    rows = await stores.read(lambda reading: suppressed.listed_uids(reading.state, after, asked.limit + 1))
    more = rows[asked.limit - 1].uid if len(rows) > asked.limit else None
    return SuppressionList([SuppressionView(row.uid, row.aliases) for row in rows[: asked.limit]], more)


regulations_api = [add_regulation, list_regulations, get_regulation, list_suppressions]
