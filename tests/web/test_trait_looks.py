"""REST: a computed trait before it is saved, who has which value, where it comes from, and what was told when."""

import json
from typing import Any

from richpanel.core.timestamps import iso
from tests.engage.shop import DAY, shop_of
from tests.web.running import NOW, Site

SPENT: dict[str, Any] = {"kind": "sum", "event": "Order Completed", "property": "total", "within": {"days": 30}}


def test_a_trait_is_tried_computed_explained_and_remembered(site: Site) -> None:
    with shop_of(site) as shop:
        for uid in ("42", "43"):
            shop.known(uid)
        shop.ordered("42", 20.5)
        shop.ordered("42", 7.25)
        shop.process()
        tried = site.api("POST", "/traits/preview", {**SPENT, "sample": 5}).json()
        assert (tried["count"], tried["exact"], tried["people"]) == (1, True, 2)
        assert tried["text"] == "sum of total of Order Completed in the last 30 days"
        assert [(each["value"], each["person"]["uid"]) for each in tried["sample"]] == [(27.75, "42")]
        assert site.get("/traits")["data"] == []  # Nothing was saved.
        refused = site.api("POST", "/traits/preview", {**SPENT, "kind": "count"})
        assert (refused.status, refused.json()["errors"][0]["field"]) == (400, "property")

        assert site.api("POST", "/traits", {"name": "Spent", **SPENT}).status == 201
        assert site.get("/traits/spent/values")["data"] == []
        shop.settle()
        (value,) = site.get("/traits/spent/values")["data"]
        assert (value["value"], value["person"]["uid"], value["told"]) == (27.75, "42", True)
        assert value["until"] == iso(NOW + 30 * DAY)
        why = site.get("/customers/42/traits/spent/why")
        assert (why["value"], why["until"]) == (27.75, iso(NOW + 30 * DAY))
        assert [event["messageId"] for event in why["events"]] == ["m3", "m4"]
        assert json.loads(site.api("GET", "/customers/43/traits/spent/why").body)["value"] == 0
        assert site.api("GET", "/customers/nobody/traits/spent/why").status == 404

        site.clock.ms += 30 * DAY
        shop.settle()
        assert site.get("/traits/spent/values")["data"] == []
        now, before = site.get("/customers/42/traits/spent/history")["data"]
        assert [(each["value"], each["at"]) for each in (now, before)] == [(0, iso(NOW + 30 * DAY)), (27.75, iso(NOW))]
        (trace,) = site.get(f"/messages/{before['messageId']}")["data"]
        assert (trace["source"], trace["body"]["traits"]) == (before["source"], {"spent": 27.75})
        assert site.get("/customers/43/traits/spent/history")["data"] == []


def test_who_came_and_went_is_remembered(site: Site) -> None:
    with shop_of(site) as shop:
        shop.known("42")
        shop.ordered("42")
        shop.audience("Buyers", {"event": "Order Completed", "within": {"days": 30}})
        shop.audience("Known", {"trait": "plan", "op": "not_exists"})
        shop.settle()
        site.clock.ms += 30 * DAY
        shop.settle()
        shop.ordered("42")
        shop.settle()
        found = site.get("/customers/42/audiences/buyers/history")["data"]
        assert [each["value"] for each in found] == [True, False, True]
        assert found[1]["at"] == iso(NOW + 30 * DAY)
        (destination,) = site.get("/destinations")["data"]
        one = {"destination": destination["id"], "outcome": "kept", "code": None, "status": None, "finishedAt": None}
        assert [each["destinations"] for each in found] == [[one]] * 3
        assert [each["value"] for each in site.get("/customers/42/audiences/known/history")["data"]] == [True]
        assert site.api("GET", "/customers/nobody/audiences/buyers/history").status == 404
        assert site.api("GET", "/customers/42/audiences/none/history").status == 404
