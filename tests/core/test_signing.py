"""Signatures, by the vectors of the facts (Richpanel 1.1) and against the plugins' own formula."""

import base64
import hashlib
import json
from decimal import Decimal

import pytest

from richpanel.core.signing import (
    Mode,
    NotEncoded,
    batch_body,
    decoded,
    encoded,
    is_signed,
    signature,
    single_body,
)

PAYLOAD = {"appClientId": "demo", "event": "identify"}
SECRET = "demo-secret"  # the vectors' own
TEXT = "eyJhcHBDbGllbnRJZCI6ImRlbW8iLCJldmVudCI6ImlkZW50aWZ5In0="
MD5 = "4ac94b7772d9205d731ac71cda18d204"
SHA256 = "8ff2992b77cc28d5800f66b7c76bfb537a40cff3a18bfbbb9e5b2158d1f780fd"


def test_the_vectors() -> None:
    assert encoded(PAYLOAD) == TEXT
    assert signature("md5", TEXT, SECRET) == MD5
    assert signature("sha256", TEXT, SECRET) == SHA256
    assert signature("none", TEXT, SECRET) is None


@pytest.mark.parametrize("mode", ["md5", "sha256"])
def test_without_a_secret_nothing_is_signed(mode: Mode) -> None:
    assert signature(mode, TEXT, None) is signature(mode, TEXT, "") is None


def test_bodies() -> None:
    assert single_body(PAYLOAD, "none", SECRET) == {"h": TEXT}
    assert single_body(PAYLOAD, "md5", SECRET) == {"s": MD5, "h": TEXT, "event_type": "track"}
    assert single_body(PAYLOAD, "sha256", None) == {"h": TEXT}
    assert batch_body(PAYLOAD, "none", None) == {"hs": TEXT}
    assert batch_body(PAYLOAD, "sha256", SECRET) == {"s": SHA256, "hs": TEXT, "event_type": "send_batch"}


def test_the_plugins_formula() -> None:
    """`md5(b64 . secret)` over the text as it is sent, whatever is in it."""
    text = base64.b64encode(json.dumps({"event": "order", "name": "Zoë 🙂"}).encode()).decode()
    assert signature("md5", text, "söcret") == hashlib.md5((text + "söcret").encode()).hexdigest()


@pytest.mark.parametrize("given", [MD5, SHA256, MD5.upper(), SHA256.upper()])
def test_a_good_signature(given: str) -> None:
    assert is_signed(TEXT, given, [SECRET])
    assert is_signed(TEXT, given, ["another", SECRET])
    assert not is_signed(TEXT, given, ["another"])
    assert not is_signed(TEXT, given, [])
    assert not is_signed(TEXT + "=", given, [SECRET])


@pytest.mark.parametrize("given", ["", None, 5, MD5[:-1], SHA256 + "0", "é" * 32, "0" * 32, "0" * 64, [MD5]])
def test_a_wrong_signature(given: object) -> None:
    assert not is_signed(TEXT, given, [SECRET])


def test_numbers_keep_their_digits() -> None:
    assert decoded(encoded({"amount": Decimal("45.50"), "n": 12})) == b'{"amount":45.50,"n":12}'


@pytest.mark.parametrize("text", ["e30=", "e30", " e30=\n"])
def test_padding_may_be_missing(text: str) -> None:
    assert decoded(text) == b"{}"


@pytest.mark.parametrize("text", ["e30*", "{}", "e", "é30="])
def test_what_is_no_base64(text: str) -> None:
    with pytest.raises(NotEncoded):
        decoded(text)
