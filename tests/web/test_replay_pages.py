"""The page of the replays: count first, then begin, cancel and go on; and it can be used by everybody."""

import pytest

from richpanel.store.deliveries import ACCEPTED, DEAD
from richpanel.web.access import csrf_token
from tests.web.browser import reading
from tests.web.outgoing import answered, hosted, take_over
from tests.web.running import Site, csrf_of
from tests.web.test_pages import axe
from tests.web.test_replays import fail_some, ours


def test_a_gap_is_counted_replayed_and_stopped(site: Site) -> None:
    fail_some(site)
    with reading(site) as reader:
        page = reader.sign_in()
        reader.go(f"/destinations/{ours(site)}")
        page.get_by_role("link", name="Replay…").click()
        page.get_by_role("heading", name="2 messages", exact=True).wait_for()
        assert page.get_by_text("Track, failed").is_visible()
        assert axe(page) == []
        page.get_by_role("button", name="Replay them").click()
        page.get_by_text("0 of 2").wait_for()
        assert page.get_by_text("Running").is_visible()
        assert axe(page) == []
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("Cancelled").wait_for()
    (job,) = site.get("/replays")["data"]
    assert (job["status"], job["matched"], job["replayed"]) == ("cancelled", 2, 0)
    site.sign_in()
    form = {"csrf": csrf_of(site.page("/replays")), "action": "resume"}
    assert site.submit(f"/replays/{job['id']}", form).status == 303
    assert site.get(f"/replays/{job['id']}")["status"] == "running"


def test_what_cannot_be_is_said(site: Site) -> None:
    site.sign_in()
    assert "Nothing was replayed yet" in site.page("/replays").body.decode()
    answer = site.page(f"/replays?count=1&destination={ours(site)}&uid=null")
    assert (answer.status, "stands for nobody" in answer.body.decode()) == (400, True)
    answer = site.page(f"/replays?count=1&destination={ours(site)}&from=2025-11-24T10:00&source=&to=")
    assert (answer.status, "nothing to replay" in answer.body.decode()) == (200, True)
    csrf = csrf_of(site.page("/"))
    assert site.submit("/replays", {"csrf": "wrong", "destination": ours(site)}).status == 403
    assert site.submit("/replays", {"csrf": csrf, "destination": "dst_none"}).status == 400
    assert site.submit("/replays/rpl_none", {"csrf": csrf, "action": "cancel"}).status == 404


def test_a_dead_letter_has_a_button(site: Site) -> None:
    _, number = hosted(site)
    site.send([{"type": "track", "event": "Seen", "userId": uid, "messageId": uid} for uid in ("ann", "bob")])
    site.process()
    take_over(site, number)
    answered(site, number, ACCEPTED, DEAD)
    site.sign_in()
    dead = next(each["id"] for each in site.get("/deliveries")["data"] if each["status"] == "dead")
    button = f'action="/deliveries/{dead}/replay"'
    page = site.page(f"/deliveries/{dead}")
    assert button in page.body.decode()
    assert "/replay" not in site.page(f"/deliveries/{3 - dead}").body.decode()
    answer = site.submit(f"/deliveries/{dead}/replay", {"csrf": csrf_of(page)})
    (job,) = site.get("/replays")["data"]
    assert (answer.status, answer.headers["location"]) == (303, f"/replays#{job['id']}")
    assert (job["delivery"], job["status"]) == (dead, "running")


@pytest.mark.parametrize("path", ["/replays", "/replays/rpl_x", "/deliveries/1/replay"])
def test_nobody_replays_who_is_not_signed_in(site: Site, path: str) -> None:
    """A cookie that somebody made up has a token that fits, and is nobody's session."""
    site.cookies["richpanel_session"] = "made-up"
    form = {"csrf": csrf_token("made-up"), "destination": ours(site), "action": "cancel"}
    answer = site.submit(path, form)
    assert (answer.status, answer.headers.get("location")) == (303, "/")
    assert site.get("/replays")["data"] == []
