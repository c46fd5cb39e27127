"""Profiles: a union of what messages tell, packed and unpacked without loss."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.profile import (
    Currency,
    Profile,
    become_customer,
    merge,
    outline,
    pack,
    pack_session,
    see,
    unpack,
    unpack_session,
)
from richpanel.core.session import Session
from richpanel.core.stamps import Stamp

STAMPS = st.builds(
    lambda t, message, source: (t, f"m{message}", f"src{source}"),
    st.integers(0, 2**45),
    st.integers(0, 9),
    st.integers(0, 1),
)
TEXTS = st.text(max_size=8)
MARKS = st.none() | st.tuples(STAMPS, TEXTS)
TRAITS = st.tuples(st.none() | TEXTS, STAMPS)
SESSIONS = st.builds(
    Session,
    key=TEXTS,
    first=STAMPS,
    last=STAMPS,
    events=st.integers(1, 2**31),
    visit=st.booleans(),
    landing=MARKS,
    exit=MARKS,
    referrer=MARKS,
    campaign=MARKS,
    device=MARKS,
)
CURRENCIES = st.builds(
    lambda orders, cents: Currency(orders, Decimal(cents) / 1000), st.integers(1, 9), st.integers(-(10**20), 10**20)
)
PROFILES = st.builds(
    Profile,
    created=st.integers(0, 2**45),
    seen=st.integers(0, 2**45),
    customer=st.none() | STAMPS,
    events=st.integers(0, 2**31),
    visits=st.integers(0, 2**31),
    closed=st.integers(0, 2**31),
    traits=st.dictionaries(TEXTS, TRAITS, max_size=4),
    carried_email=st.none() | st.tuples(TEXTS, STAMPS),
    landing=MARKS,
    last_page=MARKS,
    campaign=MARKS,
    agent=MARKS,
    called=MARKS,
    open=st.lists(SESSIONS, max_size=2),
    orders=st.integers(0, 2**31),
    currencies=st.dictionaries(st.sampled_from(["USD", "EUR"]), CURRENCIES),
)
MERGED = [
    name for name in Profile.__struct_fields__ if name not in ("visits", "closed", "open", "orders", "currencies")
]


def at(t: int) -> Stamp:
    return (t, f"m{t}", "src")


@given(PROFILES)
def test_packing_loses_nothing(profile: Profile) -> None:
    assert unpack(pack(profile)) == profile
    assert pack(unpack(pack(profile))) == pack(profile)
    seen = outline(pack(profile))
    assert (seen.orders, seen.visits, seen.currencies()) == (profile.orders, profile.visits, profile.currencies)
    assert {key: seen.trait(key) for key in profile.traits} == {
        key: value for key, (value, _) in profile.traits.items()
    }
    assert seen.trait("what nobody has") is None
    assert len(seen.__struct_fields__) == len(profile.__struct_fields__)


@given(SESSIONS)
def test_packing_a_session_loses_nothing(session: Session) -> None:
    assert unpack_session(pack_session(session)) == session


@pytest.mark.parametrize("total", ["0", "0.10", "1E+3", "123456789012345678.1234567890"])
def test_money_is_packed_exactly(total: str) -> None:
    profile = Profile(created=0, seen=0, currencies={"USD": Currency(1, Decimal(total))})
    assert unpack(pack(profile)).currencies["USD"].total == Decimal(total)


def test_a_profile_is_small() -> None:
    """A million of them are to fit in memory and a file; each stamp is written once."""
    stamp = (1_760_000_000_000, "ajs-next-1760000000000-7d1f1c9e-6f0a-4a0e-9d5a-0123456789ab", "src_0123456789abcdef")
    visit = Session(key="", first=stamp, last=stamp, landing=(stamp, "/"), exit=(stamp, "/"), device=(stamp, "Desktop"))
    profile = Profile(created=stamp[0], seen=stamp[0], landing=(stamp, "/"), last_page=(stamp, "/"), open=[visit])
    assert len(pack(profile)) < 250


@given(PROFILES, PROFILES, PROFILES)
def test_merging_is_the_same_in_any_grouping_and_order(a: Profile, b: Profile, c: Profile) -> None:
    def merged(*parts: Profile) -> list[object]:
        whole = unpack(pack(parts[0]))
        for part in parts[1:]:
            merge(whole, unpack(pack(part)))
        return [getattr(whole, name) for name in MERGED]

    b_and_c = unpack(pack(b))
    merge(b_and_c, unpack(pack(c)))
    if not ties(a, b, c):
        assert merged(a, b, c) == merged(c, b, a) == merged(b, a, c) == merged(a, b_and_c)


def ties(*profiles: Profile) -> bool:
    """Whether two of them say different things with one stamp, as two messages never do."""
    said: dict[object, object] = {}
    for profile in profiles:
        facts = [(key, stamp, value) for key, (value, stamp) in profile.traits.items()]
        if profile.carried_email is not None:
            facts.append(("", profile.carried_email[1], profile.carried_email[0]))
        if any(said.setdefault(fact[:2], fact[2]) != fact[2] for fact in facts):
            return True
    return False


def test_merging_leaves_sessions_and_figures_to_others() -> None:
    one = Profile(created=1, seen=1, visits=1, closed=2, orders=3)
    merge(one, Profile(created=0, seen=5, visits=10, closed=20, orders=30))
    assert (one.created, one.seen, one.visits, one.closed, one.orders) == (0, 5, 1, 2, 3)


def test_seeing() -> None:
    profile = Profile(created=5, seen=5)
    for t in (7, 3, 6):
        see(profile, t)
    assert (profile.created, profile.seen) == (3, 7)


def test_becoming_a_customer_happens_once_at_the_earliest() -> None:
    profile = Profile(created=0, seen=9)
    assert become_customer(profile, at(5)) is True
    assert become_customer(profile, at(7)) is False
    assert become_customer(profile, at(2)) is False
    assert profile.customer == at(2)


def test_new_profiles_share_nothing() -> None:
    one, other = Profile(created=0, seen=0), Profile(created=0, seen=0)
    one.traits["a"] = ("1", at(1))
    one.open.append(Session(key="", first=at(1), last=at(1)))
    assert other == Profile(created=0, seen=0)
    assert msgspec.structs.asdict(other)["traits"] == {}
