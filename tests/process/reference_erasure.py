"""What regulations leave, straight from semantics.md 10: one by one, in the order of the log."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from richpanel.core.ids import clean_id, email_address, phone_address
from tests.process import reference
from tests.process.reference import Shared, Who, linked
from tests.process.reference_messages import Arrival, Message, all_counting, is_kept, message_of


class Erasure(NamedTuple):
    """A regulation that names one id or address; `at` is its receivedAt."""

    named: Who
    at: int


Stone = tuple[Who, Callable[[int], bool]]
"""An id, and whether it was theirs at an instant."""


class Left(NamedTuple):
    """The arrivals that are left, and where aliases start afresh."""

    arrived: list[Arrival]
    parted: list[tuple[Who, int]]


def left_by(history: Iterable[Arrival | Erasure]) -> Left:
    """Take away what regulations erase, and what comes late of it."""
    left = Left([], [])
    stones: list[Stone] = []
    erased: set[tuple[str, str]] = set()
    for each in history:
        if isinstance(each, Arrival):
            if (each.item["messageId"], each.source) not in erased and not is_refused(message_of(each), stones):
                left.arrived.append(each)
            continue
        shared = reference.find_people(left.arrived, left.parted)
        person = meant(each, shared)
        gone = {(m.stamp[1], m.stamp[2]) for m in all_counting(left.arrived) if person in owners(m, shared, left)}
        erased |= gone
        left.arrived[:] = [one for one in left.arrived if (one.item["messageId"], one.source) not in gone]
        made = list(stones_of(person, shared, each))
        left.parted.extend((who, each.at + 1) for who, theirs in made if who[0] != "uid" and theirs(each.at))
        stones += made
    return left


def meant(erasure: Erasure, shared: Shared) -> Who:
    """Whoever a message with this id alone would belong to."""
    kind, value = erasure.named
    links = {"anonymousId": shared.devices.get(value, []), "uid": []}.get(kind, shared.addresses.get(erasure.named, []))
    uid = linked(links, erasure.at)
    return ("uid", uid) if uid else erasure.named


def owners(message: Message, shared: Shared, left: Left) -> set[Who]:
    """Whose a message is, kept or not; what was done by hand is of whom it names, of a visitor unless calls link it."""
    if message.kind in ("link", "unlink"):
        by_calls = any(is_link(one, message) for one in all_counting(left.arrived))
        return {("uid", message.uid or ""), *([] if by_calls else [("anonymousId", message.anonymous or "")])}
    for who, history in shared.histories.items():
        if any(one.stamp == message.stamp for one in history):
            return {who}
    return {reference.owner_of_call(message, shared.devices)} if message.kind not in ("channel", "undo") else set()


def is_link(message: Message, by_hand: Message) -> bool:
    """Whether a call links the device that somebody linked or cut by hand."""
    is_call = message.kind in ("identify", "page", "track") and is_kept(message)
    return is_call and bool(message.uid) and message.anonymous == by_hand.anonymous


def stones_of(person: Who, shared: Shared, erasure: Erasure) -> Iterable[Stone]:
    """The person's own id up to the regulation, and every alias for as long as it was theirs."""
    kind, value = person
    yield person, lambda t: t <= erasure.at and (kind != "anonymousId" or linked(shared.devices[value], t) is None)
    aliases = [(("anonymousId", device), links) for device, links in shared.devices.items()]
    for who, links in [*aliases, *shared.addresses.items()] if kind == "uid" else ():
        if any(uid == value for _, uid in links):
            yield who, partial(was_linked, links, value, erasure.at)


def was_linked(links: list[tuple[int, str]], uid: str, until: int, t: int) -> bool:
    """Whether an alias was the uid's at `t`, which is not after `until`."""
    return t <= until and linked(links, t) == uid


def is_refused(message: Message, stones: list[Stone]) -> bool:
    """By its uid, else by any id that was theirs."""
    sender = message.sender
    uid = clean_id(sender.get("uid")) if message.kind == "channel" else message.uid
    named: list[Who] = [("uid", uid)] if uid else []
    if not named and message.kind == "channel":
        email, phone = email_address(sender.get("email")), phone_address(sender.get("phone"), "US")
        anonymous = clean_id(sender.get("anonymousId"))
        found = (("email", email), ("phone", phone), ("anonymousId", anonymous))
        named = [(kind, value) for kind, value in found if value]
    elif not named and message.anonymous:
        named = [("anonymousId", message.anonymous)]
    return any(who in named and theirs(message.t) for who, theirs in stones)
