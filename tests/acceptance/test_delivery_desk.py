"""An outage as somebody at the pages sees it: where it shows, what was sent and answered, and a call that is dropped.

The destination is a stranger with something hostile to say; server, delivery and browser are real.
"""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.test_delivery import connected, send, story
from tests.acceptance.test_getting_started import chromium, look, section, sign_in
from tests.server import Server
from tests.sink import FINE, Sink
from tests.web.story import HOSTILE

pytestmark = pytest.mark.browser
SHOTS = os.environ.get("DESK_SHOTS")
"""A folder for pictures of each page, for whoever wants to look."""


def shoot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


@pytest.mark.parametrize(("width", "height"), [(390, 844)], ids=["phone"])
def test_an_outage_is_seen_understood_and_dealt_with(tmp_path: Path, width: int, height: int) -> None:
    sink = Sink(1, moods={"too many": 1.0}, body=HOSTILE.encode())
    settings = {"RICHPANEL_ALLOW_PRIVATE_ENDPOINTS": "true"}
    with Server(tmp_path / "data", env=settings) as server, chromium() as browser:
        page = browser.new_page(viewport={"width": width, "height": height})
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        sign_in(page, server)
        send(server, connected(server, sink.start()), story(people=1, calls=3))
        server.wait_processed()
        banner = page.get_by_role("status").filter(has_text="3 calls wait for Stranger since")
        expect(banner).to_be_visible(timeout=30_000)
        expect(banner).to_contain_text("The destination answered 429: more is sent than it takes.")
        look(page, "Overview")
        shoot(page, f"{width}-front")
        banner.get_by_role("link", name="See what waits").click()
        look(page, "All deliveries")
        shoot(page, f"{width}-list")
        page.get_by_role("link", name="Identify").click()
        expect(page.get_by_role("button", name="Drop")).to_be_visible()
        expect(page.get_by_label("Response of try").first).to_have_text(HOSTILE)
        assert "key-of-theirs" not in page.content()
        assert page.locator("img").count() == 0
        shoot(page, f"{width}-delivery")
        page.get_by_role("button", name="Drop").click()
        expect(page.get_by_text("Somebody dropped it: it is not sent any more.")).to_be_visible(timeout=15_000)
        page.get_by_role("link", name="m-0-0").click()
        expect(page.get_by_role("heading", name="Stranger: failed")).to_be_visible()
        sink.moods = FINE
        section(page, "Deliveries")
        figure = page.locator(".funnel", has_text="Stranger").locator(".figure", has_text="Delivered")
        for _ in range(60):
            if figure.locator("dd").inner_text().split()[0] == "2":
                break
            page.wait_for_timeout(500)
            page.reload()
        expect(figure.locator("dd")).to_contain_text("2")
        expect(page.locator(".funnel tr", has_text="Somebody dropped it").locator(".number")).to_have_text("1")
        look(page, "Deliveries")
        shoot(page, f"{width}-figures")
        assert faults == []
    sink.stop()
