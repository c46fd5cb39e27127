"""Erasing: bodies are overwritten with spaces, each segment rewritten once, in a process of its own (decision 0011).

The owner of the log says which; a child does the work (log/background.py), with the spans as JSON on its stdin:
`python -m richpanel.log.erasing DIRECTORY BYTES_PER_SECOND`.

A segment's new file is written under another name, synced, read back from the disk, and renamed over the old one: at
every instant the old or the new one is there and whole. Raw stays raw, an archive stays an archive, of the same length.
Readers see by the old file's number of links that it is gone (log/opened.py).
"""

import os
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from richpanel.core.record import is_erased
from richpanel.log.archive import BLOCK_BYTES, Archive, write_archive
from richpanel.log.archiving import read_back
from richpanel.log.background import owner_lives, run_child, stand_back
from richpanel.log.contract import LogBusy, LogDamaged
from richpanel.log.files import (
    DRAFT,
    SEALED_MODE,
    TORN,
    archive_path,
    clear_drafts,
    drop_cached,
    rearranging,
    segment_bases,
    segment_path,
    sync_directory,
)
from richpanel.log.opened import OpenSegments
from richpanel.log.pace import Pace
from richpanel.log.rewriting import Rewriting

Span = tuple[int, int]
"""A body: its place in the log, and its size."""

_MODULE: Final = "richpanel.log.erasing"
_CHUNK: Final = 16 * BLOCK_BYTES
_TELLING_BYTES: Final = 16
"""A shorter body, or beginning of one, tells of nobody, and stands in many places."""


class Outcome(msgspec.Struct):
    """What came of it: how many records were changed, and the first of what stood in the way of the others."""

    changed: int = 0
    busy: bool = False
    damaged: tuple[int, str] | None = None
    wrong: str | None = None


async def erase_in_child(directory: Path, spans: Sequence[Span], bytes_per_second: float) -> int:
    """Erase bodies of sealed segments; return how many records were changed (`LogEraser.erase`)."""
    code, said = await run_child(_MODULE, str(directory), str(bytes_per_second), told=msgspec.json.encode(spans))
    if code:
        raise OSError(said.decode(errors="replace").strip() or f"erasing ended with code {code}")
    outcome = msgspec.json.decode(said, type=Outcome)
    if outcome.busy:
        raise LogBusy("somebody reads the whole log, a backup: it can be erased from when that is done")
    if outcome.damaged is not None:
        raise LogDamaged(*outcome.damaged)
    if outcome.wrong is not None:
        raise ValueError(outcome.wrong)
    return outcome.changed


def erase_bodies(directory: Path, spans: Iterable[Span], pace: Pace, alive: Callable[[], bool]) -> Outcome:
    """Erase bodies of sealed segments, one after the other; what stands in the way of one does not keep the others.

    Raises OSError, and InterruptedError once `alive` says no.
    """
    outcome, bases = Outcome(), segment_bases(directory)
    placed = ((bisect_right(bases, span[0]) - 1, span) for span in sorted(spans))
    for index, some in groupby(placed, itemgetter(0)):
        if index < 0:  # Retention has dropped it.
            continue
        if index == len(bases) - 1:
            outcome.wrong = outcome.wrong or f"no sealed segment has position {next(some)[1][0]}"
            continue
        with rearranging(directory) as allowed:
            if not allowed:
                outcome.busy = True
                break
            try:
                outcome.changed += erase_in_segment(directory, bases[index], [span for _, span in some], pace, alive)
            except LogDamaged as error:
                outcome.damaged = outcome.damaged or (error.position, error.reason)
            except ValueError as error:
                outcome.wrong = outcome.wrong or str(error)
    return outcome


def erase_in_segment(
    directory: Path, base: int, spans: Sequence[Span], pace: Pace, alive: Callable[[], bool] = lambda: True
) -> int:
    """Put a segment without these bodies in the place of the one that has them; return how many records that changed.

    Raises OSError; LogDamaged and ValueError (`Rewriting.through`): then the segment stays as it is. So it does where
    all of them are erased already, and where there is no such segment any more.
    """
    clear_drafts(directory)  # One that a crash left has the bodies, too.
    raw, archived = segment_path(directory, base), archive_path(directory, base)
    if raw.exists():
        archived.unlink(missing_ok=True)  # Both are there after a crash; the raw one counts.
        return _replace(raw, _Raw(raw), Rewriting(base, spans), pace, alive) if _any_left(directory, base, spans) else 0
    if archived.exists() and _any_left(directory, base, spans):
        return _replace(archived, _Archived(archived), Rewriting(base, spans), pace, alive)
    return 0


