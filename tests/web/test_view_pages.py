"""Saved views: kept as shown, seen by those they are for, let go by their owner alone."""

import re
from html import unescape

import pytest

from richpanel.store.database import open_engine
from richpanel.store.users import add_user
from richpanel.store.views import MOST_VIEWS
from tests.web.running import Site, csrf_of
from tests.web.story import HOSTILE


def tabs(site: Site, path: str = "/customers") -> dict[str, str]:
    """Give the views that a list offers: name and address."""
    html = site.page(path).body.decode()
    nav = html.partition('aria-label="Saved views"')[2].partition("</nav>")[0]
    return {
        unescape(name): unescape(href)
        for href, name in re.findall(r'href="([^"]*)"[^>]*><span class="clip">([^<]*)', nav)
    }


def own(site: Site) -> list[str]:
    """Give the ids of the views that one may let go."""
    return re.findall(r"/views/(view_\w+)/delete", site.page("/customers").body.decode())


def save(site: Site, name: str, query: str, **form: str) -> int:
    return site.submit(
        "/views", {"csrf": csrf_of(site.page("/customers")), "name": name, "query": query, **form}
    ).status


def test_a_view_is_saved_shown_and_let_go(site: Site) -> None:
    site.sign_in()
    assert tabs(site) == {}
    query = "q=ada&sort=-ltv&ordersMin=1&where=plan%3Dgold&columns=ltv%2Ctrait%3Aplan&cursor=abc"
    assert save(site, " Gold   people ", query) == 303
    assert save(site, HOSTILE, "", shared="yes") == 303
    (gold, where), (hostile, _) = sorted(tabs(site).items(), reverse=True)
    assert (gold, hostile) == ("Gold people", HOSTILE)
    assert "cursor" not in where
    shown = site.page(where).body.decode()
    assert 'aria-current="page"><span class="clip">Gold people' in shown
    assert 'value="plan=gold"' in shown
    assert save(site, "Gold people", "q=bob") == 303
    assert tabs(site)["Gold people"] == "/customers?q=bob", "the one before gave way"

    engine = open_engine(site.directory.account_url)
    with engine.begin() as connection:
        add_user(connection, "bob", "correct horse battery", now=0)
    engine.dispose()
    saved = own(site)
    assert len(saved) == 2
    site.cookies.clear()
    site.sign_in(login="bob")
    assert list(tabs(site)) == [HOSTILE], "what is another's alone is not shown"
    assert own(site) == []
    for view in saved:
        form = {"csrf": csrf_of(site.page("/customers"))}
        assert site.submit(f"/views/{view}/delete", form).status == 404
    site.cookies.clear()
    site.sign_in()
    for view in saved:
        form = {"csrf": csrf_of(site.page("/customers"))}
        assert site.submit(f"/views/{view}/delete", form).status == 303
    assert tabs(site) == {}


def test_each_list_has_its_own(site: Site) -> None:
    site.sign_in()
    assert save(site, "Late", "seenFrom=2026-01-01") == 303
    assert save(site, "Late", "sort=createdAt&columns=source", people="visitors") == 303
    assert tabs(site) == {"Late": "/customers?seenFrom=2026-01-01"}
    assert tabs(site, "/visitors") == {"Late": "/visitors?sort=createdAt&columns=source"}
    assert save(site, "By name", "sort=name", people="visitors") == 400
    assert save(site, "Others", "", people="users") == 400
    (view,) = set(re.findall(r"/views/(view_\w+)/delete", site.page("/visitors").body.decode()))
    form = {"csrf": csrf_of(site.page("/visitors"))}
    assert site.submit(f"/views/{view}/delete", form).headers["location"] == "/visitors"
    assert (list(tabs(site)), tabs(site, "/visitors")) == (["Late"], {})


@pytest.mark.parametrize(("name", "query"), [("", "q=a"), ("x" * 81, ""), ("a", "nonsense=1"), ("a", "ordersMin=x")])
def test_what_is_no_view_is_refused(site: Site, name: str, query: str) -> None:
    site.sign_in()
    assert save(site, name, query) == 400
    assert tabs(site) == {}


def test_nobody_has_too_many_views_and_a_foreign_form_saves_none(site: Site) -> None:
    site.sign_in()
    assert site.submit("/views", {"csrf": "wrong", "name": "a"}).status == 403
    for n in range(MOST_VIEWS):
        assert save(site, f"View {n:02}", "") == 303
    assert save(site, "One more", "") == 400
    assert save(site, "View 07", "q=again") == 303
    assert len(tabs(site)) == MOST_VIEWS


def test_a_view_that_lost_a_name_to_an_erasure_says_so(site: Site) -> None:
    site.sign_in()
    site.send(
        [{"type": "identify", "messageId": "i1", "userId": "u1", "traits": {"email": "ada@x.test", "name": "Ada"}}]
    )
    site.process()
    assert save(site, "Gold", "q=ada&sort=-ltv", shared="yes") == 303
    assert save(site, "All", "sort=name") == 303
    taken = "Something was taken out"
    assert taken not in site.page("/customers").body.decode()
    assert site.api("POST", "/regulations", {"type": "DELETE", "uids": ["u1"]}).status == 202
    site.process()
    assert tabs(site) == {"Gold": "/customers?sort=-ltv", "All": "/customers?sort=name"}
    shown = site.page("/customers?sort=-ltv").body.decode()
    assert f"{taken} of this view." in shown
    assert "Save it anew" in shown
    assert f"{taken} of this view." not in site.page("/customers?sort=name").body.decode()
    assert save(site, "Gold", "sort=-ltv") == 303
    assert taken not in site.page("/customers?sort=-ltv").body.decode()
