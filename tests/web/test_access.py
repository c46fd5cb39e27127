"""Who gets in: bearer tokens, the sign-in, its limit, forms, and the headers of every answer."""

import shutil
from pathlib import Path

import pytest

from richpanel.store.preparing import prepare_login
from richpanel.web.signin import safe_path
from tests.server import request
from tests.store.places import ENGINES, make, place
from tests.web.running import LOGIN, PASSWORD, Site, csrf_of, running

PATHS = [
    "/customers",
    "/customers/x",
    "/visitors",
    "/messages/x",
    "/status",
    "/sources",
    "/tokens",
    "/catalog",
    "/regulations",
    "/suppressions",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", [None, "", "rp_wrong", "rp_tests2", "é"])
def test_the_api_wants_a_token(shop: Site, path: str, token: str | None) -> None:
    answer = shop.api("GET", path, token=token and token.encode().decode("latin-1"))
    assert answer.status == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert answer.json()["status"] == 401


def test_basic_credentials_and_cookies_open_no_api(site: Site) -> None:
    site.sign_in()
    assert site.page("/").status == 200
    assert site.page("/api/v1/customers").status == 401
    assert site.page("/api/v1/customers", Authorization="Basic cnBfdGVzdHM6").status == 401
    assert site.page("/api/v1/customers", Authorization="bearer rp_tests").status == 200


@pytest.mark.parametrize(
    "path", ["/customers", "/customers/x?cursor=1", "/visitors", "/messages", "/sources", "/privacy"]
)
def test_pages_want_a_sign_in_and_come_back(site: Site, path: str) -> None:
    answer = site.page(path)
    assert answer.status == 303
    door = site.page(answer.headers["location"])
    assert (door.status, "Sign in" in door.body.decode()) == (200, True)
    assert site.sign_in(next_path=path).headers["location"] == path


def test_signing_in_and_out(site: Site) -> None:
    answer = site.sign_in()
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("richpanel_session=")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    assert "strict-transport-security" not in answer.headers
    kept = dict(site.cookies)
    home = site.page("/")
    assert b"Overview" in home.body
    assert site.submit("/sign-out", {"csrf": csrf_of(home)}).status == 303
    site.cookies = kept
    assert site.page("/customers").status == 303, "the session has ended on the server too"


def test_a_session_ends_by_itself(data: Path) -> None:
    with running(data, session_seconds=60) as site:
        site.sign_in()
        site.clock.ms += 59_000
        assert site.page("/customers").status == 200
        site.clock.ms += 1_000
        assert site.page("/customers").status == 303


def test_cookies_are_for_https_alone_where_that_is_served(data: Path) -> None:
    with running(data, secure_cookies=True) as site:
        answer = site.sign_in()
        assert answer.headers["set-cookie"].startswith("__Host-richpanel_session=")
        assert "; Secure" in answer.headers["set-cookie"]
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert site.page("/customers").status == 200


@pytest.mark.parametrize(("login", "password"), [(LOGIN, "wrong"), ("nobody", PASSWORD), ("", ""), ("é\x00", "x" * 9)])
def test_a_wrong_sign_in_tells_nothing(site: Site, login: str, password: str) -> None:
    answer = site.sign_in(password, login)
    assert answer.status == 401
    assert "do not go together" in answer.body.decode()
    assert "session" not in site.cookies


def test_tries_are_limited_and_the_wait_passes(site: Site) -> None:
    for _ in range(5):
        assert site.sign_in("wrong").status == 401
    assert site.sign_in().status == 429
    site.clock.ms += 1_000
    assert site.sign_in("wrong").status == 401
    assert site.sign_in().status == 429, "longer and longer"
    site.clock.ms += 2_000
    assert site.sign_in().status == 303


@pytest.mark.parametrize("engine", ENGINES)
def test_tries_are_limited_on_all_nodes_together(
    engine: str, request: pytest.FixtureRequest, furnished: Path, tmp_path: Path
) -> None:
    """Two sites with one account between them."""
    shared = place(engine, request, tmp_path)
    box = make(shared)
    prepare_login(shared, PASSWORD)
    one, two = (Path(shutil.copytree(furnished, tmp_path / name)) for name in ("one", "two"))
    with (
        running(one, account_url=shared.account_url, secrets=box) as first,
        running(two, account_url=shared.account_url, secrets=box) as second,
    ):
        for number in range(5):
            assert (first, second)[number % 2].sign_in("wrong").status == 401
        assert [each.sign_in().status for each in (first, second)] == [429, 429]
        first.clock.ms += 1_000
        second.clock.ms += 1_000
        assert second.sign_in("wrong").status == 401
        assert first.sign_in().status == 429, "longer and longer"
        first.clock.ms += 2_000
        second.clock.ms += 2_000
        assert first.sign_in().status == 303
        assert [second.sign_in("wrong").status for _ in range(5)] == [401] * 5, "who was right begins afresh"


def test_forms_come_from_our_pages_alone(site: Site) -> None:
    form = {"csrf": csrf_of(site.page("/")), "username": LOGIN, "password": PASSWORD}
    assert site.submit("/sign-in", form | {"csrf": "x"}).status == 403
    assert site.submit("/sign-in", form | {"csrf": ""}).status == 403
    assert site.submit("/sign-in", form, Origin="https://evil.example").status == 403
    assert site.submit("/sign-in", form, **{"Sec-Fetch-Site": "cross-site"}).status == 403
    kept, site.cookies = site.cookies, {}
    assert site.submit("/sign-in", form).status == 403, "the cookie must come with it"
    site.cookies = kept
    assert site.submit("/sign-in", form, Origin=site.url).status == 303
    csrf = csrf_of(site.page("/sources"))
    added = {"name": "By form", "type": "web"}
    assert site.submit("/sources", added).status == 403
    assert site.submit("/sources", added | {"csrf": csrf}, **{"Sec-Fetch-Site": "same-site"}).status == 403
    assert site.submit("/sources", added | {"csrf": csrf}, **{"Sec-Fetch-Site": "same-origin"}).status == 303
    assert site.source("By form").enabled


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example", "/\\evil", "\\\\evil", "javascript:alert(1)", "", "/a\nb", "x"]
)
def test_a_sign_in_leads_to_us_alone(path: str) -> None:
    assert safe_path(path) == "/"
    assert safe_path("/customers?q=a%2Fb") == "/customers?q=a%2Fb"


def test_every_answer_has_the_headers(shop: Site) -> None:
    for path in ("/", "/api/v1/status", "/api/v1/openapi.json", "/nowhere", "/favicon.ico", "/customers"):
        answer = request("GET", shop.url + path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] in ("no-store", "no-cache")
