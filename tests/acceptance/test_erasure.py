"""Erasure, the real server and every file: nothing of a person is left anywhere, and nothing of them comes back."""

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.views import add_view, new_view
from tests.acceptance.grep import found
from tests.acceptance.test_archive import SMALL, archived
from tests.acceptance.test_cli import decoded, run, said
from tests.server import Server, Source, request

UID, DEVICE, SHARED = "ada-uid-31415926", "ada-device-27182818", "shared-device-16180339"
WORDS = (
    *(UID, DEVICE, "ada.lovelace@analytical.test", "+14155550142", "Byronia", "ada-session-1", "ada-order-7"),
    *("Engine Room of Ada", "ada-coupon-1815", "ada-refused-0001", "ada-letter-text", "ada-mid-"),
)
"""What only Ada's messages have."""
BEGAN = int(time.time() * 1000) - 3_600_000
ENOUGH = 400
"""Other people, so that the state's pages are split and its log is archived."""


def stamp(minutes: float) -> str:
    moment = BEGAN / 1000 + minutes * 60
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment * 1000) % 1000:03}Z"


def call(kind: str, message_id: str, minutes: float, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "messageId": message_id, "timestamp": stamp(minutes), **fields}


def send(server: Server, source: Source, messages: list[dict[str, Any]]) -> None:
    """As an SDK does, in batches."""
    for start in range(0, len(messages), 50):
        body = json.dumps({"batch": messages[start : start + 50], "writeKey": source.write_key})
        answer = request("POST", f"{server.url}/v1/batch", body.encode(), {"Content-Type": "application/json"})
        assert answer.status == 200, answer


def adas(turn: int) -> list[dict[str, Any]]:
    """Ada's messages; each turn changes her, so that the state has held many versions of her."""
    both = {"userId": UID, "anonymousId": DEVICE}
    traits = {"email": WORDS[2], "phone": WORDS[3], "firstName": "Byronia", "note": f"ada-coupon-1815 {turn}" * 20}
    session = {"richpanel_session_id": f"ada-session-{turn}", "coupon": "ada-coupon-1815"}
    order = {"order_id": "ada-order-7", "total": 10 + turn, "richpanel_session_id": f"ada-session-{turn}"}
    return [
        call("page", f"ada-mid-p{turn}", turn * 0.1, anonymousId=DEVICE, name="Engine Room of Ada", properties=session),
        call("identify", f"ada-mid-i{turn}", turn * 0.1, **both, traits=traits),
        call("track", f"ada-mid-o{turn}", turn * 0.1, **both, event="Order Updated", properties=order),
        call("screen", f"ada-mid-s{turn}", turn * 0.1, **both, name="Engine Room of Ada"),
    ]


