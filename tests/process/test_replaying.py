"""Replays: what failed comes in as if it had never failed, whatever came meanwhile, and a rebuild knows it."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.process.definitions import Watch
from richpanel.process.rebuilding import position_of
from richpanel.process.shared_batch import SharedBatches
from richpanel.store import progress
from richpanel.store.bulk import fetch
from richpanel.store.connectors import list_connectors
from richpanel.store.database import open_engine
from richpanel.store.destinations import DestinationChanges
from richpanel.store.secrets import open_secrets
from tests.process.account import Account, Arrived, Template, copy_of, on_postgres, on_sqlite
from tests.process.calls import activity, identify, page, track
from tests.process.dump import dump
from tests.process.histories import histories, plans
from tests.process.replays import replay_of
from tests.process.test_deciding import change
from tests.process.test_law import arrivals, assert_law, brief, process, small_pieces
from tests.process.test_outgoing import Outside, decided
from tests.process.test_rebuilding import different, rebuilding, rebuilt
from tests.process.test_repeats import traced
from tests.process.test_shared_law import entries

STORY = [
    Arrived([page(0, None, "a1"), track(1, "Order Completed", None, "a1", order_id="o1", total=10)]),
    Arrived([identify(2, "u1", "a1", email="a@x", plan="gold"), page(40, "u1", "a1"), page(240, "u1")]),
    Arrived([activity(50, email="a@x")], "Channels", door="channel"),
    Arrived([identify(20, "u2", "a1"), page(30, None, "a1"), track(3, "Order Refunded", "u1", order_id="o1", total=1)]),
]


def fix(account: Account, number: int = 1) -> None:
    """Give a destination the key of the account's first connector."""
    with account.account_engine.connect() as connection:
        key = list_connectors(connection)[0].api_key
    change(account, number, api_key=key)


@pytest.mark.parametrize("wrong", range(1, len(STORY) + 1))
def test_what_failed_comes_in_as_if_it_had_not(account: Account, wrong: int) -> None:
    """Of the story's records so many came while the key was wrong; the others are there before they are replayed."""
    change(account, 1, api_key="wrong")
    account.write(STORY[:wrong])
    account.process()
    fix(account)
    account.write(STORY[wrong:])
    account.process()
    account.write([replay_of(account, STORY)])
    account.process()
    assert_law(account, arrivals(account, STORY))
    assert different(rebuilt(account)) == {}


def test_a_replay_that_comes_twice_changes_nothing(account: Account) -> None:
    change(account, 1, api_key="wrong")
    account.write(STORY)
    account.process()
    fix(account)
    chunk = replay_of(account, STORY)
    account.write([chunk])
    account.process()
    rows = account.rows("SELECT * FROM messages ORDER BY n")
    account.write([chunk])
    account.process()
    assert account.rows("SELECT * FROM messages ORDER BY n") == rows
    assert_law(account, arrivals(account, STORY))


def test_it_decides_with_the_configuration_in_force(account: Account) -> None:
    """While the key is still wrong a message fails again; a filter that was set since holds; both are counted so."""
    change(account, 1, api_key="wrong")
    first = Arrived([page(0, "u1"), track(1, "Seen", "u1")])
    account.write([first])
    account.process()
    account.write([replay_of(account, [first])])
    account.process()
    assert [one["code"] for one in traced(account, "page-0-u1")] == ["invalid_settings"]
    fix(account)
    change(account, 1, filters=[{"title": "No pages", "if": "type = 'page'", "actions": [{"type": "DROP"}]}])
    account.write([replay_of(account, [first], 1)])
    account.process()
    assert [(one["outcome"], one["code"]) for one in traced(account, "page-0-u1")] == [
        ("filtered", "filtered_by_rules")
    ]
    assert account.rows("SELECT what, count FROM counters ORDER BY what") == [("filtered", 1), ("kept", 1)]
    assert different(rebuilt(account)) == {}


def test_what_was_kept_stays(account: Account) -> None:
    first = Arrived([identify(0, "u1", email="a@x"), page(1, "u1")])
    account.write([first])
    account.process()
    before = dump(account)
    change(account, 1, filters=[{"title": "Nothing", "if": "all", "actions": [{"type": "DROP"}]}])
    account.write([replay_of(account, [first])])
    account.process()
    assert dump(account) == before
    assert [one["outcome"] for one in traced(account, "page-1-u1")] == ["kept"]


