"""The lists of people: filters, columns, files, and keys; a spreadsheet that opens a file runs nothing of it."""

import csv
import io
import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from shutil import copytree
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.web.browser import reading
from tests.web.running import Site, running
from tests.web.story import HOSTILE, call


@pytest.fixture(scope="module")
def crowd(furnished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with people of all kinds; signed in."""
    with running(Path(copytree(furnished, tmp_path_factory.mktemp("crowd") / "data"))) as site:
        traits: dict[str, dict[str, Any]] = {
            "ada": {"name": "Ada Lovelace", "email": "ada@x.example", "plan": "gold", "points": 12},
            "bob": {"name": "=1+1", "plan": "free", "phone": "+4930123456", "note": "@cmd"},
            "eve": {"name": HOSTILE, "plan": HOSTILE, "points": -5},
        }
        site.send(
            [call("identify", f"i-{uid}", n, userId=uid, traits=each) for n, (uid, each) in enumerate(traits.items())]
        )
        order = {"order_id": "A-1", "total": 12, "currency": "USD"}
        site.send([call("track", "o", 5, userId="ada", event="Order Completed", properties=order)])
        visitors: list[tuple[str, dict[str, Any]]] = [
            ("v-1", {"plan": "gold"}),
            ("v-2", {}),
            ("v-3", {"plan": HOSTILE}),
        ]
        for n, (device, each) in enumerate(visitors, 10):
            site.send([call("identify", f"i-{device}", n, anonymousId=device, traits=each)])
            landing = {"page": {"url": f"https://shop.example/{device}"}}
            site.send([call("page", f"p-{device}", n + 1 - 2 * (n == 12), anonymousId=device, context=landing)])
        bought = {"order_id": "A-2", "total": 7, "currency": "USD"}
        site.send([call("track", "o-2", 20, anonymousId="v-2", event="Order Completed", properties=bought)])
        site.process()
        site.sign_in()
        yield site


def listed(site: Site, people: str = "customers", **query: Any) -> list[str]:
    html = site.page(f"/{people}?{urlencode(query)}").body.decode()
    return [unescape(each) for each in re.findall(rf'class="row-link" href="/{people}/([^"]*)"', html)]


@pytest.mark.parametrize(
    ("query", "uids"),
    [
        ({}, ["ada", "eve", "bob"]),
        ({"email": "exists"}, ["ada"]),
        ({"phone": "exists"}, ["bob"]),
        ({"where": "points>0"}, ["ada"]),
        ({"where": "plan=free; !email"}, ["bob"]),
        ({"ordersMin": "1", "ltvMin": "12", "ltvMax": "12.00"}, ["ada"]),
        ({"ltvMax": "11.99", "sort": "name"}, ["eve", "bob"]),
        ({"q": "ada", "ordersMin": "1"}, ["ada"]),
        ({"q": "ada", "ordersMin": "2"}, []),
        ({"seenFrom": "2025-11-23", "seenTo": "2025-11-23", "visitsMin": "1"}, ["ada"]),
        ({"createdTo": "2025-11-22"}, []),
    ],
)
def test_the_page_and_the_api_have_the_same_filters(crowd: Site, query: dict[str, str], uids: list[str]) -> None:
    assert listed(crowd, **query) == uids
    assert [each["uid"] for each in crowd.get("/customers", **query)["data"]] == uids


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, ["v-2", "v-3", "v-1"]),
        ({"sort": "createdAt"}, ["v-1", "v-2", "v-3"]),
        ({"sort": "-ltv"}, ["v-2"]),
        ({"where": "plan=gold"}, ["v-1"]),
        ({"where": "!plan; lastPageUrl~v-2"}, ["v-2"]),
        ({"ordersMin": "1", "ltvMax": "7"}, ["v-2"]),
        ({"q": "v-3", "where": "plan"}, ["v-3"]),
        ({"q": "v-3", "email": "exists"}, []),
        ({"q": "v-"}, []),
    ],
)
def test_visitors_are_listed_as_customers_are(crowd: Site, query: dict[str, str], ids: list[str]) -> None:
    assert listed(crowd, "visitors", **query) == ids
    assert [each["anonymousId"] for each in crowd.get("/visitors", **query)["data"]] == ids


def test_visitors_have_columns_of_ones_choice_and_an_export(crowd: Site) -> None:
    html = crowd.page("/visitors?columns=trait:plan&where=plan").body.decode()
    assert 'data-label="plan"' in html
    assert HOSTILE not in html
    assert '<th scope="col">Visitor</th>' in html
    answer = crowd.page("/exports/visitors.csv?columns=trait:plan,lastPageUrl&sort=createdAt")
    rows = list(csv.reader(io.StringIO(answer.body.decode())))
    assert rows[0] == ["uid", "anonymousId", "plan", "lastPageUrl"]
    assert rows[1:3] == [["", "v-1", "gold", "https://shop.example/v-1"], ["", "v-2", "", "https://shop.example/v-2"]]
    assert len(crowd.page("/exports/visitors.jsonl").body.splitlines()) == 3


@pytest.mark.parametrize("query", [{"sort": "name"}, {"where": "=x"}, {"seenFrom": "yesterday"}])
def test_a_visitors_filter_that_is_wrong_is_named(crowd: Site, query: dict[str, str]) -> None:
    assert crowd.api("GET", "/visitors", **query).status == 400
    assert crowd.page(f"/visitors?{urlencode(query)}").status == 400


@pytest.mark.parametrize("query", [{"where": "=x"}, {"ltvMin": "much"}, {"seenFrom": "yesterday"}, {"email": "maybe"}])
def test_a_filter_that_is_wrong_is_named(crowd: Site, query: dict[str, str]) -> None:
    answer = crowd.api("GET", "/customers", **query)
    assert answer.status == 400
    assert next(iter(query)) in json.dumps(answer.json()["errors"])
    assert crowd.page(f"/customers?{urlencode(query)}").status == 400


def test_an_audience_that_is_not_there_is_not_found(crowd: Site) -> None:
    assert crowd.api("GET", "/customers", audience="none").status == 404
    assert crowd.page("/customers?audience=none").status == 404


def test_columns_are_chosen(crowd: Site) -> None:
    html = crowd.page("/customers?columns=email&columns=trait:plan&columns=nonsense&where=plan%3Dgold").body.decode()
    assert re.findall(r'<td class="[^"]*" data-label="([^"]*)">([^<]*)', html) == [
        ("Email", "ada@x.example"),
        ("plan", "gold"),
    ]
    assert 'aria-label="Filters"' in html
    assert 'name="columns" value="trait:plan" checked' in html


def test_what_is_listed_is_exported(crowd: Site) -> None:
    answer = crowd.page("/exports/customers.csv?columns=phone,trait:note,ltv,trait:points&sort=name")
    assert answer.headers["content-disposition"] == 'attachment; filename="customers.csv"'
    rows = list(csv.reader(io.StringIO(answer.body.decode())))
    assert rows[0] == ["uid", "name", "email", "phone", "note", "ltv", "points"]
    assert [row[0] for row in rows[1:]] == ["eve", "bob", "ada"]
    assert rows[1] == ["eve", HOSTILE, "", "", "", "0.00", "-5"]
    assert rows[2] == ["bob", "'=1+1", "", "+4930123456", "'@cmd", "0.00", ""]
    lines = crowd.page("/exports/customers.jsonl?columns=trait:points&where=points").body.decode().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"uid": "ada", "name": "Ada Lovelace", "email": "ada@x.example", "trait:points": 12},
        {"uid": "eve", "name": HOSTILE, "email": None, "trait:points": -5},
    ]
    assert crowd.page("/exports/customers.xls").status == 404
    assert crowd.page("/exports/customers.csv?ltvMin=much").status == 400


@pytest.mark.browser
def test_the_list_finds_as_one_types_and_is_gone_through_by_keys(crowd: Site) -> None:
    with reading(crowd) as each:
        each.sign_in()
        page = each.go("/customers?columns=email,trait:plan")
        page.keyboard.press("/")
        page.keyboard.type("love")
        expect(page.locator("#people .row-link")).to_have_count(1)
        expect(page.locator("#list-said")).to_have_text("One person listed")
        expect(page.locator("th", has_text="plan")).to_be_visible()
        assert "q=love" in page.url
        assert page.evaluate("document.activeElement.name") == "q"
        page.get_by_role("searchbox").fill("")
        expect(page.locator("#people .row-link")).to_have_count(3)
        page.locator("h1").click()
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("k")
        assert page.evaluate("document.activeElement.textContent") == "Ada Lovelace"
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
