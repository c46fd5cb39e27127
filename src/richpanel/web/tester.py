"""REST: the Event Tester, which sends a real event to a destination now, and tells what was answered.

As at Segment it goes past the destination's filters; what they, and all else that decides about a message, would make
of it is told beside. It is in no list of deliveries and in no figure: nothing outside is sent it again. At the built-in
account it enters by the door that takes Richpanel's own wire, under the connector whose API Key the destination has.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol
from uuid import uuid4

import msgspec
from litestar import post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException, PermissionDeniedException
from litestar.params import JSONBody
from sqlalchemy import Connection

from richpanel.core import wire
from richpanel.core.codes import Code
from richpanel.core.filters import Filter, Filters, Verdict
from richpanel.core.identity import ANONYMOUS, UID
from richpanel.core.ids import clean_id
from richpanel.core.message import DELIVERED_TYPES, validate
from richpanel.core.money import decode_exact, encode_exact
from richpanel.core.regulation import hashed
from richpanel.core.retrying import Outcome, Patience, Status, verdict
from richpanel.core.routing import Decision, Ruling, decide, decision
from richpanel.core.timestamps import iso, parse
from richpanel.store.connectors import ConnectorRow, list_connectors
from richpanel.store.destinations import ACCOUNT, DestinationRow, destination_secret, get_destination
from richpanel.store.secrets import SecretBox
from richpanel.store.sources import SourceRow
from richpanel.store.suppressed import is_kept_out
from richpanel.web.channels import NoWriter, TooBusy
from richpanel.web.paging import Identifier, bad_field
from richpanel.web.paths import decode_id
from richpanel.web.stores import Definitions, Reading, Stores

_AT_ONCE: Final = 4
"""So many tests may be under way; each may take five seconds."""
_NOTHING: Final = msgspec.Raw()


class Sent(NamedTuple):
    """What came of a test: where it went, how it is to be judged, how long it took, and the beginning of the answer."""

    url: str
    outcome: Outcome
    milliseconds: int
    body: bytes | None


class Lines(Protocol):
    """How tests leave; what does so is above the pages (`roles.lines`)."""

    def is_hosted(self, endpoint: str) -> bool:
        """Tell whether an endpoint is Richpanel's own API, whose 200 means little."""

    async def outside(self, endpoint: str, body: dict[str, Any], *, batch: bool) -> Sent:
        """Send to a destination outside; never raises for what the other side does."""

    async def account(self, body: dict[str, Any], *, batch: bool) -> Sent | None:
        """Post to the built-in account's own door; None where this server takes nothing in."""


