"""`richpanel erase`: what it refuses, and what it says."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from richpanel.store.deliveries import DEAD
from tests.acceptance.test_cli import decoded, run, said
from tests.web.outgoing import PAYLOAD, answered, hosted, take_over
from tests.web.running import furnish, running


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        ([], 1, "names at least one id"),
        (["null"], 1, "stands for nobody"),
        (["--address", "neither"], 1, "an email or a phone number"),
        (["--suppress", "--anonymous-id", "a1"], 1, "is about uids"),
        (["--verify", "u1"], 2, "name nobody"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(tmp_path: Path, args: list[str], code: int, text: str) -> None:
    said(run("erase", *args, "--data", tmp_path / "data"), code, text)


def test_somebody_nobody_has_heard_of_gets_a_receipt_too(tmp_path: Path) -> None:
    data = tmp_path / "data"
    job = decoded(run("erase", "u1", "u2", "--anonymous-id", "a1", "--address", "a@x", "--json", "--data", data))
    assert (job["type"], job["status"], job["ids"]) == ("DELETE", "FINISHED", 4)
    assert {table["count"] for table in job["receipt"]["tables"].values()} == {0}
    assert job["receipt"]["tombstones"]["count"] == 4
    again = run("erase", "u1", "--suppress", "--data", data)
    assert again.returncode == 0
    assert "what comes late of them is refused" in again.stdout
    shown = decoded(run("erase", "--verify", "--json", "--data", data))
    assert shown == {
        **{"verified": True, "regulations": 2, "receipts": 2, "ids": 4, "messages": 0},
        **{"logBytes": shown["logBytes"], "problems": []},
    }


def test_without_a_server_what_was_sent_of_somebody_goes_too(tmp_path: Path) -> None:
    data = furnish(tmp_path / "data")
    with running(data) as site:
        _, number = hosted(site)
        whose = {"1": "ann", "2": "ann", "3": "bob"}
        site.send([{"type": "track", "event": "Paid", "userId": uid, "messageId": id_} for id_, uid in whose.items()])
        site.process()
        take_over(site, number)
        answered(site, number, DEAD)
        kept = max(each["id"] for each in site.get("/deliveries")["data"])
    job = decoded(run("erase", "ann", "--json", "--data", data))
    assert job["receipt"]["tables"]["deliveries"]["count"] == 2
    with closing(sqlite3.connect(data / "delivery.db")) as left:
        assert left.execute("SELECT id FROM deliveries").fetchall() == [(kept,)]
        assert left.execute("SELECT count(*) FROM attempts").fetchall() == [(0,)]
    for path in data.glob("delivery.db*"):
        assert PAYLOAD not in path.read_bytes(), path
