"""Destination filters of a few kinds, each with what it makes of a message, written down without FQL."""

from collections.abc import Callable, Collection
from copy import deepcopy
from typing import Any, NamedTuple

Item = dict[str, Any]
_OF_ORDERS = ("order_id", "total", "currency")


class Rule(NamedTuple):
    """A filter as it is saved, and the message that it leaves; None where it drops it."""

    filter: Item
    leaves: Callable[[Item], Item | None]


def _filter(title: str, condition: str, *actions: Item) -> Item:
    return {"title": title, "if": condition, "actions": list(actions)}


def _fields(kind: str, **fields: list[str]) -> Item:
    return {"type": kind, "fields": {path.replace("_", "."): keys for path, keys in fields.items()}}


def _part(item: Item, name: str) -> Item:
    return item.get(name) or {}


def without(part: str, *keys: str) -> Callable[[Item], Item]:
    """Takes keys out of a part of the message."""

    def leaves(item: Item) -> Item:
        for key in keys:
            _part(item, part).pop(key, None)
        return item

    return leaves


def _only(item: Item) -> Item:
    if item["type"] in ("track", "page"):
        item["properties"] = {key: value for key, value in _part(item, "properties").items() if key in _OF_ORDERS}
    return item


def _no_context_email(item: Item) -> Item:
    _part(_part(item, "context"), "traits").pop("email", None)
    return item


RULES = {
    "no emails": Rule(
        _filter("no emails", "type != 'identify'", _fields("DROP_PROPERTIES", properties=["email"])),
        lambda item: item if item["type"] == "identify" else without("properties", "email")(item),
    ),
    "no email in the context": Rule(
        _filter("no email in the context", "all", _fields("DROP_PROPERTIES", context_traits=["email"])),
        _no_context_email,
    ),
    "no phones": Rule(
        _filter("no phones", "traits.phone != null", _fields("DROP_PROPERTIES", traits=["phone", "plan"])),
        lambda item: item if _part(item, "traits").get("phone") is None else without("traits", "phone", "plan")(item),
    ),
    "no sessions": Rule(
        _filter(
            "no sessions",
            "'s1' in [properties.richpanel_session_id]",
            _fields("DROP_PROPERTIES", properties=["richpanel_session_id", "url"]),
        ),
        lambda item: (
            item
            if _part(item, "properties").get("richpanel_session_id") != "s1"
            else without("properties", "richpanel_session_id", "url")(item)
        ),
    ),
    "orders alone": Rule(
        _filter("orders alone", "type in ['track', 'page']", _fields("ALLOW_PROPERTIES", properties=list(_OF_ORDERS))),
        _only,
    ),
    "no second order": Rule(
        _filter("no second order", "properties.order_id = 'o2'", {"type": "DROP"}),
        lambda item: None if _part(item, "properties").get("order_id") == "o2" else item,
    ),
    "fails for some": Rule(
        _filter("fails for some", "properties.total > 1000", {"type": "DROP"}),
        lambda item: None if isinstance(_part(item, "properties").get("total"), str) else item,
    ),
}


def after(names: Collection[str], item: Item) -> Item | None:
    """What these rules leave of a message. Each looks at the message as it came."""
    left: Item = item
    for name in names:
        alone = RULES[name].leaves(deepcopy(item))
        if alone is None:
            return None
        left = _both(left, alone)
    return left


def _both(one: Item, other: Item) -> Item:
    """What both leave."""
    return {
        key: _both(value, other[key]) if isinstance(value, dict) and isinstance(other[key], dict) else value
        for key, value in one.items()
        if key in other
    }
