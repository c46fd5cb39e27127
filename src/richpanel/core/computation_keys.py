"""Keys of audiences and computed traits: the traits by which the world knows them (`semantics.md` 8; Segment 7.2).

Lower case; each run of what is neither letter nor digit becomes one `_`; `camelCase` is split where an upper-case
letter follows a lower-case one; digits and letters that touch stay together. A key may be edited until it is saved;
then it is frozen, and never used again.
"""

from collections.abc import Collection
from typing import Final

from richpanel.core.faults import Fault
from richpanel.core.traits import FIRST_CLASS, SESSION_KEY, canonical_key

MAX_KEY: Final = 128
_RESERVED: Final = frozenset({SESSION_KEY, "uid", "id", "user_id", "anonymous_id", "address", "created_at"})


def key_of(name: str) -> str:
    """Give the key that a name stands for: `Order Completed Last 30days` is `order_completed_last_30days`."""
    spelled: list[str] = []
    before = "_"
    for char in name:
        if before.islower() and char.isupper():
            spelled.append("_")
        spelled.append(char if char.isalnum() else "_")
        before = char
    words = "".join(char if char.isalnum() else "_" for char in "".join(spelled).lower())
    return "_".join(filter(None, words.split("_")))[:MAX_KEY].rstrip("_")


def key_fault(key: str, taken: Collection[str], at: str = "key") -> Fault | None:
    """Tell why something new cannot have a key; `taken` are all that were ever used, of what is deleted, too."""
    if not key:
        return Fault(at, "Is required: the name has no letter or digit of which one could be made.")
    if key != key_of(key):
        return Fault(
            at, f"Must be lower-case letters and digits with single `_` between, such as `{key_of(key) or 'vip'}`."
        )
    if canonical_key(key) in FIRST_CLASS or key in _RESERVED:
        return Fault(at, f"`{key}` says who somebody is; an audience or computed trait cannot set it.")
    if key in taken:
        return Fault(at, f"`{key}` is or was in use: a key is never used again.")
    return None
