"""Selections: every filter lets through what it says, in each order, page by page; what was looked at is told."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection

from richpanel.core.terms import read_terms
from richpanel.core.timestamps import parse
from richpanel.store.bulk import fetch, on_postgres
from richpanel.store.profiles import CUSTOMER_SORTS, VISITOR_SORTS, ordered
from richpanel.store.selecting import Selected, Selection, select
from tests.process.account import Account, Arrived, at, copy_of, make_template
from tests.process.calls import activity, identify, page, track


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def account(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Forty customers, on each engine; tests only look."""
    folder = tmp_path_factory.mktemp("selecting")
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    made = copy_of(make_template(folder / "template", server), folder / "data")
    calls: list[dict[str, Any]] = [each for n in range(12) for each in visit(n)]
    for n in range(40):
        traits: dict[str, Any] = {"name": f"Name {n}", "points": n, "plan": "gold" if n % 4 == 0 else "free"}
        if n % 2:
            traits["email"] = f"c{n}@x.example"
        if n % 5 == 0:
            traits["phone"] = f"+4930123{n:04}"
        calls.append(identify(n, f"c{n}", **traits))
        calls += [track(n, "Order Completed", f"c{n}", order_id=f"o{n}-{k}", total=n) for k in range(n % 3)]
        for k, each in enumerate(calls[-(n % 3) :] if n % 3 else []):
            each["messageId"] = f"o{n}-{k}"
    made.write([Arrived(calls), Arrived([activity(50, email="new@x.example")], "Channels", door="channel")])
    made.process()
    yield made
    made.close()


