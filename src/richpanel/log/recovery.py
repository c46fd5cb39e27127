"""What the owner does before the first append: find the end, cut a torn tail, leave nothing to be read twice."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from richpanel.log.archive import Archive
from richpanel.log.files import SEALED_MODE, TORN, archive_path, segment_bases, segment_path, sync_directory
from richpanel.log.frames import intact_bytes, record_size

_CHUNK: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening the log found; the caller logs it where `cut` or `missing` is not 0."""

    base: int
    """Where the segment begins that is appended to."""
    end: int
    """Where the next record goes."""
    cut: int = 0
    """Bytes behind the last whole record of the last segment that were cut off: a torn write, or damage."""
    saved: Path | None = None
    """Where the cut bytes are kept; None if they were all zeroes, or never acknowledged with no room to keep them."""
    missing: int = 0
    """Positions published as safe that are no longer there: the disk broke its promise. Never given out again."""

    def told(self) -> str | None:
        """Tell what a person should know of it, if there is anything."""
        parts = []
        if self.cut:
            kept = f"kept in {self.saved}" if self.saved is not None else "of which nothing is worth keeping"
            parts.append(f"{self.cut:,} bytes behind the log's last whole record were cut at this start, {kept}")
        if self.missing:
            parts.append(f"{self.missing:,} bytes that were safe on the disk are no longer there")
        return "; ".join(parts) or None


def intact_end(fd: int, start: int, end: int) -> int:
    """Return the offset behind the last whole record of `fd[start:end]`, where `start` is a record's first byte."""
    size = _CHUNK
    while start < end:
        chunk = os.pread(fd, min(size, end - start), start)
        if done := intact_bytes(chunk):
            start, size = start + done, _CHUNK
            continue
        wanted = record_size(chunk)
        if wanted <= len(chunk) or start + wanted > end:
            break
        size = wanted  # A record larger than a chunk.
    return start


def recover(directory: Path, published: int, floor: int) -> Recovery:
    """Make the log ready for appending, and return where that goes on. Raises OSError.

    Only the last segment is read: the ones before it were synced whole before it was made. If the log ends before what
    was `published`, or before `floor` (what a consumer says it has applied), appending goes on in a new segment there:
    a position that anybody may have passed is not given out again, or the consumer would miss what is put there.
    """
    bases = segment_bases(directory)
    promised = max(published, floor)
    if not bases:
        return Recovery(promised, promised, missing=promised)
    base = bases[-1]
    path = segment_path(directory, base)
    if not path.exists():  # A copy of a log without its last segment, which is archived.
        end = base + Archive(archive_path(directory, base)).about.size
        seal_all_but(directory, bases)
        return Recovery(max(promised, end), max(promised, end), missing=max(promised - end, 0))
    path.chmod(0o640)  # Sealed, if this is a copy of a log without its last segment.
    fd = os.open(path, os.O_RDWR)
    try:
        size = os.fstat(fd).st_size
        end = intact_end(fd, 0, size)
        saved = _cut(fd, directory / TORN / f"{base + end}.bin", end, must_keep=base + end < published)
        os.fsync(fd)  # What was written and never synced before the process died counts from now on.
    finally:
        os.close(fd)
    seal_all_but(directory, bases if promised > base + end else bases[:-1])
    missing = max(promised - (base + end), 0)
    return Recovery(promised if missing else base, max(promised, base + end), size - end, saved, missing)


def seal_all_but(directory: Path, bases: list[int]) -> None:
    """Make the segments that are not appended to read-only (the process may have died before it could)."""
    for base in bases:
        path = segment_path(directory, base)
        if path.exists() and path.stat().st_mode & 0o777 != SEALED_MODE:
            path.chmod(SEALED_MODE)


def _cut(fd: int, keep: Path, end: int, *, must_keep: bool) -> Path | None:
    """Cut the file at `end`; return where the bytes behind it are kept, if there is anything to keep.

    With no room to keep them, bytes that were never acknowledged are let go, so that a full disk does not stop the
    start; acknowledged ones raise OSError.
    """
    size = os.fstat(fd).st_size
    if size == end:
        return None
    saved: Path | None = None
    try:
        saved = _save(fd, keep, end, size)
    except OSError:
        if must_keep:
            raise
    os.ftruncate(fd, end)
    return saved


def _save(fd: int, keep: Path, start: int, end: int) -> Path | None:
    """Copy `fd[start:end]` to `keep`, or beside it if that name is taken; None if there are only zeroes."""
    keep.parent.mkdir(exist_ok=True)
    number = 0
    target = keep
    while target.exists():
        number += 1
        target = keep.with_stem(f"{keep.stem}-{number}")
    zeroes = True
    try:
        with target.open("xb") as file:
            while start < end:
                chunk = os.pread(fd, min(_CHUNK, end - start), start)
                zeroes = zeroes and chunk.count(0) == len(chunk)
                file.write(chunk)
                start += len(chunk)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        target.unlink(missing_ok=True)
        raise
    if zeroes:
        target.unlink()
        return None
    sync_directory(target.parent)
    return target
