"""The pages of audiences and computed traits: built in a form, tried, saved and explained; by everybody."""

import re
from typing import Any

import pytest

from richpanel.core.defined import Problem
from richpanel.store import plans
from richpanel.store.computations import list_computations
from richpanel.store.database import open_engine
from richpanel.store.members import note_size
from richpanel.web.versions import differing
from tests.engage.shop import DAY, Shop, shop_of
from tests.web.browser import Reader, reading
from tests.web.running import NOW, Site, csrf_of
from tests.web.test_pages import axe

BUYERS: dict[str, Any] = {"event": "Order Completed", "within": {"days": 30}}
FORM = {
    "c.kind": "and",
    "c.negated": "0",
    "c.parts.0.kind": "event",
    "c.parts.0.negated": "0",
    "c.parts.0.event": "Order Completed",
    "c.parts.0.window": "within",
}


def narrow_and_whole(reader: Reader) -> None:
    """Look at a page on a desk and on a phone: nothing sticks out, and nobody stumbles."""
    for width in (390, 1280):
        reader.page.set_viewport_size({"width": width, "height": 900})
        assert reader.page.evaluate("document.documentElement.scrollWidth") <= width
    assert axe(reader.page) == []


SLOW = """() => {
    const fetched = window.fetch;
    window.fetch = async (...asked) => {
        const answer = await fetched(...asked);
        await new Promise((go) => setTimeout(go, 400));
        return answer;
    };
}"""


def test_a_click_counts_though_an_answer_comes_between_its_press_and_its_release(site: Site) -> None:
    with reading(site) as reader:
        page = reader.sign_in()
        reader.go("/audiences/new")
        page.evaluate(SLOW)
        page.get_by_role("button", name="Count them").click()
        page.get_by_text("Event: must not be empty.").wait_for()
        page.get_by_label("Event", exact=True).fill("Order Completed")
        page.get_by_label("When").select_option("within")
        page.get_by_role("button", name="Filter").hover()
        page.mouse.down()
        page.wait_for_timeout(600)  # The answer to the choice is here by now.
        page.mouse.up()
        page.get_by_label("Filter: path").wait_for()
        assert page.get_by_label("How long").input_value() == "30"


def test_an_audience_is_built_counted_saved_and_explained(site: Site) -> None:
    with shop_of(site) as shop, reading(site) as reader:
        shop.known("42", firstName="Ada", lastName="Lovelace")
        shop.ordered("42", 120)
        shop.known("43")
        shop.ordered("43", 7)
        shop.process()
        page = reader.sign_in()
        page.get_by_role("link", name="Audiences").first.click()
        page.get_by_text("No audiences yet").wait_for()
        narrow_and_whole(reader)
        page.get_by_role("link", name="New audience").click()
        page.get_by_role("button", name="Count them").click()
        page.get_by_text("Event: must not be empty.").wait_for()
        offered = page.locator("#events option").evaluate_all("found => found.map(each => each.value)")
        assert "Order Completed" in offered
        assert page.locator("#properties option[value=total]").count() == 1
        page.get_by_label("Event", exact=True).fill("Order Completed")
        page.get_by_label("When").select_option("within")
        page.get_by_label("How long").wait_for()
        page.locator("#line", has_text="performed Order Completed in the last 30 days").wait_for()
        page.get_by_role("button", name="Filter").click()
        page.get_by_label("Filter: path").fill("total")
        page.get_by_label("Filter: comparison").select_option(">")
        page.get_by_label("Filter: value").fill("100")
        page.locator("#line", has_text="(total > 100)").wait_for()
        narrow_and_whole(reader)
        page.get_by_role("button", name="Count them").click()
        page.get_by_role("heading", name="1 person").wait_for()
        assert page.locator("#preview").get_by_text("Ada Lovelace").is_visible()
        page.get_by_label("Name", exact=True).fill("Big Buyers")
        page.get_by_role("button", name="Save and compute").click()
        page.get_by_text("Computing", exact=True).wait_for()
        narrow_and_whole(reader)
        shop.settle()
        page.get_by_role("heading", name="1 in it").wait_for()  # By itself: the page keeps looking until it is live.
        page.get_by_text("Live", exact=True).wait_for()
        page.get_by_role("link", name="Why").click()
        page.get_by_text("performed Order Completed (total > 100) in the last 30 days").last.wait_for()
        page.locator("#why .told .pill", has_text="In").wait_for()
        narrow_and_whole(reader)
        page.get_by_role("link", name="The customer").click()
        page.locator(".tabs").get_by_role("link", name="Audiences").click()
        page.get_by_role("link", name="Big Buyers").click()
        page.get_by_role("button", name="Pause").click()
        page.get_by_text("Paused", exact=True).wait_for()
    made = site.get("/audiences/big_buyers")
    assert made["status"] == "paused"
    assert made["condition"]["where"] == [{"property": "total", "op": ">", "value": 100}]


