"""REST: customers and visitors, as contract.md says; ids that hold anything."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.running import Site, running, segment
from tests.web.story import DEVICE, LURKER, UID, call

CUSTOMER = f"/customers/{segment(UID)}"


def test_a_customer_has_the_contracts_fields(shop: Site) -> None:
    customer = shop.get(CUSTOMER)
    assert customer["uid"] == UID
    assert (customer["email"], customer["name"]) == ("ada@example.com", "Ada Lovelace")
    assert (customer["firstName"], customer["lastName"]) == ("Ada", "Lovelace")
    assert customer["createdAt"] == "2025-11-23T16:00:00.000Z"
    assert customer["customerSince"] == "2025-11-23T16:03:00.000Z"
    assert (customer["visits"], customer["ordersCount"], customer["ltv"]) == (3, 1, "40.00")
    assert customer["traits"] == {"email": "ada@example.com", "name": "Ada Lovelace", "points": 12.5}
    assert customer["audiences"] == []
    assert {identity["type"]: identity["value"] for identity in customer["identities"]} == {
        "uid": UID,
        "email": "ada@example.com",
        "anonymousId": DEVICE,
    }
    assert "profile" not in customer


def test_the_list_holds_customers_alone(shop: Site) -> None:
    answer = shop.get("/customers")
    assert [customer["uid"] for customer in answer["data"]] == [UID]
    assert answer["next"] is None
    assert answer["data"][0].keys() < shop.get(CUSTOMER).keys()
    assert [visitor["anonymousId"] for visitor in shop.get("/visitors")["data"]] == [LURKER]


@pytest.mark.parametrize("words", ["ada", "lovelace ada", "ada@example.com", "gid://shopify", "LOVE"])
def test_search_finds_by_words_and_their_starts(shop: Site, words: str) -> None:
    assert [customer["uid"] for customer in shop.get("/customers", q=words)["data"]] == [UID]


def test_search_finds_nobody_where_nobody_is(shop: Site) -> None:
    assert shop.get("/customers", q="grace") == {"data": [], "next": None}


def test_the_timeline_is_newest_first_with_its_sessions(shop: Site) -> None:
    timeline = shop.get(f"{CUSTOMER}/timeline")["data"]
    assert [(item["type"], item["event"], item["id"]) for item in timeline] == [
        ("channel", "email", "letter-1"),
        ("track", "Order Refunded", "m-refund"),
        ("page", "Pricing", "m-pricing"),
        ("track", "Order Completed", "m-order"),
        ("became_customer", "Became a customer", "m-identify"),
        ("track", "Product Added", "m/added"),
        ("page", "Mugs", "m-page"),
    ]
    assert timeline[2]["sessionId"] == "abc123"
    assert timeline[2]["properties"] == {}
    assert timeline[0]["sessionId"] is None
    assert timeline[3]["sessionId"] == timeline[5]["sessionId"] == timeline[6]["sessionId"] != None  # noqa: E711
    assert timeline[5]["properties"] == {"name": "Mug, blue", "price": 20}


def test_sessions_and_orders(shop: Site) -> None:
    sessions = shop.get(f"{CUSTOMER}/sessions")["data"]
    assert [(each["events"], each["generated"]) for each in sessions] == [(1, True), (1, False), (3, True)]
    assert sessions[1]["sessionId"] == "abc123"
    assert sessions[2]["startedAt"] == "2025-11-23T16:00:00.000Z"
    (order,) = shop.get(f"{CUSTOMER}/orders")["data"]
    assert (order["orderId"], order["status"], order["total"], order["currency"]) == (
        "1001",
        "partly refunded",
        "45.50",
        "USD",
    )
    assert order["items"] == [{"name": "Mug, blue", "price": 20, "quantity": 2}]
    assert [refund["amount"] for refund in order["refunds"]] == ["5.50"]
    assert {"fulfillment", "properties", "updatedAt"} <= order.keys()


def test_pages_of_a_list_follow_each_other(shop: Site) -> None:
    seen, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        answer = shop.get(f"{CUSTOMER}/timeline", **query)
        assert len(answer["data"]) <= 2
        seen += [item["id"] for item in answer["data"]]
        cursor = answer["next"]
        if cursor is None:
            break
    assert seen == [item["id"] for item in shop.get(f"{CUSTOMER}/timeline")["data"]]


def test_a_visitor_is_reached_by_id(shop: Site) -> None:
    visitor = shop.get(f"/visitors/{segment(LURKER)}")
    assert (visitor["uid"], visitor["anonymousId"]) == (None, LURKER)
    timeline = shop.get(f"/visitors/{segment(LURKER)}/timeline")["data"]
    assert [item["event"] for item in timeline] == ["Home"]
    assert shop.api("GET", f"/customers/{segment(LURKER)}").status == 404


def test_a_visitor_who_became_a_customer_has_moved(shop: Site) -> None:
    for rest in ("", "/timeline"):
        answer = shop.api("GET", f"/visitors/{DEVICE}{rest}")
        assert (answer.status, answer.headers["location"]) == (308, f"/api/v1/customers/{segment(UID)}{rest}")


IDS = [
    "gid://shopify/Customer/42",
    "a/b",
    "//",
    "%2F",
    "?x=1#y",
    "Ünï/✓",
    "..",
    "a b+c",
    "timeline",
    "a\nb",
    "\"'<>",
    "{uid}",
]


@pytest.fixture(scope="module")
def crowd(furnished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a customer for each id."""
    with running(Path(shutil.copytree(furnished, tmp_path_factory.mktemp("crowd") / "data"))) as site:
        for uid in IDS:
            site.send([call("identify", f"i{uid}", 0, userId=uid), call("page", uid, 1, userId=uid, name="Home")])
        site.process()
        site.sign_in()
        yield site


@pytest.mark.parametrize("uid", IDS)
def test_an_id_may_hold_anything(crowd: Site, uid: str) -> None:
    path = f"/customers/{segment(uid)}"
    assert crowd.get(path)["uid"] == uid
    assert [item["type"] for item in crowd.get(f"{path}/timeline")["data"]] == ["page", "became_customer"]
    assert crowd.get(f"{path}/sessions")["data"][0]["events"] == 1
    assert crowd.get(f"/messages/{segment(uid)}")["data"][0]["profile"] == {"uid": uid}
    page = crowd.page(path)
    assert page.status == 200
    assert page.body.decode().count("Viewed Home") == 1
    assert crowd.page(f"/messages/{segment(uid)}").status == 200


def test_an_id_that_is_no_text_names_nobody(shop: Site) -> None:
    assert shop.api("GET", "/customers/%ff%fe").status == 404
