"""Rebuilding: the state made anew equals the one that grew, decisions stay, and whatever differs is found and named."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from richpanel.core.identity import Run
from richpanel.core.identity import pack as pack_runs
from richpanel.core.profile import pack, unpack
from richpanel.process.definitions import Watch
from richpanel.process.rebuilding import Known, Rebuild, RebuildError, compare_states, position_of
from richpanel.process.remaking import Remake, nowhere
from richpanel.store import successor
from richpanel.store.comparison import Example, Tally
from richpanel.store.connectors import list_connectors
from richpanel.store.database import open_engine, reading
from richpanel.store.destinations import CATALOG_ID, DestinationChanges, add_destination, list_destinations
from richpanel.store.migrating import migrate
from richpanel.store.postgres import schema_url
from richpanel.store.secrets import open_secrets
from tests.process.account import Account, Arrived, Template, copy_of, on_sqlite
from tests.process.audiences import library
from tests.process.calls import activity, identify, page, track
from tests.process.histories import histories, plans
from tests.process.test_deciding import change
from tests.process.test_law import brief, filters, process, set_filters
from tests.process.test_repeats import traced

STORY = [
    Arrived([page(0, None, "a1"), track(1, "Order Completed", None, "a1", order_id="o1", total=10)]),
    Arrived(
        [identify(2, "u1", "a1", email="a@x", plan="gold"), page(40, "u1", "a1"), page(120, "u1"), page(240, "u1")]
    ),
    Arrived([identify(20, "u2", "a1"), page(30, None, "a1"), track(3, "Order Refunded", "u1", order_id="o1", total=1)]),
    Arrived([activity(50, email="a@x")], "Channels", door="channel"),
    Arrived([page(0, None, "a1"), page(60, None, "a2")]),
]
NEW = "state-00000000.db"


@contextmanager
def rebuilding(account: Account, name: str = NEW) -> Iterator[tuple[Rebuild, str]]:
    """A new state beside the account's, and where it is."""
    url = account.directory.state_file_url(name)
    migrate(url, "state")
    with closing(
        Rebuild(account.reader, open_engine(url, cache_mib=1), account.state_engine, Watch(account.account_engine))
    ) as made:
        yield made, url


def rebuilt(account: Account, name: str = NEW, *, now: int = 0) -> dict[str, Tally]:
    """Makes the state anew and compares; `now` is when memberships are compared."""
    if account.database is not None:
        with remaking(account) as made:
            made.advance(lambda _: None)
            return made.compared(now)
    with rebuilding(account, name) as (made, url):
        assert made.advance(position_of(account.state_engine), lambda _: True)
        with reading(account.state_engine) as old:
            made.settle(old, now)
        return compared(account, url, now)


class Remade(Remake):
    """A new state in a schema beside the account's."""

    def __init__(self, account: Account, old: Engine, new: Engine) -> None:
        super().__init__(old, new, Watch(account.account_engine))
        self.account = account

    def compared(self, now: int = 0) -> dict[str, Tally]:
        """Takes up all that there is, and compares, kind by kind."""
        known = Known(self.account.settings.hash_key, self.account.sources, nowhere, now)
        with reading(self._old) as old:
            self.follow(old, lambda _: None)
            with self._new.begin() as new:
                successor.hand_down_counts(old, new)
            self.settle(old, now)
            with reading(self._new) as new:
                tallies = compare_states(old, new, known, lambda *_: None)
        return {tally.kind: tally for tally in tallies}


@contextmanager
def remaking(account: Account) -> Iterator[Remade]:
    """A new state beside the account's, on PostgreSQL."""
    assert account.database is not None
    url = account.database.url
    successor.make(url)
    successor.furnish(url)
    old, new = (open_engine(schema_url(url, name), read_only=name == "state") for name in ("state", "state_successor"))
    try:
        yield Remade(account, old, new)
    finally:
        old.dispose()
        new.dispose()
        successor.drop(url)


def compared(account: Account, url: str, now: int = 0) -> dict[str, Tally]:
    """Compares the account's state with another one, kind by kind."""
    other = open_engine(url, read_only=True, cache_mib=1)
    known = Known(account.settings.hash_key, account.sources, account.reader.slice, now)
    with reading(account.state_engine) as old, reading(other) as new:
        tallies = compare_states(old, new, known, lambda *_: None)
    other.dispose()
    return {tally.kind: tally for tally in tallies}


def different(tallies: dict[str, Tally]) -> dict[str, list[Example]]:
    """What differs, by kind."""
    return {kind: tally.examples for kind, tally in tallies.items() if not tally.is_equal}


