"""Events read again for audiences: by whose they are and what they are called, also where their bodies are gone."""

from richpanel.core.comparing import Test
from richpanel.core.conditions import Count, Named, Performed, Where
from richpanel.core.membership import Audience
from richpanel.process.definitions import Watch
from richpanel.process.events import events_of
from richpanel.process.refold import Reader
from tests.process.account import ARRIVAL, Account, Arrived, on_sqlite
from tests.process.audiences import add, found, tend
from tests.process.calls import identify, page, track
from tests.process.test_gone import let_go

ANN = ("uid", "ann")


def names_of(account: Account, uid: str, *wanted: str, around: str = "") -> list[tuple[str, dict[str, object], object]]:
    """What is read of somebody: each event's name, properties and context, in order."""
    ((number,),) = account.rows("SELECT id FROM identities WHERE value = ?", uid)
    with account.state() as connection:
        reader = Reader(connection, Watch(account.account_engine).current(), account.reader.slice)
        events = [event for _, event in events_of(reader, [number], wanted, {around})]
    return [(each.name, dict(each.properties), each.context) for each in sorted(events)]


def test_events_of_a_persons_devices_are_theirs_as_far_as_they_are(account: Account) -> None:
    account.send(identify(10, "ann", "d"), track(11, "Added", None, "d", n=1), identify(20, "bob", "d"))
    account.send(
        track(21, "added", None, "d", n=2), track(22, "Seen", "bob"), page(23, "bob"), track(5, "Added", None, "d")
    )
    assert names_of(account, "ann", "Added") == [("Added", {}, {}), ("Added", {"n": 1}, {})]
    assert [name for name, _, _ in names_of(account, "bob", "added", "Page Viewed")] == ["added", "Page Viewed"]
    assert names_of(account, "bob", "Page Viewed") == [("Page Viewed", {"page_name": "Home"}, {})]
    assert names_of(account, "bob", "Nothing") == []


def test_context_is_opened_where_it_is_looked_at(account: Account) -> None:
    account.write([Arrived([track(1, "Seen", "ann")], meta={"context": {"ip": "1.2.3.4"}})])
    account.process()
    assert names_of(account, "ann", "Seen", around="Seen") == [("Seen", {}, {"ip": "1.2.3.4"})]
    assert names_of(account, "ann", "Seen") == [("Seen", {}, {})]


@on_sqlite
def test_of_what_is_gone_name_and_time_are_known(account: Account) -> None:
    """PostgreSQL keeps bodies itself."""
    account.send(
        identify(0, "ann"), track(1, "Order Completed", "ann", total=9), track(2, "Order Completed", "ann", total=9)
    )
    let_go(account)
    twice = add(account, "twice", Audience(Performed(Named("Order Completed"), Count(">=", 2))))
    dear = add(
        account, "dear", Audience(Performed(Named("Order Completed", (Where("property", "total", Test(">", 1)),))))
    )
    tend(account, ARRIVAL)
    assert {who: each.value for who, each in found(account, twice).items()} == {ANN: True}
    assert found(account, dear) == {}
    assert [name for name, _, _ in names_of(account, "ann", "Order Completed")] == ["Order Completed"] * 2
