"""`richpanel backup` and `restore`, the real command: beside a server, without one, and where things go wrong."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.acceptance.test_archive import SMALL, archived, load, wait_archived, whole_timeline
from tests.acceptance.test_cli import decoded, lines, run, said, write
from tests.server import COMMAND, Server, Source, request


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with some history, most of it archived."""
    folder = tmp_path_factory.mktemp("backup")
    with Server(folder / "data", env=SMALL) as running:
        load(running, folder)
        wait_archived(running.data)
        yield running


def post(server: Server, source: Source, name: str, messages: list[dict[str, Any]]) -> None:
    """Send a batch as an SDK does."""
    body = json.dumps({"batch": messages, "writeKey": source.write_key, "sentAt": "2026-11-27T10:00:00Z"})
    answer = request("POST", f"{server.url}/v1/batch", body.encode(), {"Content-Type": "application/json"})
    assert answer.status == 200, (name, answer)


class Load(threading.Thread):
    """A back end that sends batches of its own person until it is told to stop, and notes what was acknowledged."""

    def __init__(self, server: Server, source: Source, uid: str) -> None:
        super().__init__()
        self.server, self.source, self.uid = server, source, uid
        self.acknowledged: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        post(self.server, self.source, self.uid, [{"type": "identify", "userId": self.uid, "messageId": self.uid}])
        turn = 0
        while not self.stop.is_set():
            ids = [f"{self.uid}-{turn}-{number}" for number in range(10)]
            events = [{"type": "track", "event": "Visit", "userId": self.uid, "messageId": one} for one in ids]
            post(self.server, self.source, self.uid, events)
            self.acknowledged += ids
            turn += 1


def sign_in(server: Server, login: str, password: str) -> int:
    """Sign in on the page; the status of the answer."""
    page = request("GET", f"{server.url}/")
    csrf = re.search(rb'name="csrf" value="([^"]+)"', page.body)
    assert csrf is not None
    form = urlencode({"csrf": csrf[1].decode(), "username": login, "password": password}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": page.headers["set-cookie"].split(";")[0]}
    return request("POST", f"{server.url}/sign-in", form, headers).status


def exported(server: Server) -> dict[str, set[str]]:
    """The ids of the events of each customer."""
    found: dict[str, set[str]] = {}
    for line in server.command("export", "events").splitlines():
        event = json.loads(line)
        found.setdefault(event["uid"], set()).add(event["id"])
    return found


def test_what_was_acknowledged_before_is_in_a_backup_made_under_load(server: Server, tmp_path: Path) -> None:
    source = server.add_source("Load", "server")
    token = json.loads(server.command("token", "add", "kept", "--json"))["token"]
    login = json.loads(server.command("user", "add", "grace", "--json"))
    before = whole_timeline(server, "imp")
    sending = [Load(server, source, f"load-{number}") for number in range(4)]
    for each in sending:
        each.start()
    time.sleep(1)
    acknowledged = {each.uid: set(each.acknowledged) for each in sending}
    began = time.time()
    made = [decoded(run("backup", tmp_path / f"{n}.tar.zst", "--json", "--data", server.data)) for n in range(3)]
    for each in sending:
        each.stop.set()
        each.join()
    assert all(acknowledged.values())
    assert made[0]["processed"] <= made[0]["log"]["end"] < made[2]["log"]["end"]
    assert (tmp_path / "0.tar.zst").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"0.tar.zst", "1.tar.zst", "2.tar.zst"}

    restored = tmp_path / "deep" / "data"
    done = decoded(run("restore", tmp_path / "0.tar.zst", "--json", "--data", restored))
    assert (done["restored"], done["verified"]) == (str(restored), True)
    assert done["ageSeconds"] <= time.time() - began
    for key in ("createdAt", "messages", "customers", "visitors", "log", "processed"):
        assert done[key] == made[0][key]
    assert sorted(os.listdir(restored)) == ["account.db", "delivery.db", "log", "secret.key", "state.db"]
    assert len(archived(restored)) > 3
    assert decoded(run("doctor", "--deep", "--json", "--data", restored))["ok"]
    with Server(restored) as again:
        again._token = token
        again.wait_processed()
        assert whole_timeline(again, "imp") == before
        found = exported(again)
        for uid, ids in acknowledged.items():
            assert ids <= found[uid], uid
        for each in sending:
            assert found[each.uid] - {each.uid} <= set(each.acknowledged)
        post(again, source, "after", [{"type": "identify", "userId": "after", "traits": {"email": "a@x.example"}}])
        again.wait_processed()
        assert again.customer("after")["email"] == "a@x.example"
        assert sign_in(again, login["login"], login["password"]) == 303
        assert sign_in(again, login["login"], "not hers") == 401


