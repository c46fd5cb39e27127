"""The mark in a data directory whose account has moved to a cluster: no server starts on its files by mistake.

A server asks at every start, so this needs nothing but Python's own library.
"""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from richpanel.store.state_files import take_place

MARK: Final = "moved.json"


@dataclass(frozen=True)
class Moved:
    """Where the account went, for people to read (no passwords), when (ISO 8601, UTC), and which copy it is there."""

    database: str
    log: str
    at: str
    copy: str


def moved(directory: Path) -> Moved | None:
    """Give the mark, None where there is none. Raises OSError, ValueError where it cannot be read."""
    try:
        return Moved(**json.loads((directory / MARK).read_bytes()))
    except FileNotFoundError:
        return None
    except (TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{directory / MARK}: {error}") from None


def say_moved(directory: Path, mark: Moved) -> None:
    """Set the mark, for good."""
    put(directory / MARK, json.dumps(asdict(mark)).encode() + b"\n")


def forget(directory: Path) -> None:
    """Remove the mark: the files are to be used again, whatever has come elsewhere since."""
    with suppress(FileNotFoundError):
        (directory / MARK).unlink()


def refusal(directory: Path) -> str | None:
    """Say why no server may start on the files of a data directory; None where one may. Raises OSError, ValueError."""
    found = moved(directory)
    if found is None:
        return None
    return (
        f"the account in {directory} has moved to {found.database} and {found.log} at {found.at}, and goes on there: "
        "database_url and log_url lead to it. `richpanel serve --really` goes on with the old files nevertheless, "
        "without what has come since"
    )


def put(path: Path, content: bytes) -> None:
    """Write a file for its directory's owner alone, at once and for good."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    file = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        if os.geteuid() == 0:  # Whoever the server runs as must be able to read it.
            owner = path.parent.stat()
            os.fchown(file, owner.st_uid, owner.st_gid)
        os.write(file, content)
    finally:
        os.close(file)
    take_place(draft, path)
