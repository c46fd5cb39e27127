"""Alarms from the figure to the mail: they open, are told of once by each channel, resolve, and nothing is lost."""

import asyncio
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from richpanel.core.alarms import OPENS_AFTER_MS, RESOLVES_AFTER_MS
from richpanel.deliver.sending import Sender
from richpanel.log.segments import SegmentReader
from richpanel.roles.alarming import Alarming
from richpanel.roles.mailing import Mailer
from richpanel.roles.noticing import PATIENCE, Noticing
from richpanel.roles.sampling import Sampler
from richpanel.store import alarm_history
from richpanel.store.bulk import run
from richpanel.store.database import open_engine
from richpanel.store.samples import Sample
from richpanel.store.secrets import open_secrets
from tests.web.running import NOW, Site, furnish, running

MINUTE = 60_000


@dataclass
class Listener:
    """A stranger's server for webhooks; it answers `status`."""

    status: int = 200
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Listen; give the URL."""
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.heard.append((dict(self.headers.items()) | {"path": self.path}, body))
                self.send_response(listener.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/hook?token=abc"
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Postbox:
    """What a server for mail does with mail: it keeps it, or refuses it with `answer`."""

    answer: str = "250 OK"
    mails: list[EmailMessage] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """Take a mail."""
        if self.answer.startswith("250"):
            self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return self.answer


class Post(Controller):
    """A server for mail on a free port."""

    def __init__(self, postbox: Postbox) -> None:
        """Nothing listens yet."""
        super().__init__(postbox, hostname="127.0.0.1", port=0)

    def _trigger_server(self) -> None:
        """There is no port yet to try: it was chosen by the system."""
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@dataclass
class Watch:
    """A site with what looks after its alarms, and who is told."""

    site: Site
    alarming: Alarming
    noticing: Noticing
    listener: Listener
    postbox: Postbox
    url: str
    now: int = NOW

    def look(self, seconds: int, sample: Sample) -> None:
        """Look every five seconds for so long, and send what is due."""
        for _ in range(seconds // 5):
            self.now += 5_000
            self.site.clock.ms = self.now
            self.alarming.look(sample._replace(at=self.now), self.now)
        self.noticing.send_due(self.now)

    def add(self, **fields: Any) -> dict[str, Any]:
        """Add an alarm with both channels."""
        body = {"webhook": self.url, "emails": ["ops@shop.example", "boss@shop.example"], **fields}
        answer = self.site.api("POST", "/alarms", body)
        assert answer.status == 201, answer.body
        found: dict[str, Any] = answer.json()
        return found

    def types(self) -> list[str]:
        """What the webhook was told, in order."""
        return [json.loads(body)["type"] for _, body in self.listener.heard]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    listener, postbox = Listener(), Postbox()
    furnish(tmp_path / "data")
    post = Post(postbox)
    post.start()
    with listener.listening() as url, running(tmp_path / "data", allow_private_endpoints=True) as site:
        directory = site.directory
        state, delivery = open_engine(directory.state_url), open_engine(directory.delivery_url)
        account = open_engine(directory.account_url)
        noticing = Noticing(
            account,
            open_secrets(directory.path),
            lambda: Sender("tests", allow_private=True),
            Mailer(f"smtp://127.0.0.1:{post.port}", "richpanel@shop.example"),
        )
        yield Watch(site, Alarming(state, delivery, account, "https://app.example"), noticing, listener, postbox, url)
        for engine in (state, delivery, account):
            engine.dispose()
    post.stop()


BEHIND, WELL = Sample(0, lag_ms=90_000), Sample(0, lag_ms=0)


def test_an_alarm_opens_is_told_and_resolves(watch: Watch) -> None:
    alarm = watch.add(kind="behind", remindHours=1)
    watch.look(60, WELL)
    assert not watch.listener.heard
    assert not watch.postbox.mails
    watch.look(60, BEHIND)
    ((headers, body),) = watch.listener.heard
    at, _, signature = headers["Richpanel-Signature"].partition(",v1=")
    signed = at.removeprefix("t=").encode() + b"." + body
    assert hmac.compare_digest(hmac.new(alarm["webhookSecret"].encode(), signed, sha256).hexdigest(), signature)
    told = json.loads(body)
    assert headers["path"] == "/hook?token=abc"
    assert headers["Richpanel-Notice"] == told["id"]
    assert (told["type"], told["value"], told["url"]) == ("alarm.opened", 90.0, "https://app.example/alarms")
    (mail,) = watch.postbox.mails
    assert mail["Subject"] == "[Alarm] Processing is behind"
    assert mail["To"] == "ops@shop.example, boss@shop.example"
    assert told["id"] in mail["Message-ID"]
    assert "90 seconds behind" in mail.get_content()

    watch.look(120, BEHIND)
    watch.look(RESOLVES_AFTER_MS // 1000 - 5, WELL)
    assert len(watch.listener.heard) == 1
    watch.now += 3_600_000
    watch.look(5, BEHIND)
    assert watch.types() == ["alarm.opened", "alarm.reminder"]
    watch.look(RESOLVES_AFTER_MS // 1000 + 5, WELL)
    assert watch.types()[-1] == "alarm.resolved"
    assert [mail["Subject"].split("]")[0] for mail in watch.postbox.mails] == ["[Alarm", "[Still open", "[Resolved"]
    found = watch.site.get(f"/alarms/{alarm['id']}")
    assert found["open"] == 0
    assert found["openings"][0]["resolvedAt"] is not None
    assert all(each["sentAt"] for each in found["notices"])


def test_a_source_that_falls_silent(watch: Watch) -> None:
    watch.add(kind="no_events", threshold=10)
    site = watch.site
    site.send([{"type": "page", "messageId": "p1", "userId": "u1"}], at=NOW - 9 * MINUTE)
    site.process()
    watch.look(60, WELL)
    assert watch.types() == []
    watch.look(180, WELL._replace(lag_ms=60_000))
    assert watch.types() == []  # What has not been processed may be of that source.
    watch.look(60, WELL)
    assert watch.types() == ["alarm.opened"]
    assert json.loads(watch.listener.heard[0][1])["subject"] == {"id": site.source().id, "name": "Website"}
    site.send([{"type": "page", "messageId": "p2", "userId": "u1"}], at=watch.now)
    site.process()
    watch.look(90, WELL)
    assert watch.types() == ["alarm.opened", "alarm.resolved"]


def test_destinations_that_fail(watch: Watch) -> None:
    made = watch.site.api(
        "POST", "/destinations", {"name": "Hosted", "settings": {"apiKey": "k"}, "endpoint": "http://127.0.0.1:9"}
    ).json()
    for kind in ("failing", "dead_letters", "waiting"):
        watch.add(kind=kind, threshold=20, subject=made["id"], emails=[])
    engine = open_engine(watch.site.directory.delivery_url)
    with engine.begin() as connection:
        minute = NOW - NOW % MINUTE
        for status, code, count in ((2, "", 70), (1, "x", 10), (6, "x", 20), (4, "dropped", 900)):
            run(connection, "INSERT INTO figures VALUES (2, ?, ?, ?, ?)", minute, status, code, count)
    engine.dispose()
    watch.look(30, WELL)
    said = sorted(json.loads(body)["text"] for _, body in watch.listener.heard)
    assert [each.partition(": ")[2] for each in said] == [
        "30 % of the tries at Hosted failed in the last ten minutes (limit 20 %).",
        "20 calls for Hosted were given up in the last hour (limit 20).",
    ]
    watch.now += 61 * MINUTE
    watch.look(90, WELL)
    assert watch.types().count("alarm.resolved") == 2


def test_what_fails_is_tried_again_with_the_same_id(watch: Watch) -> None:
    watch.listener.status, watch.postbox.answer = 503, "451 later"
    watch.add(kind="disk", threshold=90)
    watch.look(30, Sample(0, free_bytes=5, disk_bytes=100))
    watch.listener.status, watch.postbox.answer = 200, "250 OK"
    watch.now += PATIENCE.longest
    assert watch.noticing.send_due(watch.now) == 2
    first, second = (json.loads(body)["id"] for _, body in watch.listener.heard)
    assert first == second
    (mail,) = watch.postbox.mails
    assert first in mail["Message-ID"]
    assert watch.noticing.send_due(watch.now + PATIENCE.lasting) == 0


def test_what_was_sent_and_not_noted_is_sent_again(watch: Watch) -> None:
    """A crash between the notice and its note: at least once, and the id tells."""
    watch.add(kind="behind", emails=[])
    watch.look(30, BEHIND)
    engine = open_engine(watch.site.directory.account_url)
    with engine.begin() as connection:
        run(connection, "UPDATE alarm_notices SET due_at = created_at, sent_at = NULL, tries = 0")
    watch.noticing.send_due(watch.now)
    engine.dispose()
    first, second = (json.loads(body)["id"] for _, body in watch.listener.heard)
    assert first == second


def test_what_is_refused_for_good_is_given_up_and_told(watch: Watch) -> None:
    watch.listener.status, watch.postbox.answer = 404, "550 no such box"
    alarm = watch.add(kind="behind")
    assert watch.site.api("POST", f"/alarms/{alarm['id']}/test").status == 202
    watch.noticing.send_due(watch.now)
    notices = {each["channel"]: each for each in watch.site.get(f"/alarms/{alarm['id']}")["notices"]}
    assert (notices["webhook"]["problem"], notices["webhook"]["nextTry"]) == ("It answered 404.", None)
    assert "550 no such box" in notices["email"]["problem"]
    assert notices["email"]["nextTry"] is None
    watch.listener.status = 200
    assert watch.noticing.send_due(watch.now + PATIENCE.lasting) == 0


def test_turning_off_and_deleting_resolve_without_a_word(watch: Watch) -> None:
    alarms = [watch.add(kind="behind", emails=[]) for _ in range(2)]
    watch.look(30, BEHIND)
    assert watch.types() == ["alarm.opened"] * 2
    assert watch.site.api("PATCH", f"/alarms/{alarms[0]['id']}", {"enabled": False}).status == 200
    assert watch.site.api("DELETE", f"/alarms/{alarms[1]['id']}").status == 204
    watch.look(30, BEHIND)
    assert watch.types() == ["alarm.opened"] * 2
    engine = open_engine(watch.site.directory.account_url)
    with engine.connect() as connection:
        assert alarm_history.open_now(connection) == []
    engine.dispose()


def test_another_node_that_leads_begins_afresh(watch: Watch) -> None:
    watch.add(kind="behind", emails=[])
    watch.look(OPENS_AFTER_MS // 1000, BEHIND)
    watch.alarming.forget()
    watch.look(OPENS_AFTER_MS // 1000, BEHIND)
    assert watch.types() == []
    watch.look(5, BEHIND)
    watch.alarming.forget()
    watch.look(30, BEHIND)
    assert watch.types() == ["alarm.opened"]


def test_the_disk_is_measured(watch: Watch) -> None:
    directory = watch.site.directory
    with closing(SegmentReader(directory.log)) as log, closing(Sampler(directory, log)) as sampler:
        sample = sampler.look(NOW)
    assert 0 < sample.free_bytes < sample.disk_bytes
    assert sample.state_bytes > 0
