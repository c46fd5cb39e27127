"""FQL: what expressions mean, by Segment's public reference and beyond it."""

import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.fql import FqlError, compile_fql, condition_of, path_keys
from richpanel.core.fql_nodes import Node
from tests.core.test_fql_grammar import NODES

BUTTON = {
    "event": "Button Clicked",
    "type": "track",
    "context": {"library": {"name": "analytics.js", "version": "1.0"}},
    "properties": {"features": ["discounts", "dark-mode"]},
}
"""The message of the reference's examples."""


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ("event = 'Button Clicked'", True),
        ("event = 'Screen Tapped'", False),
        ("context.path.path = '/login'", False),
        ("type = 'identify' or type = 'track'", True),
        ("event = 'Button Clicked' and type = 'track'", True),
        ("match( context.library.version, '1.*' )", True),
        ("match( context.library.version, '2.*' )", False),
        ("type = 'track' and ( event = 'Click' or match( event, 'Button *' ) )", True),
        ("!contains( context.library.name, 'js' )", False),
        ("'dark-mode' in properties.features", True),
        ("'blink' in properties.features", False),
        # Subexpressions; the first has its arguments the wrong way round in the reference, too.
        ("type = 'track' and ( event = 'Click' or match( 'Button *', event ) )", False),
        (
            "( type = 'track' or type = 'identify' ) and "
            "( properties.enabled or match( traits.email, '*@company.com' ) )",
            False,
        ),
        ("!( type in ['track', 'identify'] )", False),
        # Functions.
        ("length( userId ) > 0", False),
        ("typeof( userId ) = 'string' and length( userId ) > 0", False),
        # Glob patterns.
        ("match( 'abcd', 'a*d' )", True),
        ("match( '', '*' )", True),
        ("match( 'abc', 'ab' )", False),
        ("match( 'abcd', 'a??d' )", True),
        ("match( 'abcd', '*d' )", True),
        (r"match( 'ab*d', 'ab\*d' )", True),
        ("match( 'abCd', 'ab[cC]d' )", True),
        ("match( 'abcd', 'ab[a-z]d' )", True),
        ("match( 'abcd', 'ab[A-Z]d' )", False),
    ],
)
def test_the_examples_of_the_reference(expression: str, matches: bool) -> None:
    assert compile_fql(expression)(BUTTON) is matches


def test_escaped_paths() -> None:
    message = {"properties": {"product 1": {"price": "19.99"}}}
    assert compile_fql(r"properties.product\ 1.price = '19.99'")(message)


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ("all", True),
        ("true", True),
        ("null", False),
        ("absent", False),
        ("!absent", True),
        ("true and null", False),
        ("null or true", True),
        # Strict equality, all the way down.
        ("one = 1.0", True),
        ("one = true", False),
        ("one = '1'", False),
        ("one != '1'", True),
        ("absent = null", True),
        ("one != null", True),
        ("list = [1, 'a', null]", True),
        ("list = ['a', 1, null]", False),
        ("list = [true, 'a', null]", False),
        ("thing = other", True),
        ("thing != list", True),
        # Order is of numbers; what is absent is not in it.
        ("one > 0 and one >= 1 and one < 2 and one <= 1", True),
        ("absent > 0 or absent < 0 or absent >= 0 or absent <= 0", False),
        ("1 in list and null in list", True),
        ("true in list", False),
        ("'a' in absent", False),
        ("one in [one, two]", True),
        # The right side is not looked at where the left decides.
        ("false and text > 1", False),
        ("true or text > 1", True),
    ],
)
def test_operators(expression: str, matches: bool) -> None:
    message = {"one": 1, "text": "a", "list": [1, "a", None], "thing": {"a": [1]}, "other": {"a": [1.0]}}
    assert compile_fql(expression)(message) is matches


@pytest.mark.parametrize(
    "expression",
    ["text", "one", "!text", "text and true", "one or true", "text > 1", "1 <= list", "1 in text", "list in list"],
)
def test_a_wrong_type_fails(expression: str) -> None:
    condition = compile_fql(expression)
    with pytest.raises(FqlError):
        condition({"one": 1, "text": "a", "list": [[1]]})


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("lower(event) = 'a'", "line 1, column 1: There is no function `lower`; there are contains, length"),
        ("length() > 1", "line 1, column 1: length() takes 1 argument, not 0."),
        ("true and match(event)", "line 1, column 10: match() takes 2 arguments, not 1."),
        ("contains(event, 3)", "line 1, column 17: contains() takes a string, not a number."),
        ("length(3) > 1", "line 1, column 8: length() takes a list or string, not a number."),
        ("match(event, 'a[')", "line 1, column 14: The pattern has a `[` without its `]`."),
        ("lowercase(event)", "line 1, column 1: The expression gives a string; it must be true or false."),
        ("'track'", "line 1, column 1: The expression gives a string"),
        ("!'a'", "line 1, column 2: `!` takes true or false, not a string."),
        ("a and 'b'", "line 1, column 7: `and` takes true or false, not a string."),
        ("a > '3'", "line 1, column 5: `>` takes numbers, not a string."),
        ("a in 'abc'", "line 1, column 6: `in` takes"),
        ("[1] in a", "line 1, column 1: `in` takes"),
    ],
)
def test_what_can_never_be_evaluated_is_told_at_once(expression: str, told: str) -> None:
    with pytest.raises(FqlError) as found:
        compile_fql(expression)
    assert str(found.value).startswith(told)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c d"]), inner, max_size=3),
    max_leaves=8,
)


@given(NODES, st.dictionaries(st.sampled_from(["a", "b", "c d"]), JSON))
def test_evaluating_gives_an_answer_or_says_that_it_fails(node: Node, message: dict[str, Any]) -> None:
    with suppress(FqlError):
        assert condition_of(node)(message) in (True, False)


def test_a_very_deep_message_fails_and_breaks_nothing() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for expression in ("a = b", "string(a) = 'a'"):
        with pytest.raises(FqlError):
            compile_fql(expression)({"a": deep, "b": [[deep]]})


def test_path_keys() -> None:
    assert path_keys(r"properties.a\.b") == ("properties", "a.b")
    assert path_keys("all") == ("all",)
    for text in ("", "a = 1", "a..b", "'a'"):
        with pytest.raises(FqlError):
            path_keys(text)


def test_the_parser_is_loaded_for_the_first_expression_alone() -> None:
    """Processes that have no filters do not pay for it."""
    code = (
        "import sys; from richpanel.core import fql; before = 'lark' in sys.modules; "
        "fql.parse('all'); sys.exit(before or 'lark' not in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