def test_a_tree_is_built_part_by_part_and_also_as_json(site: Site) -> None:
    with shop_of(site) as shop, reading(site, width=390, dark=True) as reader:
        shop.audience("Buyers", BUYERS)
        page = reader.sign_in()
        reader.go("/audiences/new")
        page.get_by_label("Event", exact=True).fill("Product Viewed")
        page.get_by_label("Is it so").nth(1).select_option("Did not perform")
        for kind in ("sequence", "audience", "and"):
            page.get_by_label("What to add").first.select_option(kind)
            page.get_by_role("button", name="Add", exact=True).last.click()
            page.locator("#c > .inside > li").nth(("sequence", "audience", "and").index(kind) + 1).wait_for()
        page.get_by_label("Step: event").first.fill("Checkout Started")
        page.get_by_label("Step: event").last.fill("Order Completed")
        page.get_by_label("Step", exact=True).select_option("thenNot")
        page.get_by_label("Step: within").fill("1")
        page.get_by_label("Audience", exact=True).select_option("buyers")
        page.get_by_role("button", name="Remove this event").last.click()
        page.get_by_text("Nothing is asked yet").wait_for()
        page.get_by_label("What to add").nth(0).select_option("trait")
        page.locator("[id='c.parts.3']").get_by_role("button", name="Add", exact=True).click()
        page.get_by_role("button", name="Remove this group").click()
        said = "did not perform Product Viewed and (performed Checkout Started and then did not Order Completed within"
        page.locator("#line", has_text=f"{said} 1 hour) and in audience buyers").wait_for()
        narrow_and_whole(reader)
        page.get_by_text("As JSON").first.click()
        page.get_by_role("textbox", name="As JSON").fill('{"or": [{"event": "Seen", "count": {"op": "<", "value": 3}}')
        page.get_by_role("button", name="Take it over").click()
        page.get_by_text("This is no JSON").wait_for()
        page.get_by_role("textbox", name="As JSON").fill(
            '{"not": {"trait": "plan", "op": "in", "value": ["a,b", "c"]}}'
        )
        page.get_by_role("button", name="Take it over").click()
        page.locator("#line", has_text='not (trait plan in ("a,b", "c"))').wait_for()
        assert page.get_by_label("Trait: value").input_value() == '"a,b", c'


def test_it_is_built_without_scripts(site: Site) -> None:
    with reading(site, scripts=False) as reader:
        page = reader.sign_in()
        reader.go("/audiences/new")
        page.get_by_label("Event", exact=True).fill("Order Completed")
        page.get_by_role("button", name="Filter").click()
        page.get_by_label("Filter: path").fill("total")
        page.get_by_label("Filter: value").fill("5")
        page.get_by_role("button", name="Count them").click()
        page.get_by_role("heading", name="0 people").wait_for()
        page.get_by_label("Name", exact=True).fill("Fives")
        page.get_by_role("button", name="Save as a draft").click()
        page.get_by_text("A draft: nothing is computed").wait_for()
    assert site.get("/audiences/fives")["condition"]["where"] == [{"property": "total", "op": "=", "value": 5}]


def test_a_computed_trait_is_tried_saved_and_explained(site: Site) -> None:
    with shop_of(site) as shop, reading(site, dark=True) as reader:
        shop.known("42", firstName="Ada", lastName="Lovelace")
        shop.ordered("42", 120)
        shop.process()
        page = reader.sign_in()
        page.get_by_role("link", name="Computed traits").click()
        page.get_by_text("No computed traits yet").wait_for()
        page.get_by_role("link", name="New computed trait").click()
        page.get_by_label("What", exact=True).select_option("sum")
        page.get_by_label("Property", exact=True).fill("total")
        page.get_by_label("Event", exact=True).fill("Order Completed")
        page.locator("#line", has_text="sum of total of Order Completed in the last 30 days").wait_for()
        page.get_by_role("button", name="Try it").click()
        page.get_by_role("heading", name="1 person with a value").wait_for()
        narrow_and_whole(reader)
        page.get_by_label("Name", exact=True).fill("Spent")
        page.get_by_role("button", name="Save and compute").click()
        page.get_by_text("Computing", exact=True).wait_for()
        shop.settle()
        page.get_by_role("link", name="Why").click()
        page.locator("#why", has_text="Order Completed").wait_for()
        narrow_and_whole(reader)
        page.get_by_text("Delete…").click()
        page.get_by_role("button", name="Delete Spent").click()
        page.get_by_text("No computed traits yet").wait_for()


