"""Announcing: what the world is told when somebody enters or leaves, or a computed trait changes (Segment facts, 7.3).

Each change is one identify, and a track call besides where that is wanted, from the Engage source into the log. Its id
is a digest of whose, which and the how-manieth change it is: what is written again after a crash is a duplicate. What
was told of somebody is a fold of these very messages, so nobody has to remember what the log has.
"""

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, Literal, TypeAlias

import msgspec

from richpanel.core.computed import Raw, is_empty, typed
from richpanel.core.money import encode_exact
from richpanel.core.timestamps import iso

Class: TypeAlias = Literal["audience", "trait"]
ENTERED: Final = "Audience Entered"
EXITED: Final = "Audience Exited"
COMPUTED: Final = "Trait Computed"
RICHPANEL: Final = "Richpanel"
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_THIRD: Final = 62**9
"""Of 27 digits of base 62, for 160 bits: as long as the ids that Segment gives."""
_TWOS: Final = tuple([one + other for one in _DIGITS for other in _DIGITS])
"""Two digits at a time: a first run writes a million ids."""
_TWO: Final = len(_TWOS)


class Computing(msgspec.Struct, frozen=True):
    """An audience or a computed trait, as messages name it: its class, id, version and key, and the space it is in."""

    kind: Class
    id: str
    version: int
    key: str
    space: str


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What the world knows of somebody: the value, the how-manieth it is, and its event time (ms UTC)."""

    value: Any
    number: int
    t: int


def entering(told: Told | None, member: bool, now: int) -> Told | None:
    """Give what is to be told of a membership at `now`, ms UTC, or None: nothing has changed, or nobody was ever in."""
    known = told is not None and told.value is True
    return None if member is known else following(told, member, now)


def computing(told: Told | None, raw: Raw, now: int) -> Told | None:
    """Give what is to be told of a computed trait's value; of somebody without a value nothing ever was."""
    value = typed(raw)
    if told is None:
        return None if is_empty(raw) else following(None, value, now)
    return None if told.value == value else following(told, value, now)


def following(told: Told | None, value: Any, now: int) -> Told:
    """Give the next thing to be told: later than the one before by a millisecond at least (`semantics.md` 8)."""
    return Told(value, 1, now) if told is None else Told(value, told.number + 1, max(now, told.t + 1))


def message_id(of: Computing, uid: str, number: int, call: str = "identify") -> str:
    """Give the id of a change: always the same for the same one, whoever writes it, however often."""
    hashed = _begun(of.id, of.version).copy()
    hashed.update(_parts(uid, str(number), call))
    left, low = divmod(int.from_bytes(hashed.digest(), "big"), _THIRD)
    high, middle = divmod(left, _THIRD)
    return f"personas_{_written_third(high)}{_written_third(middle)}{_written_third(low)}"


@lru_cache(256)
def _begun(id_: str, version: int) -> blake2b:
    """Begin a digest with what all changes of a computation have in common."""
    return blake2b(_parts(id_, str(version)), digest_size=20)


def _parts(*texts: str) -> bytes:
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])


def _written_third(number: int) -> str:
    """Write nine digits of base 62: so many fit into a machine's word."""
    number, fourth = divmod(number, _TWO)
    number, third = divmod(number, _TWO)
    number, second = divmod(number, _TWO)
    number, first = divmod(number, _TWO)
    return f"{_DIGITS[number]}{_TWOS[first]}{_TWOS[second]}{_TWOS[third]}{_TWOS[fourth]}"


def identify(of: Computing, uid: str, told: Told, destinations: Sequence[str] = (RICHPANEL,)) -> bytes:
    """Give the identify of a change, as the log takes it. The email is added at sending, from the customer."""
    before, after = _frame(of, tuple(destinations))
    at = iso(told.t).encode()
    id_ = message_id(of, uid, told.number).encode()
    parts = (b'{"type":"identify","userId":', encode_exact(uid), before, encode_exact(told.value), after, id_)
    return b"".join((*parts, b'","originalTimestamp":"', at, b'","sentAt":null,"timestamp":"', at, b'"}'))


