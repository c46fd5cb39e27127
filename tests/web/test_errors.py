"""Errors: problem details for clients, pages for people; nothing of ours shows through."""

import pytest

from richpanel.web import customers
from richpanel.web.stores import Reading
from tests.server import request
from tests.web.running import Site


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/customers?limit=0", "limit"),
        ("/customers?limit=501", "limit"),
        ("/customers?limit=ten", "limit"),
        ("/customers?limit=1&limit=2", "limit"),
        ("/customers?sort=age", "sort"),
        ("/customers?cursor=", "cursor"),
        ("/customers?cursor=zzz", None),
        ("/customers?cursor=WyJhIiwiYiJd", None),
        ("/customers?page=2", None),
        ("/customers/x/timeline?limit=-1", "limit"),
        ("/messages?type=delete", "type"),
        ("/messages?outcome=lost", "outcome"),
        ("/messages?cursor=%00", None),
        ("/messages/x?limit=1", None),
        ("/deliveries?status=null", "status"),
    ],
)
def test_a_bad_query_is_told(shop: Site, path: str, parameter: str | None) -> None:
    answer = shop.api("GET", path)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["title"], problem["status"]) == ("Bad Request", 400)
    assert problem["detail"]
    assert problem.get("errors", [{}])[0].get("parameter") == parameter


def test_the_largest_page_is_500(shop: Site) -> None:
    assert shop.api("GET", "/messages?limit=500").status == 200


@pytest.mark.parametrize(
    "path", ["/nowhere", "/customers/x/y/z", "/sources/x", "/customers/nobody", "/visitors/nobody"]
)
def test_what_is_not_there(shop: Site, path: str) -> None:
    answer = shop.api("GET", path)
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_method_that_is_not_taken(shop: Site) -> None:
    answer = shop.api("PUT", "/customers")
    assert answer.status == 405
    assert "GET" in answer.headers["allow"]


def test_a_page_that_is_not_there(site: Site) -> None:
    answer = request("GET", site.url + "/nowhere")
    assert answer.status == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    site.sign_in()
    inside = site.page("/customers/nobody")
    assert inside.status == 404
    assert "There is no customer with this id." in inside.body.decode()
    assert 'aria-label="Sections"' in inside.body.decode()
    assert site.page("/messages?type=delete").status == 400


def test_our_own_faults_are_logged_and_not_shown(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(reading: Reading, *_: object) -> None:
        raise RuntimeError(f"secret detail {reading.now}")

    monkeypatch.setattr(customers, "find_person", fail)
    answer = site.api("GET", "/customers/x")
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert "secret detail" in capsys.readouterr().out
