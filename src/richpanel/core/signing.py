"""Signatures of Richpanel's wire, and the bodies that carry them (facts of Richpanel 1.1).

A body is the standard base64 of a JSON payload. Its signature is the hexadecimal digest of that very text with the API
Secret behind it: MD5 from the WooCommerce plugin, SHA-256 from the Magento module, none from the browser tracker.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from typing import Any, Final, Literal, assert_never

from richpanel.core.money import encode_exact

Mode = Literal["none", "md5", "sha256"]

_MD5_DIGITS: Final = 32
_SHA256_DIGITS: Final = 64


class NotEncoded(ValueError):
    """A text is not base64."""


def encoded(payload: object) -> str:
    """Write a payload as the wire has it; numbers keep their digits."""
    return base64.b64encode(encode_exact(payload)).decode()


def decoded(text: str) -> bytes:
    """Read the JSON in a body's text; padding may be missing, as it is in some clients'. Raises NotEncoded."""
    bare = text.strip().rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotEncoded(str(error)) from None


def signature(mode: Mode, text: str, secret: str | None) -> str | None:
    """Sign a body's text; None where the mode is none, or where there is no secret, since it is optional."""
    if mode == "none" or not secret:
        return None
    signed = (text + secret).encode("utf-8", "surrogatepass")
    if mode == "md5":
        return hashlib.md5(signed, usedforsecurity=False).hexdigest()  # What the wire asks for.
    if mode == "sha256":
        return hashlib.sha256(signed).hexdigest()
    assert_never(mode)


def is_signed(text: str, given: object, secrets: Iterable[str]) -> bool:
    """Tell whether a signature is one of ours, in either mode, by any of the secrets in force.

    The time it takes does not depend on where a wrong one differs.
    """
    if not isinstance(given, str) or not given.isascii():
        return False
    mode: Mode = "md5" if len(given) == _MD5_DIGITS else "sha256"
    found = False
    for secret in secrets:
        expected = signature(mode, text, secret) or ""
        found |= len(given) in (_MD5_DIGITS, _SHA256_DIGITS) and hmac.compare_digest(expected, given.lower())
    return found


def single_body(payload: object, mode: Mode, secret: str | None) -> dict[str, Any]:
    """Give the body of `POST /v2/t` for one event."""
    text = encoded(payload)
    signed = signature(mode, text, secret)
    return {"h": text} if signed is None else {"s": signed, "h": text, "event_type": "track"}


def batch_body(payload: object, mode: Mode, secret: str | None) -> dict[str, Any]:
    """Give the body of `POST /v2/bt` for an envelope of events."""
    text = encoded(payload)
    signed = signature(mode, text, secret)
    return {"hs": text} if signed is None else {"s": signed, "hs": text, "event_type": "send_batch"}


def webhook_signature(body: bytes, secret: str, at: int) -> str:
    """Sign a webhook's body as Stripe does: `t` is when (s UTC), `v1` the HMAC-SHA256 of `t`, a dot and the body."""
    digest = hmac.digest(secret.encode(), b"%d.%b" % (at, body), "sha256").hex()
    return f"t={at},v1={digest}"
