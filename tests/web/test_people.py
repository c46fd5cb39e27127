"""Owners let people in and out; each one's own account: password, sessions, and the second step of the sign-in."""

import re

import pyotp

from tests.server import Answer
from tests.web.running import LOGIN, PASSWORD, Site, csrf_of

PEOPLE, ACCOUNT = "/settings/people", "/settings/account"
NEW = "a password of my own"


def post(site: Site, path: str, **form: str) -> Answer:
    return site.submit(path, {"csrf": csrf_of(site.page(ACCOUNT)), **form})


def shown(answer: Answer, element: str) -> str:
    found = re.search(rf'id="{element}"[^>]*>([^<]*)<', answer.body.decode())
    assert found, f"there is no {element}"
    return found.group(1)


def number_of(site: Site, login: str) -> str:
    page = site.page(PEOPLE).body.decode()
    found: list[str] = re.findall(r'id="person-(\d+)"', page.partition(f'<strong class="clip">{login}')[0])
    return found[-1]


def add(site: Site, login: str, role: str) -> str:
    """Add somebody as the admin, who stays signed in; gives the one-time password."""
    answer = post(site, PEOPLE, login=login, role=role)
    assert answer.status == 200
    return shown(answer, "issued-password")


def test_somebody_is_added_chooses_a_password_and_stays_in_their_role(site: Site) -> None:
    site.sign_in()
    once = add(site, "ada@example.com", "agent")
    owner = dict(site.cookies)
    site.cookies.clear()
    assert site.sign_in(once, "ada@example.com").status == 303
    assert site.page("/customers").headers["location"] == ACCOUNT, "first a password of their own"
    assert "Choose one of your own" in site.page(ACCOUNT).body.decode()
    for old, new, again, why in (
        ("wrong", NEW, NEW, "That is not your password"),
        (once, NEW, NEW + "x", "not the same both times"),
        (once, "short", "short", "8 characters or more"),
        (once, once, once, "is the old one"),
    ):
        answer = post(site, f"{ACCOUNT}/password", old=old, new=new, again=again)
        assert (answer.status, why in answer.body.decode()) == (400, True)
    assert post(site, f"{ACCOUNT}/password", old=once, new=NEW, again=NEW).status == 303
    assert site.page("/customers").status == 200, "and is still signed in"
    assert site.page(PEOPLE).status == 403
    assert PEOPLE not in site.page(ACCOUNT).body.decode()
    agent, site.cookies = dict(site.cookies), owner
    assert post(site, f"{PEOPLE}/{number_of(site, 'ada@example.com')}", action="role", role="engineer").status == 303
    site.cookies = agent
    assert site.page("/sources").status == 200, "a role holds at once"


def test_somebody_is_disabled_and_let_in_again(site: Site) -> None:
    site.sign_in()
    once, owner = add(site, "eve", "marketer"), dict(site.cookies)
    number = number_of(site, "eve")
    site.cookies = {}
    assert site.sign_in(once, "eve").status == 303
    theirs, site.cookies = dict(site.cookies), owner
    assert post(site, f"{PEOPLE}/{number}", action="disable").status == 303
    assert ">Disabled<" in site.page(PEOPLE).body.decode()
    site.cookies = theirs
    assert site.page(ACCOUNT).status == 303, "the session has ended"
    assert site.sign_in(once, "eve").status == 401
    site.cookies = owner
    assert post(site, f"{PEOPLE}/{number}", action="enable").status == 303
    again = shown(post(site, f"{PEOPLE}/{number}", action="password"), "issued-password")
    site.cookies = {}
    assert site.sign_in(once, "eve").status == 401
    assert site.sign_in(again, "eve").status == 303


def test_an_account_keeps_an_owner_and_logins_are_one_persons(site: Site) -> None:
    site.sign_in()
    me = number_of(site, LOGIN)
    answer = post(site, f"{PEOPLE}/{me}", action="role", role="agent")
    assert (answer.status, "An account needs an owner" in answer.body.decode()) == (400, True)
    assert post(site, f"{PEOPLE}/{me}", action="disable").status == 400
    assert post(site, f"{PEOPLE}/999", action="disable").status == 404
    assert post(site, f"{PEOPLE}/x", action="disable").status == 404
    for login in (LOGIN, "", "a\nb", "x" * 101):
        assert post(site, PEOPLE, login=login, role="agent").status == 400
    assert post(site, PEOPLE, login="<b>", role="agent").status == 200
    assert "&lt;b&gt;" in site.page(PEOPLE).body.decode()


