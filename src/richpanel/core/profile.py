"""Profiles: the state of a person, as a union of what each of their messages tells (`semantics.md` 3, 4, 5).

Every part of it is a set union, an earliest or a newest by the order, so folding messages in any sequence, or joining
the profiles of two sets of messages, gives the same bytes. Only taking messages away needs a fresh fold.
"""

from decimal import Decimal
from typing import Any, Final

import msgspec

from richpanel.core.money import text
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


class Profile(msgspec.Struct, kw_only=True):
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


class _Packed(msgspec.Struct, array_like=True):
    """How a profile is stored: each stamp once, everything else refers to it by number."""

    stamps: list[Stamp]
    scalars: tuple[int, int, int, int, int, int, int]
    traits: dict[str, tuple[str | None, int]]
    marks: list[tuple[int, str] | None]
    sessions: list[list[Any]]
    currencies: dict[str, tuple[int, str]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


class _Stamps(dict[Stamp, int]):
    """Numbers stamps as they are met."""

    def __missing__(self, stamp: Stamp) -> int:
        number = self[stamp] = len(self)
        return number


def _pack_marks(stamps: _Stamps, marks: tuple[Mark | None, ...]) -> list[tuple[int, str] | None]:
    return [None if mark is None else (stamps[mark[0]], mark[1]) for mark in marks]


def _pack_session(stamps: _Stamps, session: Session) -> list[Any]:
    marks = (session.landing, session.exit, session.referrer, session.campaign, session.device)
    return [
        session.key,
        stamps[session.first],
        stamps[session.last],
        session.events,
        session.visit,
        *_pack_marks(stamps, marks),
    ]


def _unpack_marks(stamps: list[Stamp], marks: list[Any]) -> list[Mark | None]:
    return [None if mark is None else (stamps[mark[0]], mark[1]) for mark in marks]


def _unpack_session(stamps: list[Stamp], packed: list[Any]) -> Session:
    key, first, last, events, visit = packed[:5]
    landing, exit_, referrer, campaign, device = _unpack_marks(stamps, packed[5:])
    return Session(
        key=key,
        first=stamps[first],
        last=stamps[last],
        events=events,
        visit=visit,
        landing=landing,
        exit=exit_,
        referrer=referrer,
        campaign=campaign,
        device=device,
    )


def pack_session(session: Session) -> bytes:
    """Write a session that has a row of its own."""
    stamps = _Stamps()
    body = _pack_session(stamps, session)
    return msgspec.msgpack.encode((list(stamps), body))


def unpack_session(data: bytes) -> Session:
    """Read what `pack_session` wrote."""
    stamps, body = msgspec.msgpack.decode(data, type=tuple[list[Stamp], list[Any]])
    return _unpack_session(stamps, body)


def pack(profile: Profile) -> bytes:
    """Write a profile for the store."""
    stamps = _Stamps()
    customer = -1 if profile.customer is None else stamps[profile.customer]
    carried = profile.carried_email
    scalars = (
        *(profile.created, profile.seen, customer),
        *(profile.events, profile.visits, profile.closed, profile.orders),
    )
    traits = {key: (value, stamps[stamp]) for key, (value, stamp) in profile.traits.items()}
    marks = _pack_marks(
        stamps,
        (
            None if carried is None or carried[0] is None else (carried[1], carried[0]),
            profile.landing,
            profile.last_page,
            profile.campaign,
            profile.agent,
            profile.called,
        ),
    )
    sessions = [_pack_session(stamps, session) for session in profile.open]
    currencies = {code: (figure.orders, text(figure.total)) for code, figure in sorted(profile.currencies.items())}
    return _encode(_Packed(list(stamps), scalars, traits, marks, sessions, currencies))


def unpack(data: bytes) -> Profile:
    """Read what `pack` wrote."""
    packed = _decode(data)
    stamps = packed.stamps
    created, seen, customer, events, visits, closed, orders = packed.scalars
    carried, landing, last_page, campaign, agent, called = _unpack_marks(stamps, packed.marks)
    return Profile(
        created=created,
        seen=seen,
        customer=None if customer < 0 else stamps[customer],
        events=events,
        visits=visits,
        traits={key: (value, stamps[at]) for key, (value, at) in packed.traits.items()},
        closed=closed,
        carried_email=None if carried is None else (carried[1], carried[0]),
        landing=landing,
        last_page=last_page,
        campaign=campaign,
        agent=agent,
        called=called,
        open=[_unpack_session(stamps, session) for session in packed.sessions],
        orders=orders,
        currencies={code: Currency(count, Decimal(total)) for code, (count, total) in packed.currencies.items()},
    )
