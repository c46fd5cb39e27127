"""The running server, as other commands find it: who holds the log's lock, and what `serve` noted about itself.

The parent of a server loads this, so it loads nothing large.
"""

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

NOTE: Final = "server.json"


@dataclass(frozen=True)
class Running:
    """What a server notes when it is ready: where it is reached, with which certificate, and where it takes mail."""

    pid: int
    url: str
    tls_cert: str | None = None
    lmtp: str | None = None


def note(directory: Path, running: Running) -> None:
    """Write the note; a new one takes the old one's place in one step."""
    path = directory / NOTE
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(asdict(running)) + "\n")
    draft.replace(path)


def forget(directory: Path) -> None:
    """Remove the note of a server that ends."""
    with suppress(OSError):
        (directory / NOTE).unlink()


def log_owner(directory: Path) -> int | None:
    """Give the process id of the log's owner, None where nobody owns it; 0 where it has not said who it is."""
    try:
        lock = os.open(directory / "log" / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        said = os.pread(lock, 20, 0).strip()
        return int(said) if said.isdigit() else 0
    else:
        return None
    finally:
        os.close(lock)


def running_server(directory: Path) -> Running | None:
    """Find the server that runs on this directory: a note alone may be left over from one that was killed."""
    if log_owner(directory) is None:
        return None
    try:
        return Running(**json.loads((directory / NOTE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
