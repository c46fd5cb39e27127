"""Money: exact in, exact out."""

import json
from decimal import Decimal
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.money import (
    MAX_DECIMALS,
    MAX_DIGITS,
    amount,
    average,
    decode_exact,
    encode_exact,
    minus,
    plus,
    text,
    total,
)

amounts = st.decimals(-(10**12), 10**12, places=4, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (5, "5"),
        (-5, "-5"),
        (27.5, "27.5"),
        (0.1, "0.1"),
        (-0.0, "0"),
        (1e16, "1E+16"),
        (Decimal("27.50"), "27.50"),
        (Decimal("1E+2"), "100"),
        (5.551115123125783e-17, "5.551115123125783E-17"),
        (10**MAX_DIGITS - 1, "999999999999999999"),
        ("5", "5"),
        ("5.00", "5.00"),
        ("-5.00", "-5.00"),
        ("+5.00", "5.00"),
        ("\u22125.00", "-5.00"),
        (".5", "0.5"),
        ("5.", "5"),
        ("007", "7"),
        ("1e3", "1000"),
        ("1E+2", "100"),
        (" 5.00 ", "5.00"),
        ("$5.00", "5.00"),
        ("$ 5.00", "5.00"),
        ("-$5.00", "-5.00"),
        ("$-5.00", "-5.00"),
        ("- $5.00", "-5.00"),
        ("$1,234.50", "1234.50"),
        ("US$1,234.50", "1234.50"),
        ("R$ 1.234,50", "1234.50"),
        ("€1.234,50", "1234.50"),
        ("1.234,50 €", "1234.50"),
        ("1 234,50 €", "1234.50"),
        ("1\u00a0234,50\u00a0€", "1234.50"),
        ("1\u202f234,50", "1234.50"),
        ("1'234.50", "1234.50"),
        ("1\u2019234.50", "1234.50"),
        ("CHF 1'234.50", "1234.50"),
        ("1234.5 USD", "1234.5"),
        ("5EUR", "5"),
        ("¥1,234", "1234"),
        ("\uffe51,234", "1234"),
        ("₹1,00,000.50", "100000.50"),
        ("1,234", "1234"),
        ("1,234,567", "1234567"),
        ("1.234.567", "1234567"),
        ("1.234.567,89", "1234567.89"),
        ("1,234,567.89", "1234567.89"),
        ("1.234", "1.234"),
        ("5,00", "5.00"),
        ("12,5", "12.5"),
        ("0,500", "0.500"),
        (",5", "0.5"),
        ("1234,567", "1234.567"),
        ("1,2345", "1.2345"),
    ],
)
def test_amounts(value: object, expected: str) -> None:
    assert amount(value) == Decimal(expected)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        [],
        {},
        b"5",
        "",
        " ",
        "-",
        "$",
        ".",
        ",",
        "free",
        "5 pcs",
        "5%",
        "five",
        "--5",
        "-$-5",
        "5-",
        "(5.00)",
        "1,23,4",
        "1.23.4",
        "1,234.5.6",
        "1.234,5,6",
        "1,234.567,8",
        "12.34,5",
        "1 2",
        "1 23",
        "0x10",
        "1_000",
        "٣",
        "NaN",
        "nan",
        "Infinity",
        "1e999999999",
        "1e400",
        "1e-400",
        "9" * 65,
        "1" * 30_000,
        "," * 30_000,
        "1," * 32,
        float("nan"),
        float("inf"),
        -float("inf"),
        1e18,
        1e300,
        5e-324,
        10**18,
        -(10**18),
        10**4000,
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        Decimal("1E+999999"),
        Decimal("1E-999999"),
        Decimal("0." + "0" * MAX_DECIMALS + "1"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_no_amounts(value: object) -> None:
    assert amount(value) is None


@given(st.text() | st.text("0123456789.,' $€-+eE\u00a0", max_size=64) | st.floats() | st.integers() | st.decimals())
def test_whatever_comes_the_cost_and_the_result_are_bounded(value: object) -> None:
    found = amount(value)
    assert found is None or (abs(found) < 10**MAX_DIGITS and len(text(found)) <= MAX_DIGITS + MAX_DECIMALS + 2)


def test_the_dearest_text_costs_nothing() -> None:
    started = process_time()
    for hostile in (" " * 64, "1 " * 32, "A" * 64, "1" * 63 + "x", "$" * 64, "1" + "'" * 62 + "e", "1 234" * 12):
        for _ in range(200):
            amount(hostile)
    assert process_time() - started < 2, "1,400 amounts of at most 64 characters"


@given(amounts)
def test_written_amounts_are_read_back(value: Decimal) -> None:
    assert amount(text(value)) == value
    for written in (f"${value:,f}", f"{value:,f} USD", f"{value:,f}".replace(",", " "), f"{value:+,f}"):
        assert amount(written) == value
    assert amount(f"{value:,f}".translate(str.maketrans(",.", ".,"))) == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("0", "0.00"),
        ("-0.000", "0.00"),
        ("0E+20", "0.00"),
        ("5", "5.00"),
        ("5.0", "5.00"),
        ("27.500", "27.50"),
        ("-27.5", "-27.50"),
        ("0.125", "0.125"),
        ("-0.001", "-0.001"),
        ("1E+3", "1000.00"),
        ("1E-7", "0.0000001"),
        ("1234567890123456789012345678901234567890.12", "1234567890123456789012345678901234567890.12"),
    ],
)
def test_text(value: str, written: str) -> None:
    assert text(Decimal(value)) == written


