"""Conditions, computed traits and histories as hypothesis draws them: few names, values, times, so that they meet."""

from typing import Any

from hypothesis import strategies as st

from richpanel.core.comparing import ORDER, Test
from richpanel.core.computed import KINDS, Computation
from richpanel.core.conditions import (
    All,
    AnyOf,
    Computed,
    Condition,
    Count,
    InAudience,
    Named,
    Not,
    Performed,
    Sequence,
    Step,
    Trait,
    Where,
)
from richpanel.core.happened import Happened
from richpanel.core.membership import Audience, Person
from richpanel.core.windows import EVER, Span, Window

NAMES = ("Order Completed", "Viewed", "Signed Up")
COMPUTED_KEYS = ("one", "two")
AUDIENCE_KEYS = ("vip", "seen")
LAST = 12_000
"""No event is later than this, ms; half a second apart, so that windows close at the very time of others."""

TIMES = st.integers(0, LAST // 500).map(lambda number: number * 500)
SPANS = st.builds(Span, st.integers(1, 6), st.just("seconds"))
WINDOWS = st.one_of(
    st.just(EVER),
    st.builds(Window, within=SPANS),
    st.builds(Window, within=SPANS),
    st.builds(Window, after=TIMES),
    st.builds(Window, before=TIMES),
    st.tuples(TIMES, st.integers(1, 12)).map(lambda drawn: Window(None, drawn[0], drawn[0] + drawn[1] * 500)),
)
SCALARS = st.one_of(st.sampled_from(["gold", "go", "", "7", "1.50"]), st.integers(0, 9), st.booleans())
PRESENT = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.sampled_from(["1970-01-01T00:00:05Z", "$4.20"]))
VALUES = st.one_of(st.none(), PRESENT)
NUMBERS = st.one_of(st.integers(-1, 9), st.decimals(0, 9, places=2))
TESTS = st.one_of(
    st.builds(Test, st.sampled_from([">", ">=", "<", "<="]), NUMBERS),
    st.builds(Test, st.sampled_from(["=", "!="]), SCALARS),
    st.builds(Test, st.just("in"), st.lists(SCALARS, min_size=1, max_size=3).map(tuple)),
    st.builds(
        Test,
        st.sampled_from(["contains", "not_contains", "starts_with", "ends_with"]),
        st.sampled_from(["go", "gold", "7"]),
    ),
    st.builds(Test, st.sampled_from(["exists", "not_exists"])),
    st.builds(Test, st.sampled_from(["before", "after"]), TIMES),
    st.builds(Test, st.sampled_from(["within_last", "within_next"]), SPANS),
)
FILTERS = st.builds(
    Where,
    st.sampled_from(["property", "property", "context"]),
    st.sampled_from(["v", "a.b", "list.b", "list.0.b"]),
    TESTS,
)
NAMED = st.builds(Named, st.sampled_from(NAMES), st.one_of(st.just(()), st.lists(FILTERS, max_size=2).map(tuple)))
BARE = st.builds(Named, st.sampled_from(NAMES))
COUNTS = st.builds(Count, st.sampled_from(list(ORDER)), st.integers(0, 4))
PERFORMED = st.builds(Performed, NAMED, COUNTS, st.booleans(), WINDOWS)
STEPS = st.builds(Step, st.one_of(BARE, BARE, NAMED), st.booleans(), st.none() | SPANS)
SEQUENCES = st.builds(Sequence, st.one_of(BARE, NAMED), st.lists(STEPS, min_size=1, max_size=4).map(tuple), WINDOWS)
TRAITS = st.builds(Trait, st.sampled_from(["plan", "first_name", "address.city"]), TESTS)
ASKED = st.one_of(
    st.builds(Computed, st.sampled_from(COMPUTED_KEYS), TESTS), st.builds(InAudience, st.sampled_from(AUDIENCE_KEYS))
)


def trees(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Condition]:
    """Conditions over these leaves, with AND, OR and NOT."""
    return st.recursive(
        leaf,
        lambda part: st.one_of(
            st.builds(All, st.lists(part, min_size=1, max_size=3).map(tuple)),
            st.builds(AnyOf, st.lists(part, min_size=1, max_size=3).map(tuple)),
            st.builds(Not, part),
        ),
        max_leaves=5,
    )


OWN = st.one_of(PERFORMED, PERFORMED, SEQUENCES, TRAITS)
CONDITIONS = trees(st.one_of(OWN, OWN, ASKED))
COMPUTATIONS = st.sampled_from(KINDS).flatmap(
    lambda kind: st.builds(
        Computation, st.just(kind), NAMED, st.none() if kind == "count" else st.sampled_from(["v", "list.b"]), WINDOWS
    )
)
LIBRARIES = st.tuples(
    st.fixed_dictionaries(dict.fromkeys(COMPUTED_KEYS, COMPUTATIONS)),
    st.fixed_dictionaries({key: st.builds(Audience, trees(OWN), st.booleans()) for key in AUDIENCE_KEYS}),
)
INSIDE = st.fixed_dictionaries(
    {},
    optional={
        "v": VALUES,
        "a": st.one_of(VALUES, st.fixed_dictionaries({"b": VALUES})),
        "list": st.lists(st.fixed_dictionaries({"b": VALUES}), max_size=3),
    },
)
HISTORIES = st.lists(
    st.builds(
        lambda t, number, name, properties, context: Happened((t, f"m{number}", "web"), name, properties, context),
        TIMES,
        st.integers(0, 99),
        st.sampled_from(NAMES),
        INSIDE,
        st.one_of(st.just({}), INSIDE),
    ),
    max_size=9,
    unique_by=lambda happened: happened.stamp,
)
PEOPLE = st.builds(
    Person,
    st.fixed_dictionaries(
        {}, optional={"plan": VALUES, "firstName": VALUES, "address": st.fixed_dictionaries({"city": VALUES})}
    ),
    st.sampled_from([True, True, False]),
)