def test_what_cannot_be_is_said_where_it_is(site: Site) -> None:
    site.sign_in()
    csrf = csrf_of(site.page("/audiences/new"))
    form = {**FORM, "csrf": csrf, "name": "Buyers", "do": "save"}
    assert site.submit("/audiences/new", {**form, "csrf": "wrong"}).status == 403
    assert site.submit("/audiences/new", {**form, "c.kind": "xor"}).status == 400
    for change, said in (
        ({"name": " "}, "Is required."),
        ({"key": "email"}, "email"),
        ({"c.parts.0.number": "many"}, "Within.days: must be an integer, not a text."),
        ({"c.parts.0.times": ""}, "Count.value: must be an integer, not a text."),
        ({"c.parts.1.kind": "audience", "c.parts.1.key": "none"}, "none"),
    ):
        answer = site.submit("/audiences/new", {**form, **change})
        assert (answer.status, said in answer.body.decode()) == (400, True), (change, said)
    assert site.submit("/audiences/new", form).status == 303
    (made,) = site.get("/audiences")["data"]
    assert made["condition"] == {**BUYERS, "performed": True}
    path = f"/audiences/{made['id']}"
    assert site.page(f"{path}?uid=nobody").status == 404
    circle = {**form, "c.parts.0.kind": "audience", "c.parts.0.key": "buyers"}
    assert site.submit(f"{path}/edit", circle).status == 400
    assert site.submit(f"{path}/edit", {**form, "c.parts.0.event": "Seen", "name": "Seers"}).status == 303
    changed = site.get(f"/audiences/{made['id']}")
    assert (changed["name"], changed["condition"]["event"], changed["key"]) == ("Seers", "Seen", "buyers")
    assert site.submit(path, {"csrf": csrf, "action": "delete"}).headers["location"] == "/audiences"
    assert site.page(path).status == 404


def test_why_it_failed_and_who_is_told_later_is_said(site: Site) -> None:
    with shop_of(site) as shop:
        for uid in ("42", "43"):
            shop.known(uid)
            shop.ordered(uid)
        made = shop.audience("Buyers", BUYERS)
        shop.audience("Others", {"event": "Seen"})
        shop.settle()
        engine = open_engine(site.directory.account_url)
        with engine.begin() as connection:
            numbers = {row.key: row.newest.number for row in list_computations(connection)}
            plans.fail(connection, numbers["others"], f"{Problem.GONE.value}: it asks for what is not there")
        engine.dispose()
        shop.connect(name="Desk")
        shop.filler.notice(site.clock())
        with reading(site) as reader:
            page = reader.sign_in()
            reader.go("/audiences/others")
            page.get_by_text("Version 1 could not be computed: it asks for what is not there.").wait_for()
            page.get_by_role("button", name="Try again").click()
            page.get_by_text("is being computed").wait_for()
            narrow_and_whole(reader)
            reader.go(f"/audiences/{made['id']}")
            page.get_by_text("Telling Desk, which was connected later").wait_for()
            narrow_and_whole(reader)


def test_visitors_who_are_in_are_led_to(site: Site) -> None:
    with shop_of(site) as shop:
        site.send([{"type": "page", "name": "Home", "anonymousId": "anon-1234567", "messageId": "p1"}])
        shop.known("42")
        shop.audience("All", {"trait": "plan", "op": "not_exists"}, includeVisitors=True)
        shop.settle()
    site.sign_in()
    page = site.page("/audiences/all").body.decode()
    assert 'href="/visitors/anon-1234567">Visitor anon-123</a>' in page
    assert 'href="/customers/42">42</a>' in page
    assert page.count("#why") == 2  # The form's, and one for whom there can be an explanation.


