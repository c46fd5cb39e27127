"""Ids and addresses: who counts as somebody, and one spelling per address."""

import random

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.ids import BLOCKED_IDS, clean_id, email_address, hash64, phone_address

KEY = b"k" * 16


@pytest.mark.parametrize(
    ("given_id", "cleaned"),
    [
        ("u-1", "u-1"),
        ("gid://shopify/Customer/42", "gid://shopify/Customer/42"),
        (" u-1 ", " u-1 "),
        ("Ünï", "Ünï"),
        ("507f191e810c19729de860ea", "507f191e810c19729de860ea"),
        (42, "42"),
        (-7, "-7"),
        ("0", None),
        (0, None),
        (-1, None),
        ("-1", None),
        ("007", "007"),
        ("0x1", "0x1"),
        ("00000000-0000-0000-0000-000000000000", None),
        ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001"),
        ("-" * 60, None),
        ("", None),
        ("   ", None),
        ("\t" * 40, None),
        ("null", None),
        ("NULL", None),
        ("Undefined", None),
        (" none ", None),
        ("null" + " " * 40, None),
        ("NaN", None),
        ("anonymous", None),
        ("anonymous1", "anonymous1"),
        ("Guest", None),
        ("[object Object]", None),
        (None, None),
        (True, None),
        (False, None),
        (1.0, None),
        ([], None),
        ({"id": 1}, None),
        (b"u-1", None),
    ],
)
def test_clean_id(given_id: object, cleaned: str | None) -> None:
    assert clean_id(given_id) == cleaned


def test_blocked_ids_are_a_setting() -> None:
    blocked = {*BLOCKED_IDS, "shared-kiosk-in-the-first-floor"}
    assert clean_id("Shared-Kiosk-in-the-first-floor", blocked) is None
    assert clean_id("guest", {"kiosk"}) == "guest"
    assert clean_id("", {"kiosk"}) is None, "nothing is nobody, whatever the setting"


@given(st.text())
def test_an_id_is_kept_as_given_or_not_at_all(text: str) -> None:
    cleaned = clean_id(text)
    assert cleaned in (text, None)
    assert (cleaned is None) == (clean_id(f"  {text}\n") is None), "spaces around do not make a somebody of a nobody"
    assert (cleaned is None) == (clean_id(text.strip()) is None)


@given(st.integers(-(10**30), 10**30))
def test_integers_become_their_digits(number: int) -> None:
    assert clean_id(number) == clean_id(str(number))


@pytest.mark.parametrize(
    ("value", "email"),
    [
        ("a@b.example", "a@b.example"),
        (" A@B.Example\n", "a@b.example"),
        ("@", "@"),
        ("no at", None),
        ("", None),
        (" ", None),
        (None, None),
        (5, None),
        (["a@b.example"], None),
    ],
)
def test_email_address(value: object, email: str | None) -> None:
    assert email_address(value) == email


@pytest.mark.parametrize(
    ("value", "country", "e164"),
    [
        ("+1 415 555 2671", "DE", "+14155552671"),
        ("(415) 555-2671", "US", "+14155552671"),
        (" 415.555.2671 ", "US", "+14155552671"),
        (4155552671, "US", "+14155552671"),
        ("030 1234567", "DE", "+49301234567"),
        ("0049 30 1234567", "DE", "+49301234567"),
        ("123", "US", None),
        ("12", "US", None),
        ("call me", "US", None),
        ("1" * 65, "US", None),
        ("+" + "1" * 64, "US", None),
        ("", "US", None),
        (None, "US", None),
        (True, "US", None),
        (4155552671.0, "US", None),
    ],
)
def test_phone_address(value: object, country: str, e164: str | None) -> None:
    assert phone_address(value, country) == e164


@given(st.text() | st.integers(), st.sampled_from(["US", "DE", "IN"]))
def test_a_phone_is_one_spelling_or_none(value: object, country: str) -> None:
    phone = phone_address(value, country)
    assert phone is None or (phone.startswith("+") and phone[1:].isdigit() and phone_address(phone, country) == phone)


def parsed(text: str, country: str) -> str | None:
    """What the parser says, all the way."""
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    return (
        phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        if phonenumbers.is_possible_number(number)
        else None
    )


@pytest.mark.parametrize("country", ["US", "IT"])
def test_what_is_written_as_e164_already_is_what_the_parser_makes_of_it(country: str) -> None:
    """In each calling code, those that there are not, too: numbers as they are, and digits at random."""
    dice = random.Random(country)
    for code in range(1, 1_000):
        for length in (6, 8, 10, 11):
            text = f"+{code}{dice.randrange(10**length):0{length}}"
            assert phone_address(text, country) == parsed(text, country), text
    for region in phonenumbers.SUPPORTED_REGIONS:
        number = phonenumbers.example_number(region)
        assert number is not None
        text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        assert phone_address(text, country) == text


@given(st.tuples(st.text(max_size=4), st.text(max_size=4)), st.tuples(st.text(max_size=4), st.text(max_size=4)))
def test_hashes_tell_scopes_and_values_apart(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (hash64(KEY, *one) == hash64(KEY, *other)) == (one == other)


@pytest.mark.parametrize("mark", ["\x1f", "\x00", ":", "1:", ","])
def test_no_character_shifts_a_scope_into_its_value(mark: str) -> None:
    assert hash64(KEY, f"a{mark}b", "c") != hash64(KEY, "a", f"b{mark}c")


def test_hash_depends_on_the_key_and_is_a_signed_64_bit_number() -> None:
    hashes = {hash64(bytes([n] * 16), "a", "b") for n in range(64)}
    assert len(hashes) == 64
    assert min(hashes) < 0 < max(hashes)
    assert all(-(2**63) <= each < 2**63 for each in hashes)
    assert hash64(KEY, "a", "\ud800") != hash64(KEY, "a", "\ud801"), "half of an emoji is no reason to fail"
