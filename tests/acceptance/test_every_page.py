"""Every page of the app in Chromium: fit, readable by everybody, light, and with nothing hostile alive in it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from richpanel.core.roles import ROLES, Role
from richpanel.log.segments import SegmentReader
from richpanel.store.directory import DataDirectory
from richpanel.store.secrets import open_secrets
from richpanel.web.app import WebOptions, site
from richpanel.web.permissions import home, sees
from tests.acceptance.hostile import RUNS, furnish
from tests.acceptance.test_serve import wait_until
from tests.server import Server, segment
from tests.sink import Sink
from tests.web.walking import Walker, another, page_routes, walking

pytestmark = [pytest.mark.browser, pytest.mark.files]
BY_HAND = ("/sign-in", "/getting-started", "/exports/customers.csv", f"/messages/find?id={segment(RUNS)}", "/replays")
"""What no link leads to, or only one that is a download."""


def routes_of(data: Path) -> dict[str, re.Pattern[str]]:
    """Read the app's own route table, over a server's data directory."""
    directory = DataDirectory(data)
    reader = SegmentReader(directory.log)
    options = WebOptions(
        state_url=directory.state_url,
        account_url=directory.account_url,
        delivery_url=directory.delivery_url,
        log_writer=None,
        log_reader=reader,
        secrets=open_secrets(data),
        now=lambda: 0,
        version="0",
    )
    app = site(options)
    app.state.stores.close()
    reader.close()
    return page_routes(app)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"RICHPANEL_ALLOW_PRIVATE_ENDPOINTS": "true"}
    with Server(tmp_path_factory.mktemp("every_page") / "data", env=settings) as running:
        yield running


@pytest.fixture(scope="module")
def walker(server: Server) -> Iterator[Walker]:
    """Somebody who goes from page to page; what they found is told by each test."""
    with walking(server.url, routes_of(server.data)) as each:
        yield each


def nothing_wrong(walker: Walker) -> None:
    """Fail with all that was found since the last time, a line for each."""
    found = list(dict.fromkeys(walker.faults))
    walker.faults.clear()
    if found:
        pytest.fail(f"{len(found)} faults\n" + "\n".join(found), pytrace=False)


def sign_in(walker: Walker, login: str, password: str) -> None:
    walker.page.goto(walker.base)
    walker.page.get_by_label("User name").fill(login)
    walker.page.get_by_label("Password").fill(password)
    walker.page.get_by_role("button", name="Sign in").click()
    walker.page.locator("form[action='/sign-out']").first.wait_for(state="attached")


def test_the_door_and_an_empty_account(server: Server, walker: Walker) -> None:
    walker.look("/")
    walker.look("/nowhere", status=404)
    wait_until(lambda: "password: " in server.printed(), 5, "the login is printed")
    login, password = (re.findall(rf"^{what}: (.+)$", server.printed(), re.M)[0] for what in ("login", "password"))
    sign_in(walker, login, password)
    expect(walker.page.get_by_role("heading", name="Overview")).to_be_visible()
    for path in (
        "/",
        "/customers",
        "/visitors",
        "/messages",
        "/audiences",
        "/traits",
        "/deliveries",
        "/getting-started",
    ):
        walker.look(path)
    for path in ("/nowhere", "/customers/nobody", "/visitors/nobody", "/messages/nothing", "/sources/none"):
        walker.look(path, status=404)
    walker.look("/messages?type=delete", status=400)
    nothing_wrong(walker)


def test_every_page_is_fit_and_keeps_what_is_hostile_as_text(server: Server, walker: Walker) -> None:
    sink = Sink(1, moods={"fine": 0.6, "unavailable": 0.4}, body=RUNS.encode())
    furnish(server, sink)
    hostile = [f"/customers?q={segment(RUNS)}", f"/messages?uid={segment(RUNS)}", f"/catalog?q={segment(RUNS)}"]
    walker.walk(["/", *hostile, *BY_HAND])
    walker.page.goto(f"{server.url}/settings/account")
    walker.page.get_by_role("button", name="Set it up").click()
    walker.look("/settings/account")  # With the picture for the second step.
    sink.stop()
    nothing_wrong(walker)
    assert walker.unseen() == [], "a page that nothing leads to: link it, or name it in BY_HAND"


@pytest.mark.parametrize("role", [role for role in ROLES if role != "owner"])
def test_nobody_is_led_to_what_they_may_not_see(server: Server, walker: Walker, role: Role) -> None:
    made = json.loads(server.command("user", "add", f"one-{role}", "--role", role, "--json"))
    with another(walker) as other:
        sign_in(other, made["login"], made["password"])
        other.stroll([home(role)], walker.content)
        nothing_wrong(other)
        sections = {"/customers", "/messages", "/audiences", "/deliveries", "/settings/people"}
        assert sections & set(other.looked_at) == {path for path in sections if sees(role, path)}
