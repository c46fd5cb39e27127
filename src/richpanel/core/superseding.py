"""Superseding: an identify says what holds when it is sent, not what held when it was made (`semantics.md` 9).

What is tried again for hours may be overtaken by what the person, or somebody, has said since. Each key that the call
names carries the customer's current value; one that was removed since is left out.
"""

from collections.abc import Mapping
from typing import Any

from richpanel.core import traits as rules
from richpanel.core.money import decode_exact
from richpanel.core.traits import SESSION_KEY, Trait
from richpanel.core.wire_people import own_traits


def current(
    given: Mapping[str, Any], traits: Mapping[str, Trait], carried: Trait | None
) -> tuple[dict[str, Any], bool]:
    """Give an identify's traits with the values of now, and whether nothing of what it said is left.

    `given` is as `money.decode_exact` reads it; `traits` and `carried` are the profile's (`core.profile`). A key that
    the profile does not know stays as it is: it is not the profile's business, like what an audience says. One that
    says nothing but who somebody is still says that.
    """
    own = own_traits(given)
    kept: dict[str, Any] = {}
    for key, value in own.items():
        known = traits.get(key)
        if known is None:
            kept[key] = value
            continue
        text = rules.email(known, carried) if key == "email" else known[0]
        if text is not None:
            kept[key] = decode_exact(text)
    is_empty = bool(own) and all(value is None for value in kept.values())
    if SESSION_KEY in given:
        kept[SESSION_KEY] = given[SESSION_KEY]
    return kept, is_empty
