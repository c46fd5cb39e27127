"""`richpanel serve --demo`: a shop that looks like one, sent once, through Segment's own SDK."""

import json
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from richpanel.demo.visits import DAYS, SHOPPERS, Call, story
from tests.server import Server, request

NOW = 1_795_000_000_000
DEMO_SECONDS = 60.0
ORDER_EVENTS = {"Order Completed", "Order Updated", "Order Refunded", "Order Cancelled"}


@pytest.fixture(scope="module")
def calls() -> list[Call]:
    """The story as it is sent."""
    return story(2_026, NOW)


def test_the_same_seed_tells_the_same_story(calls: list[Call]) -> None:
    assert story(2_026, NOW) == calls
    assert story(2_027, NOW) != calls


def test_the_story_has_everything_that_a_shop_has(calls: list[Call]) -> None:
    assert min(call.at for call in calls) >= NOW - DAYS * 86_400_000
    assert max(call.at for call in calls) < NOW
    assert {call.name for call in calls} >= ORDER_EVENTS | {"Product Viewed", "Product Added", "Checkout Started"}
    statuses = {call.body.get("order_status") for call in calls if call.name in ORDER_EVENTS}
    assert statuses >= {"paid", "processing", "shipped", "delivered", "cancelled"}
    assert len({call.anonymous_id for call in calls}) == SHOPPERS
    assert 120 < len({call.user_id for call in calls if call.user_id}) < SHOPPERS
    sessions = Counter("richpanel_session_id" in call.body for call in calls if call.kind in ("page", "track"))
    assert min(sessions.values()) > 1_000, "some sessions are explicit, some are not"
    kinds = {call.kind for call in calls}
    assert kinds == {"identify", "page", "track", "screen", "group"}


def test_some_calls_come_late_and_some_twice(calls: list[Call]) -> None:
    ids = Counter(call.message_id for call in calls)
    assert 50 < sum(1 for times in ids.values() if times == 2) < 300
    assert max(ids.values()) == 2
    late = sum(1 for earlier, later in pairwise(calls) if later.at < earlier.at)
    assert late > 50


def test_anonymous_shoppers_become_known_and_some_never_do(calls: list[Call]) -> None:
    known, before = set(), set()
    for call in sorted(calls, key=lambda call: call.at):
        if call.user_id:
            known.add(call.anonymous_id)
        elif call.anonymous_id not in known:
            before.add(call.anonymous_id)
    assert len(known & before) > 50, "their history before they sign in is theirs"
    assert len(before - known) > 20, "these stay visitors"


def printed(server: Server, name: str) -> str:
    """The value of a line `name: value` that the demo prints."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for line in server.printed().splitlines():
            if line.startswith(f"{name}: "):
                return line.removeprefix(f"{name}: ")
        time.sleep(0.05)
    raise AssertionError(f"{name}: was not printed; this was:\n{server.printed()}")


def test_the_demo_shows_its_customers(installation: str, tmp_path: Path, calls: list[Call]) -> None:
    data = tmp_path / "data"
    with Server(data, args=["--demo"]) as server:
        started = time.monotonic()
        assert printed(server, "URL") == server.url
        token, key = printed(server, "API token"), printed(server, "write key")
        login, password = printed(server, "login"), printed(server, "password")
        assert server.printed().count("login: ") == 1
        while "calls sent in" not in server.printed():
            assert time.monotonic() - started < DEMO_SECONDS, server.printed()
            time.sleep(0.1)
        server.wait_processed(60)
        assert request("GET", f"{server.url}/v1/projects/{key}/settings").status == 200
        headers = {"Authorization": f"Bearer {token}"}
        page = request("GET", f"{server.url}/api/v1/customers?limit=500", headers=headers).json()
        expected = {call.user_id for call in calls if call.kind == "identify"}
        assert abs(len(page["data"]) - len(expected)) < 40
        assert (data / "demo.json").stat().st_mode & 0o077 == 0
        look_at(server, page["data"])
        sent = server.get("/status")["messages"]
        server.stop()
        server.start()
        assert printed(server, "login") == login
        again = server.printed().split("listening on ")[-1]
        while "API token: " not in again:
            time.sleep(0.05)
            again = server.printed().split("listening on ")[-1]
        assert f"password: {password}\n" in again
        assert f"API token: {token}\n" in again
        time.sleep(1.5)
        assert "calls sent" not in again
        assert server.get("/status")["messages"] == sent, "nothing is sent a second time"


def look_at(server: Server, customers: list[dict[str, Any]]) -> None:
    """Looks at the shop as an agent would."""
    assert all(customer["email"].endswith("@example.com") for customer in customers)
    buyers = [customer for customer in customers if customer["ordersCount"]]
    assert len(buyers) > 50
    assert any(customer["ltv"] not in ("0.00", "0") for customer in buyers)
    assert any(customer["campaign"] for customer in customers)
    assert {customer["deviceType"] for customer in customers} >= {"Desktop", "Mobile"}
    statuses: set[str] = set()
    for customer in buyers[:40]:
        [order, *_] = server.get(f"/customers/{customer['uid'].replace('/', '%2F')}/orders")["data"]
        statuses.add(order["status"])
        assert order["items"]
    assert len(statuses) >= 3, statuses
    sessions = server.get(f"/customers/{buyers[0]['uid'].replace('/', '%2F')}/sessions")["data"]
    assert sessions
    outcomes = next(iter(server.get("/status")["outcomes"].values()))
    assert outcomes["duplicate"] > 50
    assert outcomes["unsupported"] > 5
    assert outcomes["filtered"] > 3
    assert json.dumps(server.get("/visitors")) != json.dumps({"data": [], "next": None})
