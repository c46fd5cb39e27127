"""The fold: what one message does to its profile, and that any order and any partition give the same profile."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core import pipeline
from richpanel.core import profile as people
from richpanel.core.channel import Activity, Sender
from richpanel.core.inside import Inside
from richpanel.core.message import Message
from richpanel.core.pipeline import Change
from richpanel.core.profile import Profile
from richpanel.core.session import Book
from richpanel.core.stamps import Stamp

NONE = msgspec.Raw()


class Person:
    """A profile, its sessions, and the messages folded into it."""

    def __init__(self, t: int = 0) -> None:
        self.profile = Profile(created=t, seen=t)
        self.book = Book([])

    def identify(self, t: int, has_uid: bool = True, **traits: Any) -> list[Change]:
        message = Message(type="identify", traits=msgspec.Raw(json.dumps(traits).encode()))
        return plain(pipeline.identify(self.profile, message, at(t), has_uid=has_uid))

    def event(self, t: int, has_uid: bool = True, source: str = "web", **inside: Any) -> list[Change]:
        found = Inside(**inside)
        return plain(pipeline.event(self.profile, self.book, found, at(t), has_uid=has_uid, source_type=source))

    def activity(self, t: int, name: str | None = None) -> list[Change]:
        message = Activity(f"m{t}", "email", Sender(email="a@x", name=name))
        return plain(pipeline.activity(self.profile, message, at(t)))


def at(t: int) -> Stamp:
    return (t, f"m{t}", "src")


def plain(changes: list[Change]) -> list[Change]:
    decoded = msgspec.json.decode(msgspec.json.encode(changes))
    assert isinstance(decoded, list)
    return decoded


def trait(key: str, value: object) -> Change:
    return {"what": "trait", "key": key, "value": value}


# ------------------------------------------------------------------------------------------------------------- identify


def test_an_identify_with_a_uid_makes_a_customer() -> None:
    person = Person()
    assert person.identify(5, plan="gold") == [{"what": "became_customer"}, trait("plan", "gold")]
    assert person.identify(6, plan="gold") == []
    assert person.identify(3) == []
    assert person.profile.customer == at(3)


def test_an_identify_without_a_uid_sets_a_visitors_traits() -> None:
    person = Person()
    assert person.identify(5, has_uid=False, plan="gold") == [trait("plan", "gold")]
    assert person.profile.customer is None


@pytest.mark.parametrize("traits", [msgspec.Raw(), msgspec.Raw(b"null"), msgspec.Raw(b"{}")])
def test_an_identify_without_traits(traits: msgspec.Raw) -> None:
    profile = Profile(created=9, seen=9)
    message = Message(type="identify", traits=traits)
    assert pipeline.identify(profile, message, at(5), has_uid=False) == []
    assert (profile.created, profile.seen, profile.traits) == (5, 9, {})


def test_an_identify_is_no_event() -> None:
    person = Person()
    person.identify(5)
    assert (person.profile.events, person.book.all()) == (0, [])


def test_what_a_late_identify_changes() -> None:
    person = Person()
    person.identify(5, plan="gold")
    assert person.identify(3, plan="free", city="Bonn") == [trait("city", "Bonn")]


# ------------------------------------------------------------------------------------------------ page and track, email


def test_a_call_with_an_email_changes_one_that_there_is() -> None:
    person = Person()
    assert person.event(1, email="b@x") == []
    person.identify(2, email="a@x")
    assert person.event(3, email="b@x") == [trait("email", "b@x")]
    assert person.event(4, email="b@x") == []
    assert person.event(5, has_uid=False, email="c@x") == []


def test_an_identify_ends_the_email_of_calls_before_it_even_where_it_says_nothing_new() -> None:
    person = Person()
    person.identify(2, email="a@x")
    person.event(5, email="b@x")
    assert person.identify(3, email="c@x") == []
    assert person.identify(7, email="c@x") == [trait("email", "c@x")]


def test_removing_the_email() -> None:
    person = Person()
    person.identify(2, email="a@x")
    person.event(5, email="b@x")
    assert person.identify(6, email=None) == [trait("email", None)]
    assert person.event(7, email="b@x") == []


def test_a_late_identify_lets_a_call_take_effect() -> None:
    person = Person()
    person.event(5, email="b@x")
    assert person.identify(3, email="a@x") == [{"what": "became_customer"}, trait("email", "b@x")]


# --------------------------------------------------------------------------------------------- page and track, the rest


def test_first_and_last_page_campaign_and_agent() -> None:
    person = Person()
    person.event(5, page="/b", campaign="c5", agent="a5")
    person.event(7, page="/c", campaign="c7", agent="a7")
    person.event(3, page="/a", campaign="c3", agent="a3")
    person.event(9)
    profile = person.profile
    assert profile.landing == (at(3), "/a")
    assert profile.last_page == (at(7), "/c")
    assert profile.campaign == (at(3), "c3")
    assert profile.agent == (at(7), "a7")
    assert (profile.events, profile.created, profile.seen) == (4, 0, 9)


@pytest.mark.parametrize(
    ("source", "visit"), [("web", True), ("mobile", True), ("segment", True), ("server", False), ("channel", False)]
)
def test_which_sources_make_visits(source: str, visit: bool) -> None:
    person = Person()
    person.event(5, source=source)
    assert [session.visit for session in person.book.all()] == [visit]


@pytest.mark.parametrize(
    ("kind", "channel", "meant"),
    [
        ("segment", "server", "server"),
        ("segment", "client", "segment"),
        ("segment", None, "segment"),
        ("segment", {}, "segment"),
        ("web", "server", "web"),
    ],
)
def test_a_connector_hears_whose_call_it_is(kind: str, channel: object, meant: str) -> None:
    assert pipeline.source_type(kind, Message(channel=channel)) == meant


def test_sessions_say_what_their_events_do() -> None:
    person = Person()
    person.event(5, session_key="s1", page="/a", referrer="/r", campaign="c", agent="Mozilla/5.0 (iPhone)")
    (session,) = person.book.all()
    assert (session.id, session.landing, session.referrer, session.campaign, session.device) == (
        *("s1", (at(5), "/a"), (at(5), "/r"), (at(5), "c"), (at(5), "Mobile")),
    )


# ----------------------------------------------------------------------------------------------------- channel activity


def test_channel_activity_makes_a_customer() -> None:
    person = Person()
    assert person.activity(5) == [{"what": "became_customer"}]
    assert person.activity(4) == []
    assert person.profile.customer == at(4)
    assert person.book.all() == []


def test_the_newest_name_that_a_channel_gave() -> None:
    person = Person()
    assert person.activity(5, "Ada") == [{"what": "became_customer"}, {"what": "called", "name": "Ada"}]
    assert person.activity(4, "Bo") == []
    assert person.activity(6) == []
    assert person.activity(7, "Ada") == []
    assert person.activity(8, "Eve") == [{"what": "called", "name": "Eve"}]
    assert person.profile.called == (at(8), "Eve")


# -------------------------------------------------------------------------------------------------------------- the law

STEPS = st.lists(
    st.tuples(
        st.integers(0, 100),
        st.sampled_from(["identify", "event", "activity"]),
        st.booleans(),
        st.sampled_from(["a@x", "b@x", None]),
        st.sampled_from(["x", "y", None]),
    ),
    unique_by=lambda step: step[0],
    max_size=12,
)
Step = tuple[int, str, bool, str | None, str | None]


def fold(steps: list[Step]) -> Profile:
    person = Person(steps[0][0])
    for t, kind, has_uid, email, text in steps:
        if kind == "identify":
            person.identify(t, has_uid=has_uid, email=email, **({"plan": text} if text else {}))
        elif kind == "event":
            person.event(t, has_uid=has_uid, email=email, page=text, campaign=text, agent=text)
        else:
            person.activity(t, text)
    return person.profile


@given(STEPS.filter(bool), st.randoms(), st.integers(1, 12))
def test_any_order_and_any_partition_give_the_same_profile(steps: list[Step], random, cut: int) -> None:
    whole = fold(sorted(steps))
    random.shuffle(steps)
    assert fold(steps) == whole
    joined = fold(steps[:cut])
    if steps[cut:]:
        people.merge(joined, fold(steps[cut:]))
    assert joined == whole


def test_a_source_cannot_set_a_key_in_use() -> None:
    profile = Profile(created=0, seen=0)
    message = Message(type="identify", traits=msgspec.Raw(b'{"vip":true,"plan":"gold"}'))
    changes = pipeline.identify(profile, message, at(1), has_uid=False, in_use=["vip", "other"])
    assert plain(changes) == [{"what": "key_in_use", "key": "vip"}, trait("plan", "gold")]
    assert profile.traits.keys() == {"plan"}
