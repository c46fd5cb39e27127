"""Disks that are full, turn read-only, or were torn, and clocks that jump: told clearly, and over without hand work."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import NoReturn

import pytest

from tests.acceptance.roles import roles, wait_ready, wait_reason
from tests.acceptance.traffic import Senders, Told, check
from tests.server import COMMAND, Server, Source, request

NO_SPACE = "No space left on device"
READ_ONLY = "Read-only file system"
STATE_FULL = "the processing stands still: database or disk is full"


def mount(*args: str | Path) -> None:
    """Mount something, which root alone may."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    subprocess.run(["mount", *args], check=True, capture_output=True)


@contextmanager
def unmounting(*places: Path) -> Iterator[None]:
    """Unmount these at the end, the last first."""
    try:
        yield
    finally:
        for place in reversed(places):
            subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)


def tmpfs(place: Path, mib: int) -> None:
    """Mount a small file system in memory."""
    place.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tmpfs", place)


def write_on(file: FileIO, size: int) -> NoReturn:
    """Write pieces of this size until the disk takes no more."""
    while True:
        file.write(bytes(size))


def fill(place: Path) -> Path:
    """Fill the disk to the last page; gives the file to remove."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            with pytest.raises(OSError, match=NO_SPACE):
                write_on(file, size)
    return filler


def doctor(server: Server) -> dict[str, list[str]]:
    """What `richpanel doctor` calls a problem or notes: texts by the name of the check."""
    command = [str(COMMAND), "doctor", "--json", "--data", str(server.data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    found: dict[str, list[str]] = {}
    told = json.loads(done.stdout)
    assert done.returncode == (not told["ok"])
    for line in told["checks"]:
        if line["state"] != "ok":
            found.setdefault(line["name"], []).append(line["text"])
    return found


def refused(server: Server, source: Source) -> None:
    """Assert that the door asks to come back later."""
    body = json.dumps({"userId": "late", "event": "Too Late", "messageId": "late", "writeKey": source.write_key})
    deadline = time.monotonic() + 60
    while (answer := request("POST", f"{server.url}/v1/track", body.encode())).status == 200:
        assert time.monotonic() < deadline, "it is never refused"
    assert (answer.status, answer.json()["code"]) == (429, "log_full")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "where", [pytest.param("log", marks=pytest.mark.soak), pytest.param("state", marks=pytest.mark.soak), "both"]
)
def test_a_full_disk(tmp_path: Path, where: str) -> None:
    data, told = tmp_path / "data", Told()
    with unmounting(data, data / "log"):
        tmpfs(data, 160)
        if where != "both":
            tmpfs(data / "log", 120)
        server = Server(data)
        server.start()
        source = server.add_source("Shop", "server")
        assert server.token
        senders = Senders(source.write_key, told, seed=1, pause=0.05)
        senders.go(server.url)
        time.sleep(0.5)
        filler = fill(data / "log" if where == "log" else data)
        if where == "state":
            wait_reason(server, STATE_FULL)
            assert any(STATE_FULL in text for text in doctor(server)["ready"])
        else:
            wait_reason(server, NO_SPACE)
            refused(server, source)
            found = doctor(server)
            assert any(NO_SPACE in text for text in found["ready"]), found
            if where == "both":
                assert any(NO_SPACE in text for text in found["data directory"]), found
        time.sleep(1.5)
        senders.rest()
        if where == "both":  # The processing has nothing to do any more, and the log asks the disk by itself.
            wait_reason(server, NO_SPACE)
        filler.unlink()
        wait_ready(server)
        senders.go(server.url)
        time.sleep(0.5)
        senders.end()
        assert (told.statuses[429] > 0) == (where != "state")
        assert set(told.statuses) <= {200, 429}
        check(server, source.id, told)
        server.stop()


@pytest.mark.parametrize(
    "whom", [pytest.param("front", marks=pytest.mark.soak), pytest.param("process", marks=pytest.mark.soak), "all"]
)
def test_what_dies_while_the_disk_is_full_comes_back_once_there_is_room(tmp_path: Path, whom: str) -> None:
    data, told = tmp_path / "data", Told()
    with unmounting(data):
        tmpfs(data, 160)
        server = Server(data)
        server.start()
        source = server.add_source("Shop", "server")
        assert server.token
        senders = Senders(source.write_key, told, seed=2, pause=0.05)
        senders.go(server.url)
        time.sleep(0.5)
        filler = fill(data)
        wait_reason(server, NO_SPACE)
        if whom == "all":
            server.kill()
            senders.rest()
            with pytest.raises(AssertionError, match=f"cannot write to the data directory {data}: {NO_SPACE}"):
                server.start()
            filler.unlink()
            server.start()
        else:
            os.kill(roles(server.pid)[whom], signal.SIGKILL)
            time.sleep(3)
            senders.rest()
            filler.unlink()
        wait_ready(server)
        senders.go(server.url)
        time.sleep(0.5)
        senders.end()
        check(server, source.id, told)
        server.stop()


def test_a_disk_that_turns_read_only(tmp_path: Path) -> None:
    """As Linux does it after an error of the disk: every write fails from one moment to the next."""
    image, data, told = tmp_path / "disk", tmp_path / "data", Told()
    data.mkdir()
    with image.open("wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    with unmounting(data):
        mount("-o", "loop,errors=remount-ro", image, data)
        server = Server(data)
        server.start()
        source = server.add_source("Shop", "server")
        assert server.token
        senders = Senders(source.write_key, told, seed=3, pause=0.05)
        senders.go(server.url)
        time.sleep(1.0)
        mount("-o", "remount,abort", data)
        wait_reason(server, READ_ONLY)
        refused(server, source)
        found = doctor(server)
        assert any(READ_ONLY in text for text in found["ready"]), found
        assert any(READ_ONLY in text for text in found["data directory"]), found
        senders.rest()
        server.stop()
        with pytest.raises(AssertionError, match=f"cannot write to the data directory {data}: {READ_ONLY}"):
            server.start()
        subprocess.run(["umount", data], check=True)
        mount("-o", "loop", image, data)
        server.start()
        wait_ready(server)
        senders.go(server.url)
        time.sleep(0.5)
        senders.end()
        assert told.statuses[429] > 0
        check(server, source.id, told)
        server.stop()
