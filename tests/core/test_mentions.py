"""Mentions: what names somebody who is erased, and what a list keeps without that."""

import pytest

from richpanel.core.identity import ANONYMOUS, EMAIL, PHONE, UID
from richpanel.core.mentions import by_hash, by_value, without
from richpanel.core.regulation import hashed

SECRET = b"k" * 32
VALUES = {"gid://shop/1049", "ada.lovelace@example.com", "+14155550107", "Ada Lovelace", "Ada", "Lovelace", "Bo"}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "ada",
            "ADA",
            "gold ada",
            "lovel",
            "Love",
            "ada.lovelace@example.com",
            "ada.lovelace@exa",
            "lovelace@example",
        ),
        *("gid://shop/1049", "1049", "+14155550107", "+1415", "bo"),
    ],
)
def test_what_a_search_finds_somebody_by_names_them(text: str) -> None:
    assert by_value(VALUES)(text)


@pytest.mark.parametrize("text", ["", "  ", "@", "ad", "b", "gold", "adam", "example.com", "com", "boo", "lovelacex"])
def test_what_is_everybodys_names_nobody(text: str) -> None:
    assert not by_value(VALUES)(text)


def test_a_whole_word_is_not_its_beginning() -> None:
    names = by_value({"Goldberg", "goldberg@example.com"}, whole=True)
    assert not names("gold")
    assert names("Orders of goldberg")
    assert not by_value(())("anything")


def test_ids_are_known_by_their_hashes_as_long_as_they_were_theirs() -> None:
    ids = [(UID, "u1"), (ANONYMOUS, "a-1"), (EMAIL, "ada@example.com"), (PHONE, "+14155550107")]
    covered = {hashed(SECRET, kind, value): [(0, 1_000)] for kind, value in ids}
    names = by_hash(SECRET, "US", covered, 999)
    for text in ("u1", "orders of u1", "a-1", " ADA@example.com ", "(415) 555-0107", "+1 415 555 0107"):
        assert names(text), text
    for text in ("u", "u10", "ada", "555-0107", ""):
        assert not names(text), text
    assert not by_hash(SECRET, "US", covered, 1_000)("u1"), "somebody else's, or theirs who began afresh"


def test_a_list_loses_its_search_or_single_conditions() -> None:
    names, whole = by_value({"Goldberg", "Ada", "1049"}), by_value({"Goldberg", "Ada", "1049"}, whole=True)
    kept = {"sort": "-ltv", "columns": "ltv,trait:plan", "ordersMin": "1049"}
    assert without({"q": "gold ada", **kept}, names, whole) == kept
    assert without({"q": "silver", **kept}, names, whole) == {"q": "silver", **kept}
    where = "plan=gold; first_name~ad; points>=1049; id=1049;last_name~gold; !phone; nick=ada"
    assert without({"where": where}, names, whole) == {"where": "plan=gold; first_name~ad; points>=1049; !phone"}
    assert without({"where": "name=ada"}, names, whole) == {}
    assert without({"where": "!!ada"}, names, whole) == {}, "not understood, and hers nevertheless"