class TestCall(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A call of Segment's to send, and as which of the destination's sources: else the first."""

    message: dict[str, Any]
    source: str | None = None


class TestRequest(msgspec.Struct):
    """What was sent, without key and signature."""

    url: str
    body: msgspec.Raw


class TestResponse(msgspec.Struct, rename="camel"):
    """What was answered: at the most 4 KB of it. Without an answer `statusCode` is null and `code` says why."""

    status_code: int | None
    milliseconds: int
    body: str | None


class Tested(msgspec.Struct, rename="camel", kw_only=True):
    """What a test came to.

    `decision` is what would become of a message like it that comes through the source. `status` is what a delivery
    would be after this answer; null where nothing was sent: `code` says why. `account` is the source under which the
    built-in account has it, if it took it.
    """

    message_id: str
    source: str | None
    decision: Decision
    status: Status | None
    code: Code | None
    request: TestRequest | None
    response: TestResponse | None
    account: str | None


class _Known(NamedTuple):
    """What is known of a destination. `connector` is the account's with its API Key, where there is one."""

    row: DestinationRow
    secret: str | None
    connector: ConnectorRow | None
    definitions: Definitions


@dataclass(frozen=True)
class Tester:
    """Sends tests, a few at a time. `lines` is None in a process that sends nothing."""

    stores: Stores
    secrets: SecretBox
    lines: Lines | None
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def run(self, destination_id: str, call: bytes, source_id: str | None) -> Tested:
        """Send a call, as it would be posted.

        Raises NotFoundException, ValidationException, PermissionDeniedException, TooBusy, NoWriter.
        """
        definitions = await self.stores.definitions()
        known = await self.stores.look_up(lambda conn: self._known(conn, definitions, destination_id))
        message = _checked(call)
        source = _source(known, source_id)
        now = self.stores.now()
        message = {"messageId": f"test-{uuid4()}", "timestamp": iso(now)} | message
        await self.stores.read(lambda reading: _refuse_kept_out(reading, message))
        made = decision(known.row.id, _ruling(known, message))
        not_sent = _not_sent(known.row, message)
        if self.lines is None:
            raise NoWriter("This process does not send tests.")
        if self.slots.locked():
            raise TooBusy("Other tests are under way; try again in a moment.", headers={"Retry-After": "1"})
        tested = Tested(
            message_id=str(message["messageId"]),
            source=source.id if source else None,
            decision=made,
            status=None,
            code=not_sent,
            request=None,
            response=None,
            account=None,
        )
        if not_sent is None:
            async with self.slots:
                await self._send(self.lines, known, tested, _event(self.lines, known, message, source, now), now)
        return tested

    def _known(self, conn: Connection, definitions: Definitions, destination_id: str) -> _Known:
        row = get_destination(conn, destination_id)
        if row is None:
            raise NotFoundException("There is no destination with this id.")
        signs = row.signature_mode != "none" and row.has_secret
        secret = destination_secret(conn, self.secrets, row.id) if signs else None
        return _Known(row, secret, _connector(list_connectors(conn), row, self.stores.now()), definitions)

    async def _send(self, lines: Lines, known: _Known, tested: Tested, event: dict[str, Any], now: int) -> None:
        """Send an event, and write down what came of it."""
        row, is_batch = known.row, known.row.batch_size > 1
        if is_batch:
            body = wire.sealed_batch([event], row.api_key, known.secret, row.signature_mode, now)
        else:
            body = wire.sealed(event, row.api_key, known.secret, row.signature_mode, now)
        sent = await (
            lines.account(body, batch=is_batch)
            if row.endpoint == ACCOUNT
            else lines.outside(row.endpoint, body, batch=is_batch)
        )
        if sent is None:
            raise NoWriter("This process does not take messages in; ask the one that does.")
        hosted = row.endpoint != ACCOUNT and lines.is_hosted(row.endpoint)
        found = verdict(sent.outcome, 1, now, now, 0.0, hosted=hosted, patience=Patience())
        tested.status, tested.code = found.status, found.code
        tested.request = TestRequest(sent.url, msgspec.Raw(encode_exact(event)))
        said = None if sent.body is None else sent.body.decode(errors="replace")
        tested.response = TestResponse(sent.outcome.status, sent.milliseconds, said)
        if row.endpoint == ACCOUNT and found.code is None and known.connector is not None:
            tested.account = known.connector.source


def _connector(connectors: list[ConnectorRow], row: DestinationRow, now: int) -> ConnectorRow | None:
    for each in connectors:
        old = (retired.api_key for retired in each.retired if retired.ends_at > now)
        if row.api_key in (each.api_key, *old):
            return each
    return None


def _checked(given: bytes) -> dict[str, Any]:
    """Read a call as the door would; raises ValidationException."""
    found = validate(given)
    if isinstance(found, Code):
        raise bad_field("message", f"The test cannot be sent: {found.text[:1].lower()}{found.text[1:]}")
    message: dict[str, Any] = decode_exact(given)
    message.pop("writeKey", None)
    return {key: value for key, value in message.items() if value is not None}


def _source(known: _Known, wanted: str | None) -> SourceRow | None:
    """Choose the source as which a test is sent; raises ValidationException."""
    if wanted is not None and wanted not in known.row.sources:
        raise bad_field("source", "The test cannot be sent: the destination gets nothing from this source.")
    chosen = wanted or next(iter(known.row.sources), None)
    return next((row for row in known.definitions.sources.values() if row.id == chosen), None)


def _refuse_kept_out(reading: Reading, message: Mapping[str, Any]) -> None:
    """Send nothing of somebody who is kept out, as the door takes nothing in; raises PermissionDeniedException."""
    uid, anonymous = clean_id(message.get("userId")), clean_id(message.get("anonymousId"))
    kind, value = (UID, uid) if uid is not None else (ANONYMOUS, anonymous)
    if value is not None and is_kept_out(reading.state, hashed(reading.account.hash_key, kind, value)):
        raise PermissionDeniedException("A regulation keeps calls of this person out: nothing was sent.")


def _ruling(known: _Known, message: Mapping[str, Any]) -> Ruling:
    """Decide about it as processing would (`process.deciding`)."""
    row = known.row
    filters = Filters(msgspec.convert(row.filters, list[Filter]))
    plain = msgspec.json.decode(encode_exact(message))

    def raw(key: str) -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode(plain[key])) if isinstance(plain.get(key), dict) else _NOTHING

    ruling = decide(
        plain["type"],
        raw("integrations"),
        raw("context"),
        key_valid=row.endpoint != ACCOUNT or known.connector is not None,
        judge=(lambda: filters.judge(plain)) if filters else None,
    )
    kept = ruling.code is None if isinstance(ruling, Verdict) else ruling is None
    return (_not_sent(row, message) or ruling) if kept else ruling


def _not_sent(row: DestinationRow, message: Mapping[str, Any]) -> Code | None:
    """Tell why there is nothing to send: it cannot be said in Richpanel's words."""
    if message["type"] not in DELIVERED_TYPES:
        return Code.UNSUPPORTED_EVENT_TYPE
    is_anonymous = message["type"] == "identify" and clean_id(message.get("userId")) is None
    return Code.UID_REQUIRED if is_anonymous and row.endpoint != ACCOUNT else None


def _event(lines: Lines, known: _Known, message: dict[str, Any], source: SourceRow | None, now: int) -> dict[str, Any]:
    t = parse(message["timestamp"])
    return wire.payload(
        message,
        now if t is None else t,
        source_type=None if source is None else source.type,
        exact=known.row.endpoint == ACCOUNT or not lines.is_hosted(known.row.endpoint),
        blocked=known.definitions.account.blocked_ids,
    )


@post(
    "/destinations/{destination_id:str}/test",
    operation_id="testDestination",
    tags=["Destinations"],
    status_code=200,
    raises=[NotFoundException, PermissionDeniedException, TooBusy, NoWriter],
)
async def test_destination(tester: Given[Tester], destination_id: Identifier, data: JSONBody[TestCall]) -> Tested:
    """Send a real event to a destination now, past its filters, and tell what was sent and answered.

    Nothing is sent of a screen, group or alias call, nor to a destination outside of an identify without a userId.
    """
    return await tester.run(decode_id(destination_id), msgspec.json.encode(data.message), data.source)
