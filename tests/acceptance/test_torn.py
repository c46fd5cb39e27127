"""A log whose tail a crash has torn: what was acknowledged is there, and the server says what it cut."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.roles import wait_ready
from tests.acceptance.traffic import Shop, Told, check, send, sending_line
from tests.server import Server, Source, request


def half(record: bytes) -> bytes:
    """A write that came to its half."""
    return record[: len(record) // 2]


def flipped(record: bytes) -> bytes:
    """A write of which one byte is another."""
    return record[:-5] + bytes([record[-5] ^ 0x40]) + record[-4:]


def zeroes(record: bytes) -> bytes:
    """A file that was made longer, and nothing written."""
    return bytes(len(record))


def holed(record: bytes) -> bytes:
    """A write of which the first page never came, and then another record that did."""
    return bytes(len(record) // 2) + record[len(record) // 2 :] + record


def send_some(server: Server, source: Source, told: Told, shop: Shop) -> None:
    line = sending_line(server.url, source.write_key)
    for number in range(30):
        messages = shop.messages(1 + number % 3)
        told.note(messages, send(line, messages))
    line.close()
    assert set(told.statuses) == {200}


def notes(server: Server) -> list[str]:
    return list(request("GET", f"{server.url}/ready").json()["notes"])


def last_segment(server: Server) -> Path:
    return sorted((server.data / "log").glob("*.log"))[-1]


def first_record(segment: Path) -> bytes:
    """The bytes of the oldest record: a length of four bytes, a checksum of four, the payload (decision 0002)."""
    data = segment.read_bytes()
    return data[: 8 + int.from_bytes(data[:4], "little")]


@pytest.mark.parametrize(
    "damage", [half, *(pytest.param(each, marks=pytest.mark.soak) for each in (flipped, zeroes, holed))]
)
def test_a_torn_tail_is_cut_and_told(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    told, shop = Told(), Shop("torn", 1)
    server = Server(tmp_path / "data")
    server.start()
    try:
        source = server.add_source("Shop", "server")
        send_some(server, source, told, shop)
        assert notes(server) == []
        server.kill()
        segment = last_segment(server)
        tail = damage(first_record(segment))
        with segment.open("ab") as file:
            file.write(tail)
        server.start()
        wait_ready(server)
        [note] = notes(server)
        assert f"{len(tail):,} bytes behind the log's last whole record were cut at this start" in note
        send_some(server, source, told, shop)
        check(server, source.id, told)
        examined = json.loads(server.command("doctor", "--deep", "--json"))
        said = {line["name"]: line["text"] for line in examined["checks"] if line["state"] == "note"}
        assert said["ready"] == note
        kept = list((server.data / "log" / "torn").glob("*"))
        assert [path.read_bytes() for path in kept] == ([] if damage is zeroes else [tail])
        assert ("torn tail" in said) == bool(kept)
        server.stop()
        server.start()
        assert notes(server) == [], "it was told once"
    finally:
        server.kill()


def test_a_disk_that_lost_what_it_had_synced_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Nobody can keep what the disk lets go; but it is said, and what was applied before stays."""
    told, shop = Told(), Shop("lost", 1)
    server = Server(tmp_path / "data")
    server.start()
    try:
        source = server.add_source("Shop", "server")
        send_some(server, source, told, shop)
        server.wait_processed()
        server.kill()
        segment = last_segment(server)
        size = segment.stat().st_size
        with segment.open("rb+") as file:
            file.truncate(size - 10)
        server.start()
        wait_ready(server)
        [note] = notes(server)
        assert "bytes that were safe on the disk are no longer there" in note
        send_some(server, source, told, shop)
        server.wait_processed()
        assert server.get("/status")["outcomes"][source.id] == {"kept": len(told.kept)}
    finally:
        server.kill()
