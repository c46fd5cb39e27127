"""REST: channel activity enters through the log like any message."""

import json
from pathlib import Path

import pytest

from richpanel.log.remote import RemoteWriter
from richpanel.log.segments import SegmentReader
from tests.web.running import Site, running, segment

LETTER = {"from": {"email": "Grace@Example.com", "name": "Grace"}, "subject": "Hello", "body": "Where is it?"}
CHANNELS = ["email", "chat", "sms", "phone", "facebook", "instagram", "whatsapp"]


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_channel_makes_a_customer(site: Site, channel: str) -> None:
    answer = site.api("POST", f"/channels/{channel}/messages", LETTER)
    assert answer.status == 202
    accepted = answer.json()
    assert accepted["accepted"] is True
    site.process()
    (customer,) = site.get("/customers")["data"]
    assert (customer["uid"], customer["name"]) == ("grace@example.com", "Grace")
    (item,) = [i for i in site.get("/customers/grace%40example.com/timeline")["data"] if i["type"] == "channel"]
    assert (item["id"], item["channel"]) == (accepted["messageId"], channel)


@pytest.mark.parametrize(
    ("channel", "sender", "uid"),
    [
        ("chat", {"anonymousId": "device-1"}, "device-1"),
        ("sms", {"phone": "(415) 555-0101"}, "+14155550101"),
        ("phone", {"phone": 14155550101}, "+14155550101"),
        ("whatsapp", {"phone": "4915112345678"}, "+4915112345678"),
        ("whatsapp", {"phone": "+4915112345678"}, "+4915112345678"),
        ("facebook", {"handle": 1234567890123456}, "facebook:1234567890123456"),
        ("instagram", {"handle": " @Ada.Lovelace"}, "instagram:ada.lovelace"),
        ("instagram", {"handle": "ada", "email": "Ada@X.example"}, "ada@x.example"),
    ],
)
def test_by_what_a_channel_knows_people(site: Site, channel: str, sender: dict[str, object], uid: str) -> None:
    assert site.api("POST", f"/channels/{channel}/messages", {"from": sender, "body": "Hello"}).status == 202
    site.process()
    assert [customer["uid"] for customer in site.get("/customers")["data"]] == [uid]
    (item,) = [i for i in site.get(f"/customers/{segment(uid)}/timeline")["data"] if i["type"] == "channel"]
    assert (item["channel"], item["properties"]) == (channel, {"body": "Hello"})


def test_attachments_are_listed(site: Site) -> None:
    files = [{"name": "a.png", "contentType": "image/png", "size": 5}, {"contentType": "text/x"}, {}]
    assert site.api("POST", "/channels/email/messages", {**LETTER, "attachments": files}).status == 202
    site.process()
    (item,) = [i for i in site.get("/customers/grace%40example.com/timeline")["data"] if i["type"] == "channel"]
    assert item["properties"] == {"subject": "Hello", "body": "Where is it?", "attachments": files}


def test_it_is_answered_only_once_it_is_safe(site: Site) -> None:
    before = site.get("/status")["log"]["last"]
    site.api("POST", "/channels/email/messages", LETTER)
    assert site.writer.durable > before


def test_a_repeat_counts_once(site: Site) -> None:
    for _ in range(2):
        answer = site.api("POST", "/channels/email/messages", {**LETTER, "id": "letter-1"})
        assert (answer.status, answer.json()["messageId"]) == (202, "letter-1")
    site.process()
    timeline = site.get("/customers/grace%40example.com/timeline")["data"]
    assert [item["id"] for item in timeline if item["type"] == "channel"] == ["letter-1"]


def test_a_uid_may_be_a_number_and_a_timestamp_may_be_given(site: Site) -> None:
    body = {"from": {"uid": 7}, "body": "x", "timestamp": "2025-01-02T03:04:05Z"}
    assert site.api("POST", "/channels/sms/messages", body).status == 202
    site.process()
    assert site.get("/customers/7")["lastSeen"] == "2025-01-02T03:04:05.000Z"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"body": "x"}, None),
        ({"from": {}, "body": "x"}, "from"),
        ({"from": {"name": "Grace"}, "body": "x"}, "from"),
        ({"from": {"uid": "null", "email": "no address", "phone": "1"}, "body": "x"}, "from"),
        ({"from": {"uid": "1"}}, None),
        ({"from": {"uid": "1"}, "body": 7}, "body"),
        ({"from": {"uid": True}, "body": "x"}, "from.uid"),
        ({"from": {"uid": "1"}, "body": "x", "id": "i" * 101}, "id"),
        ({"from": {"handle": "ada"}, "body": "x"}, "from.handle"),
        ({"from": {"uid": "1"}, "body": "x", "attachments": [{"size": -1}]}, "attachments[0].size"),
        ({"from": {"uid": "1"}, "body": "x", "attachments": [{"url": "x"}]}, "attachments[0]"),
        ({"from": {"uid": "1"}, "body": "x", "attachments": [{}] * 101}, "attachments"),
        ({"from": {"uid": "1"}, "body": "x", "unknown": 1}, None),
        ([], None),
    ],
)
def test_a_bad_message_is_refused_with_the_reason(shop: Site, body: object, field: str | None) -> None:
    before = shop.writer.durable
    answer = shop.api("POST", "/channels/email/messages", body)
    assert answer.status == 400
    problem = answer.json()
    assert problem["detail"]
    assert problem["errors"][0].get("field") == field
    assert shop.writer.durable == before


@pytest.mark.parametrize(
    ("sender", "field"),
    [({"handle": "@"}, "from"), ({"handle": "null"}, "from"), ({"handle": "a", "anonymousId": "b"}, "from.handle")],
)
def test_a_handle_that_cannot_be_used(shop: Site, sender: dict[str, str], field: str) -> None:
    answer = shop.api("POST", "/channels/instagram/messages", {"from": sender, "body": "x"})
    assert (answer.status, answer.json()["errors"][0]["field"]) == (400, field)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 30_000, b'{"a":' * 5_000])
def test_what_is_no_json_is_refused(shop: Site, body: bytes) -> None:
    assert shop.api("POST", "/channels/email/messages", body).status == 400


def test_unknown_channels_and_large_bodies(site: Site) -> None:
    assert site.api("POST", "/channels/fax/messages", LETTER).status == 404
    assert site.api("POST", f"/channels/{segment('email/x')}/messages", LETTER).status == 404
    large = json.dumps({"from": {"uid": "1"}, "body": "x" * 32_768}).encode()
    assert site.api("POST", "/channels/email/messages", large).status == 413
    fits = json.dumps({"from": {"uid": "1"}, "body": "x" * 32_000}).encode()
    assert site.api("POST", "/channels/email/messages", fits).status == 202


def test_a_disabled_source_takes_none(site: Site) -> None:
    site.api("PATCH", f"/sources/{site.source('Channels').id}", {"enabled": False})
    assert site.api("POST", "/channels/email/messages", LETTER).status == 403


def test_a_process_without_the_log_says_so(data: Path) -> None:
    with running(data, log_writer=None) as reader:
        assert reader.api("POST", "/channels/email/messages", LETTER).status == 503


def test_a_log_that_does_not_answer_is_no_promise(data: Path, tmp_path: Path) -> None:
    """Whoever owned the log is gone: what was asked of it may be kept or not, and the client is told just that."""
    reader = SegmentReader(tmp_path / "log")
    with running(data, log_writer=RemoteWriter(str(tmp_path / "nobody"), reader)) as pages:
        answer = pages.api("POST", "/channels/email/messages", LETTER)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "may be kept or not" in answer.json()["detail"]
    reader.close()
