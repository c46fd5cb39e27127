"""A clock that jumps, forward and back, under a running server and between two starts (Debian's libfaketime)."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.roles import wait_ready
from tests.server import Server, Source, request, segment

UID = "traveller"


class Clock:
    """The clock of a server: it stands so far beside this machine's, and can be moved while the server runs."""

    def __init__(self, folder: Path) -> None:
        [library] = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        self._file = folder / "clock"
        self.env = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.move()

    def move(self, **apart: float) -> None:
        """Let the clock stand so far from the right time."""
        self.apart = timedelta(**apart)
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{self.apart.total_seconds():+.0f}\n")
        draft.replace(self._file)

    def now(self) -> datetime:
        """The time that the server takes it to be."""
        return datetime.now(UTC) + self.apart


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """A clock that is right."""
    return Clock(tmp_path)


@pytest.fixture
def server(tmp_path: Path, clock: Clock) -> Iterator[Server]:
    """A server by that clock. It is killed at the end: libfaketime breaks the sleep of a parent that waits."""
    running = Server(tmp_path / "data", env=clock.env)
    running.start()
    yield running
    running.kill()


def call(server: Server, source: Source, kind: str, message_id: str, **fields: Any) -> None:
    """Send one call of our traveller."""
    message = {"userId": UID, "messageId": message_id, "writeKey": source.write_key, **fields}
    assert request("POST", f"{server.url}/v1/{kind}", json.dumps(message).encode()).status == 200


def received(server: Server, message_id: str) -> datetime:
    """When the message that counts arrived."""
    [trace] = server.traces(message_id)
    return datetime.fromisoformat(trace["receivedAt"])


def close(one: datetime, other: datetime) -> bool:
    """Whether two times are one but for what a busy machine takes."""
    return abs((one - other).total_seconds()) < 60


def doctor(server: Server) -> dict[str, str]:
    """What doctor notes."""
    checks = json.loads(server.command("doctor", "--json"))["checks"]
    return {line["name"]: line["text"] for line in checks if line["state"] != "ok"}


def test_a_clock_that_jumps(server: Server, clock: Clock) -> None:
    source = server.add_source("Shop", "server")
    assert server.token
    call(server, source, "identify", "i", traits={"email": "t@example.com"})
    call(server, source, "page", "now", name="Now")
    server.wait_processed()
    assert "clock" not in doctor(server)

    clock.move(days=2)
    call(server, source, "page", "ahead", name="Ahead")
    call(server, source, "page", "now", name="Now")
    server.wait_processed()
    assert close(received(server, "ahead"), clock.now())

    clock.move(days=-1)
    call(server, source, "page", "back", name="Back")
    call(server, source, "track", "later", event="Later", timestamp=datetime.now(UTC).isoformat())
    call(server, source, "page", "ahead", name="Ahead")
    server.wait_processed()
    wait_ready(server)
    [note] = request("GET", f"{server.url}/ready").json()["notes"]
    assert "before the newest message's arrival" in note
    assert "before the newest message's arrival" in doctor(server)["clock"]
    assert close(received(server, "back"), clock.now())
    assert close(received(server, "later"), clock.now())

    server.kill()
    server.start()  # With a clock that is behind what is in the log.
    wait_ready(server)
    call(server, source, "page", "again", name="Again")
    call(server, source, "page", "now", name="Now")
    server.wait_processed()
    clock.move()
    assert server.get("/status")["outcomes"][source.id] == {"kept": 6, "duplicate": 3}
    entries = [entry for entry in server.timeline(UID) if entry["type"] != "became_customer"]
    times = [datetime.fromisoformat(entry["timestamp"]) for entry in entries]
    assert times == sorted(times, reverse=True)
    # Of several with one id that counts which the clock says came first: those sent again while it was put back.
    assert {entry["id"] for entry in entries} == {"now", "again", "ahead", "back", "later"}
    assert [entry["id"] for entry in entries[:2]] == ["now", "again"]
    sessions = server.get(f"/customers/{segment(UID)}/sessions")["data"]
    assert [each["events"] for each in sessions] == [5], "within a minute of each other, whatever was there before"
