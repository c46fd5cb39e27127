"""Limits how often a password may be tried: after five failures, each further one makes the next wait longer."""

from typing import Final

_FREE: Final = 5
_LONGEST_SECONDS: Final = 300
_KEPT: Final = 10_000


class Attempts:
    """Failed attempts by key (a login, an address), in memory. Times are ms."""

    def __init__(self) -> None:
        self._failed: dict[str, tuple[int, int]] = {}

    def wait(self, *keys: str, now: int) -> int:
        """Give the seconds until the next attempt with these keys; 0 when it may be made now."""
        return max(max(0, -(-(self._until(key) - now) // 1000)) for key in keys)

    def fail(self, *keys: str, now: int) -> None:
        """Note a failure; the oldest keys are forgotten when there are many."""
        for key in keys:
            failures, until = self._failed.pop(key, (0, 0))
            if now - until > _LONGEST_SECONDS * 1000:
                failures = 0  # Quiet for long enough: it starts afresh.
            failures += 1
            pause = min(2 ** (failures - _FREE), _LONGEST_SECONDS) if failures >= _FREE else 0
            self._failed[key] = (failures, now + pause * 1000)
        while len(self._failed) > _KEPT:
            del self._failed[next(iter(self._failed))]

    def succeed(self, *keys: str) -> None:
        """Forget the failures of these keys."""
        for key in keys:
            self._failed.pop(key, None)

    def _until(self, key: str) -> int:
        return self._failed.get(key, (0, 0))[1]