@given(amounts, st.integers(0, 10))
def test_text_depends_on_the_value_alone(value: Decimal, zeros: int) -> None:
    padded = Decimal(f"{value:f}" + "0" * zeros)
    assert text(padded) == text(value)
    assert Decimal(text(value)) == value


def test_a_tenth_and_two_tenths_are_three() -> None:
    tenth, two = decode_exact(b"[0.1, 0.2]")
    assert text(total(map(amount_of, (tenth, two)))) == "0.30"
    assert decode_exact(b"[1, 1.10, 1e2, -0]") == [1, Decimal("1.10"), Decimal("1E+2"), 0]
    assert type(decode_exact(b"12345678901234567890123")) is int


def amount_of(value: object) -> Decimal:
    found = amount(value)
    assert found is not None
    return found


@pytest.mark.parametrize("document", ['{"a":1.10,"b":[12345678901234567890,0.10,-0.0],"c":"1.0","d":null}', "27.500"])
def test_numbers_keep_their_digits(document: str) -> None:
    assert encode_exact(decode_exact(document)).decode() == document


@given(st.lists(amounts, max_size=30), st.randoms())
def test_sums_are_exact_in_any_order(values: list[Decimal], random: object) -> None:
    expected = sum(int(value * 10_000) for value in values)
    assert total(values) * 10_000 == expected
    assert total(reversed(values)) == total(values)
    left = total(values)
    for value in values:
        left = minus(left, value)
    assert text(left) == "0.00"


def test_the_widest_amounts_add_up_exactly() -> None:
    largest, smallest = Decimal(10**MAX_DIGITS - 1), Decimal(1).scaleb(-MAX_DECIMALS)
    assert amount(largest) == largest
    assert amount(smallest) == smallest
    both = plus(largest, smallest)
    assert minus(both, largest) == smallest
    assert minus(total([both] * 1_000), total([largest] * 1_000)) == smallest * 1_000


@pytest.mark.parametrize(
    ("whole", "count", "each"),
    [
        ("10", 3, "3.33"),
        ("20", 3, "6.67"),
        ("0.05", 2, "0.02"),
        ("0.15", 2, "0.08"),
        ("-0.05", 2, "-0.02"),
        ("0", 7, "0.00"),
    ],
)
def test_average_is_to_the_cent_half_to_even(whole: str, count: int, each: str) -> None:
    assert text(average(Decimal(whole), count)) == each


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none() | st.booleans()))
def test_exact_json_is_json(value: dict[str, object]) -> None:
    assert json.loads(encode_exact(value)) == value