def test_without_a_server(tmp_path: Path) -> None:
    data, again = tmp_path / "data", tmp_path / "again"
    decoded(run("import", write(tmp_path / "f.jsonl", lines(500)), "--data", data, "--json"))
    made = decoded(run("backup", tmp_path / "b", "--json", "--data", data))
    assert (made["processed"], made["messages"], made["log"]["end"] > 50_000) == (0, 0, True)
    done = run("restore", tmp_path / "b", "--data", again)
    assert "wait to be processed" in done.stdout
    assert f"richpanel serve --data {again}" in done.stdout
    with Server(again) as server:
        server.wait_processed()
        assert len(server.timeline("imp")) == 500


def test_before_anything_was_served(tmp_path: Path) -> None:
    data = tmp_path / "data"
    key = decoded(run("source", "add", "Shop", "--type", "web", "--json", "--data", data))["writeKey"]
    said(run("backup", tmp_path / "b", "--data", tmp_path / "none"), 1, "richpanel serve")
    assert decoded(run("backup", tmp_path / "b", "--json", "--data", data))["log"] == {"first": 0, "end": 0}
    decoded(run("restore", tmp_path / "b", "--json", "--data", tmp_path / "again"))
    assert key in run("source", "list", "--data", tmp_path / "again").stdout
    assert not (data / "log").exists(), "a backup makes nothing in the data directory"


def test_through_a_pipe(server: Server, tmp_path: Path) -> None:
    line = f"'{COMMAND}' backup - --data '{server.data}' | '{COMMAND}' restore - --data '{tmp_path / 'data'}'"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=120, check=True)
    assert "Restored into" in done.stdout
    assert "20,000 messages" in done.stderr or "messages, log positions" in done.stderr
    line = f"'{COMMAND}' backup - --json --data '{server.data}' | '{COMMAND}' restore - --verify --json"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout)["restored"] is None


def test_a_backup_is_not_replaced_by_accident(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "b"
    file.write_text("the last good one")
    said(run("backup", file, "--data", server.data), 1, "--overwrite")
    assert file.read_text() == "the last good one"
    assert run("backup", file, "--overwrite", "--data", server.data).returncode == 0
    assert decoded(run("restore", file, "--verify", "--json"))["restored"] is None
    assert os.listdir(tmp_path) == ["b"]


def test_the_secret_key_can_be_left_out(server: Server, tmp_path: Path) -> None:
    (server.data / "richpanel.toml").write_text("session_days = 3\n")
    done = run("backup", tmp_path / "without", "--no-secrets", "--data", server.data)
    assert "The secret key is not in it" in done.stdout
    restored = tmp_path / "data"
    done = run("restore", tmp_path / "without", "--data", restored)
    assert "put secret.key there" in done.stdout
    assert not {"secret.key", "richpanel.toml"} & set(os.listdir(restored))
    other = {"RICHPANEL_SECRET_KEY": "another key that is long enough 0123"}
    assert "does not fit" in run("restore", tmp_path / "without", "--verify", "--data", tmp_path / "x", **other).stdout
    (restored / "secret.key").write_bytes((server.data / "secret.key").read_bytes())
    (restored / "secret.key").chmod(0o600)
    assert run("doctor", "--data", restored).returncode == 0
    run("backup", tmp_path / "with", "--data", server.data)
    (server.data / "richpanel.toml").unlink()
    assert "secret key" not in run("restore", tmp_path / "with", "--data", tmp_path / "whole").stdout
    assert (tmp_path / "whole" / "richpanel.toml").read_text() == "session_days = 3\n"
    assert (tmp_path / "whole" / "secret.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_backup_that_is_stopped_leaves_no_half_file(server: Server, tmp_path: Path, how: signal.Signals) -> None:
    file = tmp_path / "b"
    command: list[str | Path] = [COMMAND, "backup", file, "--rate", "1", "--data", server.data]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as stopped:
        deadline = time.monotonic() + 60
        while not (tmp_path / "b.partial").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        said(run("backup", file, "--data", server.data), 1, "somebody else is writing")
        stopped.send_signal(how)
    assert stopped.returncode == (-how if how == signal.SIGKILL else 128 + how)
    assert not file.exists()
    if how != signal.SIGKILL:
        assert os.listdir(tmp_path) == []
    assert run("backup", file, "--data", server.data).returncode == 0
    assert os.listdir(tmp_path) == ["b"], "what a killed one left is gone, too"


# ----------------------------------------------------------------------------------------------------------- full disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes: less than the state takes. Only root may mount one."""
    small = tmp_path / "small"
    small.mkdir()
    line: list[str | Path] = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small]
    if subprocess.run(line, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield small
    subprocess.run(["umount", "--lazy", small], check=True)


def test_a_full_disk_leaves_nothing(server: Server, small_disk: Path, tmp_path: Path) -> None:
    said(run("backup", small_disk / "b", "--data", server.data), 1, "nothing was written")
    assert os.listdir(small_disk) == []
    assert run("backup", tmp_path / "b", "--data", server.data).returncode == 0
    said(run("restore", tmp_path / "b", "--data", small_disk), 1, "No space left on device; nothing was restored")
    assert os.listdir(small_disk) == []
    assert run("backup", tmp_path / "c", "--data", server.data).returncode == 0
