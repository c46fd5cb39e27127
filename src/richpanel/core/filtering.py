"""Which events a condition is about: those of a name that pass its filters."""

from collections.abc import Callable
from typing import TypeAlias

from richpanel.core.comparing import path_of, predicate, values_at
from richpanel.core.conditions import Named, Where
from richpanel.core.happened import Happened

Matches: TypeAlias = Callable[[Happened], bool]
"""Asked of an event that has the name; `within_last` and `within_next` look from its own time."""


def matching(event: Named) -> Matches:
    """Make what answers whether an event of this name passes all filters."""
    tests = [_filter(where) for where in event.where]
    if not tests:
        return lambda _: True
    if len(tests) == 1:
        return tests[0]
    return lambda happened: all(test(happened) for test in tests)


def _filter(where: Where) -> Matches:
    path, asked = path_of(where.path), predicate(where.test)
    if where.of == "context":
        return lambda happened: asked(values_at(happened.context, path), happened.t)
    return lambda happened: asked(values_at(happened.properties, path), happened.t)
