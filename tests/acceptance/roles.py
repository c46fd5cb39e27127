"""The processes of a running server, seen from outside: `/proc`."""

import os
import time
from pathlib import Path

from tests.acceptance.traffic import SENDER_ERRORS
from tests.server import Server, request

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def parent_of(server: Server) -> int:
    """The process id of the server's parent process, as it notes it."""
    return server.pid


def roles(parent: int) -> dict[str, int]:
    """The process ids of a server's roles, by name."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            owner = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # It has just ended.
        if owner == parent and b"richpanel.app" in words:
            found[words[-2].decode()] = int(entry.name)
    return found


def resident_mib(pid: int) -> float:
    """The memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / (1 << 20)


def reasons(server: Server) -> list[str] | None:
    """Why the server is not ready, none where it is; None where it does not answer."""
    try:
        answer = request("GET", f"{server.url}/ready")
    except SENDER_ERRORS:
        return None
    found = answer.json()["reasons"]
    assert (answer.status == 200) == (not found), answer
    return list(found)


def wait_ready(server: Server, seconds: float = 90.0) -> None:
    """Waits until `/ready` says so."""
    wait_reason(server, "", seconds)


def wait_reason(server: Server, words: str, seconds: float = 30.0) -> list[str]:
    """Waits until `/ready` gives a reason with these words, or none at all where they are empty."""
    deadline = time.monotonic() + seconds
    while True:
        found = reasons(server)
        if found is not None and (any(words in reason for reason in found) if words else not found):
            return found
        said = f"not within {seconds} s: {words or 'ready'}; /ready: {found}; printed:\n{server.printed()[-3000:]}"
        assert time.monotonic() < deadline, said
        time.sleep(0.02)
