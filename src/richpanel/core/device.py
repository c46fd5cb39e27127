"""Devices: what kind of device, browser and system a call came from."""

from functools import lru_cache
from typing import Final

import ua_parser

MAX_USER_AGENT: Final = 512
"""User agents are read up to here: real ones are shorter, and the cost of reading grows with the length."""

_NAMED: Final = {
    "android": "Mobile",
    "ios": "Mobile",
    "iphone": "Mobile",
    "mobile": "Mobile",
    "phone": "Mobile",
    "smartphone": "Mobile",
    "ipad": "Tablet",
    "tablet": "Tablet",
    "computer": "Desktop",
    "desktop": "Desktop",
    "laptop": "Desktop",
    "macos": "Desktop",
    "server": "Server",
}
_BY_SOURCE: Final = {"web": "Desktop", "mobile": "Mobile", "server": "Server"}


@lru_cache(maxsize=8_192)
def device_type(user_agent: str | None, context_device_type: str | None, source_type: str) -> str:
    """Tell the kind of device: Mobile, Tablet, Desktop, Server or Unknown.

    What `context.device.type` says wins (`ios` and `android` are phones: the SDKs do not tell tablets), then the user
    agent if it is a browser's, then the type of the source: a web source's visitor is at a desktop.
    """
    if context_device_type:
        named = _NAMED.get(context_device_type.strip().lower())
        if named is not None:
            return named
    if user_agent:
        seen = _browser_device(user_agent)
        if seen is not None:
            return seen
    return _BY_SOURCE.get(source_type, "Unknown")


@lru_cache(maxsize=4_096)
def _browser_device(user_agent: str) -> str | None:
    """Read a browser's user agent the way its makers define it: Android tablets leave `Mobile` out."""
    agent = user_agent[:MAX_USER_AGENT].lower()
    if "ipad" in agent or "tablet" in agent or "kindle" in agent or "silk/" in agent:
        return "Tablet"
    if "mobi" in agent or "iphone" in agent or "ipod" in agent:
        return "Mobile"
    if "android" in agent:
        return "Tablet"
    return "Desktop" if agent.startswith(("mozilla/", "opera/")) else None


def browser_and_os(user_agent: str | None) -> tuple[str | None, str | None]:
    """Name the browser and the operating system (`("Mobile Safari", "iOS")`); None for what is not known.

    A user agent met for the first time costs about a millisecond, so call this where someone looks, not for every
    event; the very first call also loads the patterns (about 0.2 s).
    """
    return _browser_and_os(user_agent[:MAX_USER_AGENT]) if user_agent else (None, None)


@lru_cache(maxsize=16_384)
def _browser_and_os(user_agent: str) -> tuple[str | None, str | None]:
    browser = ua_parser.parse_user_agent(user_agent)
    system = ua_parser.parse_os(user_agent)
    return (None if browser is None else browser.family, None if system is None else system.family)
