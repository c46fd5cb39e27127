"""Devices: a small stable rule for the kind, and names for browser and system."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.device import browser_and_os, device_type

WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605"
LINUX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 "
    "Mobile/15E148 Safari/604.1"
)
IPAD = (
    "Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1 Mobile/15E148"
)
PIXEL = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537"
)
GALAXY_TAB = (
    "Mozilla/5.0 (Linux; Android 14; SM-X710) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
FIREFOX_TAB = "Mozilla/5.0 (Android 14; Tablet; rv:140.0) Gecko/140.0 Firefox/140.0"
PYTHON = "analytics-python/2.4.0"


@pytest.mark.parametrize(
    ("user_agent", "named", "source", "kind"),
    [
        (WINDOWS, None, "web", "Desktop"),
        (MAC, None, "web", "Desktop"),
        (LINUX, None, "server", "Desktop"),
        (IPHONE, None, "web", "Mobile"),
        (IPAD, None, "web", "Tablet"),
        (PIXEL, None, "web", "Mobile"),
        (GALAXY_TAB, None, "web", "Tablet"),
        (FIREFOX_TAB, None, "web", "Tablet"),
        (PYTHON, None, "server", "Server"),
        (PYTHON, None, "web", "Desktop"),
        ("", None, "mobile", "Mobile"),
        (None, None, "web", "Desktop"),
        (None, None, "server", "Server"),
        (None, None, "segment", "Unknown"),
        (None, "ios", "mobile", "Mobile"),
        (None, "Android", "mobile", "Mobile"),
        (None, " Tablet ", "mobile", "Tablet"),
        (WINDOWS, "Mobile", "web", "Mobile"),
        (IPHONE, "desktop", "web", "Desktop"),
        (IPHONE, "toaster", "web", "Mobile"),
        (None, "toaster", "server", "Server"),
        (WINDOWS, "", "web", "Desktop"),
    ],
)
def test_device_type(user_agent: str | None, named: str | None, source: str, kind: str) -> None:
    assert device_type(user_agent, named, source) == kind


@pytest.mark.parametrize(
    ("user_agent", "browser", "system"),
    [
        (WINDOWS, "Chrome", "Windows"),
        (MAC, "Safari", "Mac OS X"),
        (LINUX, "Firefox", "Linux"),
        (IPHONE, "Mobile Safari", "iOS"),
        (PIXEL, "Chrome Mobile", "Android"),
        (PYTHON, None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_browser_and_os(user_agent: str | None, browser: str | None, system: str | None) -> None:
    assert browser_and_os(user_agent) == (browser, system)


@given(st.none() | st.text(), st.none() | st.text(), st.sampled_from(["web", "mobile", "server", "segment"]))
def test_the_kinds_are_a_closed_list(user_agent: str | None, named: str | None, source: str) -> None:
    assert device_type(user_agent, named, source) in {"Mobile", "Tablet", "Desktop", "Server", "Unknown"}


def test_only_the_beginning_of_a_user_agent_is_read() -> None:
    assert device_type(LINUX + " " * 600 + "iPhone", None, "web") == "Desktop"
    assert browser_and_os(WINDOWS + " " * 30_000) == ("Chrome", "Windows")
