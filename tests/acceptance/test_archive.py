"""The log archives itself while it serves, and lets go what the operator says; nobody who asks sees a difference."""

import json
import os
import time
from pathlib import Path
from typing import Any

from tests.acceptance.test_cli import checks, lines, run, write
from tests.server import Server, request

SMALL = {"RICHPANEL_LOG_SEGMENT_BYTES": str(1 << 20), "RICHPANEL_LOG_ARCHIVE_AFTER": "1"}
COUNT = 20_000


def archived(data: Path) -> list[Path]:
    return sorted((data / "log").glob("*.zst"))


def raw(data: Path) -> list[Path]:
    return sorted((data / "log").glob("*.log"))


def wait_archived(data: Path, left: int = 1) -> None:
    """Wait until no more than so many files of the log are raw."""
    deadline = time.monotonic() + 60
    while len(raw(data)) > left:
        assert time.monotonic() < deadline, [*raw(data), *archived(data)]
        time.sleep(0.05)


def load(server: Server, tmp_path: Path, uid: str = "imp") -> None:
    messages = lines(COUNT, uid=uid)
    for message in messages:
        message["properties"] = {"note": "x" * 100, "id": message["messageId"]}
    server.command("import", str(write(tmp_path / f"{uid}.jsonl", messages)))
    server.wait_processed(120)


def whole_timeline(server: Server, uid: str) -> list[Any]:
    found: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = server.get(f"/customers/{uid}/timeline", limit=500, **({"cursor": cursor} if cursor else {}))
        found += page["data"]
        cursor = page["next"]
    return found


def test_the_log_archives_itself_while_it_serves(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Server(data, env=SMALL | {"RICHPANEL_LOG_ARCHIVE_AFTER": "never"}) as server:
        load(server, tmp_path)
        before = whole_timeline(server, "imp")
        assert (len(before), len(raw(data)) > 4, archived(data)) == (COUNT, True, [])
    with Server(data, env=SMALL) as server:
        wait_archived(data)
        assert whole_timeline(server, "imp") == before
        trace = server.traces("imp-7")[0]
        assert (trace["body"]["properties"]["id"], trace["bodyKept"]) == ("imp-7", True)
        shown = json.loads(server.command("status", "--json"))["files"]
        assert shown["raw"]["files"] == 1
        assert shown["archived"]["files"] == len(archived(data))
        assert shown["archived"]["bytes"] == sum(path.stat().st_size for path in archived(data))
        assert shown["archived"]["ratio"] > 3
        assert "to 1)" in server.command("status")
        done = run("doctor", "--deep", "--json", "--data", data)
        assert (done.returncode, checks(done)["archives"]) == (0, "ok"), done.stdout
        assert "richpanel_log_archived_bytes" in request("GET", f"{server.url}/metrics").body.decode()
        load(server, tmp_path, "more")
        assert len(whole_timeline(server, "more")) == COUNT
    file = archived(data)[1]
    content = file.read_bytes()
    file.chmod(0o640)
    file.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
    done = run("doctor", "--deep", "--json", "--data", data)
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert (done.returncode, found["archives"]["state"], found["records"]["state"]) == (1, "problem", "problem")
    assert file.name in found["archives"]["text"]


def test_what_the_operator_lets_go_is_shown_as_gone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Server(data, env=SMALL | {"RICHPANEL_LOG_ARCHIVE_AFTER": "never"}) as server:
        load(server, tmp_path)
    old = time.time() - 8 * 86_400
    for path in raw(data)[:3]:
        os.utime(path, (old, old))
    with Server(data, env=SMALL) as server:
        wait_archived(data)
        assert len(archived(data)) > 3, "kept for ever unless the operator says otherwise"
    with Server(data, env=SMALL | {"RICHPANEL_LOG_RETENTION": "7"}) as server:
        deadline = time.monotonic() + 60
        while archived(data)[0].stem == "0" * 20:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        shown = whole_timeline(server, "imp")
        gone = [entry for entry in shown if not entry["bodyKept"]]
        assert (len(shown), shown[0]["id"], 1000 < len(gone) < COUNT) == (COUNT, f"imp-{COUNT - 1}", True)
        assert {(entry["id"], entry["event"], len(entry["properties"])) for entry in gone[:-1]} == {(None, "Visit", 0)}
        trace = server.traces("imp-7")[0]
        assert (trace["outcome"], trace["body"], trace["bodyKept"]) == ("kept", None, False)
        assert server.customer("imp")["email"] == "imp@example.com"
        assert '"log_dropped"' in server.printed()
        assert run("doctor", "--deep", "--data", data).returncode == 0
        load(server, tmp_path)  # The same messages again.
        assert len(whole_timeline(server, "imp")) == COUNT
