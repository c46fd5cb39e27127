"""REST: a destination's filters: refused with the reason and the place, tried before they are saved, and traced."""

from typing import Any

import pytest

from tests.web.running import Site

DROP = {"title": "No pages", "if": "type = 'page'", "actions": [{"type": "DROP"}]}
NO_EMAIL = {
    "title": "Privacy",
    "if": "type = 'track'",
    "actions": [{"type": "DROP_PROPERTIES", "fields": {"properties": ["email"], "context.traits": ["email"]}}],
}


def path_of(site: Site) -> str:
    """The only destination's path."""
    (destination,) = site.get("/destinations")["data"]
    return f"/destinations/{destination['id']}"


def page(message_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "page", "name": "Home", "messageId": message_id, "userId": "u1", **fields}


def track(message_id: str, **properties: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Seen", "messageId": message_id, "userId": "u1", "properties": properties}


def test_filters_are_saved_and_answered(site: Site) -> None:
    path = path_of(site)
    sample = {"title": "Some", "if": "all", "actions": [{"type": "SAMPLE", "percent": 0.1, "path": "userId"}]}
    answered = site.api("PATCH", path, {"filters": [DROP, {**NO_EMAIL, "enabled": False}, sample]}).json()["filters"]
    whole = {"enabled": True, "description": ""}
    assert answered == [{**whole, **DROP}, {**whole, **NO_EMAIL, "enabled": False}, {**whole, **sample}]
    assert site.get(path)["filters"] == answered
    assert site.api("PATCH", path, {"filters": answered}).json()["filters"] == answered
    assert site.api("PATCH", path, {"filters": []}).json()["filters"] == []
    body = {"name": "Second", "settings": {"apiKey": "k"}, "filters": [DROP]}
    assert site.api("POST", "/destinations", body).json()["filters"] == answered[:1]


@pytest.mark.parametrize("saving", ["POST", "PATCH"])
def test_an_expression_that_breaks_is_refused_with_the_place(site: Site, saving: str) -> None:
    body: dict[str, Any] = {"filters": [DROP, {**NO_EMAIL, "if": "type = 'track'\nand event == 'Seen'"}]}
    if saving == "POST":
        body |= {"name": "x", "settings": {"apiKey": "k"}}
    path = "/destinations" if saving == "POST" else path_of(site)
    answer = site.api(saving, path, body)
    assert answer.status == 400
    problem = answer.json()
    (error,) = problem["errors"]
    assert (error["field"], error["line"], error["column"]) == ("filters[1].if", 2, 12)
    assert error["detail"].startswith("line 2, column 12: `=` cannot stand here; expected a value")
    assert problem["detail"] == f"The filters cannot be saved: filters[1].if: {error['detail']}"
    assert site.get(path_of(site))["filters"] == []


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        ({"if": "lowcase(event) = 'a'"}, "filters[0].if", "There is no function `lowcase`; there are contains"),
        ({"if": "length(a, b) > 1"}, "filters[0].if", "length() takes 1 argument, not 2."),
        ({"title": "x" * 65}, "filters[0].title", "A title of 1 to 64 characters"),
        ({"actions": []}, "filters[0].actions", "At least one action"),
        ({"actions": [{"type": "SAMPLE"}]}, "filters[0].actions[0].percent", "a number from 0 to 1"),
        ({"actions": [{"type": "DROP_PROPERTIES"}]}, "filters[0].actions[0].fields", "needs fields"),
    ],
)
def test_what_cannot_be_saved_is_refused(shop: Site, change: dict[str, Any], field: str, told: str) -> None:
    answer = shop.api("PATCH", path_of(shop), {"filters": [{**DROP, **change}]})
    assert answer.status == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert told in error["detail"]


@pytest.mark.parametrize(
    "filters",
    [[{}], [{**DROP, "actions": [{"type": "KEEP"}]}], [{**DROP, "then": 1}], [{**DROP, "enabled": "yes"}], [1], {}],
)
def test_what_is_no_filter_is_refused(shop: Site, filters: object) -> None:
    answer = shop.api("PATCH", path_of(shop), {"filters": filters})
    assert answer.status == 400
    assert answer.json()["errors"][0]["field"].startswith("filters")


def test_every_fault_is_told_at_once(shop: Site) -> None:
    answer = shop.api(
        "PATCH", path_of(shop), {"filters": [{**DROP, "title": "", "if": "a ="}, {**DROP, "if": "b"}] * 6}
    )
    fields = [error["field"] for error in answer.json()["errors"]]
    assert fields[0] == "filters"
    assert {"filters[0].title", "filters[0].if", "filters[3].title"} <= set(fields)


