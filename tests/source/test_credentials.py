"""The key in an `Authorization` header."""

import base64

import pytest

from richpanel.source.credentials import basic_user


def coded(text: bytes) -> bytes:
    return base64.b64encode(text)


@pytest.mark.parametrize(
    ("authorization", "user"),
    [
        (None, None),
        (b"", None),
        (b"Basic", None),
        (b"Basic ", None),
        (b"Basic " + coded(b"key:"), "key"),
        (b"Basic " + coded(b"key"), "key"),
        (b"Basic " + coded(b"key:secret:more"), "key"),
        (b"basic " + coded(b"key:"), "key"),
        (b"Basic   " + coded(b" key :"), "key"),
        (b"Basic " + coded(b":key"), None),
        (b"Basic " + coded(b"  :"), None),
        (b"Basic " + coded("ké:".encode()), None),
        (b"Basic " + coded(b"\xff:"), None),
        (b"Basic " + coded(b"key1:").rstrip(b"="), None),
        (b"Basic \xff\xff", None),
        (b"Basic a", None),
        (b"Bearer " + coded(b"key:"), None),
        (b"Basic " + coded(b"k" * 2_000), None),
    ],
)
def test_basic_user(authorization: bytes | None, user: str | None) -> None:
    assert basic_user(authorization) == user
