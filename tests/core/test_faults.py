"""Strict reading: all faults of an object or a list together, each by its place."""

import pytest

from richpanel.core.faults import FaultyError, a_text, an_integer, an_object, each, kind, one_of, quoted


def test_an_object_tells_all_that_is_missing_or_unknown() -> None:
    assert an_object({"a": 1}, "x", required=("a",), optional=("b",)) == {"a": 1}
    with pytest.raises(FaultyError) as caught:
        an_object({"c": 1, "d": 2}, "x", required=("a",), optional=("b",))
    assert [field for field, _ in caught.value.faults] == ["x.a", "x.c", "x.d"]


def test_a_list_tells_the_faults_of_all_its_elements() -> None:
    assert each(["a", "b"], "x", a_text) == ("a", "b")
    with pytest.raises(FaultyError) as caught:
        each(["a", 1, ""], "x", a_text)
    assert [field for field, _ in caught.value.faults] == ["x[1]", "x[2]"]
    with pytest.raises(FaultyError, match=r"x: Must be a list, not a text"):
        each("ab", "x", a_text)


def test_scalars() -> None:
    assert an_integer(3, "x", 1, 3) == 3
    assert one_of("a", "x", ("a", "b")) == "a"
    for broken in (4, 0, True, 1.0, "1", None):
        with pytest.raises(FaultyError):
            an_integer(broken, "x", 1, 3)
    for unknown in ("c", 1, None, ["a"]):
        with pytest.raises(FaultyError, match="one of a, b"):
            one_of(unknown, "x", ("a", "b"))
    with pytest.raises(FaultyError, match="3 characters, not 4"):
        a_text("abcd", "x", 3)


def test_values_are_named_and_shown_in_short() -> None:
    values: list[object] = [None, True, "a", {}, [], 1, 1.5]
    assert [kind(value) for value in values] == [
        *("null", "a boolean", "a text", "an object", "a list", "a number", "a number"),
    ]
    assert quoted("x" * 100) == f"`{'x' * 64}...`"
