"""Selections: every filter lets through what it says, in each order, page by page; what was looked at is told."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from richpanel.core.terms import read_terms
from richpanel.core.timestamps import parse
from richpanel.store.profiles import CUSTOMER_SORTS
from richpanel.store.selecting import Selected, Selection, select
from tests.process.account import Account, Arrived, at, copy_of, make_template
from tests.process.calls import activity, identify, page, track


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def account(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Forty customers, on each engine; tests only look."""
    folder = tmp_path_factory.mktemp("selecting")
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    made = copy_of(make_template(folder / "template", server), folder / "data")
    calls: list[dict[str, Any]] = [page(1, None, "visitor")]
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


def test_a_customer_without_a_uid_has_the_address_that_they_wrote_from(account: Account) -> None:
    assert "new@x.example" in {each.uid for each in read(account, Selection(email=True)).data}
