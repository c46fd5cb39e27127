"""Reading: pages joined are the whole list, whatever their size; search finds by every field; bad cursors are told."""

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event

from richpanel.core.codes import Code
from richpanel.core.record import Discard
from richpanel.core.timestamps import parse
from richpanel.store import nearest
from richpanel.store.messages import list_messages
from richpanel.store.nearest import Sieve
from richpanel.store.orders import list_orders
from richpanel.store.paging import BadCursor, Page, read_cursor, write_cursor
from richpanel.store.profiles import CUSTOMER_SORTS, CustomerDetail, find_customer, list_profiles
from richpanel.store.seen import list_seen
from richpanel.store.sessions import list_sessions
from richpanel.store.timeline import TimelinePart, Whence, before, list_timeline, read_timeline
from richpanel.store.told_messages import list_told
from tests.process.account import ARRIVAL, Account, Arrived, at, copy_of, make_template
from tests.process.calls import activity, call, identify, page, track

BUSY = "gid://shopify/Customer/7"
LIMITS = [1, 2, 3, 7, 50]
SORTS = [sign + name for name in CUSTOMER_SORTS for sign in ("", "-")]

Listing = Callable[..., Page[Any]]


def busy_calls() -> list[dict[str, Any]]:
    """One person's history, with many calls at one instant."""
    calls = [identify(0, BUSY, name="Busy Bee", email="busy@bee.example", phone="(415) 555-0107")]
    for number in range(40):
        calls.append({**page(number // 4 * 45, BUSY), "messageId": f"p{number % 7}-{number}"})
        calls.append(
            {**page(number // 5 * 45, BUSY, richpanel_session_id=f"s{number // 3}"), "messageId": f"k{number}"}
        )
    for number in range(12):
        calls.append(
            {
                **track(number // 3, "Order Completed", BUSY, order_id=f"o{number * 7 % 12}"),
                "messageId": f"order-{number}",
            }
        )
    return calls


def others() -> list[dict[str, Any]]:
    """Customers with equal names, times and values, some without a name; and visitors."""
    calls: list[dict[str, Any]] = []
    for number in range(30):
        uid, minutes = f"c{number * 7 % 30:02}", number // 4
        calls.append(identify(minutes, uid, **({"name": f"Name {number // 5}"} if number % 3 else {})))
        calls.append(track(minutes, "Order Completed", uid, order_id=uid, total=number // 6 * 10))
    return calls + [page(number // 3, None, f"v{number}") for number in range(10)]


on_sqlite = pytest.mark.parametrize("account", ["sqlite"], indirect=True)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def account(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """A shop with some traffic, on each engine; tests only look."""
    folder = tmp_path_factory.mktemp("reading")
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    made = copy_of(make_template(folder / "template", server), folder / "data")
    bad = [(Discard(Code.INVALID_JSON, 1, f"bad-{number}"), b'{"messageId":"bad-%d"}' % number) for number in range(5)]
    made.write(
        [
            Arrived(others(), discards=bad[:2]),
            *(Arrived([each], at=ARRIVAL + 50_000) for each in busy_calls()),
            Arrived([], discards=bad[2:4], at=ARRIVAL + 50_000),
            Arrived([call("screen", 1, "c01", None), page(3, "c01")], "App", at=ARRIVAL + 60_000),
            Arrived([page(4, "c01")], "App", at=ARRIVAL + 55_000),  # The server's clock was put back.
            Arrived([activity(30, uid=BUSY)], "Channels", door="channel", at=ARRIVAL + 70_000),
            Arrived([page(4, "c01")], "App", at=ARRIVAL + 80_000, discards=bad[4:]),
        ]
    )
    made.process(5_000)
    yield made
    made.close()


def number_of(account: Account, uid: str) -> int:
    """The state's own number of a customer."""
    found = account.read(find_customer, account.settings, uid)
    assert isinstance(found, CustomerDetail)
    return found.profile


def profiles(account: Account, **options: Any) -> Listing:
    wanted = {"customers": True, "q": None, "sort": None, **options}
    return lambda **paging: account.read(list_profiles, account.settings, **wanted, **paging)


def timeline(account: Account, uid: str = BUSY) -> Listing:
    args = (account.reader.slice, account.settings, account.sources, number_of(account, uid))
    return lambda **paging: account.read(list_timeline, *args, **paging)


def sessions(account: Account) -> Listing:
    return lambda **paging: account.read(list_sessions, number_of(account, BUSY), **paging)


def orders(account: Account) -> Listing:
    return lambda **paging: account.read(list_orders, account.settings, number_of(account, BUSY), **paging)


def messages(account: Account, **filters: str) -> Listing:
    wanted: dict[str, Any] = {"source": None, "type": None, "uid": None, "outcome": None, **filters}
    args = (account.reader.slice, account.settings, account.sources)
    return lambda **paging: account.read(list_messages, *args, **wanted, **paging)


def whole(listing: Listing) -> list[Any]:
    """The list in one page."""
    found = listing(cursor=None, limit=1_000)
    assert found.next is None
    return found.data


def _ms(moment: str) -> int:
    found = parse(moment)
    assert found is not None
    return found


def pages(listing: Listing, limit: int) -> list[list[Any]]:
    """The list page by page."""
    found: list[list[Any]] = []
    cursor: str | None = None
    while cursor is not None or not found:
        one = listing(cursor=cursor, limit=limit)
        found.append(one.data)
        cursor = one.next
        assert len(found) < 1_000
    return found


def assert_pages_make_the_list(listing: Listing, limit: int) -> list[Any]:
    """Nothing is lost or doubled between pages, and only the last may be short."""
    expected, found = whole(listing), pages(listing, limit)
    assert list(itertools.chain(*found)) == expected
    assert all(len(one) == limit for one in found[:-1])
    return expected


# ----------------------------------------------------------------------------------------------------------- the paging


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("sort", SORTS)
def test_customers_in_each_sort(account: Account, sort: str, limit: int) -> None:
    listed = assert_pages_make_the_list(profiles(account, sort=sort), limit)
    key: Callable[[Any], Any] = {
        "lastSeen": lambda one: one.last_seen,
        "createdAt": lambda one: one.created_at,
        "name": lambda one: one.name.lower(),
        "ltv": lambda one: float(one.ltv),
    }[sort.removeprefix("-")]
    assert [key(one) for one in listed] == sorted((key(one) for one in listed), reverse=sort.startswith("-"))
    assert len(listed) == (31 if "name" not in sort else 21)


@pytest.mark.parametrize("limit", LIMITS)
def test_visitors(account: Account, limit: int) -> None:
    listed = assert_pages_make_the_list(profiles(account, customers=False), limit)
    assert {one.anonymous_id for one in listed} == {f"v{number}" for number in range(10)}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_search(account: Account, limit: int) -> None:
    listed = assert_pages_make_the_list(profiles(account, q="name", sort="-ltv"), limit)
    assert len(listed) == 20


@pytest.mark.parametrize("limit", LIMITS)
def test_a_timeline_with_many_entries_at_one_instant(account: Account, limit: int) -> None:
    listed = assert_pages_make_the_list(timeline(account), limit)
    assert len(listed) == 40 + 40 + 12 + 1 + 1


def piece(account: Account, **whence: Any) -> TimelinePart:
    args = (account.reader.slice, account.settings, account.sources, number_of(account, BUSY))
    found: TimelinePart = account.read(read_timeline, *args, whence=Whence(**whence))
    return found


SIEVES: list[tuple[Sieve, Callable[[Any], bool]]] = [
    (Sieve(types=(2,)), lambda one: one.type == "page"),
    (Sieve(types=(1,)), lambda one: one.type == "track"),
    (Sieve(types=(1,), orders=True), lambda one: one.event == "Order Completed"),
    (Sieve(types=(6,)), lambda one: one.type == "channel"),
    (Sieve(text="oRdEr"), lambda one: one.event == "Order Completed"),
    (Sieve(text="nothing"), lambda one: one.event is None),
]


@pytest.mark.parametrize("limit", [1, 3, 50])
@pytest.mark.parametrize(("sieve", "passes"), SIEVES)
def test_a_sieved_timeline(account: Account, sieve: Sieve, passes: Callable[[Any], bool], limit: int) -> None:
    expected = [one for one in whole(timeline(account)) if passes(one)]

    def listing(cursor: str | None, limit: int) -> Page[Any]:
        found = piece(account, cursor=cursor, limit=limit, sieve=sieve)
        assert found.reached is None, "all of it is within reach"
        return Page(found.items, found.older)

    assert assert_pages_make_the_list(listing, limit) == expected


def test_what_is_out_of_reach_is_said_and_gone_on_with(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "_NAMED", 20)
    monkeypatch.setattr(nearest, "_TYPED", 20)
    for sieve, passes in SIEVES:
        found, cursor, reached = list[Any](), None, 0
        while cursor is not None or not reached:
            one = piece(account, cursor=cursor, limit=5, sieve=sieve)
            found += one.items
            cursor, reached = one.older, reached + 1
            assert reached < 100
        assert found == [one for one in whole(timeline(account)) if passes(one)]
        assert reached > 1, sieve


@pytest.mark.parametrize("limit", [1, 7, 50])
@pytest.mark.parametrize("sieve", [None, Sieve(types=(2,))])
def test_newer_is_the_way_back(account: Account, sieve: Sieve | None, limit: int) -> None:
    way = [piece(account, cursor=None, limit=limit, sieve=sieve)]
    while way[-1].older is not None:
        way.append(piece(account, cursor=way[-1].older, limit=limit, sieve=sieve))
    back = way[-1]
    for one in reversed(way[:-1]):
        back = piece(account, cursor=back.newer, limit=limit, newer=True, sieve=sieve)
        assert back.items == one.items
    assert back.newer is None


def test_a_timeline_up_to_an_instant(account: Account) -> None:
    listed = whole(timeline(account))
    t = at(2)
    found = piece(account, cursor=before(_ms(t)), limit=1_000).items
    assert found == [one for one in listed if one.timestamp < t] != []
    order = [(one.timestamp, one.id) for one in listed if one.type != "became_customer"]
    assert order == sorted(order, reverse=True)
    assert [one.type for one in listed].count("became_customer") == 1
    assert all(one.session_id for one in listed if one.type in ("page", "track"))


@pytest.mark.parametrize("limit", LIMITS)
def test_sessions(account: Account, limit: int) -> None:
    listed = assert_pages_make_the_list(sessions(account), limit)
    starts = [one.started_at for one in listed]
    assert starts == sorted(starts, reverse=True)
    assert [one.generated for one in listed].count(True) == 10
    assert {one.session_id for one in listed if not one.generated} == {f"s{number}" for number in range(14)}


@pytest.mark.parametrize("limit", LIMITS)
def test_orders(account: Account, limit: int) -> None:
    listed = assert_pages_make_the_list(orders(account), limit)
    assert len(listed) == 12
    places = [(one.placed_at, one.order_id) for one in listed]
    assert places == sorted(places, reverse=True)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({}, 70 + 93 + 1 + 3 + 5),
        ({"type": "identify"}, 31),
        ({"type": "channel"}, 1),
        ({"type": "screen"}, 1),
        ({"type": "poem"}, 0),
        ({"outcome": "discarded"}, 5),
        ({"outcome": "unsupported"}, 1),
        ({"outcome": "duplicate"}, 1),
        ({"outcome": "mislaid"}, 0),
        ({"uid": BUSY}, 94),
        ({"uid": "nobody"}, 0),
        ({"uid": BUSY, "type": "track"}, 12),
        ({"source": "nowhere"}, 0),
    ],
)
def test_messages(account: Account, filters: dict[str, str], count: int, limit: int) -> None:
    assert len(assert_pages_make_the_list(messages(account, **filters), limit)) == count


@pytest.mark.parametrize("limit", LIMITS)
def test_messages_of_one_source(account: Account, limit: int) -> None:
    source = account.source("App").id
    listed = assert_pages_make_the_list(messages(account, source=source), limit)
    assert [one.message_id for one in listed] == ["bad-4", "page-4-c01", "page-3-c01", "screen-1-c01"]


def test_a_list_that_ends_with_its_page_has_no_next(account: Account) -> None:
    assert profiles(account)(cursor=None, limit=31).next is None
    assert profiles(account)(cursor=None, limit=30).next is not None


def test_what_was_seen_lately_is_offered(account: Account) -> None:
    seen = account.read(list_seen, account.reader.slice)
    assert set(seen.events) == {"Page Viewed", "Order Completed"}  # No condition sees what is not kept.
    assert {"order_id", "total"} <= seen.properties.keys()
    assert seen.properties["total"] == "Order Completed"
    assert {"name", "email", "phone"} <= set(seen.traits)


def test_of_whom_nothing_was_told_there_is_nothing(account: Account) -> None:
    for uid in (BUSY, "nobody"):
        assert account.read(list_told, account.reader.slice, account.settings, uid, "aud_1", limit=5) == []


# -------------------------------------------------------------------------------------------------------------- cursors


@pytest.mark.parametrize("listing", [profiles, timeline, sessions, orders, messages])
@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "!!!",
        "é",
        "a" * 300,
        write_cursor(),
        write_cursor("x"),
        write_cursor([1], 2),
        write_cursor(1, 2, 3, 4, 5),
    ],
)
def test_a_cursor_that_the_list_did_not_give(
    account: Account, listing: Callable[[Account], Listing], cursor: str
) -> None:
    with pytest.raises(BadCursor):
        listing(account)(cursor=cursor, limit=5)


def test_a_cursor_of_another_sort(account: Account) -> None:
    given = profiles(account, sort="name")(cursor=None, limit=5).next
    with pytest.raises(BadCursor):
        profiles(account, sort="ltv")(cursor=given, limit=5)


@pytest.mark.parametrize("values", [(1, "a"), (None, 0), ("é\ud800"[:1], -5), (1 << 62,)])
def test_cursors(values: tuple[Any, ...]) -> None:
    written = write_cursor(*values)
    assert written.replace("-", "").replace("_", "").isalnum()
    assert read_cursor(written, *(int | str | None for _ in values)) == values
    assert read_cursor(None, int) is None


def test_an_unknown_sort(account: Account) -> None:
    with pytest.raises(ValueError, match="lastSeen, -lastSeen"):
        profiles(account, sort="age")(cursor=None, limit=5)


# ----------------------------------------------------------------------------------------------------------- the search


@pytest.mark.parametrize(
    "q",
    [
        *("busy", "BUSY", "bee busy", "bus", " busy  b "),
        *("busy@bee.example", "busy@bee", "bee.ex"),
        *(BUSY, "shopify", "Customer/7"),
        *("(415) 555-0107", "415 555", "4155550107", "415555", "+14155550107", "+1 415 555 0107"),
    ],
)
def test_a_customer_is_found_by_words_and_their_beginnings(account: Account, q: str) -> None:
    assert [one.uid for one in whole(profiles(account, q=q))] == [BUSY]


@pytest.mark.parametrize(
    "q",
    [
        *("usy", "busy wasp", "v1", "!!!", "%", "*", '"'),
        *('busy" OR "name', "busy NEAR wasp", "name:wasp", "busy*bee*wasp", "-", "\x00"),
    ],
)
def test_what_nobody_has_finds_nobody(account: Account, q: str) -> None:
    assert whole(profiles(account, q=q)) == []


@pytest.mark.parametrize("q", ["", "  ", None])
def test_no_word_finds_all(account: Account, q: str | None) -> None:
    assert len(whole(profiles(account, q=q))) == 31


def test_visitors_are_found_by_their_whole_id(account: Account) -> None:
    assert [one.anonymous_id for one in whole(profiles(account, customers=False, q=" v1 "))] == ["v1"]
    assert whole(profiles(account, customers=False, q="c01")) == []


def test_times_are_what_happened(account: Account) -> None:
    found = account.read(find_customer, account.settings, BUSY)
    assert (found.created_at, found.last_seen) == (at(0), at(9 * 45))


def plans(account: Account, look: Callable[[], object]) -> str:
    """How SQLite goes about the queries that `look` makes, a step a line."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(account.state_engine, "before_cursor_execute", note)
    try:
        look()
    finally:
        event.remove(account.state_engine, "before_cursor_execute", note)
    with account.state_engine.connect() as connection:
        steps = [
            connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            for statement, parameters in asked
            if statement.startswith("SELECT")
        ]
    return "\n".join(row[3] for plan in steps for row in plan)


@on_sqlite
@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("following", [False, True])
def test_a_list_reads_no_more_than_it_shows(account: Account, sort: str, following: bool) -> None:
    """Whatever the shop's size: it walks an index in the order wanted, and sorts nobody."""
    listing = profiles(account, sort=sort)
    cursor = listing(cursor=None, limit=3).next if following else None
    plan = plans(account, lambda: listing(cursor=cursor, limit=3))
    column = CUSTOMER_SORTS[sort.removeprefix("-")]
    assert f"USING INDEX profiles_{column}" in plan or f"USING COVERING INDEX profiles_{column}" in plan
    assert "TEMP B-TREE" not in plan
    assert "SCAN i" not in plan


@on_sqlite
@pytest.mark.parametrize("options", [{"q": "name"}, {"customers": False, "q": "v1"}, {"customers": False}])
def test_other_lists_scan_no_table(account: Account, options: dict[str, Any]) -> None:
    plan = plans(account, lambda: profiles(account, **options)(cursor=None, limit=3))
    assert not re.search(r"SCAN (p|i|profiles|identities)\b(?! USING (COVERING )?INDEX profiles_last_seen)", plan), plan


@on_sqlite
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_short_beginnings_have_an_index_of_their_own(account: Account, length: int) -> None:
    """Without it, all that begins so is put together before the first customer is found."""
    with account.state_engine.connect() as connection:
        made = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'search'").scalar_one()
        found = connection.exec_driver_sql(
            "SELECT count(*) FROM search WHERE search MATCH ?", (f'"{"name"[:length]}"*',)
        ).scalar_one()
    assert str(length) in made.partition("prefix =")[2].split("'")[1].split()
    assert found == 20
