"""The semantic events of Segment's specs, by name: e-commerce v2, mobile, video, email, live chat, A/B, B2B, copilot.

Names match as Segment's own classic integrations match them: case, spaces and underscores do not count, so that
`order_completed` and `orderCompleted` are Order Completed. E-commerce names also match in the word order of the first
version (`Completed Order`), and with the American spelling of cancelled. The names themselves are kept as given.
"""

from functools import lru_cache
from typing import Final, Literal

Group = Literal["ecommerce", "mobile", "video", "email", "live_chat", "ab_testing", "b2b_saas", "copilot"]
OrderKind = Literal["completed", "updated", "refunded", "cancelled"]

SPEC: Final[dict[Group, tuple[str, ...]]] = {
    "ecommerce": (
        "Products Searched",
        "Product List Viewed",
        "Product List Filtered",
        "Promotion Viewed",
        "Promotion Clicked",
        "Product Clicked",
        "Product Viewed",
        "Product Added",
        "Product Removed",
        "Cart Viewed",
        "Checkout Started",
        "Checkout Step Viewed",
        "Checkout Step Completed",
        "Payment Info Entered",
        "Order Completed",
        "Order Updated",
        "Order Refunded",
        "Order Cancelled",
        "Coupon Entered",
        "Coupon Applied",
        "Coupon Denied",
        "Coupon Removed",
        "Product Added to Wishlist",
        "Product Removed from Wishlist",
        "Wishlist Product Added to Cart",
        "Product Shared",
        "Cart Shared",
        "Product Reviewed",
    ),
    "mobile": (
        "Application Installed",
        "Application Opened",
        "Application Updated",
        "Application Backgrounded",
        "Application Foregrounded",
        "Application Uninstalled",
        "Application Crashed",
        "Install Attributed",
        "Push Notification Received",
        "Push Notification Tapped",
        "Push Notification Bounced",
        "Deep Link Opened",
        "Deep Link Clicked",
    ),
    "video": (
        "Video Playback Started",
        "Video Playback Paused",
        "Video Playback Interrupted",
        "Video Playback Buffer Started",
        "Video Playback Buffer Completed",
        "Video Playback Seek Started",
        "Video Playback Seek Completed",
        "Video Playback Resumed",
        "Video Playback Completed",
        "Video Playback Exited",
        "Video Content Started",
        "Video Content Playing",
        "Video Content Completed",
        "Video Ad Started",
        "Video Ad Playing",
        "Video Ad Completed",
        "Video Quality Updated",
    ),
    "email": (
        "Email Bounced",
        "Email Delivered",
        "Email Link Clicked",
        "Email Marked as Spam",
        "Email Opened",
        "Unsubscribed",
    ),
    "live_chat": (
        "Live Chat Conversation Started",
        "Live Chat Conversation Ended",
        "Live Chat Message Sent",
        "Live Chat Message Received",
    ),
    "ab_testing": ("Experiment Viewed",),
    "b2b_saas": (
        "Account Created",
        "Account Deleted",
        "Signed Up",
        "Signed In",
        "Signed Out",
        "Invite Sent",
        "Account Added User",
        "Account Removed User",
        "Trial Started",
        "Trial Ended",
    ),
    "copilot": (
        "Conversation Started",
        "Conversation Ended",
        "Message Sent",
        "Message Received",
        "Action Invoked",
        "Media Generated",
        "Component Loaded",
        "Feedback Submitted",
    ),
}
"""Every name of the specs, by the page that defines it."""

ALIASES: Final = {
    "Product Category Viewed": "Product List Viewed",
    "Order Started": "Checkout Started",
    "Order Canceled": "Order Cancelled",
}
"""Other names for the same event, in today's word order."""

ORDER_EVENTS: Final[dict[str, OrderKind]] = {
    "Order Completed": "completed",
    "Order Updated": "updated",
    "Order Refunded": "refunded",
    "Order Cancelled": "cancelled",
}
"""The events that make an order, and the default status each stands for (`semantics.md` 6)."""

_GROUPS: Final[dict[str, Group]] = {name: group for group, names in SPEC.items() for name in names}
_LONGEST: Final = 64  # No name is nearly as long; a longer one is not worth normalising.
_INSIGNIFICANT: Final = str.maketrans("", "", " _")


def _key(name: str) -> str:
    return name.translate(_INSIGNIFICANT).lower()


def _keys() -> dict[str, str]:
    keys: dict[str, str] = {}
    for name, canonical in [*((alias, name) for alias, name in ALIASES.items()), *((name, name) for name in _GROUPS)]:
        keys[_key(name)] = canonical
        if _GROUPS[canonical] == "ecommerce":
            objects, _, action = name.rpartition(" ")
            keys.setdefault(_key(action + objects), canonical)
    return keys


_BY_KEY: Final = _keys()


@lru_cache(maxsize=4_096)
def _normalised(name: str) -> str | None:
    return _BY_KEY.get(_key(name))


def canonical(name: str) -> str | None:
    """Give the spec's spelling of an event name, or None where no spec has it."""
    if name in _GROUPS:
        return name
    return _normalised(name) if len(name) <= _LONGEST else None


def semantic(name: str) -> Group | None:
    """Tell which spec an event name is from, or None: it is the shop's own."""
    group = _GROUPS.get(name)
    if group is not None:
        return group
    known = canonical(name)
    return None if known is None else _GROUPS[known]


def order_event(name: str) -> OrderKind | None:
    """Tell what an event does to an order, or None: it is not one of the four order events (`semantics.md` 6)."""
    known = canonical(name)
    return None if known is None else ORDER_EVENTS.get(known)