def test_versions_are_listed_with_what_differs(site: Site) -> None:
    with shop_of(site) as shop:
        shop.known("42")
        shop.audience("All", {"trait": "plan", "op": "not_exists"})
        shop.settle()
        assert (
            site.api("PATCH", "/audiences/all", {"condition": {"trait": "<b>plan", "op": "not_exists"}}).status == 200
        )
        shop.settle()
        site.api("PATCH", "/audiences/all", {"includeVisitors": True})
    listed = site.get("/audiences/all/versions")["data"]
    assert [(each["version"], each["status"], each["madeBy"], each["size"]) for each in listed] == [
        *((3, "computing", "tests", None), (2, "live", "tests", None), (1, "retired", "tests", 1)),
    ]
    assert [each["text"].endswith(", visitors too") for each in listed] == [True, False, False]
    assert (listed[2]["liveAt"] is None, listed[2]["endedAt"]) == (False, listed[1]["liveAt"])
    site.sign_in()
    html = site.page("/audiences/all").body.decode()
    page = html.partition('id="versions"')[2]
    assert "3 versions" in page
    assert "<ins>&lt;b&gt;plan</ins>" in page
    assert "<del>plan</del>" in page
    assert "<b>plan" not in html
    assert "1 at its end" in page
    assert site.api("GET", "/audiences/none/versions").status == 404


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("a b c", "a b c", "a b c"),
        ("a b c", "a x c", "a [b|x] c"),
        ("a b c d", "a x y d", "a [b c|x y] d"),
        ("trait plan does not exist", "performed Paid once", "[trait plan does not exist|performed Paid once]"),
        ("in the last 30 days", "in the last 30 days, visitors too", "in the last 30 days[|, visitors too]"),
        ("all of (a, b)", "all of (a)", "all of (a[, b|])"),
    ],
)
def test_words_that_differ_one_after_the_other_are_one_piece(before: str, after: str, shown: str) -> None:
    said = "".join(f"<{part.mark}>{part.text}" for part in differing(before, after))
    said = re.sub(r"<gone>([^<]*)(?:<new>([^<]*))?", lambda each: f"[{each[1]}|{each[2] or ''}]", said)
    said = re.sub(r"<new>([^<]*)", r"[|\1]", said)
    assert said.replace("<same>", "") == shown


def test_a_version_that_comes_of_anothers_edit_says_so(site: Site) -> None:
    with shop_of(site) as shop:
        shop.audience("All", {"trait": "plan", "op": "exists"})
        shop.audience("Most", {"audience": "all"})
        shop.settle()
        site.api("PATCH", "/audiences/all", {"condition": {"trait": "plan", "op": "not_exists"}})
        shop.settle()
    assert [each["asked"] for each in site.get("/audiences/most/versions")["data"]] == [True, False]
    site.sign_in()
    assert "What it asks for of others was changed." in site.page("/audiences/most").body.decode()


def noted(shop: Shop) -> list[tuple[int, int]]:
    """Note a size every ten minutes for ten days, and give what is kept of them."""
    with shop.engines[1].begin() as connection:
        for number in range(10 * 144):
            note_size(connection, 1, number % 1000 + 1, now=NOW - 10 * DAY + number * 600_000)
        found = connection.exec_driver_sql("SELECT at, size FROM sizes ORDER BY at").fetchall()
    return [(row[0], row[1]) for row in found]


def test_sizes_are_drawn_and_thinned(site: Site) -> None:
    with shop_of(site) as shop:
        shop.audience("Buyers", BUYERS)
        kept = noted(shop)
    old = [at for at, _ in kept if at < NOW - 8 * DAY]
    assert len(old) == len({at // 3_600_000 for at in old})  # One for each hour.
    assert len([at for at, _ in kept if at >= NOW - 6 * DAY]) == 6 * 144
    site.sign_in()
    page = site.page("/audiences/buyers").body.decode()
    assert "at most 1,000" in page
    assert 'aria-label="From 1 to 1,000 people; 440 at last"' in page


def test_the_last_size_drawn_is_that_of_now(site: Site) -> None:
    with shop_of(site) as shop:
        shop.known("42")
        shop.ordered("42", 7)
        shop.process()
        shop.audience("Buyers", BUYERS)
        shop.settle()
        noted(shop)
    site.sign_in()
    page = site.page("/audiences/buyers").body.decode()
    assert "1 in it" in page
    assert "people; 1 at last" in page
