"""What comes of an answer, for each delivery of the request: which of them are done, given up, or tried again."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from richpanel.core.money import encode_exact
from richpanel.core.retrying import STATUSES, Outcome, Patience, Verdict, is_transient, verdict
from richpanel.deliver.payloads import Payload
from richpanel.deliver.sending import Answer
from richpanel.store.deliveries import RETRYING, Attempt, Result

_WHOLE: Final = frozenset({401, 403, 404, 405})
"""What is refused so is refused whoever it is about: halves of a batch would be, too."""


class Judge:
    """Judges the answers of one destination. `now` gives ms UTC."""

    def __init__(self, patience: Patience, now: Callable[[], int], jitter: Callable[[], float]) -> None:
        self._patience = patience
        self._now = now
        self._jitter = jitter
        self._first_tries: dict[int, int] = {}

    def know(self, first_tries: Mapping[int, int]) -> None:
        """Remember when deliveries that are about to be tried again were tried for the first time, ms UTC."""
        self._first_tries.update(first_tries)

    def judge(self, group: Sequence[Payload], answer: Answer, at: int, *, hosted: bool) -> list[Result]:
        """Say what came of deliveries that were sent in one request at `at`, ms UTC."""
        now, made = self._now(), []
        for each in group:
            one = each.delivery
            first = self._first_tries.pop(one.id, at)
            found = verdict(
                *(answer.outcome, one.attempts + 1, first, now, self._jitter()),
                hosted=hosted,
                patience=self._patience,
            )
            made.append(_result(each, found, answer, at, now))
        return made

    def halve(self, group: Sequence[Payload], answer: Answer, at: int) -> tuple[list[Result], list[list[Payload]]]:
        """Have each half of a refused batch tried by itself: in the end the offender is alone, the others are through.

        Give what is to be on record before that, and the halves.
        """
        now, made, again = self._now(), [], []
        for each in group:
            found = verdict(answer.outcome, 1, at, now, 0.0, hosted=False, patience=self._patience)
            self._first_tries.setdefault(each.delivery.id, at)
            made.append(_result(each, Verdict("retrying", found.code, now), answer, at, now))
            tried = each.delivery._replace(attempts=each.delivery.attempts + 1, status=RETRYING)
            again.append(each._replace(delivery=tried))
        middle = len(again) // 2
        return made, [again[:middle], again[middle:]]


def is_to_halve(outcome: Outcome, group: Sequence[Payload]) -> bool:
    """Tell whether one of a refused batch may be what the destination does not like."""
    status = outcome.status
    return (
        len(group) > 1
        and status is not None
        and 400 <= status < 500
        and status not in _WHOLE
        and not is_transient(outcome)
    )


def _result(payload: Payload, found: Verdict, answer: Answer, at: int, now: int) -> Result:
    """Say what came of a delivery, for the books."""
    outcome = answer.outcome
    code = None if found.code is None else found.code.value
    attempt = Attempt(at, answer.milliseconds, outcome.status, code, encode_exact(payload.event), answer.body)
    return Result(payload.delivery, STATUSES.index(found.status), now, attempt, code, found.due_at)
