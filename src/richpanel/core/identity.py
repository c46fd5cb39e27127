"""Identity: to whom an alias's messages belong (`semantics.md` 3).

An alias's **runs** are its links, shortened: each run starts at a link to a uid that differs from the run before. A
message with only the alias belongs to the uid of the latest run that starts at or before its `t`; else to that of the
first run; else, with no run at all, to the visitor of the alias.

Where somebody to whom an alias belonged was erased, the alias starts afresh from then on (`semantics.md` 10): a run of
`NOBODY` parts its runs, and no message looks across it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from richpanel.core.stamps import Stamp

MAX_UIDS: Final = 20
"""An alias linked to more uids than this is shared: it links nothing (`semantics.md` 3; a setting)."""

UID: Final = 0
ANONYMOUS: Final = 1
EMAIL: Final = 2
PHONE: Final = 3
KINDS: Final = ("uid", "anonymousId", "email", "phone")
NOBODY: Final = 0
"""The uid of a run that parts what was before an erasure from what comes after it."""


class Run(NamedTuple):
    """From this link on, until the next run, the alias is this uid's."""

    stamp: Stamp
    uid: int


class Move(NamedTuple):
    """Messages with only the alias and `from_t <= t < to_t` go from one profile to another (None: the visitor)."""

    from_t: int
    to_t: int
    old: int | None
    new: int | None


Runs = tuple[Run, ...]
_FOREVER: Final = 1 << 62
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Run, ...]).decode


def pack(runs: Runs) -> bytes | None:
    """Write runs for the store; None where there are none."""
    return _encode(runs) if runs else None


def unpack(data: bytes | None) -> Runs:
    """Read what `pack` wrote."""
    return _decode(data) if data else ()


def is_shared(runs: Sequence[Run], max_uids: int = MAX_UIDS) -> bool:
    """Tell whether an alias is linked to too many uids to mean a person."""
    return len(runs) > max_uids and len({run.uid for run in runs if run.uid != NOBODY}) > max_uids


def owner(runs: Runs, t: int, max_uids: int = MAX_UIDS) -> int | None:
    """Give the uid to whom a message with only this alias belongs at `t`; None for the alias's visitor."""
    if not runs:
        return None
    if len(runs) == 1:
        return runs[0].uid or None
    if is_shared(runs, max_uids):
        return None
    at = _index_at(runs, t)
    if at < 0 or runs[at].uid == NOBODY:  # Before the first run of its part: that one counts.
        at += 1
    return None if at == len(runs) else runs[at].uid or None


def _index_at(runs: Runs, t: int) -> int:
    return bisect_right(runs, t, key=lambda run: run.stamp[0]) - 1


def split_run(runs: Runs, stamp: Stamp, uid: int) -> Run | None:
    """Give the run that a link of `uid` at `stamp` would split, None where it splits none.

    Before `link` is called then, someone must look up that run's own next link after `stamp`.
    """
    at = bisect_right(runs, stamp, key=lambda run: run.stamp) - 1
    return runs[at] if at >= 0 and runs[at].uid != uid else None


def link(runs: Runs, stamp: Stamp, uid: int, resumes: Stamp | None = None) -> Runs:
    """Add a link; give the runs as if all links so far had come in order.

    `resumes` is the next link after `stamp` of the run that this link splits (see `split_run`), if there is one before
    the run ends.
    """
    at = bisect_right(runs, stamp, key=lambda run: run.stamp)
    before, after = list(runs[:at]), list(runs[at:])
    if before and before[-1].uid == uid:
        return runs
    added = [Run(stamp, uid)]
    if before and resumes is not None and (not after or resumes < after[0].stamp):
        added.append(Run(resumes, before[-1].uid))
    elif after and after[0].uid == uid:
        after = after[1:]
    return tuple(before + added + after)


def part(runs: Runs, stamp: Stamp) -> Runs:
    """Let an alias start afresh at `stamp`."""
    at = bisect_left(runs, stamp, key=lambda run: run.stamp)
    if at < len(runs) and runs[at].stamp == stamp:
        return runs
    return (*runs[:at], Run(stamp, NOBODY), *runs[at:])


def without(runs: Runs, uid: int) -> Runs:
    """Take all links of a uid away. Within its runs there are no links but its own, so the other runs stay."""
    left: list[Run] = []
    for run in runs:
        if run.uid != uid and (not left or left[-1].uid != run.uid or run.uid == NOBODY):
            left.append(run)
    return tuple(left)


def from_links(links: Iterable[tuple[Stamp, int]], cuts: Mapping[int, Stamp]) -> Runs:
    """Give the runs of all links; one of a uid before that uid's cut does not count."""
    runs: list[Run] = []
    for stamp, uid in sorted(links):
        if (uid not in cuts or cuts[uid] < stamp) and (not runs or runs[-1].uid != uid or uid == NOBODY):
            runs.append(Run(stamp, uid))
    return tuple(runs)


def unlink(runs: Runs, stamp: Stamp, resumes: Stamp | None) -> Runs:
    """Take the link at `stamp` away; give the runs as if it had never come.

    `resumes` is the next link after `stamp` of the same alias and uid, if there is one. Only where a run starts at the
    link does anything change.
    """
    at = bisect_left(runs, stamp, key=lambda run: run.stamp)
    if at == len(runs) or runs[at].stamp != stamp:
        return runs
    before, after = runs[:at], runs[at + 1 :]
    if resumes is not None and (not after or resumes < after[0].stamp):
        return (*before, Run(resumes, runs[at].uid), *after)
    if before and after and before[-1].uid == after[0].uid != NOBODY:
        after = after[1:]
    return before + after


def moves(old: Runs, new: Runs, max_uids: int = MAX_UIDS) -> list[Move]:
    """Tell which spans of an alias's messages change hands when its runs change."""
    cuts = sorted({0, *(run.stamp[0] for run in old), *(run.stamp[0] for run in new)})
    found: list[Move] = []
    for start, end in zip(cuts, [*cuts[1:], _FOREVER], strict=True):
        was, now = owner(old, start, max_uids), owner(new, start, max_uids)
        if was == now:
            continue
        if found and found[-1][1:] == (start, was, now):
            found[-1] = Move(found[-1].from_t, end, was, now)
        else:
            found.append(Move(start, end, was, now))
    return found


def spans(runs: Runs, uid: int, max_uids: int = MAX_UIDS) -> list[tuple[int, int]]:
    """Give the spans `[from_t, to_t)` of an alias's messages that are a uid's."""
    if not runs or is_shared(runs, max_uids):
        return []
    return [(start, end) for start, end, who in _spans(runs) if who == uid and start < end]


def visitor_spans(runs: Runs, max_uids: int = MAX_UIDS) -> list[tuple[int, int]]:
    """Give the spans of an alias's messages that are nobody's but its visitor's."""
    if not runs or is_shared(runs, max_uids):
        return [(0, _FOREVER)]
    return [(start, end) for start, end, who in _spans(runs) if who == NOBODY and start < end]


def _spans(runs: Runs) -> list[tuple[int, int, int]]:
    """Cut all time at the runs: from when, until when, whose. A part without links is its visitor's."""
    found: list[tuple[int, int, int]] = []
    start, who = 0, NOBODY
    for run in runs:
        if who != NOBODY or run.uid == NOBODY:
            found.append((start, run.stamp[0], who))
            start = run.stamp[0]
        who = run.uid
    return [*found, (start, _FOREVER, who)]
