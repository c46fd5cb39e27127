"""Archiving: a sealed segment becomes its compressed form, in a process of its own (docs/decisions/0007).

The owner of the log says which segment; a child that runs where nobody else wants to does the work, so that neither the
owner's interpreter nor its place on a core is taken from live traffic:
`python -m richpanel.log.archiving DIRECTORY BASE BYTES_PER_SECOND`.

At every instant the raw segment, the archive, or both are there and whole, and readers prefer the raw one: the archive
is written under another name, synced, read back from the disk, and renamed; only then is the raw segment removed.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from richpanel.log.archive import BLOCK_BYTES, About, Archive, write_archive
from richpanel.log.background import owner_lives, run_child, stand_back
from richpanel.log.contract import LogDamaged
from richpanel.log.files import (
    DRAFT,
    SEALED_MODE,
    archive_path,
    drop_cached,
    rearranging,
    segment_bases,
    segment_path,
    sync_directory,
)
from richpanel.log.frames import RecordWalk
from richpanel.log.pace import Pace

_MODULE: Final = "richpanel.log.archiving"
_CHUNK: Final = 16 * BLOCK_BYTES
_DAMAGED: Final = 3
_BUSY: Final = 4


def next_to_archive(directory: Path, position: int, before: float, skipped: set[int]) -> int | None:
    """Find the oldest sealed raw segment that ends at or below `position` and took nothing since `before` (s UTC)."""
    for base, following in pairwise(segment_bases(directory)):
        if following > position:
            break
        path = segment_path(directory, base)
        if base not in skipped and path.exists() and path.stat().st_mtime < before:
            return base
    return None


async def archive_in_child(directory: Path, base: int, bytes_per_second: float) -> bool:
    """Archive a segment in a process of low priority; tells whether it was done: somebody may be reading them all.

    Raises LogDamaged where the segment is damaged (it stays as it is), OSError where the disk or the system refuses. A
    caller who is cancelled ends the child.
    """
    code, said = await run_child(_MODULE, str(directory), str(base), str(bytes_per_second))
    if code == _DAMAGED:
        raise LogDamaged(*json.loads(said))
    if code not in (0, _BUSY):
        raise OSError(said.decode(errors="replace").strip() or f"archiving ended with code {code}")
    return code == 0


def archive_segment(directory: Path, base: int, pace: Pace, alive: Callable[[], bool] = lambda: True) -> About:
    """Put the archive of a segment in its place. Raises OSError, and LogDamaged where a record is damaged.

    It stops with InterruptedError before anything has changed once `alive` says no. A draft that a crash left is
    overwritten; so is an archive whose raw segment is still there, since that one counts.
    """
    raw = segment_path(directory, base)
    draft = archive_path(directory, base).with_suffix(DRAFT)
    draft.unlink(missing_ok=True)
    with raw.open("rb", buffering=0) as source, draft.open("xb") as target:
        sealed_ns = os.fstat(source.fileno()).st_mtime_ns
        try:
            written = write_archive(target, _checked(source.fileno(), base, pace, alive), base, sealed_ns)
            target.flush()
            os.fsync(target.fileno())
            read_back(draft, written)
            os.fchmod(target.fileno(), SEALED_MODE)
            if not alive():
                raise InterruptedError("the log's owner is gone")
        except BaseException:
            draft.unlink()
            raise
    draft.replace(archive_path(directory, base))
    sync_directory(directory)
    raw.unlink()
    return written


def _checked(fd: int, base: int, pace: Pace, alive: Callable[[], bool]) -> Iterator[bytes]:
    """Read a segment in pieces, each record against its CRC: what is damaged must not be archived as if it were not."""
    walk, offset = RecordWalk(base), 0
    while chunk := os.pread(fd, _CHUNK, offset):
        walk.feed(chunk)
        yield chunk
        drop_cached(fd, offset, len(chunk))
        offset += len(chunk)
        pace.spend(len(chunk))
        if not alive():
            raise InterruptedError("the log's owner is gone")
    walk.end()


def read_back(draft: Path, written: About) -> None:
    """Read the archive from the disk, as far as the system lets go of its cache, and compare. Raises OSError."""
    with draft.open("rb") as file:
        drop_cached(file.fileno(), 0, 0)
    try:
        archive = Archive(draft)
        archive.check_file()
        archive.check_content()
    except LogDamaged as error:
        raise OSError(f"what was written cannot be read back: {error}") from None
    if archive.about != written:
        raise OSError(f"what was written to {draft} cannot be read back")


def main() -> int:
    """Archive the segment that the command line names; the result is the exit code, and a word on stdout."""
    directory, base, rate = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    stand_back()
    alive = owner_lives()
    try:
        with rearranging(directory) as allowed:
            if not allowed:
                return _BUSY
            archive_segment(directory, base, Pace(rate), alive)
    except LogDamaged as error:
        sys.stdout.write(json.dumps([error.position, error.reason]))
        return _DAMAGED
    except InterruptedError:  # Nobody is left to hear of it.
        return 1
    except OSError as error:
        sys.stdout.write(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
