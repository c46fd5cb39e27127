"""Who gets where: every route has a rule, every role is held to it, and the pages show no more than it."""

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from richpanel.core.roles import ROLES, May, Role, allows
from richpanel.log.segments import SegmentReader
from richpanel.store.database import open_engine
from richpanel.store.definitions import metadata
from richpanel.store.directory import DataDirectory
from richpanel.store.secrets import open_secrets
from richpanel.store.users import add_user, set_role
from richpanel.web.app import WebOptions
from richpanel.web.app import site as put_together
from richpanel.web.permissions import API, RULES, find_rule, home, needed
from tests.web.running import LOGIN, NOW, PASSWORD, Site, csrf_of, running, segment
from tests.web.story import UID, tell

_PAGES: dict[Role, tuple[list[str], list[str]]] = {
    "agent": (
        ["/customers", "/visitors", f"/customers/{segment(UID)}", "/audiences", "/traits", "/messages/m-order"],
        ["/messages", "/sources", "/privacy", "/audiences/new", "/deliveries", "/integrations", "/replays"],
    ),
    "marketer": (["/", "/customers", "/audiences/new", "/traits/new"], ["/sources", "/messages", "/privacy"]),
    "engineer": (["/", "/sources", "/messages", "/replays", "/privacy", "/audiences"], ["/audiences/new"]),
    "owner": (["/", "/sources", "/privacy", "/audiences/new"], []),
}


def add(directory: DataDirectory, role: Role) -> None:
    engine = open_engine(directory.account_url)
    with engine.begin() as connection:
        add_user(connection, role, PASSWORD, role=role, now=NOW)
    engine.dispose()