def visit(n: int) -> list[dict[str, Any]]:
    """What a visitor does; each third one says what plan they have, each fourth one buys."""
    calls = [page(n // 3, None, f"v{n}", n=n)]
    if n % 3 == 0:
        calls.append(identify(n // 3, None, f"v{n}", plan="gold" if n % 2 else "free"))
    if n % 4 == 0:
        calls.append(track(n // 3, "Order Completed", None, f"v{n}", order_id=f"v{n}", total=n // 8 + 1))
    return calls


def read(account: Account, wanted: Selection, **options: Any) -> Selected:
    given = {"sort": None, "cursor": None, "limit": 100, **options}
    found: Selected = account.read(select, account.settings, wanted, **given)
    return found


def numbers(found: Selected) -> set[int]:
    return {int(each.uid[1:]) for each in found.data if each.uid and each.uid[1:].isdigit()}


EVERYBODY = set(range(40))
FILTERS: list[tuple[Selection, set[int]]] = [
    (Selection(), EVERYBODY),
    (Selection(q="name", orders=(2, None)), {n for n in EVERYBODY if n % 3 == 2}),
    (Selection(email=True), {n for n in EVERYBODY if n % 2}),
    (Selection(email=False), {n for n in EVERYBODY if n % 2 == 0}),
    (Selection(phone=True, email=True), {5, 15, 25, 35}),
    (Selection(seen=(parse(at(10)), parse(at(12)))), {10, 11, 12}),
    (Selection(created=(parse(at(38)), None)), {38, 39}),
    (Selection(orders=(1, 1)), {n for n in EVERYBODY if n % 3 == 1}),
    (Selection(ltv=(Decimal(30), Decimal("37.5"))), {n for n in EVERYBODY if 30 <= n % 3 * n <= 37.5}),
    (Selection(visits=(None, 0)), {n for n in EVERYBODY if n % 3 == 0}),
    (Selection(terms=read_terms("plan=gold; points>=20")), {20, 24, 28, 32, 36}),
    (Selection(terms=read_terms("uid=c7")), {7}),
    (Selection(terms=read_terms("plan~e; !email; phone")), {10, 30}),
    (Selection(plan=77), set()),
]


@pytest.mark.parametrize(("wanted", "expected"), FILTERS)
def test_a_filter(account: Account, wanted: Selection, expected: set[int]) -> None:
    for sort in CUSTOMER_SORTS:
        found = read(account, wanted, sort=f"-{sort}")
        assert numbers(found) == expected
        assert found.is_whole


@pytest.mark.parametrize("limit", [1, 3, 7])
@pytest.mark.parametrize("most", [2, 10_000])
@pytest.mark.parametrize("sort", ["-lastSeen", "name", "ltv"])
def test_pages_joined_are_the_whole(account: Account, sort: str, most: int, limit: int) -> None:
    wanted = Selection(terms=read_terms("plan=gold"))
    whole = [each.uid for each in read(account, wanted, sort=sort).data]
    assert len(whole) == 10
    found, cursor, rounds = [], None, 0
    while cursor is not None or not rounds:
        one = read(account, wanted, sort=sort, limit=limit, most=most, cursor=cursor)
        assert one.looked <= most
        assert one.is_whole or one.next is not None
        found += [each.uid for each in one.data]
        cursor, rounds = one.next, rounds + 1
        assert rounds < 100
    assert found == whole


VISITORS = set(range(12))
OF_VISITORS: list[tuple[Selection, set[int]]] = [
    (Selection(customers=False), VISITORS),
    (Selection(customers=False, terms=read_terms("plan=gold")), {3, 9}),
    (Selection(customers=False, terms=read_terms("!plan"), orders=(1, None)), {4, 8}),
    (Selection(customers=False, seen=(parse(at(1)), parse(at(2)))), {3, 4, 5, 6, 7, 8}),
    (Selection(customers=False, created=(None, parse(at(0)))), {0, 1, 2}),
    (Selection(customers=False, ltv=(Decimal(2), None)), {8}),
    (Selection(customers=False, q="v3", terms=read_terms("plan")), {3}),
    (Selection(customers=False, q="v", terms=read_terms("plan")), set()),
    (Selection(customers=False, email=True), set()),
]


@pytest.mark.parametrize(("wanted", "expected"), OF_VISITORS)
@pytest.mark.parametrize("sort", [way + name for name in VISITOR_SORTS for way in ("", "-")])
def test_visitors_are_selected_as_customers_are(
    account: Account, wanted: Selection, expected: set[int], sort: str
) -> None:
    found = read(account, wanted, sort=sort)
    ids = [int((each.anonymous_id or "")[1:]) for each in found.data]
    assert set(ids) == {n for n in expected if "ltv" not in sort or n % 4 == 0}
    keys = {"lastSeen": lambda n: n // 3, "createdAt": lambda n: n // 3, "ltv": lambda n: n // 8 + 1}
    values = [keys[sort.removeprefix("-")](n) for n in ids]
    assert values == sorted(values, reverse=sort.startswith("-"))
    joined: list[list[str | None]] = []
    cursor = None
    while cursor is not None or not joined:
        one = read(account, wanted, sort=sort, limit=2, most=5, cursor=cursor)
        joined.append([each.anonymous_id for each in one.data])
        cursor = one.next
    assert [each for page_ in joined for each in page_] == [each.anonymous_id for each in found.data]


def test_visitors_are_not_ordered_by_name(account: Account) -> None:
    with pytest.raises(ValueError, match="sort must be one of"):
        read(account, Selection(customers=False), sort="name")


@pytest.mark.parametrize("sort", VISITOR_SORTS)
def test_each_order_of_visitors_is_an_indexs(account: Account, sort: str) -> None:
    people, where = ordered(CUSTOMER_SORTS[sort], customers=False)
    query = f"SELECT p.id FROM {people} WHERE {' AND '.join(where)} ORDER BY p.{CUSTOMER_SORTS[sort]}, p.id LIMIT 3"

    def plan(connection: Connection) -> str:
        if on_postgres(connection):
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # So few rows are read sooner than an index.
            return str(fetch(connection, f"EXPLAIN {query}"))
        return str(fetch(connection, f"EXPLAIN QUERY PLAN {query}"))

    found = account.read(plan)
    assert "Index" in found or "INDEX" in found
    assert "TEMP B-TREE" not in found
    assert "Sort  (" not in found


def test_a_customer_without_a_uid_has_the_address_that_they_wrote_from(account: Account) -> None:
    assert "new@x.example" in {each.uid for each in read(account, Selection(email=True)).data}
