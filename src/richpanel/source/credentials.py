"""Credentials: the write key of a Tracking API call, the API Key of the partner endpoint (facts of Segment 1.2)."""

from binascii import Error, a2b_base64
from typing import Final

_MAX_HEADER: Final = 1_024


def basic_user(authorization: bytes | None) -> str | None:
    """Give the user name of a Basic `Authorization`, which is the key; the colon behind it may be missing.

    None where there is none: no header, another scheme (a Bearer token comes with the key in the body), not base64.
    """
    if authorization is None or len(authorization) > _MAX_HEADER or authorization[:6].lower() != b"basic ":
        return None
    try:
        user = a2b_base64(authorization[6:]).partition(b":")[0].decode("ascii")
    except (Error, UnicodeDecodeError):
        return None
    return user.strip() or None