def test_the_trace_names_the_filter(site: Site) -> None:
    failing = {"title": "Large orders", "if": "properties.total > 100", "actions": [{"type": "DROP"}]}
    site.api("PATCH", path_of(site), {"filters": [DROP, NO_EMAIL, failing]})
    site.send([page("m1"), track("m2", email="a@x", total=1), track("m3", total="12")])
    site.process()
    decisions = {}
    for message_id in ("m1", "m2", "m3"):
        (trace,) = site.get(f"/messages/{message_id}")["data"]
        (made,) = trace["decisions"]
        decisions[message_id] = (trace["outcome"], made["code"], made["filter"], made["reason"])
    assert decisions == {
        "m1": ("filtered", "filtered_by_rules", "No pages", None),
        "m2": ("kept", None, "Privacy", None),
        "m3": ("filtered", "filter_failed", "Large orders", "`>` takes numbers, not a string."),
    }
    (trace,) = site.get("/messages/m2")["data"]
    assert trace["body"]["properties"] == {"email": "a@x", "total": 1}
    assert trace["decisions"][0]["cut"]["steps"][0] == {"path": ["properties"], "keys": ["email"]}
    (entry,) = site.get("/visitors/u1/timeline")["data"]
    assert entry["properties"] == {"total": 1}


def test_the_pages_name_the_filter(site: Site) -> None:
    site.api("PATCH", path_of(site), {"filters": [DROP, NO_EMAIL]})
    site.send([page("m1"), track("m2", email="a@x")])
    site.process()
    site.sign_in()
    assert "Filter: No pages" in site.page("/messages/m1").body.decode()
    shown = site.page("/messages/m2").body.decode()
    assert "Filter: Privacy" in shown
    assert '<code class="break">email</code> of <code class="break">context.traits</code>' in shown


def tried(site: Site, filter_: dict[str, Any], **asked: Any) -> dict[str, Any]:
    answer = site.api("POST", f"{path_of(site)}/filters/try", {"filter": filter_, **asked})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()
    return found


def test_a_filter_is_tried_on_the_newest_message_that_the_destination_could_get(site: Site) -> None:
    site.send([page("m1"), track("m2", email="a@x", total=10.5), {**page("m3"), "type": "screen"}])
    site.process()
    found = tried(site, NO_EMAIL)
    assert (found["messageId"], found["source"]) == ("m2", site.source().id)
    assert (found["matches"], found["outcome"], found["code"]) == (True, "kept", None)
    assert found["before"]["properties"] == {"email": "a@x", "total": 10.5}
    assert found["after"] == {**found["before"], "properties": {"total": 10.5}}
    assert site.get(path_of(site))["filters"] == [], "nothing is saved"


def test_a_filter_is_tried_on_a_message_by_its_id(site: Site) -> None:
    site.send([page("m1", context={"n": 1}), track("m2"), {**page("m3"), "type": "screen"}])
    site.send([page("off", integrations={"All": False})])
    site.process()
    dropped = tried(site, DROP, messageId="m1")
    assert (dropped["matches"], dropped["outcome"], dropped["code"], dropped["after"]) == (
        *(True, "filtered", "filtered_by_rules"),
        None,
    )
    kept = tried(site, {**DROP, "enabled": False, "title": ""}, messageId="m2", source=site.source().id)
    assert (kept["matches"], kept["outcome"], kept["after"]) == (False, "kept", kept["before"])
    failed = tried(site, {**DROP, "if": "context.n"}, messageId="m1")
    assert (failed["matches"], failed["outcome"], failed["code"]) == (None, "filtered", "filter_failed")
    assert failed["reason"] == "The expression met a number where true or false is needed."
    assert tried(site, DROP, messageId="m3")["outcome"] == "unsupported"
    assert tried(site, DROP, messageId="off")["code"] == "filtered_by_integrations_object"


def test_a_filter_is_tried_on_what_is_not_processed_yet(site: Site) -> None:
    site.send([page("m1")])
    assert tried(site, DROP, messageId="m1")["code"] == "filtered_by_rules"


def test_what_cannot_be_tried_is_told(site: Site) -> None:
    path = f"{path_of(site)}/filters/try"
    answer = site.api("POST", path, {"filter": DROP})
    assert answer.status == 404
    assert "send one" in answer.json()["detail"]
    assert site.api("POST", path, {"filter": DROP, "messageId": "unknown"}).status == 404
    assert site.api("POST", "/destinations/dst_unknown/filters/try", {"filter": DROP}).status == 404
    answer = site.api("POST", path, {"filter": {**DROP, "if": "a ="}})
    assert answer.status == 400
    (error,) = answer.json()["errors"]
    assert (error["field"], error["line"], error["column"]) == ("filter.if", 1, 4)
    assert answer.json()["detail"].startswith("The filter cannot be tried: filter.if: line 1, column 4")
