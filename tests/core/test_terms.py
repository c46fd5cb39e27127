"""Terms: what is typed, and what it lets through."""

import re
from decimal import Decimal
from typing import Any

import pytest

from richpanel.core.terms import TERMS_PATTERN, Term, read_terms


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        (" ; ", ()),
        ("plan=gold", (Term("plan", "=", "gold"),)),
        ("points >= 10; city ~ Port ;", (Term("points", ">=", "10"), Term("city", "~", "Port"))),
        ("!phone; vip", (Term("phone", "missing"), Term("vip", "exists"))),
        ("note = a=b", (Term("note", "=", "a=b"),)),
        ("plan!=", (Term("plan", "!=", ""),)),
        ("first name=Ada", (Term("first name", "=", "Ada"),)),
    ],
)
def test_terms_are_read(text: str, terms: tuple[Term, ...]) -> None:
    assert read_terms(text) == terms
    assert re.fullmatch(TERMS_PATTERN, text)


@pytest.mark.parametrize("text", ["=gold", "!plan=gold", ">", "a;" * 11])
def test_what_is_no_term_is_told(text: str) -> None:
    assert not re.fullmatch(TERMS_PATTERN, text)
    with pytest.raises(ValueError, match=r"not understood|at most"):
        read_terms(text)


@pytest.mark.parametrize(
    ("term", "value", "holds"),
    [
        ("plan=GOLD", "gold", True),
        ("plan=gold", None, False),
        ("plan!=gold", None, False),
        ("plan!=gold", "free", True),
        ("points>=10", Decimal("9.99"), False),
        ("points>=10", Decimal("10.0"), True),
        ("points=10", "10", True),
        ("points>9", "10", True),
        ("points>9", "many", True),
        ("vip=true", True, True),
        ("vip=1", True, False),
        ("tags~mug", ["Mugs", "bowls"], True),
        ("since>2025-11", "2025-12-01T00:00:00Z", True),
        ("plan", "", True),
        ("!plan", None, True),
        ("!plan", False, False),
    ],
)
def test_a_term_holds(term: str, value: Any, holds: bool) -> None:
    (read,) = read_terms(term)
    assert read.holds(value) is holds