def others(turn: int) -> list[dict[str, Any]]:
    """Everybody else's, around hers."""
    made = []
    for number in range(ENOUGH // 10):
        uid = f"u{turn}-{number}"
        traits = {"firstName": f"Name{number}", "email": f"{uid}@other.test", "note": "x" * (number * 37 % 700)}
        made.append(call("identify", f"i-{uid}", turn, userId=uid, anonymousId=f"d-{uid}", traits=traits))
        made.append(
            call("page", f"p-{uid}", turn, anonymousId=f"d-{uid}", name="Home", properties={"pad": "y" * 2_000})
        )
    return made


def tell(server: Server, source: Source) -> None:
    """Ada among the others; a device that she shares with Bo; a bad item, a repeat, a letter; views that name her."""
    for turn in range(10):
        send(server, source, others(turn) + adas(turn))
        send(server, source, others(turn + 100))
    bo = [
        call("identify", "bo-1", 20, userId="bo", anonymousId=SHARED, traits={"email": "bo@other.test"}),
        call("page", "bo-2", 21, anonymousId=SHARED, name="Home"),
        call("identify", "ada-mid-shared", 30, userId=UID, anonymousId=SHARED, traits={}),
        call("page", "ada-mid-shared-page", 31, anonymousId=SHARED, name="Engine Room of Ada"),
    ]
    bad = call("track", "ada-refused-0001", 32, userId=UID)  # No event.
    send(server, source, [*bo, bad, {**adas(3)[1], "traits": {"firstName": "Byronia"}}])
    letter = {"from": {"email": WORDS[2]}, "body": "ada-letter-text", "id": "ada-mid-letter", "timestamp": stamp(33)}
    assert server.api("POST", "/channels/email/messages", letter).status == 202
    server.wait_processed(60)
    engine = open_engine(DataDirectory(server.data, server.env.get("RICHPANEL_DATABASE_URL")).account_url)
    with engine.begin() as connection:
        for name, query in (("Names", "q=Byronia&sort=-ltv"), (f"Orders of {WORDS[2]}", f"where=id%3D{UID}")):
            add_view(connection, new_view(name, "admin", "customers", query, shared=True), int(time.time() * 1000))
    engine.dispose()


def regulation(server: Server, kind: str = "DELETE", **ids: list[str]) -> dict[str, Any]:
    """Ask for a regulation and wait until it is done."""
    answer = server.api("POST", "/regulations", {"type": kind, **ids})
    assert answer.status == 202, answer
    return wait_finished(server, answer.json()["id"])


def wait_finished(server: Server, name: str, seconds: float = 60) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        job: dict[str, Any] = server.get(f"/regulations/{name}")
        if job["status"] == "FINISHED":
            return job
        assert time.monotonic() < deadline, (job, server.printed())
        time.sleep(0.1)


def send_late(server: Server, source: Source) -> None:
    """Ada's calls of the time before, from devices that were offline: they are refused."""
    late = [
        call("page", "ada-mid-late-1", 31.5, anonymousId=SHARED, name="Engine Room of Ada"),
        call("identify", "ada-mid-late-2", 40, userId=UID, anonymousId=DEVICE, traits={"firstName": "Byronia"}),
        call("page", "ada-mid-late-3", 5, anonymousId=DEVICE, name="Engine Room of Ada"),
    ]
    send(server, source, late)
    server.wait_processed()


def assert_forgotten(server: Server, bo: list[dict[str, Any]]) -> None:
    """Ada is in no answer; Bo, who shared a device with her, has what was his, and so have all others."""
    assert server.api("GET", f"/customers/{UID}").status == 404
    assert server.get("/customers", q="Byronia")["data"] == []
    assert server.timeline("bo") == bo
    assert len(server.get("/customers", q="Name1")["data"]) == 50


def wait_gone(data: Path, seconds: float = 120) -> None:
    """Wait until nothing is found: what comes late is erased within a few seconds."""
    deadline = time.monotonic() + seconds
    while (hits := found(data, WORDS)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert hits == {}


def verify(data: Path) -> None:
    shown = decoded(run("erase", "--verify", "--json", "--data", data))
    assert (shown["verified"], shown["problems"]) == (True, [])


@pytest.fixture
def told(tmp_path: Path) -> Iterator[tuple[Server, Source]]:
    with Server(tmp_path / "data", env=SMALL) as server:
        source = server.add_source("Shop")
        tell(server, source)
        yield server, source


def test_nothing_is_left_in_any_file_and_nothing_comes_back(told: tuple[Server, Source]) -> None:
    server, source = told
    deadline = time.monotonic() + 60
    while not archived(server.data):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    before = found(server.data, WORDS)
    assert set(before) == set(WORDS)
    assert any(".zst unpacked" in where for places in before.values() for where in places)
    bo = server.timeline("bo")

    job = regulation(server, uids=[UID])
    assert found(server.data, WORDS) == {}
    assert job["receipt"]["tables"]["messages"]["count"] == 10 * 4 + 2 + 1
    assert job["receipt"]["tables"]["saved views"]["count"] == 2
    assert_forgotten(server, bo)

    send_late(server, source)
    assert_forgotten(server, bo)
    wait_gone(server.data)

    rebuilt = json.loads(server.command("rebuild", "--json"))
    assert (rebuilt["equal"], rebuilt["switched"]) == (True, True)
    assert found(server.data, WORDS) == {}


def test_the_command_erases_without_a_server_and_verifies(told: tuple[Server, Source]) -> None:
    server, source = told
    backup = server.data.parent / "older.backup"
    server.command("backup", str(backup))
    bo = server.timeline("bo")
    server.stop()
    job = json.loads(server.command("erase", UID, "--json"))
    assert (job["status"], job["by"]) == ("FINISHED", "richpanel erase")
    assert found(server.data, WORDS) == {}
    text = server.command("erase", "--verify")
    assert "the chain is whole, and nothing of them is there" in text

    older = server.data.parent / "restored"
    done = run("restore", backup, "--ledger", server.data, "--data", older, "--json")
    assert "1 regulations since then were followed again" in decoded(done)["notes"][-1]
    assert found(older, WORDS) == {}
    verify(older)
    with Server(older, env=SMALL) as again:
        assert again.timeline("bo") == bo
        assert again.api("GET", f"/customers/{UID}").status == 404
        assert again.get(f"/regulations/{job['id']}")["receipt"] == job["receipt"]
        late = call("identify", "ada-mid-late", 40, userId=UID, anonymousId=SHARED, traits={"firstName": "Byronia"})
        anonymous = call("page", "ada-mid-late-2", 31.2, anonymousId=SHARED, name="Engine Room of Ada")
        send(again, source, [late, anonymous])
        again.wait_processed()
        wait_gone(again.data)
        assert again.timeline("bo") == bo
        rebuilt = json.loads(again.command("rebuild", "--json"))
        assert (rebuilt["equal"], rebuilt["switched"]) == (True, True)
        assert found(older, WORDS) == {}
    server.start()


def test_a_backup_without_its_ledger_says_what_it_cannot_know(told: tuple[Server, Source]) -> None:
    server, _ = told
    backup = server.data.parent / "older.backup"
    server.command("backup", str(backup))
    notes = decoded(run("restore", backup, "--data", server.data.parent / "restored", "--json"))["notes"]
    assert "is not known to this backup: --ledger tells it" in notes[-1]
    with Server(server.data.parent / "other") as other:
        other.command("status")
    refused = run("restore", backup, "--ledger", other.data, "--data", server.data.parent / "again")
    said(refused, 1, "is of another installation")
    said(run("restore", backup, "--ledger", backup.parent / "no", "--data", backup.parent / "again"), 1, "is no ledger")


def test_what_is_not_as_the_receipts_say_is_found(told: tuple[Server, Source]) -> None:
    """Somebody changes a receipt; somebody puts an old message back."""
    server, _ = told
    server.command("erase", "bo")
    server.command("erase", "u1-1")
    server.stop()
    with closing(sqlite3.connect(server.data / "account.db")) as connection, connection:
        place = "UPDATE regulations SET receipt = replace(receipt, '\"count\":2', '\"count\":1') WHERE place = 1"
        assert connection.execute(place).rowcount == 1
        hashed = connection.execute("SELECT hash FROM erased_messages").fetchone()
    with closing(sqlite3.connect(server.data / "state.db")) as connection, connection:
        connection.execute("INSERT INTO message_ids (part, hash, n) VALUES (0, ?, 999999)", hashed)
    done = run("erase", "--verify", "--json", "--data", server.data)
    assert done.returncode == 1
    first, second = json.loads(done.stdout)["problems"]
    assert "is not what was written" in first
    assert second == "1 messages that were erased are in the state"
    server.start()


def test_who_is_kept_out_is_so_within_a_second(told: tuple[Server, Source]) -> None:
    server, source = told
    regulation(server, "SUPPRESS", uids=[UID])
    time.sleep(3)
    end = server.get("/status")["log"]["last"]
    batch = [call("page", "late-1", 1, userId=UID), call("page", "late-2", 1, anonymousId=DEVICE)]
    send(server, source, batch)
    assert server.get("/status")["log"]["last"] == end
    assert server.customer(UID)["uid"] == UID
    deadline = time.monotonic() + 60
    counted = f'richpanel_refused_privacy_total{{source="{source.id}"}} 2.0'
    while counted not in request("GET", f"{server.url}/metrics").body.decode():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    regulation(server, "UNSUPPRESS", uids=[UID])
    time.sleep(3)
    send(server, source, batch)
    assert server.get("/status")["log"]["last"] > end


def test_a_server_that_is_killed_ends_what_it_began(told: tuple[Server, Source]) -> None:
    server, _ = told
    for wait in (0.0, 0.15, 0.4):
        answer = server.api("POST", "/regulations", {"type": "DELETE", "uids": [UID, f"u{wait}"]})
        assert answer.status == 202
        time.sleep(wait)
        server.kill()
        server.start()
        wait_finished(server, answer.json()["id"])
        assert found(server.data, WORDS) == {}
        verify(server.data)
        send(server, server.add_source(f"Shop {wait}"), adas(1) if wait < 0.4 else [])
        server.wait_processed()


def test_while_a_backup_reads_the_log_the_job_waits_and_says_so(told: tuple[Server, Source]) -> None:
    server, _ = told
    lock = os.open(server.data / "log", os.O_RDONLY)  # As a backup does.
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        made = server.api("POST", "/regulations", {"type": "DELETE", "uids": [UID]}).json()
        deadline = time.monotonic() + 60
        while (job := server.get(f"/regulations/{made['id']}"))["problem"] is None:
            assert time.monotonic() < deadline, job
            time.sleep(0.1)
        assert job["status"] == "RUNNING"
        assert server.api("GET", f"/customers/{UID}").status == 404
        problems = json.loads(run("erase", "--verify", "--json", "--data", server.data).stdout)["problems"]
        assert any("is not done yet" in problem for problem in problems)
    finally:
        os.close(lock)
    assert wait_finished(server, made["id"])["problem"] is None
    assert found(server.data, WORDS) == {}
