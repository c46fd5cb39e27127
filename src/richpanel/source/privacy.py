"""Who is kept out at the door, as of the last refresh: keyed hashes, a look into a set per call (`semantics.md` 10).

What is refused leaves nothing but a count, by source and hour. While nobody is kept out, this costs one truth test.
"""

from functools import lru_cache
from typing import Any, Final

import msgspec

from richpanel.core.identity import ANONYMOUS, UID
from richpanel.core.ids import clean_id
from richpanel.core.regulation import Hashed, hashed

HOUR_MS: Final = 3_600_000
_REMEMBERED: Final = 20_000


class _Ids(msgspec.Struct):
    userId: Any = None
    anonymousId: Any = None


_decode: Final = msgspec.json.Decoder(_Ids).decode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class KeptOut:
    """The uids that are kept out, and the anonymousIds whose latest link is to one of them; false while there are none.

    `account_key` is the key of all hashes.
    """

    def __init__(self, account_key: bytes = b"", hashes: frozenset[Hashed] = frozenset()) -> None:
        self._hashes = hashes

        @lru_cache(_REMEMBERED)
        def holds(kind: int, value: str) -> bool:
            return hashed(account_key, kind, value) in hashes

        self._holds = holds

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def refuses(self, user_id: object, anonymous_id: object) -> bool:
        """Tell whether a call with these ids, as they were sent, is refused."""
        uid = clean_id(user_id)
        if uid is not None:
            return self._holds(UID, uid)
        anonymous = clean_id(anonymous_id)
        return anonymous is not None and self._holds(ANONYMOUS, anonymous)

    def refuses_item(self, item: bytes | memoryview) -> bool:
        """Tell the same of a bad item, as far as it can be read."""
        try:
            ids = _decode(item)
        except _UNREADABLE:
            return False
        return self.refuses(ids.userId, ids.anonymousId)


class Refusals:
    """How many calls were refused since somebody took the counts: (source's id, beginning of the hour in ms)."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], int] = {}

    def add(self, source: str, at: int, number: int) -> None:
        """Count."""
        key = (source, at - at % HOUR_MS)
        self._counts[key] = self._counts.get(key, 0) + number

    def take(self) -> dict[tuple[str, int], int]:
        """Give the counts and begin anew."""
        taken, self._counts = self._counts, {}
        return taken

    def put_back(self, counts: dict[tuple[str, int], int]) -> None:
        """Count what could not be kept once more."""
        for (source, hour), number in counts.items():
            self.add(source, hour, number)
