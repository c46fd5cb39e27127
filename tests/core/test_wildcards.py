"""Wildcard patterns of FQL's `match`."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.fql_nodes import FqlError
from richpanel.core.wildcards import MAX_WORK, Wildcard, wildcard


@pytest.mark.parametrize(
    ("text", "pattern", "matches"),
    [  # Segment's reference, in its order.
        ("abcd", "a*d", True),
        ("", "*", True),
        ("abc", "ab", False),
        ("abcd", "a??d", True),
        ("abcd", "*d", True),
        ("ab*d", r"ab\*d", True),
        ("abCd", "ab[cC]d", True),
        ("abcd", "ab[a-z]d", True),
        ("abcd", "ab[A-Z]d", False),
        # Where the reference is silent, Segment's matcher for browsers.
        ("ab/c", "a*", True),
        ("a/c/b", "a*/b", True),
        ("axbxcxdxexxx/f", "a*b*c*d*e*/f", True),
        ("axbxcxdxexxx/fff", "a*b*c*d*e*/f", False),
        ("abxbbxdbxebxczzx", "a*b?c*x", True),
        ("abxbbxdbxebxczzy", "a*b?c*x", False),
        ("abcabcabc", "*a*b*c*", True),
        ("abc", "ab[^c]", False),
        ("abc", "ab[^e-g]", True),
        ("abc", "ab[^b-d]", False),
        ("a☺b", "a?b", True),
        ("a☺b", "a???b", False),
        ("α", "[a-ζ]*", True),
        ("A", "*[a-ζ]", False),
        ("]", r"[\]a]", True),
        ("-", r"[\-x]", True),
        ("z", r"[x\-]", False),
        ("xxx", "*x", True),
        ("ab", r"a\*b", False),
        # Ours.
        ("", "", True),
        ("a\nb", "a?b", True),
        ("abc", "abc*abc", False),
        ("b", "[z-a]", False),
        ("b", "[^z-a]", True),
        ("a^", "a[x^]", True),
    ],
)
def test_patterns(text: str, pattern: str, matches: bool) -> None:
    assert Wildcard(pattern).matches(text) is matches


@pytest.mark.parametrize("pattern", ["[", "[^", "[^bc", "a[", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "\\", "[\\"])
def test_malformed_patterns_are_told(pattern: str) -> None:
    with pytest.raises(FqlError):
        Wildcard(pattern)


def slowly(pattern: str, text: str) -> bool:
    """Match by the definition, one character at a time; without sets."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(slowly(pattern[1:], text[at:]) for at in range(len(text) + 1))
    if pattern[0] == "\\":
        pattern = pattern[1:]
    elif pattern[0] == "?" and text:
        return slowly(pattern[1:], text[1:])
    return text[:1] == pattern[0] and slowly(pattern[1:], text[1:])


@given(
    st.lists(st.sampled_from(["a", "b", "*", "?", r"\*", r"\?"]), max_size=7).map("".join),
    st.text("ab*?", max_size=8),
)
def test_a_pattern_means_what_its_definition_says(pattern: str, text: str) -> None:
    assert wildcard(pattern).matches(text) is slowly(pattern, text)


def test_no_pattern_is_slow() -> None:
    """Of such patterns a backtracking matcher would never come back."""
    for pattern, text in (("*a" * 120 + "b", "a" * 8_000), ("*" + "?" * 300 + "b", "a" * 8_000)):
        started = time.process_time()
        assert not Wildcard(pattern).matches(text)
        assert time.process_time() - started < 1


def test_too_much_work_is_refused() -> None:
    with pytest.raises(FqlError, match="too long"):
        Wildcard("ab" * 200).matches("a" * (MAX_WORK // 400 + 1))
    with pytest.raises(FqlError, match="5,120"):
        Wildcard("a" * 5_121)