@pytest.fixture(scope="module")
def staffed(furnished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A shop's site where somebody of each role may sign in, by the role's name."""
    with running(Path(shutil.copytree(furnished, tmp_path_factory.mktemp("staffed") / "data"))) as each:
        for role in ROLES:
            add(each.directory, role)
        tell(each)
        yield each


@pytest.fixture(scope="module")
def app(furnished: Path) -> Iterator[Litestar]:
    """The application's routes."""
    directory = DataDirectory(furnished)
    reader = SegmentReader(directory.log)
    made = put_together(
        WebOptions(
            state_url=directory.state_url,
            account_url=directory.account_url,
            delivery_url=directory.delivery_url,
            log_writer=None,
            log_reader=reader,
            secrets=open_secrets(furnished),
            now=lambda: NOW,
            version="0.0.0",
        )
    )
    yield made
    made.state.stores.close()
    reader.close()


def routes(app: Litestar) -> list[tuple[str, str]]:
    """Give (method, path) of every route."""
    each = [route for route in app.routes if isinstance(route, HTTPRoute)]
    return sorted((method, route.path_format) for route in each for method in route.methods - {"OPTIONS", "HEAD"})


def sign_in(site: Site, role: str) -> None:
    site.cookies.clear()
    assert site.sign_in(login=role).status == 303


def test_every_route_has_a_rule_and_every_rule_a_route(app: Litestar) -> None:
    found = routes(app)
    assert len(found) > 100
    assert [route for route in found if find_rule(route[1]) is None] == []
    plain = ["/" + re.sub(r"{\w+}", "*", path.removeprefix(API)).strip("/") for _, path in found]
    unused = [rule for rule in RULES if not any(path == rule or path.startswith(rule + "/") for path in plain)]
    assert set(unused) <= {"/views", "/exports"}


def test_what_nobody_named_is_the_owners() -> None:
    assert needed("GET", "/nobody-named-this") == May.SETTINGS
    assert needed("POST", "/sources/{source_id}") == May.CONNECTIONS_CHANGE
    assert needed("GET", "/api/v1/sources/{source_id}") == May.CONNECTIONS
    assert needed("GET", "/messages/{message_id}") == May.MESSAGE
    assert needed("GET", "/messages") == May.MESSAGES


@pytest.mark.parametrize("role", ROLES)
def test_a_role_opens_its_pages_and_no_others(staffed: Site, role: Role) -> None:
    sign_in(staffed, role)
    allowed, refused = _PAGES[role]
    for path in allowed:
        assert staffed.page(path).status == 200, path
    for path in refused:
        answer = staffed.page(path)
        assert answer.status == 403, path
        assert f'ask <strong class="break">{LOGIN}</strong>' in answer.body.decode()
        assert f"The role {role} may not" in answer.body.decode()
    body = staffed.page(home(role)).body.decode()
    linked = re.findall(r'<a href="(/[a-z]*)"', body.partition("<nav")[2].partition("</nav>")[0])
    assert home(role) in linked
    for path in linked:
        assert staffed.page(path).status == (303 if path == "/settings" else 200), (
            "what the navigation shows may be seen"
        )


def test_every_form_of_every_page_asks_for_the_token_and_the_role(staffed: Site, app: Litestar) -> None:
    posts = [path for method, path in routes(app) if method == "POST" and not path.startswith(API)]
    assert len(posts) > 15
    for role in ROLES:
        sign_in(staffed, role)
        csrf = csrf_of(staffed.page(home(role)))
        for path in posts:
            where = re.sub(r"{\w+}", "nothing", path)
            assert staffed.submit(where, {"csrf": "x"}).status == 403, f"{path} takes a form of another site"
            needs = needed("POST", path)
            if isinstance(needs, May) and not allows(role, needs):
                assert staffed.submit(where, {"csrf": csrf}).status == 403, f"{role} may not {path}"


def test_a_form_without_its_own_token_changes_nothing(staffed: Site, app: Litestar) -> None:
    """The guard's is the only check: whatever the form, it stands before the handler and before what is read of it."""
    forms = [(method, path) for method, path in routes(app) if method != "GET" and not path.startswith(API)]
    assert {method for method, _ in forms} == {"POST"}
    assert {"/sign-in", "/sign-in/code", "/sign-out", "/settings/people"} <= {path for _, path in forms}
    sign_in(staffed, "engineer")
    foreign = csrf_of(staffed.page("/sources"))
    sign_in(staffed, "owner")
    own, cookies = csrf_of(staffed.page("/sources")), dict(staffed.cookies)
    source, before = staffed.source().id, everything(staffed)
    given = {"name": "By form", "type": "web", "action": "delete", "username": "owner", "password": PASSWORD}
    for _, path in forms:
        where = re.sub(r"{\w+}", source, path)
        for token in ({}, {"csrf": ""}, {"csrf": own[:-1]}, {"csrf": foreign}, {"csrf": "é"}):
            assert staffed.submit(where, {**given, **token}).status == 403, f"{path} takes {token}"
        in_json = {"Content-Type": "application/json"}
        assert staffed.submit(where, {**given, "csrf": own}, **in_json).status == 403, path
        assert staffed.submit(where, {**given, "csrf": own}, **{"Sec-Fetch-Site": "cross-site"}).status == 403, path
    assert staffed.cookies == cookies
    assert everything(staffed) == before


def everything(site: Site) -> dict[str, object]:
    """Read all that people set up, but the audit log, which may still be told of the sign-in."""
    engine = open_engine(site.directory.account_url, read_only=True)
    with engine.connect() as connection:
        tables = [table for table in metadata.sorted_tables if table.name != "audit"]
        found: dict[str, object] = {table.name: connection.execute(table.select()).all() for table in tables}
    engine.dispose()
    return {**found, "log": site.writer.durable}


def test_a_guest_changes_nothing(staffed: Site, app: Litestar) -> None:
    staffed.cookies.clear()
    for method, path in routes(app):
        where = re.sub(r"{\w+}", "nothing", path)
        if path.startswith(API):
            open_to_all = path.endswith("/openapi.json")
            assert staffed.api(method, where.removeprefix(API), token=None).status == (200 if open_to_all else 401), (
                path
            )
        elif needed(method, path) != "everybody" and path != "/":
            answer = staffed.page(where) if method == "GET" else staffed.submit(where, {"csrf": "x"})
            assert (answer.status, answer.headers["location"].partition("?")[0]) == (303, "/"), path


def test_a_page_hides_what_its_reader_may_not_do(staffed: Site) -> None:
    sign_in(staffed, "agent")
    body = staffed.page(f"/customers/{segment(UID)}").body.decode()
    assert "Delete this customer" not in body
    assert "New audience" not in staffed.page("/audiences").body.decode()
    sign_in(staffed, "owner")
    assert "Delete this customer" in staffed.page(f"/customers/{segment(UID)}").body.decode()
    assert "New audience" in staffed.page("/audiences").body.decode()


@pytest.mark.parametrize("role", ROLES)
def test_no_link_leads_to_what_its_reader_may_not_see(staffed: Site, role: Role) -> None:
    """From link to link, some of each kind of page."""
    sign_in(staffed, role)
    ahead, seen, alike, refused = [("", home(role))], set(), Counter[str](), set()
    while ahead:
        where, path = ahead.pop()
        parts = urlsplit(path)
        kind = re.sub(r"(?<=/)[^/]*[%_0-9-][^/]*", "*", parts.path) + re.sub(r"=[^&]*", "", parts.query)
        if path in seen or alike[kind] == 3 or "/static/" in path or "/exports/" in path:
            continue
        seen.add(path)
        alike[kind] += 1
        answer = staffed.page(path)
        if answer.status == 403:
            refused.add(f"{where} leads to {path}")
        for found in re.findall(r'<a [^>]*?href="([/?][^"#]*)', answer.body.decode()):
            linked = unescape(found)
            ahead.append((path, parts.path + linked if linked.startswith("?") else linked))
    assert refused == set()
    assert len(seen) > 10


def test_an_agent_starts_at_the_customers(staffed: Site) -> None:
    sign_in(staffed, "agent")
    answer = staffed.page("/")
    assert (answer.status, answer.headers["location"]) == (303, "/customers")


def test_another_role_holds_at_once(site: Site) -> None:
    add(site.directory, "engineer")
    sign_in(site, "engineer")
    assert site.page("/sources").status == 200
    engine = open_engine(site.directory.account_url)
    with engine.begin() as connection:
        assert set_role(connection, "engineer", "agent")
    engine.dispose()
    assert site.page("/sources").status == 403
