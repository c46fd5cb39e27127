"""REST: what is sent outside, what became of it, and figures of both."""

from pathlib import Path
from time import sleep
from typing import Any

import pytest

from richpanel.store.deliveries import ACCEPTED, DEAD, FAILED, RETRYING
from richpanel.web.remembered import FRESH_MS
from tests.web.outgoing import answered, grant, hosted, take_over
from tests.web.running import NOW, Site, running


def call(name: str, uid: str, **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": name, "userId": uid, "messageId": f"{name}-{uid}", **fields}


@pytest.fixture
def sent(site: Site) -> tuple[Site, str, int]:
    """Four calls for a destination outside, one of each fate, and some that are none of its."""
    return send(site)


def send(site: Site) -> tuple[Site, str, int]:
    destination, number = hosted(site)
    site.send([call("Paid", "ann"), call("Paid", "bob"), call("Paid", "cid"), call("Paid", "dan"), call("Seen", "eve")])
    site.send(
        [
            call("Off", "ann", integrations={"Richpanel": False}),
            {"type": "screen", "userId": "ann", "name": "x", "messageId": "s"},
        ]
    )
    site.send([{"type": "identify", "anonymousId": "dev", "messageId": "i"}])
    site.process()
    take_over(site, number)
    answered(site, number, ACCEPTED, RETRYING, FAILED, DEAD)
    return site, destination, number


def test_the_list_has_the_newest_first(sent: tuple[Site, str, int]) -> None:
    site, destination, _ = sent
    found = site.get("/deliveries")["data"]
    assert [each["status"] for each in found] == ["queued", "dead", "failed", "retrying", "accepted"]
    assert {each["destination"] for each in found} == {destination}
    assert found[3]["nextAttempt"] > found[3]["receivedAt"]
    assert found[4]["nextAttempt"] is None
    assert [each["event"] for each in found] == ["Seen", "Paid", "Paid", "Paid", "Paid"]
    for status in ("queued", "dead", "accepted"):
        (one,) = site.get(f"/deliveries?status={status}&destination={destination}")["data"]
        assert one in found
    assert site.get("/deliveries?status=delivered")["data"] == []
    assert site.get("/deliveries?destination=dst_none")["data"] == []
    first = site.get(f"/deliveries?destination={destination}&limit=3")
    rest = site.get(f"/deliveries?destination={destination}&limit=3&cursor={first['next']}")
    assert [[each["id"] for each in page["data"]] for page in (first, rest)] == [[5, 4, 3], [2, 1]]
    assert rest["next"] is None
    assert site.api("GET", "/deliveries?status=lost").status == 400
    assert site.api("GET", "/deliveries?cursor=x").status == 400


def test_one_tells_each_try_and_whose_it_is(sent: tuple[Site, str, int]) -> None:
    site, _, _ = sent
    one = site.get("/deliveries/3")
    assert (one["status"], one["messageId"], one["source"]) == ("failed", "Paid-cid", site.source().id)
    (attempt,) = one["attempts"]
    assert attempt["request"] == {"event": "order_completed", "uid": "ann"}
    assert (attempt["response"], attempt["statusCode"], attempt["code"]) == ("what is this? <b>", 400, "invalid_value")
    assert site.api("GET", "/deliveries/99").status == 404
    assert site.api("GET", "/deliveries/ann").status == 404


def test_a_trace_has_its_deliveries(sent: tuple[Site, str, int]) -> None:
    site, destination, _ = sent
    (trace,) = site.get("/messages/Paid-bob")["data"]
    (delivery,) = trace["deliveries"]
    assert (delivery["destination"], delivery["status"]) == (destination, "retrying")
    assert delivery["nextAttempt"] is not None
    assert [each["code"] for each in delivery["attempts"]] == ["request_timeout"]
    (trace,) = site.get("/messages/Off-ann")["data"]
    assert trace["deliveries"] == []


def test_the_figures_follow_a_call_from_the_door_to_the_answer(sent: tuple[Site, str, int]) -> None:
    site, destination, _ = sent
    found = site.get("/deliveries/overview?window=1h")
    by_id = {each["destination"]: each for each in found["destinations"]}
    outside = by_id[destination]
    names = ("received", "filteredAtDestination", "queued", "retrying", "retries", "failed", "dead", "delivered")
    assert {name: outside[name] for name in names} == {
        "received": 8,
        "filteredAtDestination": 3,
        "queued": 1,
        "retrying": 1,
        "retries": 1,
        "failed": 2,
        "dead": 1,
        "delivered": 1,
    }
    reasons = {(each["stage"], each["code"]): each for each in outside["reasons"]}
    assert reasons["failed", "invalid_value"]["samples"] == [3]
    assert reasons["filteredAtDestination", "uid_required"]["count"] == 1
    assert reasons["filteredAtDestination", "filtered_by_integrations_object"]["text"]
    assert outside["p95Milliseconds"] is not None
    (account,) = [each for id_, each in by_id.items() if id_ != destination and each["received"]]
    assert (account["delivered"], account["queued"], account["p95Milliseconds"]) == (6, 0, None)
    site.clock.ms = NOW + 25 * 3_600_000
    later = {each["destination"]: each for each in site.get("/deliveries/overview")["destinations"]}[destination]
    assert (later["received"], later["delivered"], later["queued"]) == (0, 0, 1)


def test_much_is_counted_again_without_anybody_waiting(data: Path) -> None:
    with running(data, much=3) as site:
        _, destination, number = send(site)

        def figures() -> tuple[int, int, str]:
            found = site.get("/deliveries/overview")
            assert found["receivedFrom"] == found["since"], "all of the window is counted"
            (one,) = [each for each in found["destinations"] if each["destination"] == destination]
            return one["received"], one["queued"], found["countedAt"]

        first = figures()
        site.send([call("Paid", "fay")])
        site.process()
        take_over(site, number)
        assert figures() == (first[0], first[1] + 1, first[2]), "what waits is as of now all the same"
        site.clock.ms += FRESH_MS
        for _ in range(500):
            if figures()[0] != first[0]:
                break
            sleep(0.01)
        assert figures()[0] == first[0] + 1
        assert figures()[2] > first[2]


def test_a_delivery_is_dropped_and_stays_to_be_seen(sent: tuple[Site, str, int]) -> None:
    site, destination, _ = sent
    for number, status in ((2, "retrying"), (4, "dead"), (5, "queued")):
        answer = site.api("POST", f"/deliveries/{number}/drop")
        assert (answer.status, answer.json()["status"], answer.json()["asked"]) == (202, status, "drop")
    grant(site)
    for number in (2, 4, 5):
        one = site.get(f"/deliveries/{number}")
        assert (one["status"], one["code"], one["asked"], one["nextAttempt"]) == ("failed", "dropped", None, None)
        assert one["droppedBy"] == "tests"
        assert len(one["attempts"]) == (0 if number == 5 else 1)
    found = {each["destination"]: each for each in site.get("/deliveries/overview")["destinations"]}[destination]
    assert [found[name] for name in ("queued", "retrying", "failed", "dead")] == [0, 0, 4, 0]
    (reason,) = [each for each in found["reasons"] if each["code"] == "dropped"]
    assert (reason["stage"], reason["count"], reason["samples"]) == ("failed", 3, [5, 4, 2])
    for message, who in (("Seen-eve", "tests"), ("Paid-ann", None)):
        (trace,) = site.get(f"/messages/{message}")["data"]
        assert [each["droppedBy"] for each in trace["deliveries"]] == [who]
    again = site.api("POST", "/deliveries/4/drop")
    assert again.status == 409
    assert again.json()["detail"] == "This delivery is failed; it can be dropped if it is queued or retrying or dead."


def test_a_delivery_is_tried_now(sent: tuple[Site, str, int]) -> None:
    site, _, _ = sent
    later = site.get("/deliveries/2")["nextAttempt"]
    assert site.api("POST", "/deliveries/2/retry").json()["asked"] == "retry"
    grant(site)
    one = site.get("/deliveries/2")
    assert (one["status"], one["asked"]) == ("retrying", None)
    assert one["nextAttempt"] < later
    assert site.api("POST", "/deliveries/4/retry").status == 409
    assert site.api("POST", "/deliveries/99/retry").status == 404
    assert site.api("POST", "/deliveries/2/retry", token=None).status == 401