def test_sessions_are_listed_and_ended(site: Site) -> None:
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
    form = {"csrf": csrf_of(site.page("/")), "username": LOGIN, "password": PASSWORD}
    assert site.submit("/sign-in", form, **{"User-Agent": agent}).status == 303
    first, site.cookies = dict(site.cookies), {}
    site.sign_in()
    page = site.page(ACCOUNT).body.decode()
    assert "Chrome on Linux" in page
    assert "127.0.0.1" in page
    assert page.count("This one") == 1
    assert post(site, f"{ACCOUNT}/sessions", action="one", session=shown_session(page)).status == 303
    second, site.cookies = dict(site.cookies), first
    assert site.page(ACCOUNT).status == 303, "that one has ended"
    site.cookies = {}
    site.sign_in()
    site.cookies = second
    assert post(site, f"{ACCOUNT}/sessions", action="others").status == 303
    assert "Sign out everywhere else" not in site.page(ACCOUNT).body.decode()
    assert post(site, f"{ACCOUNT}/sessions", action="one", session="zz").status == 404


def shown_session(page: str) -> str:
    return page.partition('name="session" value="')[2].partition('"')[0]


def test_a_session_is_seen_again(site: Site) -> None:
    site.sign_in()
    before = site.page(PEOPLE).body.decode()
    site.clock.ms += 3_600_000
    site.page("/customers")
    after = site.page(PEOPLE).body.decode()
    assert re.findall(r'datetime="([^"]*)"', before) != re.findall(r'datetime="([^"]*)"', after)


def test_the_second_step_from_setting_up_to_recovery(site: Site) -> None:
    site.sign_in()
    assert site.page(f"{ACCOUNT}/second-step.svg").status == 404
    assert post(site, f"{ACCOUNT}/second-step", action="begin").status == 303
    picture = site.page(f"{ACCOUNT}/second-step.svg")
    assert (picture.status, picture.headers["content-type"]) == (200, "image/svg+xml")
    assert b"style" not in picture.body
    secret = shown(site.page(ACCOUNT), "secret")
    assert post(site, f"{ACCOUNT}/second-step", action="confirm", code="000000").status == 400
    answer = post(site, f"{ACCOUNT}/second-step", action="confirm", code=code_at(site, secret))
    codes = shown(answer, "codes").split()
    assert (answer.status, len(codes)) == (200, 10)
    site.cookies = {}
    asked = site.sign_in(next_path="/customers")
    assert (asked.status, "authenticator" in asked.body.decode()) == (200, True)
    assert site.page("/customers").status == 303, "not in yet"
    assert second(site, asked, code_at(site, secret)).status == 401, "that code was used"
    site.clock.ms += 60_000
    answer = second(site, asked := site.sign_in(next_path="/customers"), code_at(site, secret))
    assert (answer.status, answer.headers["location"]) == (303, "/customers")
    assert site.page("/customers").status == 200
    site.cookies = {}
    assert second(site, site.sign_in(), codes[3]).status == 303
    assert "9 of 10 recovery codes" in site.page(ACCOUNT).body.decode()
    assert post(site, f"{ACCOUNT}/second-step", action="stop", password="wrong").status == 400
    assert post(site, f"{ACCOUNT}/second-step", action="stop", password=PASSWORD).status == 303
    site.cookies = {}
    assert site.sign_in().status == 303


def test_tries_at_the_second_step_are_limited_and_its_ticket_ends(site: Site) -> None:
    site.sign_in()
    post(site, f"{ACCOUNT}/second-step", action="begin")
    secret = shown(site.page(ACCOUNT), "secret")
    post(site, f"{ACCOUNT}/second-step", action="confirm", code=code_at(site, secret))
    site.cookies = {}
    asked = site.sign_in()
    for _ in range(5):
        assert second(site, asked, "000000").status == 401
    assert second(site, asked, code_at(site, secret)).status == 429
    assert second(site, site.sign_in(), code_at(site, secret)).status == 429, "the password does not reset it"
    site.clock.ms += 301_000
    answer = second(site, asked, code_at(site, secret))
    assert (answer.status, "took too long" in answer.body.decode()) == (401, True)
    csrf = csrf_of(site.page("/"))
    assert site.submit("/sign-in/code", {"csrf": csrf, "ticket": "x", "code": "1"}).status == 401


def code_at(site: Site, secret: str) -> str:
    return pyotp.TOTP(secret).at(site.clock.ms // 1000)


def second(site: Site, asked: Answer, code: str) -> Answer:
    """Answer the second step's form that a page has; its cookie is the newest page's."""
    page = asked.body.decode()
    ticket, path = (page.partition(f'name="{name}" value="')[2].partition('"')[0] for name in ("ticket", "next"))
    csrf = csrf_of(site.page("/")) if "session" not in str(site.cookies) else csrf_of(asked)
    return site.submit("/sign-in/code", {"csrf": csrf, "ticket": ticket, "code": code, "next": path})