@lru_cache(256)
def _frame(of: Computing, to: tuple[str, ...]) -> tuple[bytes, bytes]:
    """Write what stands before and behind the value in an identify of a change, up to the digits of its id."""
    before = b',"traits":{' + encode_exact(of.key) + b":"
    after = (b'},"context":', bytes(_context(of, None)), b',"integrations":', bytes(_integrations(to)))
    return before, b"".join((*after, b',"messageId":"'))


def backfill(of: Computing, uid: str, told: Told, destination: str, number: int) -> bytes:
    """Give the identify by which a destination that is connected later (its id) is told what the world was told.

    It is no change. Its id is made of the backfill's number: what was told may be another when it is written again.
    """
    says = {"type": "identify", "messageId": backfill_id(of, uid, number), "traits": {of.key: told.value}}
    return _written(of, uid, told, says, [destination], backfill=number)


def backfill_id(of: Computing, uid: str, number: int) -> str:
    """Give the id of what a backfill tells of a uid, by the backfill's number; the version makes no difference."""
    return message_id(Computing(of.kind, of.id, 0, of.key, of.space), uid, number, "backfill")


def track(
    of: Computing, uid: str, told: Told, destinations: Sequence[str] = (RICHPANEL,), *, event: str | None = None
) -> bytes:
    """Give the track call of a change; `event` is the name where somebody has given it another one."""
    named = COMPUTED if of.kind == "trait" else ENTERED if told.value else EXITED
    properties = {f"{of.kind}_key": of.key, of.key: told.value}
    says = {"type": "track", "event": event or named, "properties": properties}
    return _written(of, uid, told, says, destinations)


def _written(
    of: Computing, uid: str, told: Told, says: dict[str, Any], to: Sequence[str], *, backfill: int | None = None
) -> bytes:
    at = iso(told.t)
    id_ = says.get("messageId") or message_id(of, uid, told.number, says["type"])
    return encode_exact(
        {
            "type": says["type"],
            "userId": uid,
            **says,
            "context": _context(of, backfill),
            "integrations": _integrations(tuple(to)),
            "messageId": id_,
            "originalTimestamp": at,
            "sentAt": None,
            "timestamp": at,
        }
    )


@lru_cache(256)
def _context(of: Computing, backfill: int | None) -> msgspec.Raw:
    """Write what a message says of whose it is: a first run says the same a million times."""
    personas: dict[str, Any] = {
        "computation_class": of.kind,
        "computation_id": of.id,
        "computation_key": of.key,
        "namespace": of.space,
        "space_id": of.space,
    }
    if backfill is not None:
        personas["backfill"] = backfill
    library = {"name": "unknown", "version": "unknown"}
    around = {"personas": personas, "library": library, "integrations": {"personas": False}}
    return msgspec.Raw(encode_exact(around))


@lru_cache(256)
def _integrations(to: tuple[str, ...]) -> msgspec.Raw:
    return msgspec.Raw(encode_exact({"All": False, **dict.fromkeys(to, True), "Warehouses": {"all": False}}))


class _Personas(msgspec.Struct):
    computation_id: str
    computation_key: str
    backfill: int | None = None


class _Context(msgspec.Struct):
    personas: _Personas


class _Announcement(msgspec.Struct):
    userId: str
    context: _Context
    traits: dict[str, Any]


_decode: Final = msgspec.json.Decoder(_Announcement, float_hook=Decimal).decode


class Announced(msgspec.Struct, frozen=True):
    """An identify of ours, read back: whose audience or trait it is of (id), of whom (uid), and the value.

    `is_change` is false where it only tells a destination what others were told.
    """

    id: str
    uid: str
    value: Any
    is_change: bool = True


def announced(body: bytes) -> Announced:
    """Read back an identify that `identify` wrote. Raises ValueError where it did not."""
    try:
        found = _decode(body)
        personas = found.context.personas
        value = found.traits[personas.computation_key]
        return Announced(personas.computation_id, found.userId, value, personas.backfill is None)
    except (msgspec.DecodeError, KeyError) as error:
        raise ValueError(f"this is no identify of an audience or computed trait: {error}") from None
