"""Getting started: each step knows whether it is done, leads to where it is done, and can be put away."""

import re

from tests.web.running import Site, csrf_of
from tests.web.story import tell

DONE = re.compile(r"<strong>([^<]+)</strong><span class=\"hidden-text\"> \((done|to do)\)")
ALWAYS = ["Make a source", "Install the Richpanel connector", "Connect the destination"]


def done(site: Site, path: str = "/getting-started") -> list[str]:
    """The steps that a page says are done."""
    answer = site.page(path)
    assert answer.status == 200
    found = DONE.findall(answer.body.decode())
    assert len(found) == 7
    return [title for title, state in found if state == "done"]


def test_each_step_knows_whether_it_is_done(site: Site) -> None:
    site.sign_in()
    assert done(site) == done(site, "/") == ALWAYS
    for link in re.findall(
        r'class="button button-small[^"]*" href="([^"]+)"', site.page("/getting-started").body.decode()
    ):
        assert site.page(link).status == 200, link
    site.send([{"type": "screen", "messageId": "s", "anonymousId": "a"}])
    site.process()
    assert done(site) == ["Make a source", "Send the first call", *ALWAYS[1:]]
    tell(site)
    site.clock.ms += 120_000  # People are counted now and then.
    assert "See the first delivery" in done(site)
    assert "Build the first audience" not in done(site)
    condition = {"event": "Order Completed", "performed": True}
    assert site.api("POST", "/audiences", {"name": "Buyers", "condition": condition}).status == 201
    assert "Build the first audience" in done(site)


def test_it_can_be_put_away(site: Site) -> None:
    site.sign_in()
    assert b"Getting started" in site.page("/").body
    form = {"csrf": csrf_of(site.page("/getting-started"))}
    assert site.submit("/getting-started", form | {"action": "hide"}).headers["location"] == "/"
    assert b"Getting started" not in site.page("/").body
    assert b"Show on the overview" in site.page("/getting-started").body
    site.submit("/getting-started", form | {"action": "show"})
    assert b"Getting started" in site.page("/").body
    assert site.submit("/getting-started", {"csrf": "x", "action": "hide"}).status == 403