@brief(100)
@given(records=histories, plan=plans, rules=st.just([]) | filters)
def test_a_state_made_anew_equals_the_one_that_grew(
    template: Template,
    records: list[Arrived],
    plan: list[tuple[int, bool]],
    rules: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whatever filters there were meanwhile: what they decided stays."""
    account = copy_of(template, tmp_path_factory.mktemp("law") / "data")
    try:
        set_filters(account, rules)
        account.write(records)
        process(account, plan)
        set_filters(account, [])
        assert different(rebuilt(account)) == {}
    finally:
        account.close()


def test_everything_is_compared(account: Account) -> None:
    library(account)
    account.write(STORY)
    account.process(max_bytes=1)
    found = rebuilt(account)
    assert {kind: (tally.equal, tally.is_equal) for kind, tally in found.items()} == {
        "profiles": (3, True),
        "sessions": (3, True),
        "links": (1, True),
        "orders": (1, True),
        "memberships": (11, True),
        "messages": (11, True),
        "history": (11, True),
        "outcomes": (3, True),
    }


# ----------------------------------------------------------------------------------------------------------- decisions


def test_what_was_decided_stays_whatever_is_set_by_now(account: Account) -> None:
    account.send(page(0, "u1"), {**page(1, "u1"), "integrations": {"Richpanel": False}})
    change(account, 1, enabled=False)
    account.send(page(2, "u1"))
    change(account, 1, enabled=True, api_key="wrong")
    account.send(page(3, "u1"))
    assert different(rebuilt(account)) == {}
    change(account, 1, sources=[])
    assert different(rebuilt(account, "state-00000001.db")) == {}
    wanted = ["kept", "filtered", "filtered", "failed"]
    assert [traced(account, f"page-{n}-u1")[0]["outcome"] for n in range(4)] == wanted


def test_without_the_old_state_it_is_decided_anew(account: Account) -> None:
    """So that the test above can fail."""
    account.send(page(0, "u1"))
    with account.state_engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM message_ids")
    account.restart()
    change(account, 1, enabled=False)
    found = different(rebuilt(account))
    assert found["profiles"] == [Example("onlyOld", "u1")]
    assert found["messages"] == [Example("different", "u1: page-0-u1", "outcome, decisions")]


def test_an_order_stays_with_the_connector_that_kept_it(account: Account) -> None:
    account.send(track(0, "Order Completed", "u1", order_id="o1", total=10))
    with account.account_engine.connect() as connection:
        second = list_connectors(connection)[1].api_key
    change(account, 1, api_key=second)
    account.send(track(1, "Order Completed", "u1", order_id="o1", total=20))
    assert account.rows("SELECT connector FROM orders ORDER BY connector") == [(1,), (2,)]
    assert different(rebuilt(account)) == {}


def test_a_decision_of_many_destinations_is_kept_whole(account: Account) -> None:
    box = open_secrets(account.directory.path)
    with account.account_engine.begin() as connection:
        key = list_destinations(connection)[0].api_key
        for number in range(12):
            changes = DestinationChanges(name=f"Shop {number}", sources=[account.source().id], api_key=key)
            add_destination(connection, box, CATALOG_ID, changes, now=1)
    account.send(page(0, "u1"))
    assert len(traced(account, "page-0-u1")[0]["decisions"]) == 13
    assert different(rebuilt(account)) == {}


# -------------------------------------------------------------------------------------------------------- the progress


@on_sqlite
def test_it_is_never_ahead_of_the_state_in_force(account: Account) -> None:
    account.write(STORY)
    account.step(max_bytes=1)
    until = position_of(account.state_engine)
    with rebuilding(account) as (made, url):
        assert made.advance(until, lambda _: True)
        assert made.position == until < account.reader.durable()
        assert different(compared(account, url)) == {}
        account.process()
        made.advance(position_of(account.state_engine), lambda _: True)
        assert different(compared(account, url)) == {}


@on_sqlite
def test_one_that_was_stopped_goes_on_where_it_was(account: Account) -> None:
    account.write(STORY)
    account.process(max_bytes=1)
    until = position_of(account.state_engine)
    heard: list[int] = []

    def once(position: int) -> bool:
        heard.append(position)
        return False

    with rebuilding(account) as (made, _):
        made.advance(account.reader.read(0)[0].end, once)
    with rebuilding(account) as (made, url):
        assert made.position == heard[0] < until
        assert made.advance(until, lambda _: True)
        assert different(compared(account, url)) == {}


@on_sqlite
def test_a_log_that_is_shorter_than_the_state_is_told(account: Account) -> None:
    account.write(STORY)
    account.process()
    with account.state_engine.begin() as connection:
        connection.exec_driver_sql("UPDATE progress SET position = position + 100")
    with pytest.raises(RebuildError, match="the log ends at"):
        rebuilt(account)


# ------------------------------------------------------------------------------------------------------ the comparison


def older_plan(account: Account) -> None:
    """Alters a profile inside: as a fault in the fold would."""
    ((number, state),) = account.rows(
        "SELECT p.id, p.state FROM profiles p JOIN identities i ON i.id = p.id WHERE i.value = 'u1'"
    )
    profile = unpack(state)
    profile.traits["plan"] = ('"silver"', profile.traits["plan"][1])
    account.change("UPDATE profiles SET state = ? WHERE id = ?", pack(profile), number)


def other_link(account: Account) -> None:
    """Gives the device to somebody else."""
    ((uid,),) = account.rows("SELECT id FROM identities WHERE value = 'u2'")
    account.change("UPDATE identities SET runs = ? WHERE value = 'a1'", pack_runs((Run((1, "x", "y"), uid),)))


U1 = "(SELECT id FROM identities WHERE value = 'u1')"
FIRST = 'WHERE "start" = (SELECT min("start") FROM sessions)'
U2 = "(SELECT id FROM identities WHERE value = 'u2')"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (older_plan, {"profiles": [("different", "u1", "traits.plan")]}),
        (f"UPDATE profiles SET ltv = 1 WHERE id = {U1}", {"profiles": [("different", "u1", "ltv")]}),
        ((f"UPDATE profiles SET state = ? WHERE id = {U1}", b"\0"), {"profiles": [("different", "u1", "unreadable")]}),
        (
            f"DELETE FROM search WHERE rowid = {U2}",
            {"profiles": [("different", "u2", "searched name, email, phone, uid")]},
        ),
        (f"DELETE FROM profiles WHERE id = {U2}", {"profiles": [("onlyNew", "u2", "")]}),
        (
            (
                "INSERT INTO profiles (id, customer, last_seen, created_at, ltv, state) "
                "SELECT i.id, 0, 1, 1, 0, ? FROM identities i WHERE i.value = 'a1'",
                b"\0",
            ),
            {"profiles": [("onlyOld", "anonymousId a1", "")]},
        ),
        ("DELETE FROM orders", {"orders": [("onlyNew", "u1: o1", "")]}),
        (f"UPDATE orders SET owner = {U2}", {"orders": [("different", "u2: o1", "owner")]}),
        (("UPDATE orders SET state = ?", b"\xc1"), {"orders": [("different", "u1: o1", "events")]}),
        (
            f'UPDATE sessions SET "end" = 5 {FIRST}',
            {"sessions": [("different", "u1: generated, from 1760000000000", "end")]},
        ),
        (f"DELETE FROM sessions {FIRST}", {"sessions": [("onlyNew", "u1: generated, from 1760000000000", "")]}),
        (other_link, {"links": [("different", "anonymousId a1", "u2 became u1 then u2 then u1")]}),
        (
            "UPDATE messages SET outcome = 2 WHERE n = 1",
            {"messages": [("different", "anonymousId a1: page-0-a1", "outcome")]},
        ),
        (
            "DELETE FROM messages WHERE n = 1",
            {
                "messages": [("onlyNew", "anonymousId a1: page-0-a1", "")],
                "history": [
                    ("onlyNew", "anonymousId a1: page-0-a1", ""),
                    ("onlyOld", "anonymousId a1: message number 1", "at 1760000000000"),
                ],
            },
        ),
        (
            f"UPDATE history SET identity = {U2} WHERE n = 1",
            {
                "history": [
                    ("onlyNew", "anonymousId a1: page-0-a1", ""),
                    ("onlyOld", "u2: message number 1", "at 1760000000000"),
                ]
            },
        ),
        (
            "UPDATE history SET type = 4 WHERE n = 1",
            {"history": [("different", "anonymousId a1: page-0-a1", "in that of anonymousId a1")]},
        ),
        (
            "UPDATE counters SET count = count + 1 WHERE what = 'duplicate'",
            {"outcomes": [("different", "Website duplicate", "2 became 1")]},
        ),
    ],
)
def test_what_is_wrong_is_found_and_named(account: Account, damage: Any, expected: dict[str, Any]) -> None:
    account.write(STORY)
    account.process()
    if callable(damage):
        damage(account)
    else:
        assert account.change(*([damage] if isinstance(damage, str) else damage)) == 1
    found = different(rebuilt(account))
    assert found == {kind: [Example(*each) for each in examples] for kind, examples in expected.items()}


def test_examples_are_few_and_counts_are_whole(account: Account) -> None:
    account.write([Arrived([identify(n, f"u{n:03}") for n in range(50)])])
    account.process()
    with account.state_engine.begin() as connection:
        connection.exec_driver_sql("UPDATE profiles SET last_seen = 0")
    (found,) = [tally for tally in rebuilt(account).values() if not tally.is_equal]
    assert (found.kind, found.different, len(found.examples)) == ("profiles", 50, 20)
