"""Retrying: what a try at a delivery means, and when the next one is due (`semantics.md` 9).

A delivery is tried again after a time-out, a failed connection, a 408, a 429 and a 5xx but 501 and 505; everything else
is final. The pauses grow exponentially, with full jitter, and a server that says how long to wait is heeded. What still
fails once it has been tried for long enough is a dead letter.
"""

from typing import Final, Literal, get_args

import msgspec

from richpanel.core.codes import Code

Status = Literal["queued", "retrying", "delivered", "accepted", "superseded", "failed", "dead"]
"""What has become of a delivery (contract.md, "delivery status")."""

STATUSES: Final[tuple[Status, ...]] = get_args(Status)
UNFINISHED: Final[frozenset[Status]] = frozenset({"queued", "retrying"})
"""While it is one of these, later ones of the same person wait for it."""

_HOUR_MS: Final = 3_600_000
_AGAIN: Final = frozenset({408, 429})
_NEVER_AGAIN: Final = frozenset({501, 505})
_MOST_DOUBLINGS: Final = 62


class Patience(msgspec.Struct, frozen=True):
    """How often and for how long something is tried again; all in ms.

    `lasting` counts from the first try. `longest` bounds a pause of ours; a server's own is heeded up to `lasting`.
    """

    first: int = 1_000
    longest: int = 20 * 60_000
    lasting: int = 4 * _HOUR_MS


class Outcome(msgspec.Struct, frozen=True):
    """What a try came to: the status of an answer, or without one the code of what went wrong.

    `retry_after` is what the answer asked for, in ms.
    """

    status: int | None
    code: Code | None = None
    retry_after: int | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What a delivery is after a try, and why; `due_at` (ms UTC) is when the next one is, where there is one."""

    status: Status
    code: Code | None = None
    due_at: int | None = None


def is_transient(outcome: Outcome) -> bool:
    """Tell whether the same request may be taken later on."""
    status = outcome.status
    if status is None:
        return True
    return status in _AGAIN or (status >= 500 and status not in _NEVER_AGAIN)


def code_of(outcome: Outcome) -> Code | None:
    """Name why a try failed; None where it did not."""
    status = outcome.status
    if status is None:
        return outcome.code
    if 200 <= status < 300:
        return None
    own, class_ = f"answered_{status}", f"answered_{status // 100}xx"
    return _CODES.get(own) or _CODES.get(class_) or Code.ANSWER_UNREADABLE  # Beyond 599 there is no class.


def verdict(
    outcome: Outcome, tries: int, first_at: int, now: int, jitter: float, *, hosted: bool, patience: Patience
) -> Verdict:
    """Say what a delivery is after its `tries`th try, of which the first was at `first_at` (ms UTC).

    `jitter` is a number of [0, 1). `hosted` says that a 200 only means that somebody took the request, as Richpanel's
    hosted API gives one to anything (facts of Richpanel 6).
    """
    code = code_of(outcome)
    if code is None:
        return Verdict("accepted" if hosted else "delivered")
    if not is_transient(outcome):
        return Verdict("failed", code)
    last_at = first_at + patience.lasting
    if now >= last_at:
        return Verdict("dead", code)
    due_at = min(now + pause(tries, jitter, patience), last_at)
    if outcome.retry_after is not None:
        due_at = max(due_at, now + min(outcome.retry_after, patience.lasting))
    return Verdict("retrying", code, max(due_at, now + 1))


def pause(tries: int, jitter: float, patience: Patience) -> int:
    """Give the pause after so many tries, in ms: evenly spread between none and the most, which doubles with each."""
    most = min(patience.first << min(max(tries - 1, 0), _MOST_DOUBLINGS), patience.longest)
    return int(most * jitter)


_CODES: Final = {code.value: code for code in Code}
