"""The page of the replays: count first, then begin, cancel and go on; and it can be used by everybody."""

from tests.web.browser import reading
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
