"""The fold, step by step: what one kept message does to the profile it belongs to.

The steps before (decode, repeats, routing, whose message it is) and after (orders, writing) are named in
`process.batch.apply`, which runs them for a batch; the rules of each stand in the module named after it.
"""

from collections.abc import Collection
from typing import Any

import msgspec

from richpanel.core import profile as people
from richpanel.core import traits
from richpanel.core.channel import Activity
from richpanel.core.device import device_type
from richpanel.core.ids import BLOCKED_IDS
from richpanel.core.inside import Inside, is_absent, look, merged
from richpanel.core.message import Message
from richpanel.core.profile import Profile
from richpanel.core.session import Book, Event
from richpanel.core.stamps import Stamp

Change = dict[str, Any]
"""One thing a message changed, for its trace."""


def identify(
    profile: Profile, message: Message, stamp: Stamp, *, has_uid: bool, in_use: Collection[str] = ()
) -> list[Change]:
    """Fold an identify call: its traits, and the customer it makes if it carries a uid (`semantics.md` 3, 4).

    The keys `in_use` are those of audiences and computed traits: a source cannot set them (`semantics.md` 8).
    """
    people.see(profile, stamp[0])
    changes: list[Change] = []
    if has_uid and people.become_customer(profile, stamp):
        changes.append({"what": "became_customer"})
    if not is_absent(message.traits):
        given = traits.read(message.traits)
        for key in in_use:
            if given.pop(key, in_use) is not in_use:
                changes.append({"what": "key_in_use", "key": key})
        before = _email(profile)
        changes += [_trait(key, given[key]) for key in traits.apply(profile.traits, given, stamp) if key != "email"]
        after = _email(profile)
        if after != before:  # It may end what a page or track call carried, without a new value of its own.
            changes.append(_trait("email", after))
    return changes


def _trait(key: str, value: str | None) -> Change:
    return {"what": "trait", "key": key, "value": None if value is None else msgspec.Raw(value.encode())}


def _email(profile: Profile) -> str | None:
    return traits.email(profile.traits.get("email"), profile.carried_email)


def source_type(kind: str, message: Message) -> str:
    """Tell the type of the source that a call came from: through a connector come those of many.

    Real Segment says `channel: server` of a server's (facts of Richpanel 9.2); nobody visits with one.
    """
    return "server" if kind == "segment" and message.channel == "server" else kind


def event(
    profile: Profile, book: Book, inside: Inside, stamp: Stamp, *, has_uid: bool, source_type: str
) -> list[Change]:
    """Fold a page or track call: its session, and what it tells of device, campaign and email (`semantics.md` 4, 5)."""
    people.see(profile, stamp[0])
    profile.events += 1
    agent = inside.agent
    book.add_event(
        Event(
            stamp,
            inside.session_key,
            source_type in ("web", "mobile", "segment"),
            inside.page,
            inside.referrer,
            inside.campaign,
            device_type(agent, inside.device_type, source_type),
        )
    )
    if inside.page is not None:
        page = (stamp, inside.page)
        if profile.last_page is None or page > profile.last_page:
            profile.last_page = page
        if profile.landing is None or page < profile.landing:
            profile.landing = page
    if inside.campaign is not None:
        campaign = (stamp, inside.campaign)
        if profile.campaign is None or campaign < profile.campaign:
            profile.campaign = campaign
    if agent is not None and (profile.agent is None or profile.agent[0] < stamp):
        profile.agent = (stamp, agent)
    if has_uid and inside.email is not None:
        return _carry_email(profile, inside.email, stamp)
    return []


def _carry_email(profile: Profile, email: str, stamp: Stamp) -> list[Change]:
    before = _email(profile)
    if profile.carried_email is None or profile.carried_email[1] < stamp:
        profile.carried_email = (msgspec.json.encode(email).decode(), stamp)
    after = _email(profile)
    return [] if after == before else [_trait("email", after)]


def activity(profile: Profile, message: Activity, stamp: Stamp) -> list[Change]:
    """Fold channel activity: it makes a customer; a name that it gives is shown where no identify gives one."""
    people.see(profile, stamp[0])
    profile.events += 1
    changes: list[Change] = [{"what": "became_customer"}] if people.become_customer(profile, stamp) else []
    before, name = profile.called, message.sender.name
    if name and (before is None or before[0] < stamp):
        profile.called = (stamp, name)
        if before is None or before[1] != name:
            changes.append({"what": "called", "name": name})
    return changes


def look_inside(message: Message, shared_context: msgspec.Raw, blocked: frozenset[str] = BLOCKED_IDS) -> Inside:
    """Look inside a page or track call; the batch's context counts where the item's own says nothing."""
    return look(message, merged(shared_context, message.context), blocked)
