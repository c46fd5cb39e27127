"""REST: `/replays`: what may be asked for, what a dry run tells, how a job is stopped. No server does jobs here."""

from typing import Any

import pytest

from richpanel.store.deliveries import DEAD, FAILED
from tests.server import Answer
from tests.web.outgoing import answered, hosted, take_over
from tests.web.running import Site


def ours(site: Site) -> str:
    """The built-in account's destination."""
    return str(site.get("/destinations")["data"][0]["id"])


def ask(site: Site, **body: Any) -> Answer:
    return site.api("POST", "/replays", {"destination": ours(site), **body})


def fail_some(site: Site) -> None:
    """Two calls that find a wrong key, which is right again then."""
    destination = ours(site)
    key = site.get(f"/destinations/{destination}")["settings"]["apiKey"]
    site.api("PATCH", f"/destinations/{destination}", {"settings": {"apiKey": "wrong"}})
    site.send([{"type": "track", "event": "Seen", "userId": "ann", "messageId": f"m{n}"} for n in (1, 2)])
    site.process()
    site.api("PATCH", f"/destinations/{destination}", {"settings": {"apiKey": key}})


def test_a_dry_run_counts_and_begins_nothing(site: Site) -> None:
    fail_some(site)
    answer = ask(site, dryRun=True, uid="ann")
    assert answer.status == 200
    found = answer.json()
    assert (found["id"], found["status"], found["matched"], found["dryRun"]) == (None, None, 2, True)
    assert found["breakdown"] == [{"type": "track", "outcome": "failed", "code": "invalid_settings", "count": 2}]
    assert b"ann" not in answer.body
    assert site.get("/replays") == {"data": [], "next": None}


def test_a_job_is_begun_cancelled_and_resumed(site: Site) -> None:
    fail_some(site)
    answer = ask(site, **{"from": "2025-11-24T00:00:00Z", "source": site.source().id, "rate": 7})
    assert answer.status == 202
    job = answer.json()
    assert answer.headers["location"] == f"/api/v1/replays/{job['id']}"
    assert (job["status"], job["matched"], job["replayed"], job["rate"]) == ("running", 2, 0, 7)
    assert (job["from"], job["to"], job["source"]) == ("2025-11-24T00:00:00.000Z", None, site.source().id)
    second = ask(site)
    assert (second.status, job["id"] in second.json()["detail"]) == (409, True)
    path = f"/replays/{job['id']}"
    assert site.api("POST", f"{path}/resume").status == 409
    assert site.api("POST", f"{path}/cancel").json()["status"] == "cancelled"
    assert site.api("POST", f"{path}/cancel").status == 409
    other = ask(site).json()["id"]
    assert site.api("POST", f"{path}/resume").status == 409
    site.api("POST", f"/replays/{other}/cancel")
    assert site.api("POST", f"{path}/resume").json()["status"] == "running"
    page = site.get("/replays", limit=1)
    assert [each["id"] for each in page["data"]] == [other]
    assert [each["id"] for each in site.get("/replays", cursor=page["next"])["data"]] == [job["id"]]
    assert site.get(path) == {name: value for name, value in job.items() if name not in ("dryRun", "breakdown")}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"destination": "dst_none"}, 400, "no destination"),
        ({"source": "src_none"}, 400, "no source"),
        ({"uid": "null"}, 400, "nobody"),
        ({"from": "yesterday"}, 400, "ISO 8601"),
        ({"outcome": "lost"}, 400, "Invalid enum value"),
        ({"rate": 0}, 400, "int"),
        ({"dry": True}, 400, "unknown field"),
    ],
)
def test_what_cannot_be_is_refused(site: Site, body: dict[str, Any], status: int, said: str) -> None:
    answer = ask(site, **body)
    assert answer.status == status
    assert said in answer.json()["detail"]


def test_a_source_that_is_not_connected_and_a_destination_that_is_off(site: Site) -> None:
    destination = ours(site)
    made = site.api("POST", "/sources", {"name": "App", "type": "mobile"}).json()["id"]
    site.api("PATCH", f"/destinations/{destination}", {"sources": [site.source().id]})
    assert "not connected" in ask(site, source=made).json()["detail"]
    site.api("PATCH", f"/destinations/{destination}", {"enabled": False})
    assert ask(site).status == 409


def test_while_somebody_is_being_erased_none_begins(site: Site) -> None:
    assert site.api("POST", "/regulations", {"type": "DELETE", "uids": ["bob"]}).status == 202
    answer = ask(site)
    assert (answer.status, "erased" in answer.json()["detail"]) == (409, True)


def test_one_that_is_not_there(site: Site) -> None:
    for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/resume")):
        assert site.api(method, f"/replays/rpl_none{path}").status == 404


def test_of_deliveries_those_that_were_given_up_can_be_replayed(site: Site) -> None:
    destination, number = hosted(site)
    site.send([{"type": "track", "event": "Seen", "userId": uid, "messageId": uid} for uid in ("ann", "bob", "cid")])
    site.process()
    take_over(site, number)
    answered(site, number, DEAD, FAILED)
    waits, failed, dead = site.get("/deliveries")["data"]
    assert site.api("POST", f"/deliveries/{waits['id']}/replay").status == 409
    assert site.api("POST", "/deliveries/x/replay").status == 404
    job = site.api("POST", f"/deliveries/{dead['id']}/replay").json()
    assert (job["destination"], job["delivery"], job["matched"]) == (destination, dead["id"], 1)
    assert job["breakdown"] == [{"type": "track", "outcome": "dead", "code": "overloaded", "count": 1}]
    assert site.api("POST", f"/deliveries/{dead['id']}/replay").status == 409
    assert site.api("POST", f"/deliveries/{failed['id']}/replay").status == 202
    assert site.api("POST", "/replays", {"destination": destination, "dryRun": True}).json()["matched"] == 2