def test_another_destination_is_no_concern_of_it(account: Account) -> None:
    """The first destination's failure stays, and so do messages of a source that is not connected."""
    change(account, 1, api_key="wrong")
    first = Arrived([page(0, "u1")])
    account.write([first])
    account.process()
    fix(account)
    account.write([replay_of(account, [first], destination=2)])
    account.process()
    assert [one["outcome"] for one in traced(account, "page-0-u1")] == ["failed"]
    assert dump(account) == {}


def test_what_a_destination_outside_gets_now_is_in_its_outbox(account: Account) -> None:
    """It stands there as if nothing had been in its way, once, and stands there after a rebuild."""
    outside = Outside(account, open_secrets(account.directory.path))
    outside.change(DestinationChanges(filters=[{"title": "No", "if": "all", "actions": [{"type": "DROP"}]}]))
    first = Arrived([identify(0, "ann", "dev"), page(1, None, "dev"), identify(2, None, "dev")])
    account.write([first])
    account.process()
    assert outside.outbox() == []
    outside.change(DestinationChanges(filters=[]))
    chunk = replay_of(account, [first], destination=outside.row.number)
    account.write([chunk, chunk])
    account.process()
    assert outside.outbox() == [("ann", "dev", 0), ("dev", None, 0)]
    assert decided(account)[outside.row.id] == ("filtered", "uid_required")
    assert different(rebuilt(account)) == {}


@on_sqlite
def test_its_outbox_is_the_same_after_a_rebuild(account: Account) -> None:
    outside = Outside(account, open_secrets(account.directory.path))
    outside.change(DestinationChanges(filters=[{"title": "No", "if": "all", "actions": [{"type": "DROP"}]}]))
    first = Arrived([identify(0, "ann", "dev"), page(1, None, "dev")])
    account.write([first])
    account.process()
    outside.change(DestinationChanges(filters=[]))
    account.write([replay_of(account, [first], destination=outside.row.number)])
    account.process()
    kept = "SELECT place, destination, lane FROM outbox ORDER BY place"
    with rebuilding(account) as (made, url):
        assert made.advance(position_of(account.state_engine), lambda _: True)
        engine = open_engine(url)
        with engine.connect() as connection:
            assert [tuple(row) for row in fetch(connection, kept)] == account.rows(kept)
        engine.dispose()


@on_postgres
def test_of_several_workers_one_replays_in_turn(account: Account) -> None:
    """Handed out again, for a worker died before it could say that it was done, it changes nothing."""
    change(account, 1, api_key="wrong")
    chunk = replay_of(account, STORY)
    stream = entries(account, [*STORY, chunk, chunk])
    batches = SharedBatches(account.state_engine, Watch(account.account_engine))
    assert batches.apply(stream[: len(STORY)], orderly=False, seen=False)[0] == len(STORY)
    fix(account)
    for entry in stream[len(STORY) :]:
        assert batches.apply([entry], orderly=False, seen=True)[0] == 1
        assert_law(account, arrivals(account, STORY))
    assert account.read(progress.read).position == stream[-1].end
    assert different(rebuilt(account)) == {}


def check(template: Template, records: list[Arrived], wrong: int, again: int, plan: list[tuple[int, bool]]) -> None:
    """The first `wrong` records find a wrong key, and are replayed behind `again` of the others, once and twice."""
    with TemporaryDirectory() as folder:
        account = copy_of(template, Path(folder) / "data")
        try:
            wrong = min(wrong, len(records))
            change(account, 1, api_key="wrong")
            account.write(records[:wrong])
            process(account, plan)
            fix(account)
            account.write(records[wrong : wrong + again])
            account.write([replay_of(account, records[: wrong // 2]), replay_of(account, records[:wrong], 1)])
            account.write(records[wrong + again :])
            process(account, plan)
            assert_law(account, arrivals(account, records))
        finally:
            account.close()


places = st.integers(1, 12)


@on_sqlite
@brief(100)
@given(records=histories, wrong=places, again=places, plan=plans)
def test_the_law_holds_with_replays(
    template: Template, records: list[Arrived], wrong: int, again: int, plan: list[tuple[int, bool]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if len(records) % 2:
            small_pieces(patch)
        check(template, records, wrong, again, plan)


@on_postgres
@brief(20)
@given(records=histories, wrong=places, again=places, plan=plans)
def test_the_law_holds_with_replays_on_postgresql(
    template: Template, records: list[Arrived], wrong: int, again: int, plan: list[tuple[int, bool]]
) -> None:
    check(template, records, wrong, again, plan)
