"""REST: the debugger's list, the trace of each message, and the status."""

from tests.web.outgoing import hosted
from tests.web.running import Site, segment
from tests.web.story import DEVICE, LURKER, UID


def test_the_list_tells_what_became_of_each(shop: Site) -> None:
    website = shop.source().id
    rows = {row["messageId"]: row for row in shop.get("/messages")["data"]}
    assert rows.keys() == {
        *("m-page", "m/added", "m-identify", "m-order", "m-pricing", "m-refund", "m-lurker", "m-screen", "m-off"),
        *("m-bad", "letter-1"),
    }
    assert rows["m-order"] == {
        "messageId": "m-order",
        "source": website,
        "type": "track",
        "event": "Order Completed",
        "receivedAt": "2025-11-24T16:00:00.000Z",
        "timestamp": "2025-11-23T16:05:00.000Z",
        "outcome": "kept",
        "code": None,
        "uid": UID,
        "anonymousId": DEVICE,
    }
    assert (rows["m-screen"]["outcome"], rows["m-screen"]["code"]) == ("unsupported", "unsupported_event_type")
    assert (rows["m-off"]["outcome"], rows["m-off"]["code"]) == ("filtered", "filtered_by_integrations_object")
    assert (rows["m-bad"]["outcome"], rows["m-bad"]["code"]) == ("discarded", "no_user_anon_id")


def test_the_list_is_filtered(shop: Site) -> None:
    def ids(**query: str) -> set[str]:
        return {row["messageId"] for row in shop.get("/messages", **query)["data"]}

    assert ids(type="identify") == {"m-identify"}
    assert ids(type="channel") == {"letter-1"}
    assert ids(outcome="discarded") == {"m-bad"}
    assert ids(outcome="unsupported") == {"m-screen"}
    assert ids(outcome="duplicate") == {"m-order"}
    assert ids(source=shop.source("Channels").id) == {"letter-1"}
    assert ids(uid=UID) == {"m-page", "m/added", "m-identify", "m-order", "m-pricing", "m-refund", "letter-1"}
    assert ids(source="src_unknown") == set()


def test_the_trace_of_a_kept_message(shop: Site) -> None:
    (trace,) = shop.get("/messages/m-identify")["data"]
    assert trace["outcome"] == "kept"
    assert trace["conflict"] is False
    assert trace["profile"] == {"uid": UID}
    assert trace["timestamp"] == "2025-11-23T16:03:00.000Z"
    assert {"what": "became_customer"} in trace["changes"]
    assert [(decision["outcome"]) for decision in trace["decisions"]] == ["kept"]
    assert trace["deliveries"] == []
    assert trace["body"]["traits"]["points"] == 12.5


def test_the_trace_of_what_was_not_kept(shop: Site) -> None:
    (unsupported,) = shop.get("/messages/m-screen")["data"]
    assert (unsupported["outcome"], unsupported["code"]) == ("unsupported", "unsupported_event_type")
    (discarded,) = shop.get("/messages/m-bad")["data"]
    assert (discarded["outcome"], discarded["code"]) == ("discarded", "no_user_anon_id")
    (repeated,) = shop.get("/messages/m-order")["data"]
    assert (repeated["outcome"], len(repeated["duplicates"])) == ("kept", 1)


def test_a_message_id_may_hold_slashes_and_name_a_source(shop: Site) -> None:
    path = f"/messages/{segment('m/added')}"
    (trace,) = shop.get(path, source=shop.source().id)["data"]
    assert trace["messageId"] == "m/added"
    assert shop.api("GET", path, source=shop.source("Channels").id).status == 404
    assert shop.api("GET", "/messages/unknown").status == 404


def test_one_id_from_two_sources_has_two_traces(site: Site) -> None:
    added = site.api("POST", "/sources", {"name": "Backend", "type": "server"}).json()
    page = {"type": "page", "messageId": "same", "anonymousId": "a"}
    site.send([page])
    site.send([page], source="Backend")
    site.process()
    assert {trace["source"] for trace in site.get("/messages/same")["data"]} == {site.source().id, added["id"]}


def test_the_status_follows_the_log(site: Site) -> None:
    assert site.get("/status") == {
        "log": {"last": 0},
        "processed": 0,
        "oldestUnprocessedSeconds": 0.0,
        "messages": 0,
        "outcomes": {},
        "receivedAt": None,
        "deliveries": {"queued": 0, "retrying": 0, "dead": 0, "oldestWaitingSeconds": 0.0},
    }
    site.send([{"type": "page", "messageId": "1", "anonymousId": "a"}])
    site.clock.ms += 2_500
    waiting = site.get("/status")
    assert (waiting["processed"], waiting["oldestUnprocessedSeconds"]) == (0, 2.5)
    assert waiting["log"]["last"] > 0
    site.process()
    done = site.get("/status")
    assert (done["processed"], done["oldestUnprocessedSeconds"]) == (done["log"]["last"], 0.0)
    assert done["outcomes"] == {site.source().id: {"kept": 1}}


def test_a_discards_message_is_found_by_its_visitor_link(shop: Site) -> None:
    (off,) = shop.get("/messages/m-off")["data"]
    assert off["profile"] == {}
    (home,) = shop.get("/messages/m-lurker")["data"]
    assert home["profile"] == {"visitor": LURKER}


def test_what_only_a_destination_outside_keeps_is_kept(site: Site) -> None:
    hosted(site)
    account = next(each["id"] for each in site.get("/destinations")["data"] if each["endpoint"] == "account")
    assert site.api("PATCH", f"/destinations/{account}", {"enabled": False}).status == 200
    both = {"userId": "ann", "event": "Seen", "type": "track"}
    site.send([{**both, "messageId": "out"}, {**both, "messageId": "none", "integrations": {"All": False}}])
    site.process()

    rows = {row["messageId"]: row for row in site.get("/messages")["data"]}
    assert (rows["out"]["outcome"], rows["out"]["code"]) == ("kept", None)
    assert (rows["none"]["outcome"], rows["none"]["code"]) == ("filtered", "filtered_by_integrations_object")
    assert [row["messageId"] for row in site.get("/messages", outcome="kept")["data"]] == ["out"]
    assert [row["messageId"] for row in site.get("/messages", outcome="filtered")["data"]] == ["none"]
    (trace,) = site.get("/messages/out")["data"]
    assert (trace["outcome"], trace["code"]) == ("kept", None)
    assert [each["outcome"] for each in trace["decisions"]] == ["kept"]
    (trace,) = site.get("/messages/none")["data"]
    assert trace["outcome"] == "filtered"
