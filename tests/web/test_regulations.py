"""REST: regulations enter through the log, and can be asked for until they are done (contract.md)."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.web.running import Site, running, segment
from tests.web.story import DEVICE, TRAITS, UID, tell

EMAIL = str(TRAITS["email"])


@pytest.fixture
def told(site: Site) -> Site:
    tell(site)
    return site


def ask(site: Site, kind: str = "DELETE", **ids: Any) -> dict[str, object]:
    answer = site.api("POST", "/regulations", {"type": kind, **ids})
    assert answer.status == 202, answer.body
    made: dict[str, object] = answer.json()
    assert answer.headers["location"] == f"/api/v1/regulations/{made['id']}"
    return made


@pytest.mark.parametrize("ids", [{"uids": [UID]}, {"anonymousIds": [DEVICE]}, {"addresses": [EMAIL.upper()]}])
def test_a_customer_is_gone_by_whichever_id(told: Site, ids: dict[str, list[str]]) -> None:
    made = ask(told, "DELETE", **ids)
    assert (made["type"], made["status"], made["ids"], made["receipt"]) == ("DELETE", "INITIALIZED", 1, None)
    assert told.get(f"/regulations/{made['id']}") == made
    told.process()
    assert told.api("GET", f"/customers/{segment(UID)}").status == 404
    assert told.get("/customers", q=EMAIL)["data"] == []
    assert told.get(f"/regulations/{made['id']}")["status"] == "RUNNING"
    assert [row["id"] for row in told.get("/regulations")["data"]] == [made["id"]]


def test_somebody_known_by_an_address_alone_is_erased_by_it_as_by_a_uid(told: Site) -> None:
    body = {"from": {"email": "who@shop.test"}, "body": "Hello"}
    assert told.api("POST", "/channels/email/messages", body).status == 202
    told.process()
    assert told.get("/customers/who%40shop.test")["uid"] == "who@shop.test"
    ask(told, uids=["who@shop.test"])
    told.process()
    assert told.api("GET", "/customers/who%40shop.test").status == 404


def test_who_is_kept_out_is_listed_by_a_hash_until_let_in(told: Site) -> None:
    ask(told, "SUPPRESS", uids=[UID, "nobody-yet"])
    told.process()
    rows = told.get("/suppressions", limit=1)
    more = told.get("/suppressions", limit=1, cursor=rows["next"])
    assert more["next"] is None
    assert sorted(row["aliases"] for row in rows["data"] + more["data"]) == [0, 1]
    assert UID not in json.dumps([rows, more])
    assert told.get(f"/customers/{segment(UID)}")["uid"] == UID
    ask(told, "UNSUPPRESS", uids=[UID])
    told.process()
    assert len(told.get("/suppressions")["data"]) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "DELETE"}, "uids"),
        ({"type": "DELETE", "uids": ["ok", "null"]}, "uids[1]"),
        ({"type": "DELETE", "anonymousIds": ["0-0-0"]}, "anonymousIds[0]"),
        ({"type": "DELETE", "addresses": ["neither"]}, "addresses[0]"),
        ({"type": "SUPPRESS", "addresses": ["a@x"]}, "addresses"),
        ({"type": "DELETE", "uids": [str(n) for n in range(1, 5_002)]}, "uids"),
        ({"type": "ERASE", "uids": ["u1"]}, "type"),
        ({"type": "DELETE", "uids": "u1"}, "uids"),
        ({"type": "DELETE", "uids": ["u1"], "regulationType": "x"}, None),
    ],
)
def test_a_wrong_body_is_answered_with_what_is_wrong(site: Site, body: dict[str, object], field: str | None) -> None:
    answer = site.api("POST", "/regulations", body)
    assert answer.status == 400, answer.body
    if field is not None:
        assert field in answer.body.decode()
    assert site.get("/regulations")["data"] == []


def test_integers_are_their_digits_and_five_thousand_ids_are_taken(site: Site) -> None:
    assert ask(site, uids=list(range(1, 5_001)))["ids"] == 5_000


def test_what_is_not_there_is_not_found(site: Site) -> None:
    assert site.api("GET", "/regulations/reg_none").status == 404
    assert site.api("GET", "/regulations", cursor="x").status == 400
    assert site.api("POST", "/regulations", {"type": "DELETE", "uids": ["u1"]}, token=None).status == 401


def test_where_the_log_takes_nothing_nothing_is_left_of_it(site: Site) -> None:
    asyncio.run_coroutine_threadsafe(site.writer.close(), site.loop).result(10)
    answer = site.api("POST", "/regulations", {"type": "DELETE", "uids": ["u1"]})
    assert answer.status == 503, answer.body
    assert site.get("/regulations")["data"] == []


def test_a_process_without_a_log_takes_none(data: Path) -> None:
    with running(data, log_writer=None) as site:
        assert site.api("POST", "/regulations", {"type": "DELETE", "uids": ["u1"]}).status == 503