def _any_left(directory: Path, base: int, spans: Sequence[Span]) -> bool:
    """Tell whether any of the bodies is still to be erased: nothing is rewritten for nothing."""
    opened = OpenSegments(directory)
    try:
        return not all(is_erased(opened.read(base, place - base, size)) for place, size in spans)
    finally:
        opened.close()


def _replace(
    path: Path, segment: "_Raw | _Archived", rewriting: Rewriting, pace: Pace, alive: Callable[[], bool]
) -> int:
    draft = path.with_suffix(DRAFT)
    with draft.open("x+b") as target:
        try:
            segment.write(target, rewriting.through(_paced(segment.pieces(), pace, alive)))
            if not rewriting.changed:
                draft.unlink()
                return 0
            _erase_in_torn(path.parent, rewriting.bodies)
            os.fchmod(target.fileno(), SEALED_MODE)
            os.fsync(target.fileno())
            if not alive():
                raise InterruptedError("the log's owner is gone")
        except BaseException:
            draft.unlink()
            raise
    draft.replace(path)
    sync_directory(path.parent)
    return rewriting.changed


def _paced(pieces: Iterable[bytes], pace: Pace, alive: Callable[[], bool]) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        pace.spend(len(piece))
        if not alive():
            raise InterruptedError("the log's owner is gone")


class _Raw:
    """A raw segment as it is read, and how its like is written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pieces(self) -> Iterator[bytes]:
        with self._path.open("rb", buffering=0) as source:
            offset = 0
            while piece := os.pread(source.fileno(), _CHUNK, offset):
                yield piece
                drop_cached(source.fileno(), offset, len(piece))
                offset += len(piece)

    def write(self, target: BinaryIO, pieces: Iterable[bytes | bytearray]) -> None:
        """Write, sync and read back piece by piece: at once it would hold up the syncs of live traffic."""
        fd, done, state = target.fileno(), 0, self._path.stat()
        for piece in pieces:
            target.write(piece)
            target.flush()
            os.fdatasync(fd)
            drop_cached(fd, 0, 0)
            if os.pread(fd, len(piece), done) != piece:
                raise OSError(f"what was written to {target.name} cannot be read back")
            drop_cached(fd, done, len(piece))
            done += len(piece)
        if done != state.st_size:
            raise OSError(f"what was written to {target.name} is of another size")
        os.utime(fd, ns=(state.st_atime_ns, state.st_mtime_ns))  # When its last record came.


class _Archived:
    """An archive as it is read, and how its like is written."""

    def __init__(self, path: Path) -> None:
        self._archive = Archive(path)

    def pieces(self) -> Iterator[bytes]:
        return self._archive.blocks()

    def write(self, target: BinaryIO, pieces: Iterable[bytes | bytearray]) -> None:
        about = self._archive.about
        written = write_archive(target, _in_blocks(pieces), about.base, about.sealed_ns)
        target.flush()
        os.fsync(target.fileno())
        read_back(Path(target.name), written)
        if written.size != about.size:
            raise OSError(f"what was written to {target.name} is of another size")


def _in_blocks(pieces: Iterable[bytes | bytearray]) -> Iterator[bytes]:
    """Cut anew, so that each piece but the last is a multiple of an archive's block long."""
    rest = bytearray()
    for piece in pieces:
        rest += piece
        if whole := len(rest) // _CHUNK * _CHUNK:
            yield bytes(rest[:whole])
            del rest[:whole]
    if rest:
        yield bytes(rest)


def _erase_in_torn(directory: Path, bodies: Sequence[bytes]) -> None:
    """Erase the bodies in what was cut from the log's end after crashes: their sender may have sent them again.

    A body that the crash has cut itself is found if its beginning stands at the end.
    """
    telling = [body for body in bodies if len(body) >= _TELLING_BYTES]
    for path in sorted((directory / TORN).glob("*.bin")):
        content = bytearray(path.read_bytes())
        before = bytes(content)
        for body in telling:
            place = -1
            while (place := content.find(body, place + 1)) >= 0:
                content[place : place + len(body)] = b" " * len(body)
            place = max(0, len(content) - len(body))
            while (place := content.find(body[:_TELLING_BYTES], place)) >= 0:
                if body.startswith(content[place:]):
                    content[place:] = b" " * (len(content) - place)
                place += 1
        if content != before:
            with path.open("r+b") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())


def main() -> int:
    """Erase the bodies that stdin names; the outcome goes to stdout as JSON, or a word where the system refuses."""
    directory, rate = Path(sys.argv[1]), float(sys.argv[2])
    stand_back()
    alive = owner_lives()
    spans = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Span])
    try:
        outcome = erase_bodies(directory, spans, Pace(rate), alive)
    except OSError as error:  # Also of an owner that is gone: nobody is left to hear of it.
        with suppress(OSError):
            sys.stdout.write(str(error))
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(outcome))
    return 0


if __name__ == "__main__":
    sys.exit(main())
