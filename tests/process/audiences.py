"""Audiences and computed traits of an account under test, and what the definition says of its people."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from richpanel.core.announcing import Class, Computing, following, identify, track
from richpanel.core.comparing import Test
from richpanel.core.computed import Computation, is_empty, typed
from richpanel.core.conditions import (
    All,
    AnyOf,
    Computed,
    Count,
    InAudience,
    Named,
    Not,
    Performed,
    Step,
    Trait,
    Where,
)
from richpanel.core.conditions import Sequence as InOrder
from richpanel.core.defined import Defined
from richpanel.core.happened import Happened, happened
from richpanel.core.identity import ANONYMOUS, EMAIL, PHONE, UID
from richpanel.core.membership import Audience, Person, TraitPlan
from richpanel.core.message import decode_message
from richpanel.core.money import decode_exact, encode_exact
from richpanel.core.reasons import History
from richpanel.core.windows import EVER, Span, Window
from richpanel.process.checking import Checks
from richpanel.process.definitions import Watch
from richpanel.process.memory import Memory
from richpanel.process.refold import Reader
from richpanel.store import checks, identities, judging, memberships
from richpanel.store.bulk import fetch
from richpanel.store.computations import ComputationChanges, add_computation, list_computations
from richpanel.store.happenings import Opener
from richpanel.store.sources import list_sources
from tests.process import reference
from tests.process.account import ARRIVAL, MINUTE, T0, Account, Arrived
from tests.process.reference import Who
from tests.process.reference_messages import Arrival, Message

KINDS = {"uid": UID, "anonymousId": ANONYMOUS, "email": EMAIL, "phone": PHONE}
FAR = 1 << 50
"""Long after everything, ms UTC."""
_MONTH = (ARRIVAL - T0) // MINUTE

names = st.sampled_from(("Order Completed", "order_updated", "Added", "Seen", "Page Viewed"))
windows = st.one_of(
    st.just(EVER),
    st.integers(-9, 7).map(lambda quarters: Window(within=Span(_MONTH + quarters * 15, "minutes"))),
    st.integers(0, 12).map(lambda quarters: Window(after=T0 + quarters * 15 * MINUTE)),
    st.integers(0, 12).map(lambda quarters: Window(before=T0 + quarters * 15 * MINUTE)),
)
filters = st.sampled_from(
    (
        Where("property", "total", Test(">", 15)),
        Where("property", "page_name", Test("=", "Cart")),
        Where("context", "campaign.name", Test("=", "x")),
    )
)
events = st.builds(Named, names, st.one_of(st.just(()), st.just(()), st.tuples(filters)))
performed = st.builds(
    Performed,
    events,
    st.builds(Count, st.sampled_from([">=", ">=", "=", "<"]), st.integers(1, 3)),
    st.booleans(),
    windows,
)
sequences = st.builds(
    InOrder,
    events,
    st.lists(
        st.builds(Step, events, st.booleans(), st.none() | st.sampled_from([Span(20, "minutes"), Span(30, "days")])),
        min_size=1,
        max_size=2,
    ).map(tuple),
    windows,
)
traits = st.sampled_from(
    (
        Trait("plan", Test(">", 1)),
        Trait("first_name", Test("=", "Ada")),
        Trait("plan", Test("not_exists")),
        Computed("count", Test(">=", 2)),
        Computed("spent", Test(">", 20)),
        InAudience("bought"),
        Not(InAudience("bought")),
    )
)
leaves = st.one_of(performed, performed, sequences, traits)
conditions = st.one_of(
    leaves,
    leaves,
    st.builds(Not, leaves),
    st.builds(All, st.tuples(leaves, leaves)),
    st.builds(AnyOf, st.tuples(leaves, leaves)),
)
kinds = st.sampled_from(("sum", "average", "minimum", "first", "last", "unique_count", "unique_list", "most_frequent"))
computed = st.one_of(
    st.builds(Computation, st.just("count"), events, st.none(), windows),
    st.builds(Computation, kinds, events, st.sampled_from(("total", "page_name")), windows),
)
audiences = st.builds(Audience, conditions, st.booleans())
"""Audiences that may ask for the computed traits `count` and `spent`, and the audience `bought`."""

ASKED: dict[str, Audience | Computation] = {
    "count": Computation("count", Named("Added"), None, Window(within=Span(_MONTH - 30, "minutes"))),
    "spent": Computation("sum", Named("Order Completed"), "total"),
    "orders": Computation("count", Named("Order Completed")),
    "totals": Computation("unique_list", Named("Order Updated"), "total", Window(within=Span(_MONTH, "minutes"))),
    "viewed": Audience(Performed(Named("Page Viewed"), Count(">=", 2)), visitors=True),
    "left": Audience(InOrder(Named("Page Viewed"), (Step(Named("Order Completed"), followed=False),)), visitors=True),
    "none": Audience(
        Performed(Named("Order Completed"), performed=False, window=Window(within=Span(_MONTH, "minutes")))
    ),
    "bought": Audience(Performed(Named("Order Completed"), window=Window(within=Span(_MONTH - 60, "minutes")))),
}


def add(account: Account, key: str, what: Audience | Computation, *, now: int = ARRIVAL) -> int:
    """Adds an audience or computed trait, computed from now on; gives the number of its plan."""
    kind: Class = "audience" if isinstance(what, Audience) else "trait"
    with account.account_engine.begin() as connection:
        row = add_computation(connection, kind, key, what, ComputationChanges(name=key), draft=False, now=now)
    sources(account)
    return row.newest.number


def sources(account: Account) -> None:
    """Lets the account know of the Engage source."""
    with account.account_engine.connect() as connection:
        rows = list_sources(connection)
    account.sources = {row.number: row for row in rows}
    account.by_name = {row.name: row for row in rows if row.type != "segment"}


def tend(account: Account, now: int) -> None:
    """Lets time do all that it does up to `now`."""
    while account.worker.tend(now):
        pass


class Found(NamedTuple):
    """A membership as it is stored."""

    value: Any
    until: int | None
    told: int


def found(account: Account, plan: int) -> dict[Who, Found]:
    """The rows of a plan."""
    rows = account.rows(
        "SELECT i.kind, i.value, m.value, m.until, m.told FROM memberships m JOIN identities i ON i.id = m.profile "
        "WHERE m.plan = ?",
        plan,
    )
    spelled = {number: kind for kind, number in KINDS.items()}
    return {(spelled[kind], who): Found(decode_exact(value), until, told) for kind, who, value, until, told in rows}


class Defining:
    """What the definition says, of everybody whom these messages tell of."""

    def __init__(self, arrived: Sequence[Arrival], parted: reference.Parted = ()) -> None:
        self.histories = reference.find_people(arrived, parted).histories

    def value(self, who: Who, defined: Defined, now: int) -> Any:
        """The value of an audience or computed trait, as JSON says it."""
        history = self.histories.get(who, [])
        known = reference.traits(history)
        person = Person(
            decode_exact(json.dumps({key: known[key] for key in ("plan", "firstName") if key in known})),
            any(map(reference.makes_customer, history)),
        )
        told = History(list(_events(history)), person, now, audiences=defined.audiences, traits=defined.traits)
        if isinstance(defined.what, Audience):
            return told.audience(defined.what).holds
        raw = told.value(defined.what) if person.customer else None
        return None if is_empty(raw) else decode_exact(encode_exact(typed(raw)))


def _events(history: Sequence[Message]) -> Iterator[Happened]:
    for each in history:
        if each.kind in ("page", "track"):
            event = happened(decode_message(json.dumps(each.item).encode()), each.stamp)
            assert event is not None
            yield event


def defined_of(account: Account, plan: int) -> Defined:
    """The definition of a plan."""
    with account.account_engine.connect() as connection:
        rows = list_computations(connection)
    return next(each.defined for row in rows for each in (row.live, row.next) if each and each.number == plan)


def assert_defined(
    account: Account, plan: int, arrived: Sequence[Arrival], now: int, parted: reference.Parted = ()
) -> None:
    """The rows of a plan are what the definition says at `now`, each up to the very instant at which it changes."""
    defining, defined = Defining(arrived, parted), defined_of(account, plan)
    rows = found(account, plan)
    assert rows.keys() <= defining.histories.keys()
    for who in defining.histories:
        expected = defining.value(who, defined, now)
        row = rows.get(who)
        if row is None:
            assert expected in (None, False), (who, expected)
            continue
        value = row.value if isinstance(defined.what, Audience) or expected is not None else None
        assert value == expected, (who, row, expected)
        until = FAR if row.until is None else row.until
        assert until > now, (who, row)
        assert defining.value(who, defined, until - 1) == expected, (who, row)
        if row.until is not None:
            assert defining.value(who, defined, until) != expected, (who, row)


def assert_looked(account: Account, plan: int, now: int) -> None:
    """A look at all people finds those who have a value by the rows of a plan, as of `now`."""
    defined = defined_of(account, plan)
    made = defined.plan()
    expected = {who for who, each in found(account, plan).items() if is_something(each.value)}
    with account.state() as connection:
        reader = Reader(connection, Watch(account.account_engine).current(), account.reader.slice)
        opener = Opener(connection, reader.bodies, reader.sources, [made])
        asked: dict[str, Any] = {"now": now, "sample": 100, "has_time": lambda _share: True}
        if isinstance(made, TraitPlan):
            looked = judging.value_all(connection, made, opener, **asked)[0]
        else:
            looked = judging.judge_all(connection, made, opener, customers_only=False, **asked)
        known = identities.by_number(connection, looked.sample)
    spelled = {number: kind for kind, number in KINDS.items()}
    assert looked.exact
    assert {(spelled[kind], who) for kind, who, _ in known.values()} == expected
    assert looked.met == looked.reckoned == len(expected)


def assert_checked(account: Account, plans: Sequence[int], now: int) -> None:
    """Everybody counted again is what the rows of these plans say already."""
    definitions = Watch(account.account_engine).current()
    with account.state_engine.connect() as connection:
        connection.begin()
        reader = Reader(connection, definitions, account.reader.slice)
        memory = Memory(connection, definitions.account.hash_key)
        checking = Checks()
        checking.start(connection, plans, now)
        while any(row is None or row.ended is None for row in (checks.last(connection, plan) for plan in plans)):
            assert checking.step(reader, memory, definitions, now, alone=True)
        for plan in plans:
            row = checks.last(connection, plan)
            assert row is not None
            assert row.differing == 0, (plan, row)
        connection.rollback()


def library(account: Account) -> list[int]:
    """Adds what the audiences drawn here ask for, and some more that each history is tried with."""
    return [add(account, key, what) for key, what in ASKED.items()]


def tell(account: Account, now: int) -> int:
    """Tells the world what it does not know, as the role does that only reads; gives how many changes that was."""
    with account.account_engine.connect() as connection:
        rows = list_computations(connection)
    said = []
    for row in rows:
        of = Computing(row.kind, row.id, row.newest.version, row.key, "space")
        with account.state() as connection:
            to_tell = memberships.to_tell(connection, row.newest.number, 0, 1_000)
            people = [profile for profile, _, _ in to_tell]
            uids = {number: value for number, (_, value, _) in identities.by_number(connection, people).items()}
            told = memberships.told(connection, row.number, people)
        for profile, value, _ in to_tell:
            change = following(told.get(profile), decode_exact(value), now)
            said += [identify(of, uids[profile], change), track(of, uids[profile], change)]
    if said:
        account.write([Arrived(said, "Engage", now)])
        account.process()
    return len(said) // 2


def assert_told(account: Account, plan: int) -> None:
    """The world knows who is in, by what it was told last; who has no uid waits for one."""
    ((computation,),) = account_rows(account, "SELECT computation FROM plans WHERE number = ?", plan)
    stored = account.rows("SELECT uid, value FROM told WHERE computation = ?", computation)
    known = {uid: decode_exact(value) for uid, value in stored}
    rows = account.rows(
        "SELECT m.profile, m.value, m.told, i.kind FROM memberships m JOIN identities i ON i.id = m.profile "
        "WHERE m.plan = ?",
        plan,
    )
    for profile, value, told, kind in rows:
        said, value = known.pop(profile, None), decode_exact(value)
        if kind != UID:
            assert (said, told) == (None, 2 if is_something(value) else 1)
        else:
            assert (said or value) == value if is_something(value) else not is_something(said), (said, value)
            assert told == 1
    assert not any(map(is_something, known.values()))


def is_something(value: Any) -> bool:
    """Whether a value is one that is told to those who were told nothing yet."""
    return value not in (None, False, 0, [])


def account_rows(account: Account, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Query the definitions' tables."""
    with account.account_engine.connect() as connection:
        return [tuple(row) for row in fetch(connection, statement, *parameters)]
