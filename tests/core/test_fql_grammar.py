"""Reading and writing FQL: what an expression consists of, and what is told where it breaks."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.fql_grammar import MAX_BYTES, MAX_DEPTH, parse
from richpanel.core.fql_nodes import (
    Call,
    Compared,
    Everything,
    FqlError,
    Items,
    Joined,
    Literal,
    Node,
    Not,
    Path,
    literal,
    show,
)

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
PATHS = st.lists(KEYS, min_size=1, max_size=3).map(lambda keys: Path(tuple(keys)))
LITERALS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**15), 10**15),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
).map(literal)
NAMES = st.sampled_from(["contains", "length", "typeof", "match", "string"])


def _wider(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(inner, max_size=3).map(tuple)
    two = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        several.map(Items),
        st.builds(Call, NAMES, several),
        inner.map(Not),
        st.builds(Compared, st.sampled_from(["=", "!=", ">", ">=", "<", "<=", "in"]), inner, inner),
        st.builds(Joined, st.sampled_from(["and", "or"]), two),
    )


NODES: st.SearchStrategy[Node] = st.recursive(st.one_of(PATHS, LITERALS), _wider, max_leaves=8)


@given(NODES)
def test_what_is_written_is_read_as_it_was(node: Node) -> None:
    assert parse(show(node)) == node


@given(st.text(max_size=60) | st.text("abin '\"\\()[]!=<>.,01-\n", max_size=60))
def test_any_text_is_read_or_told_about(text: str) -> None:
    place = None
    try:
        assert parse(show(parse(text))) == parse(text)
    except FqlError as error:
        place = error.place
    if place is not None:
        assert 1 <= place[0] <= text.count("\n") + 1
        assert 1 <= place[1] <= len(text) + 1


def test_all_is_every_message_when_it_stands_alone() -> None:
    assert parse(" all ") == Everything()
    assert parse(r"\all") == Path(("all",))
    assert parse("all = 1") == Compared("=", Path(("all",)), literal(1))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("userId", ("userId",)),
        ("context.library.version", ("context", "library", "version")),
        (r"properties.product\ 1.price", ("properties", "product 1", "price")),
        (r"properties.a\.b", ("properties", "a.b")),
        (r"properties.\é\\", ("properties", "é\\")),
        ("_a-b.1", ("_a-b", "1")),
        (r"\and", ("and",)),
        ("and.or.in", ("and", "or", "in")),
        ("android", ("android",)),
    ],
)
def test_paths(text: str, keys: tuple[str, ...]) -> None:
    assert parse(text) == Path(keys)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'a'", "a"),
        ('"a"', "a"),
        (r"'it\'s'", "it's"),
        (r'"\"\\"', '"\\'),
        (r"'ab\*d'", r"ab\*d"),  # For `match`: only quotes and the backslash itself are escaped in a text.
        ("-12", -12),
        ("+1.50", 1.5),
        ("1e3", 1000.0),
        ("true", True),
        ("null", None),
    ],
)
def test_literals(text: str, value: str | int | float | bool | None) -> None:
    assert parse(text) == literal(value)
    assert literal(1) != Literal(True, "bool")


def test_what_binds_tighter() -> None:
    a, b, c = Path(("a",)), Path(("b",)), Path(("c",))
    assert parse("a or b and c") == Joined("or", (a, Joined("and", (b, c))))
    assert parse("(a or b) and c") == Joined("and", (Joined("or", (a, b)), c))
    assert parse("!a = b") == Compared("=", Not(a), b)
    assert parse("!(a = b)") == Not(Compared("=", a, b))
    assert parse("a = b and b") == Joined("and", (Compared("=", a, b), b))


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("", (1, 1), "An expression is required"),
        ('userId = oops"', (1, 14), "This text has no closing quote."),  # The reference's own invalid statement.
        ("type = 'track'\nand event == 'a'", (2, 12), "`=` cannot stand here; expected a value"),
        ("a =", (1, 4), "The expression ends too early; expected a value"),
        ("(a", (1, 3), "The expression ends too early; expected `)`."),
        ("['a', 'b'", (1, 10), "The expression ends too early; expected `]` or `,`."),
        ("a AND b", (1, 3), "Operators are in lower case: `and`."),
        ("a && b", (1, 3), "`&` cannot stand here; expected `and` or `or` or a comparison"),
        ("a b", (1, 3), "`b` cannot stand here; expected `and` or `or` or a comparison (= != > >= < <= in)"),
        ("a = b = c", (1, 7), "`=` cannot stand here; expected `and` or `or` or the end."),
        ("price > 5eur", (1, 9), "`5eur` cannot stand here; expected a value"),
        ("a = \x07", (1, 5), "The character U+0007 cannot stand here"),
        ("a = 1e999", (1, 5), "larger than a number of JSON"),
    ],
)
def test_where_it_breaks_is_told(text: str, place: tuple[int, int], told: str) -> None:
    with pytest.raises(FqlError) as found:
        parse(text)
    assert found.value.place == place
    assert found.value.text.startswith(told) or told in found.value.text
    assert str(found.value) == f"line {place[0]}, column {place[1]}: {found.value.text}"


def test_size_and_depth_are_bounded() -> None:
    parse("!" * (MAX_DEPTH - 1) + "a")
    with pytest.raises(FqlError, match="32 levels"):
        parse("!" * MAX_DEPTH + "a")
    with pytest.raises(FqlError, match="32 levels"):
        parse("[" * 2_000 + "]" * 2_000)
    assert parse("(" * 2_000 + "a" + ")" * 2_000) == Path(("a",))
    parse("'" + "é" * (MAX_BYTES // 2 - 1) + "'")
    with pytest.raises(FqlError, match="5,120 bytes"):
        parse("'" + "é" * (MAX_BYTES // 2) + "'")
    started = time.process_time()
    parse(" or ".join(["a = 1"] * 560))
    assert time.process_time() - started < 5
    assert math.isfinite(started)
