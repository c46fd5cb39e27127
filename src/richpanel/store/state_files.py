"""The files of the state: which one is in force, which one is to follow, and which ones nobody needs any more.

`state.db` is a plain file until the first rebuild, then a link to the one in force (docs/decisions/0010). A rebuild
writes a file beside it and hands it over by naming it in `state.next`; who holds `process.lock` makes the switch.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

STATE: Final = "state.db"
PROCESSING: Final = "process.lock"
"""Held by the one process that writes the state in force."""
DELIVERING: Final = "deliver.lock"
"""Held by the one process that delivers, and writes the deliveries."""
REBUILDING: Final = "rebuild.lock"
"""Held by the one command that rebuilds: whatever else lies about is left over."""
GRACE_SECONDS: Final = 2.0
"""How long a file that was replaced keeps its name: somebody may be half-way through opening it and its log."""

_NEXT: Final = "state.next"
_LINK: Final = "state.link"
_NAME: Final = re.compile(r"state-[0-9a-f]{8}\.db")
_BESIDE: Final = ("-wal", "-shm", "-journal")


class HandOver(msgspec.Struct, frozen=True, omit_defaults=True):
    """The file that is to be the state; `refused` says why whoever was to switch did not."""

    file: str
    refused: str | None = None


_decode: Final = msgspec.json.Decoder(HandOver).decode


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold a lock file if nobody else does; tell whether that is so."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def create(directory: Path) -> Path:
    """Make an empty file for a new state, for this user alone."""
    path = directory / f"state-{secrets.token_hex(4)}.db"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    return path


def in_force(directory: Path) -> str:
    """Give the name of the file that the state is in."""
    path = directory / STATE
    return path.readlink().name if path.is_symlink() else STATE


def switch(directory: Path, name: str) -> str:
    """Put a file in force, in one step that survives a crash; give the name of the one that it replaces.

    The new file must be whole and closed: what stood in its write-ahead log is in it.
    """
    old = in_force(directory)
    link = directory / _LINK
    link.unlink(missing_ok=True)
    link.symlink_to(name)  # Relative, so that the directory can be moved.
    take_place(link, directory / STATE)
    return old


def hand_over(directory: Path, name: str, refused: str | None = None) -> None:
    """Name the file that is to follow; with `refused` tell the command that it will not."""
    draft = directory / f"{_NEXT}.new"
    draft.write_bytes(msgspec.json.encode(HandOver(name, refused)) + b"\n")
    take_place(draft, directory / _NEXT)


def handed_over(directory: Path) -> HandOver | None:
    """Give what was handed over and not yet taken back; None where there is nothing, or nothing of ours."""
    try:
        found = _decode((directory / _NEXT).read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return found if _NAME.fullmatch(found.file) else None


def take_back(directory: Path) -> None:
    """End a hand-over: the switch is done, or will not be."""
    (directory / _NEXT).unlink(missing_ok=True)


def remove(directory: Path, name: str) -> None:
    """Remove a file of the state that is not in force. Who has it open keeps it until they close it."""
    if name == in_force(directory):
        return
    for suffix in ("", *_BESIDE):
        if name + suffix != STATE:  # The link; of the plain file that it replaced only the companions are left.
            (directory / f"{name}{suffix}").unlink(missing_ok=True)


def clean(directory: Path) -> None:
    """Remove what killed commands and servers left. The caller holds `REBUILDING`, or no rebuild can run."""
    found = handed_over(directory)
    if found is not None and (found.refused is not None or not (directory / found.file).exists()):
        take_back(directory)
        found = None
    for path in directory.glob("state-*.db*"):
        name = re.sub(r"-(wal|shm|journal)$", "", path.name)
        if _NAME.fullmatch(name) and (found is None or name != found.file):
            remove(directory, name)
    remove(directory, STATE)
    for leftover in (_LINK, f"{_NEXT}.new"):
        (directory / leftover).unlink(missing_ok=True)


def take_place(draft: Path, path: Path) -> None:
    """Let a file take another's place at once and for good."""
    if not draft.is_symlink():
        with draft.open("rb") as file:
            os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
