"""Endpoints: what may be the base URL of a destination outside."""

import pytest

from richpanel.core.endpoints import endpoint_fault


@pytest.mark.parametrize(
    "url",
    [
        "https://api.richpanel.com",
        "https://api.richpanel.com/",
        "https://api.richpanel.com:8443/base",
        "https://93.184.216.34",
        "https://[2606:2800:220:1:248:1893:25c8:1946]/v2",
    ],
)
def test_what_is_of_the_internet_and_has_tls_is_taken(url: str) -> None:
    assert endpoint_fault(url, allow_private=False) is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://api.richpanel.com", "https://"),
        ("https://localhost", "private"),
        ("https://shop.localhost.", "private"),
        ("https://printer.local", "private"),
        ("https://metadata.google.internal", "private"),
        ("https://intranet", "private"),
        ("https://127.0.0.1", "private"),
        ("https://127.1", "private"),
        ("https://2130706433", "private"),
        ("https://0x7f000001", "private"),
        ("https://10.0.0.5:9200", "private"),
        ("https://169.254.169.254/latest/meta-data", "private"),
        ("https://[::1]", "private"),
        ("https://[::ffff:10.0.0.1]", "private"),
        ("https://[64:ff9b::a00:1]", "private"),
        ("https://[fe80::1%25eth0]", "private"),
        ("https://224.0.0.1", "private"),
    ],
)
def test_what_is_private_or_without_tls_is_for_who_allows_it(url: str, why: str) -> None:
    assert why in (endpoint_fault(url, allow_private=False) or "")
    assert endpoint_fault(url, allow_private=True) is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://", "a host"),
        ("https://:443", "a host"),
        ("ftp://api.richpanel.com", "a scheme"),
        ("https://key:secret@api.richpanel.com", "no password"),
        ("https://api.richpanel.com/?key=1", "no query"),
        ("https://api.richpanel.com/#top", "no query"),
        ("https://api.richpanel.com:port", "not a URL"),
        ("https://[::1", "not a URL"),
    ],
)
@pytest.mark.parametrize("allow_private", [False, True])
def test_what_is_no_base_url_is_refused_with_the_reason(url: str, why: str, allow_private: bool) -> None:
    assert why in (endpoint_fault(url, allow_private=allow_private) or "")
