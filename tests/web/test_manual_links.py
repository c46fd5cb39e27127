"""REST: what a person links, cuts and takes back enters through the log, and moves the visitor's timeline."""

from pathlib import Path

import pytest

from tests.web.running import Site, running, segment
from tests.web.story import DEVICE, LURKER, UID, tell

LINKS = f"/customers/{segment(UID)}/links"
UNLINKS = f"/customers/{segment(UID)}/unlinks"


@pytest.fixture
def told(site: Site) -> Site:
    tell(site)
    return site


def seen(site: Site) -> list[str]:
    """The ids on the customer's timeline."""
    site.process()
    return [item["id"] for item in site.get(f"/customers/{segment(UID)}/timeline")["data"]]


def do(site: Site, path: str, **body: object) -> str:
    answer = site.api("POST", path, body or None)
    assert answer.status == 202, answer.body
    return str(answer.json()["messageId"])


def test_a_linked_visitors_past_is_the_customers_until_it_is_taken_back(told: Site) -> None:
    made = do(told, LINKS, anonymousId=LURKER)
    assert "m-lurker" in seen(told)
    moved = told.api("GET", f"/visitors/{segment(LURKER)}")
    assert (moved.status, moved.headers["location"]) == (308, f"/api/v1/customers/{segment(UID)}")
    (trace,) = told.get(f"/messages/{made}")["data"]
    assert (trace["type"], trace["outcome"], trace["profile"]) == ("link", "kept", {"uid": UID})
    undone = do(told, f"/messages/{made}/undo")
    assert "m-lurker" not in seen(told)
    assert told.get(f"/visitors/{segment(LURKER)}")["anonymousId"] == LURKER
    (trace,) = told.get(f"/messages/{undone}")["data"]
    assert (trace["type"], trace["body"]["undoes"], trace["profile"]) == ("undo", made, {})
    assert [row["messageId"] for row in told.get("/messages", type="link")["data"]] == [made]


def test_a_cut_gives_the_visitor_back_what_carries_no_uid(told: Site) -> None:
    assert {"m-page", "m-pricing"} <= set(seen(told))
    cut = do(told, UNLINKS, anonymousId=DEVICE)
    assert {"m-page", "m-pricing"} & set(seen(told)) == {"m-pricing"}
    assert [item["id"] for item in told.get(f"/visitors/{DEVICE}/timeline")["data"]][-1] == "m-page"
    do(told, f"/messages/{cut}/undo")
    assert {"m-page", "m-pricing"} <= set(seen(told))


def test_a_link_can_be_undone_before_it_is_processed(told: Site) -> None:
    made = do(told, LINKS, anonymousId=LURKER, id="mine")
    assert made == "mine"
    do(told, "/messages/mine/undo")
    assert "m-lurker" not in seen(told)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/customers/nobody/links", {"anonymousId": "a"}, 404),
        (LINKS, {"anonymousId": "null"}, 400),
        (LINKS, {}, 400),
        (UNLINKS, {"anonymousId": "a", "unknown": 1}, 400),
        ("/messages/m-page/undo", None, 404),
        ("/messages/nothing/undo", None, 404),
    ],
)
def test_what_cannot_be_is_refused(told: Site, path: str, body: object, status: int) -> None:
    before = told.writer.durable
    assert told.api("POST", path, body).status == status
    assert told.writer.durable == before


def test_a_customer_by_an_address_alone_has_no_uid_to_link_to(site: Site) -> None:
    site.api("POST", "/channels/email/messages", {"from": {"email": "new@x.example"}, "body": "Hello"})
    site.process()
    assert site.api("POST", "/customers/new%40x.example/links", {"anonymousId": "a"}).status == 404


def test_a_disabled_source_takes_none(told: Site) -> None:
    told.api("PATCH", f"/sources/{told.source('Channels').id}", {"enabled": False})
    assert told.api("POST", LINKS, {"anonymousId": "a"}).status == 403


def test_a_process_without_the_log_says_so(data: Path) -> None:
    with running(data, log_writer=None) as reader:
        assert reader.api("POST", LINKS, {"anonymousId": "a"}).status == 503
        assert reader.api("POST", "/messages/m/undo").status == 503


@pytest.mark.parametrize(("kind", "shows"), [("link", UID), ("undo", "undoes")])
def test_its_page_says_what_it_was(told: Site, kind: str, shows: str) -> None:
    made = do(told, LINKS, anonymousId=LURKER)
    wanted = made if kind == "link" else do(told, f"/messages/{made}/undo")
    told.process()
    told.sign_in()
    page = told.page(f"/messages/{wanted}")
    text = page.body.decode()
    assert page.status == 200
    assert shows in text
    assert "No destination" not in text
    assert ("Matched a person" in text) == (kind == "link")
