"""FQL's functions, one by one."""

import pytest

from richpanel.core.fql import FqlError, compile_fql
from richpanel.core.fql_functions import FUNCTIONS, MAX_TEXT

NESTED = {"a": {"b": [1]}}


def value(call: str, wanted: str, **message: object) -> bool:
    return compile_fql(f"{call} = {wanted}")(message)


@pytest.mark.parametrize(
    ("call", "gives"),
    [
        ("contains('analytics.js', 'js')", "true"),
        ("contains('analytics.js', 'JS')", "false"),
        ("length('a')", "1"),
        ("length('ア')", "3"),  # Bytes, as the reference's own example says.
        ("length(['a', 'b'])", "2"),
        ("lowercase('Nike AIR')", "'nike air'"),
        ("uppercase('Nike air')", "'NIKE AIR'"),
        ("snakecase('test string')", "'test_string'"),
        ("kebabcase('test string')", "'test-string'"),
        ("titlecase('test string')", "'Test String'"),
        ("titlecase('iPhone \tö')", "'IPhone \tÖ'"),
        ("typeof('a')", "'string'"),
        ("typeof(1.5)", "'number'"),
        ("typeof([])", "'list'"),
        ("typeof(false)", "'bool'"),
        ("typeof(null)", "'null'"),
        ("typeof(absent.field)", "'null'"),
        ("typeof(nested)", "'object'"),
        ("match('abcd', 'a*d')", "true"),
        ("bool('yes')", "true"),
        ("bool('False')", "false"),
        ("bool('0')", "false"),
        ("bool('')", "false"),
        ("bool(0)", "false"),
        ("bool(2)", "true"),
        ("bool([])", "false"),
        ("bool(['a'])", "true"),
        ("string(12)", "'12'"),
        ("string(12.0)", "'12'"),
        ("string(19.99)", "'19.99'"),
        ("string(true)", "'true'"),
        ("string(['a', 1, null])", """'["a",1,null]'"""),
        ("number('19.99')", "19.99"),
        ("number(' -3 ')", "-3"),
        ("number(7)", "7"),
    ],
)
def test_what_each_gives(call: str, gives: str) -> None:
    assert value(call, gives, nested=NESTED)


@pytest.mark.parametrize(
    ("call", "gives"),
    [  # The reference's table, and the functions that it leaves out of it.
        ("contains(null, 'a')", "false"),
        ("contains('a', null)", "false"),
        ("length(null)", "0"),
        ("lowercase(null)", "null"),
        ("uppercase(null)", "null"),
        ("snakecase(null)", "null"),
        ("kebabcase(null)", "null"),
        ("titlecase(null)", "null"),
        ("typeof(null)", "'null'"),
        ("match(null, '*')", "false"),
        ("match('a', null)", "false"),
        ("bool(null)", "false"),
        ("string(null)", "''"),
        ("number(null)", "null"),
    ],
)
def test_null_has_a_sensible_meaning(call: str, gives: str) -> None:
    assert value(call, gives)
    assert value(call.replace("null", "absent.field"), gives)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("contains(x, 'a')", {"x": ["a"]}),
        ("length(x)", {"x": NESTED}),
        ("length(x)", {"x": 3}),
        ("lowercase(x)", {"x": 3}),
        ("match(x, '*')", {"x": True}),
        ("match('a', x)", {"x": "[a"}),
        ("number(x)", {"x": "12 euros"}),
        ("number(x)", {"x": "1e999"}),
        ("number(x)", {"x": "nan"}),
        ("number(x)", {"x": True}),
        ("bool(x)", {"x": NESTED}),
        ("string(x)", {"x": NESTED}),
    ],
)
def test_what_a_function_cannot_take_fails(call: str, message: dict[str, object]) -> None:
    condition = compile_fql(f"{call} = 'a'")
    with pytest.raises(FqlError):
        condition(message)


def test_texts_do_not_grow_without_bounds() -> None:
    nested = "string([" * 14 + "x" + "])" * 14
    with pytest.raises(FqlError, match=f"{MAX_TEXT:,}"):
        compile_fql(f"{nested} = 'a'")({"x": '"' * 20})
    many = ", ".join(["x"] * 1_000)
    with pytest.raises(FqlError, match=f"{MAX_TEXT:,}"):
        compile_fql(f"string([{many}]) = 'a'")({"x": "y" * 1_000})


def test_every_function_of_the_reference_is_there() -> None:
    assert set(FUNCTIONS) == {
        *("contains", "length", "lowercase", "uppercase", "snakecase", "kebabcase", "titlecase", "typeof", "match"),
        *("bool", "string", "number"),
    }
