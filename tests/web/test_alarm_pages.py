"""The pages of alarms, and what the API refuses."""

from typing import Any

import pytest

from tests.web.running import Site, csrf_of
from tests.web.story import HOSTILE


def test_an_alarm_is_added_changed_tested_and_deleted(site: Site) -> None:
    site.sign_in()
    first = site.page("/alarms")
    assert b"No alarm yet" in first.body
    form = {"csrf": csrf_of(first), "kind": "no_events", "name": HOSTILE, "threshold": "15", "remind": "24"}
    form |= {
        "subject": site.source().id,
        "webhook": "https://hooks.example/x?y=1",
        "emails": "a@x.example; b@x.example",
    }
    assert b"Limit (minutes)" in site.page("/alarms?kind=no_events").body
    added = site.submit("/alarms", form)
    assert added.status == 303
    path = added.headers["location"]
    page = site.page(path).body.decode()
    assert HOSTILE not in page
    assert "whsec_" in page
    assert "a@x.example, b@x.example" in page
    assert site.submit(path, {"csrf": form["csrf"], "action": "test"}).status == 303
    assert "On its way" in site.page(path).body.decode()
    wrong = site.submit(path, form | {"threshold": "5000", "action": "save"})
    assert wrong.status == 400
    assert b"The limit is from 1 to 1,440" in wrong.body
    assert site.submit(path, form | {"name": "Quiet", "threshold": "20", "action": "save"}).status == 303
    site.submit(path, {"csrf": form["csrf"], "action": "disable"})
    (found,) = site.get("/alarms")["data"]
    assert (found["name"], found["threshold"], found["enabled"]) == ("Quiet", 20, False)
    assert b"Quiet" in site.page("/alarms").body
    assert site.submit(path, {"csrf": form["csrf"], "action": "delete"}).headers["location"] == "/alarms"
    assert site.page(path).status == 404


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"threshold": 0}, "threshold"),
        ({"threshold": 1_441}, "threshold"),
        ({"subject": "nobody"}, "subject"),
        ({"kind": "disk", "subject": "src"}, "subject"),
        ({"webhook": "http://hooks.example/"}, "webhook"),
        ({"webhook": "https://10.0.0.1/"}, "webhook"),
        ({"webhook": "https://hooks.example/ x"}, "webhook"),
        ({"emails": ["a@x.example\r\nBcc: b@x.example"]}, "emails"),
        ({"emails": ["a@x.example\n"]}, "emails"),
        ({"remindHours": 721}, "remindHours"),
    ],
)
def test_what_an_alarm_cannot_be(site: Site, fields: dict[str, Any], field: str) -> None:
    answer = site.api("POST", "/alarms", {"kind": "no_events", **fields})
    assert answer.status == 400
    assert field in answer.body.decode()
    assert site.get("/alarms")["data"] == []


def test_a_form_from_elsewhere_is_refused(site: Site) -> None:
    site.sign_in()
    assert site.submit("/alarms", {"csrf": "x", "kind": "disk"}).status == 403
