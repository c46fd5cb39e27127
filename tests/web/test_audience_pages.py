"""The pages of audiences: count first, then save; who is in, and why; and they can be used by everybody."""

from urllib.parse import quote

from tests.engage.shop import shop_of
from tests.web.browser import reading
from tests.web.running import Site, csrf_of
from tests.web.test_pages import axe

CONDITION = '{"event": "Order Completed", "within": {"days": 30}}'


def test_an_audience_is_counted_saved_and_explained(site: Site) -> None:
    with shop_of(site) as shop:
        shop.known("42", firstName="Ada", lastName="Lovelace")
        shop.ordered("42")
        shop.known("43")
        shop.process()
        with reading(site) as reader:
            page = reader.sign_in()
            page.get_by_role("link", name="Audiences").click()
            page.get_by_text("No audiences yet").wait_for()
            page.get_by_label("Name").fill("Buyers")
            page.get_by_label("Condition").fill(CONDITION)
            page.get_by_role("button", name="Count them").click()
            page.get_by_role("heading", name="1 person").wait_for()
            assert page.get_by_text("Ada Lovelace").is_visible()
            assert axe(page) == []
            page.get_by_role("button", name="Save Buyers").click()
            page.get_by_text("Computing", exact=True).wait_for()
            assert axe(page) == []
            shop.settle()
            page.reload()
            page.get_by_role("heading", name="1 in it").wait_for()
            page.get_by_role("link", name="Ada Lovelace").wait_for()
            page.get_by_label("User id").fill("42")
            page.get_by_role("button", name="Explain").click()
            page.get_by_text("performed Order Completed in the last 30 days").last.wait_for()
            assert page.get_by_role("link", name="m2").is_visible()
            assert axe(page) == []
            page.get_by_role("button", name="Pause").click()
            page.get_by_text("Paused", exact=True).wait_for()
            page.get_by_role("link", name="Audiences").first.click()
            page.get_by_role("link", name="Buyers").wait_for()
            assert axe(page) == []
    assert site.get("/audiences/buyers")["status"] == "paused"


def test_what_cannot_be_is_said(site: Site) -> None:
    site.sign_in()
    for condition, said in (("{", "This is no JSON"), ('{"event": 5}', "condition.event: Must be a text")):
        answer = site.page(f"/audiences?count=1&name=A&condition={quote(condition)}")
        assert (answer.status, said in answer.body.decode()) == (400, True)
    csrf = csrf_of(site.page("/audiences"))
    form = {"csrf": csrf, "name": "Buyers", "condition": CONDITION}
    assert site.submit("/audiences", {**form, "csrf": "wrong"}).status == 403
    assert site.submit("/audiences", {**form, "name": " "}).status == 400
    assert site.submit("/audiences", form).status == 303
    (made,) = site.get("/audiences")["data"]
    path = f"/audiences/{made['id']}"
    assert site.page(f"{path}?uid=nobody").status == 404
    assert site.submit(f"{path}/condition", {"csrf": csrf, "condition": '{"audience": "buyers"}'}).status == 400
    assert site.submit(f"{path}/condition", {"csrf": csrf, "condition": '{"event": "Seen"}'}).status == 303
    assert site.get(f"/audiences/{made['id']}")["condition"]["event"] == "Seen"
    assert site.submit(path, {"csrf": csrf, "action": "delete"}).headers["location"] == "/audiences"
    assert site.page(path).status == 404
