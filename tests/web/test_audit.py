"""The audit log: every change and every look is in it, by whom; no secret and no customer's id is."""

import time
from typing import Any

import pytest

from richpanel.store.database import open_engine
from richpanel.store.watching_schema import audit
from richpanel.web.audit import noun_of
from tests.web.running import LOGIN, PASSWORD, Site, csrf_of, segment
from tests.web.story import DEVICE, LURKER, UID, tell

SECRET = "a-secret-of-mine-42"


def rows(site: Site, **query: Any) -> list[dict[str, Any]]:
    time.sleep(0.7)  # Looks are written twice a second.
    data: list[dict[str, Any]] = site.get("/audit", **query)["data"]
    return data


def said(row: dict[str, Any]) -> str:
    return " ".join(filter(None, (row["who"], row["verb"], row["noun"])))


def test_changes_looks_and_sign_ins_are_noted(site: Site) -> None:
    tell(site)
    assert site.sign_in("wrong").status == 401
    site.sign_in()
    csrf = csrf_of(site.page("/sources"))
    made = site.submit("/sources", {"csrf": csrf, "name": "Till", "type": "server"})
    source = made.headers["location"].rpartition("/")[2]
    assert site.submit(f"/sources/{source}", {"csrf": csrf, "action": "rename", "name": "Till 2"}).status == 303
    assert site.submit(f"/sources/{source}", {"csrf": csrf, "action": "rename", "name": ""}).status == 400
    assert site.submit("/audiences/new", {"csrf": csrf, "name": "x"}).status in (200, 400), "that is no change"
    for _ in range(2):
        assert site.page(f"/customers/{segment(UID)}").status == 200
    assert site.page(f"/customers/{segment('nobody')}").status == 404
    assert site.page(f"/visitors/{segment(LURKER)}").status == 200
    assert site.page("/messages/m-order").status == 200
    assert site.page("/customers").status == 200
    assert site.api("GET", f"/customers/{segment(UID)}/timeline").status == 200
    token = site.api("POST", "/tokens", {"name": SECRET}).json()
    found = rows(site)
    assert sorted(said(row) for row in found) == [
        "admin added source",
        *("admin looked at customer", "admin looked at message", "admin looked at visitor"),
        "admin renamed source",
        "admin signed in",
        "sign-in failed",
        *("tests added channel message", "tests added token", "tests looked at customer"),
    ]
    by_verb = {said(row): row for row in found}
    assert by_verb["admin added source"]["object"] == source
    assert by_verb["admin renamed source"]["details"] == {"name": "Till 2"}
    assert by_verb["admin looked at customer"]["person"]["id"] == UID
    assert by_verb["admin looked at visitor"]["person"]["id"] == LURKER
    assert by_verb["admin looked at message"]["person"]["id"] is None
    assert by_verb["tests added token"]["object"] == token["id"]
    assert all(row["address"] == "127.0.0.1" for row in found)


def test_it_is_filtered_and_paged(site: Site) -> None:
    tell(site)
    site.sign_in()
    for path in (f"/customers/{segment(UID)}", f"/visitors/{segment(LURKER)}", "/messages/m-order"):
        assert site.page(path).status == 200
    assert [said(row) for row in rows(site, about=UID)] == ["admin looked at customer"]
    assert [said(row) for row in rows(site, about="m-order")] == ["admin looked at message"]
    assert rows(site, about=DEVICE) == []
    assert {row["kind"] for row in rows(site, kind="look")} == {"look"}
    assert {row["who"] for row in rows(site, who=LOGIN)} == {LOGIN}
    first = site.get("/audit", limit=2)
    assert len(first["data"]) == 2
    assert first["next"]
    rest = site.get("/audit", limit=500, cursor=first["next"])
    assert rest["next"] is None
    assert not [row for row in rest["data"] if row in first["data"]]
    assert site.api("GET", "/audit", cursor="x").status == 400
    text = site.page(f"/settings/audit?about={segment(UID)}").body.decode()
    assert "looked at customer" in text
    assert "looked at visitor" not in text
    assert "Older" in site.page("/settings/audit?limit=1").body.decode()


def test_no_secret_and_no_id_of_a_customer_is_kept(site: Site) -> None:
    tell(site)
    site.sign_in()
    csrf = csrf_of(site.page("/settings/account"))
    site.submit("/settings/account/password", {"csrf": csrf, "old": PASSWORD, "new": SECRET, "again": SECRET})
    site.page(f"/customers/{segment(UID)}?cursor=&x={SECRET}")
    site.api("GET", f"/customers/{segment(UID)}", q=SECRET)
    site.submit("/privacy", {"csrf": csrf, "kind": "uid", "value": UID, "type": "SUPPRESS"})
    site.api("POST", "/regulations", {"type": "SUPPRESS", "uids": [UID]})
    token = site.api("POST", "/tokens", {"name": "x"}).json()["token"]
    assert len(rows(site)) > 4
    engine = open_engine(site.directory.account_url, read_only=True)
    with engine.connect() as connection:
        kept = str(connection.execute(audit.select()).all())
    engine.dispose()
    for secret in (SECRET, PASSWORD, token, UID, csrf):
        assert secret not in kept
    assert "own password" in kept


def test_what_is_old_is_let_go(site: Site) -> None:
    site.sign_in()
    assert len(rows(site)) == 1
    site.clock.ms += 366 * 86_400_000
    site.api("POST", "/tokens", {"name": "x"})
    for _ in range(20):
        if [said(row) for row in rows(site)] == ["tests added token"]:
            return
        site.clock.ms += 3_600_000
    pytest.fail("a row of last year is still there")


@pytest.mark.parametrize(
    ("path", "noun"),
    [
        ("/customers/*", "customer"),
        ("/settings/account/second-step", "own second step"),
        ("/destinations/*/filters", "destination"),
        ("/traits/*", "computed trait"),
        ("/sign-in", ""),
    ],
)
def test_a_route_is_about_something(path: str, noun: str) -> None:
    assert noun_of(path) == noun
