"""Profiles: the state of a person, as a union of what each of their messages tells (`semantics.md` 3, 4, 5).

Every part of it is a set union, an earliest or a newest by the order, so folding messages in any sequence, or joining
the profiles of two sets of messages, gives the same bytes. Only taking messages away needs a fresh fold.
"""

from collections.abc import Collection
from decimal import Decimal
from typing import Final

import msgspec
from lz4.block import compress, decompress

from richpanel.core.session import Mark, Session, earliest, newest
from richpanel.core.stamps import Stamp
from richpanel.core.traits import Trait
from richpanel.core.traits import merge as merge_traits

OPEN_SESSIONS: Final = 2
"""The newest sessions travel with the profile; the others are rows of their own."""


class Currency(msgspec.Struct, array_like=True):
    """Orders in one currency: how many, and what they come to less refunds."""

    orders: int
    total: Decimal


class Profile(msgspec.Struct, array_like=True, kw_only=True):
    """A person: a customer from `customer` on, a visitor where it is None.

    `traits` and `carried_email` follow `core.traits`; `called` is the newest name that channel activity gave. `open`
    holds the newest sessions, `closed` counts those that have rows of their own. The figures of orders are differences
    applied as orders change, since an order is a fold of its own.
    """

    created: int
    seen: int
    customer: Stamp | None = None
    events: int = 0
    visits: int = 0
    closed: int = 0
    traits: dict[str, Trait] = {}
    carried_email: Trait | None = None
    landing: Mark | None = None
    last_page: Mark | None = None
    campaign: Mark | None = None
    agent: Mark | None = None
    called: Mark | None = None
    open: list[Session] = []
    orders: int = 0
    currencies: dict[str, Currency] = {}


def see(profile: Profile, t: int) -> None:
    """Note that a message of this profile has event time `t`."""
    if t > profile.seen:
        profile.seen = t
    if t < profile.created:
        profile.created = t


def become_customer(profile: Profile, stamp: Stamp) -> bool:
    """Note an identify with a userId, or channel activity; tell whether the profile was a visitor until now."""
    was = profile.customer
    profile.customer = stamp if was is None else min(was, stamp)
    return was is None


def merge(into: Profile, other: Profile) -> None:
    """Take over everything but sessions and order figures from the profile of other messages."""
    into.created = min(into.created, other.created)
    into.seen = max(into.seen, other.seen)
    into.events += other.events
    if other.customer is not None:
        become_customer(into, other.customer)
    merge_traits(into.traits, other.traits)
    if other.carried_email is not None and (
        into.carried_email is None or into.carried_email[1] <= other.carried_email[1]
    ):
        into.carried_email = other.carried_email
    into.landing = earliest(into.landing, other.landing)
    into.last_page = newest(into.last_page, other.last_page)
    into.campaign = earliest(into.campaign, other.campaign)
    into.agent = newest(into.agent, other.agent)
    into.called = newest(into.called, other.called)


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(Profile).decode
_decode_session = msgspec.msgpack.Decoder(Session).decode


def _squeeze(part: Profile | Session) -> bytes:
    squeezed: bytes = compress(_encode(part))
    return squeezed


def pack(profile: Profile) -> bytes:
    """Write a profile for the store. What its parts have in common, stamps above all, LZ4 writes once."""
    return _squeeze(profile)


def unpack(data: bytes) -> Profile:
    """Read what `pack` wrote."""
    return _decode(decompress(data))


def pack_session(session: Session) -> bytes:
    """Write a session that has a row of its own."""
    return _squeeze(session)


def unpack_session(data: bytes) -> Session:
    """Read what `pack_session` wrote."""
    return _decode_session(decompress(data))


class Glance(msgspec.Struct, array_like=True):
    """What conditions ask of a packed profile: its first fields alone, for those behind them are the bulk of it."""

    created: int
    seen: int
    customer: Stamp | None = None
    events: int = 0
    visits: int = 0
    closed: int = 0
    traits: dict[str, msgspec.Raw] = {}
    carried_email: Trait | None = None


_decode_glance = msgspec.msgpack.Decoder(Glance).decode
_decode_trait = msgspec.msgpack.Decoder(Trait).decode


def glance(data: bytes, keys: Collection[str]) -> tuple[bool, dict[str, Trait], Trait | None]:
    """Look into what `pack` wrote: whether it is a customer, the traits that have these keys, the email carried."""
    found = _decode_glance(decompress(data))
    traits = {key: _decode_trait(found.traits[key]) for key in keys if key in found.traits}
    return found.customer is not None, traits, found.carried_email


class Outline(msgspec.Struct, array_like=True):
    """What a list asks of a packed profile, of thousands at a time: all but a few numbers stays packed until then."""

    created: int
    seen: int
    customer: msgspec.Raw = msgspec.Raw()
    events: int = 0
    visits: int = 0
    closed: int = 0
    traits: msgspec.Raw = msgspec.Raw()
    carried_email: msgspec.Raw = msgspec.Raw()
    landing: msgspec.Raw = msgspec.Raw()
    last_page: msgspec.Raw = msgspec.Raw()
    campaign: msgspec.Raw = msgspec.Raw()
    agent: msgspec.Raw = msgspec.Raw()
    called: msgspec.Raw = msgspec.Raw()
    open: msgspec.Raw = msgspec.Raw()
    orders: int = 0
    money: msgspec.Raw = msgspec.Raw()

    def trait(self, key: str) -> str | None:
        """Give a trait's value as JSON text; None where there is none, or it was removed."""
        if key.encode("utf-8", "surrogatepass") not in bytes(self.traits):
            return None
        found = _decode_traits(self.traits).get(key)
        return None if found is None else _decode_trait(found)[0]

    def currencies(self) -> dict[str, Currency]:
        """Give the figures of the orders in each currency."""
        return _decode_currencies(self.money) if self.money else {}


_decode_traits = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_decode_currencies = msgspec.msgpack.Decoder(dict[str, Currency]).decode
_decode_outline = msgspec.msgpack.Decoder(Outline).decode


def outline(data: bytes) -> Outline:
    """Look over what `pack` wrote."""
    return _decode_outline(decompress(data))
