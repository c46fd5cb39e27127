"""Whom a request comes from, as far as anybody may be believed."""

from typing import Any

import pytest

from richpanel.source.address import Proxies

ONE, INNER = "10.0.0.1", ("10.0.0.0/8", "2001:db8::/32")


def scope(peer: str | None, *headers: tuple[str, str], scheme: str = "http") -> dict[str, Any]:
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    client = None if peer is None else (peer, 4711)
    return {"client": client, "headers": pairs, "scheme": scheme, "server": ("127.0.0.1", 8000)}


def forwarded(*values: str) -> list[tuple[str, str]]:
    return [("X-Forwarded-For", value) for value in values]


@pytest.mark.parametrize(
    ("trusted", "peer", "values", "client"),
    [
        ((), ONE, [], ONE),
        ((), ONE, ["203.0.113.9"], ONE),
        (INNER, "198.51.100.1", ["203.0.113.9"], "198.51.100.1"),
        (INNER, ONE, ["203.0.113.9"], "203.0.113.9"),
        (INNER, ONE, ["203.0.113.9", "10.0.0.7"], "203.0.113.9"),
        (INNER, ONE, ["203.0.113.9, 10.0.0.7"], "203.0.113.9"),
        (INNER, ONE, ["1.2.3.4, 203.0.113.9, 10.0.0.7, 10.9.9.9"], "203.0.113.9"),
        (INNER, ONE, ["spoofed, 203.0.113.9"], "203.0.113.9"),
        (INNER, ONE, ["203.0.113.9, unknown"], ONE),
        (INNER, ONE, ["203.0.113.9, unknown, 10.0.0.7"], "10.0.0.7"),
        (INNER, ONE, ["10.0.0.8, 10.0.0.7"], "10.0.0.8"),
        (INNER, ONE, [""], ONE),
        (INNER, ONE, [], ONE),
        (INNER, ONE, ["203.0.113.9:52100"], "203.0.113.9"),
        (INNER, ONE, ["[2a00:1450::5]:443"], "2a00:1450::5"),
        (INNER, ONE, ["2a00:1450::5"], "2a00:1450::5"),
        (INNER, ONE, ["203.0.113.9, 2001:db8::1"], "203.0.113.9"),
        (INNER, "::ffff:10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        (("10.0.0.1",), ONE, ["203.0.113.9"], "203.0.113.9"),
        (("10.0.0.1",), "10.0.0.2", ["203.0.113.9"], "10.0.0.2"),
        (("0.0.0.0/0",), ONE, ["1.1.1.1, 2.2.2.2"], "1.1.1.1"),
        (INNER, None, ["203.0.113.9"], None),
    ],
)
def test_the_client(trusted: tuple[str, ...], peer: str | None, values: list[str], client: str | None) -> None:
    """The right-most address that is no trusted proxy's."""
    assert Proxies(trusted).client(scope(peer, *forwarded(*values))) == client


@pytest.mark.parametrize("wrong", ["localhost", "10.0.0.0/99", ""])
def test_a_proxy_is_an_address_or_a_network(wrong: str) -> None:
    with pytest.raises(ValueError, match="does not appear"):
        Proxies([wrong])


PUBLIC = [("Host", "10.0.0.5:8000"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "track.example")]


@pytest.mark.parametrize(
    ("trusted", "peer", "headers", "origin"),
    [
        ((), ONE, [("Host", "track.example:8000")], ("http", "track.example:8000")),
        ((), ONE, PUBLIC, ("http", "10.0.0.5:8000")),
        (INNER, "198.51.100.1", PUBLIC, ("http", "10.0.0.5:8000")),
        (INNER, ONE, PUBLIC, ("https", "track.example")),
        (INNER, ONE, PUBLIC[:2], ("https", "10.0.0.5:8000")),
        ((), ONE, [], ("http", "127.0.0.1:8000")),
    ],
)
def test_the_name_we_were_asked_by(
    trusted: tuple[str, ...], peer: str, headers: list[tuple[str, str]], origin: tuple[str, str]
) -> None:
    assert Proxies(trusted).origin(scope(peer, *headers)) == origin
