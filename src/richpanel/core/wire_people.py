"""People on the wire: traits as `userProperties`, and what a call says of its surroundings as `context`, and back.

Facts of Richpanel 2, 3.1 and 9.4. Of a context only what is folded here, or what Richpanel's tracker sends, goes along.
"""

from collections.abc import Mapping
from typing import Any, Final

from richpanel.core.device import device_type
from richpanel.core.ids import email_address
from richpanel.core.traits import SESSION_KEY, canonical_key
from richpanel.core.wire_products import Fields, is_empty

_ADDRESS: Final = {
    "street": "address1",
    "city": "city",
    "state": "state",
    "postalCode": "postcode",
    "country": "country",
}
_ADDRESS_READ: Final = {wire: name for name, wire in _ADDRESS.items()}
_TOP_LEVEL: Final = ("city", "state", "country")
_PAGE: Final = {"url": "url", "path": "path", "referrer": "referrer", "title": "title", "search": "qs"}
_AS_THEY_ARE: Final = {"os": ("name", "version"), "screen": ("width", "height", "density")}


def own_traits(given: Fields) -> dict[str, Any]:
    """Give an identify's traits by their canonical keys, as `core.traits` reads them; `null` removes and stays."""
    exact = {key: value for key, value in given.items() if canonical_key(key) == key}
    traits = {canonical_key(key): value for key, value in given.items()} | exact
    traits.pop(SESSION_KEY, None)
    if traits.get("email") is not None and email_address(traits["email"]) is None:
        del traits["email"]
    return traits


def traits_sent(traits: Fields) -> dict[str, Any]:
    """Give traits, by their canonical keys, as `userProperties` without `uid`; those that are empty are left out."""
    sent = {key: value for key, value in traits.items() if not is_empty(value) and key != "uid"}
    address = sent.get("address")
    if isinstance(address, Mapping):
        del sent["address"]
        sent.setdefault("billingAddress", _named(address, {**{key: key for key in address}, **_ADDRESS}))
        for key in _TOP_LEVEL:
            if not is_empty(address.get(key)):
                sent.setdefault(key, address[key])
    return sent


def traits_read(user: Fields) -> dict[str, Any]:
    """Give `userProperties` back as traits: an address that holds no more than Segment's is the spec's `address`."""
    traits = {key: value for key, value in user.items() if key != "uid"}
    billing = traits.get("billingAddress")
    if isinstance(billing, Mapping) and billing.keys() <= _ADDRESS_READ.keys() and "address" not in traits:
        del traits["billingAddress"]
        traits["address"] = address = _named(billing, _ADDRESS_READ)
        for key in _TOP_LEVEL:
            if key in traits and traits[key] == address.get(key):
                del traits[key]
    return traits


def context_sent(context: Fields, source_type: str | None) -> dict[str, Any]:
    """Give a call's context as the wire has it. With the source's type the device is told as the account shows it."""
    sent: dict[str, Any] = {}
    for key in ("userAgent", "timezone"):
        if isinstance(context.get(key), str) and context[key]:
            sent[key] = context[key]
    for key, inside in {**_AS_THEY_ARE, "page": tuple(_PAGE)}.items():
        if found := _named(context.get(key), {name: _PAGE.get(name, name) for name in inside}):
            sent[key] = found
    if campaign := _named(context.get("campaign"), None):
        sent["campaign"] = campaign
    if not is_empty(context.get("ip")):
        sent["ip"] = {"networkIP": context["ip"]}
    if not is_empty(context.get("locale")):
        sent["browser"] = {"lang": context["locale"]}
    device = _device(context, source_type)
    if device != "Unknown":
        sent["device"] = {"type": device, "isMobile": int(device == "Mobile")}
    email = _inside(context, "traits", "email")
    if isinstance(email, str) and email:
        sent["traits"] = {"email": email}
    return sent


def context_read(given: Fields) -> dict[str, Any]:
    """Give a context back; what Segment has no name for stays as it is."""
    context = {key: value for key, value in given.items() if not is_empty(value)}
    network = _inside(given, "ip", "networkIP")
    if isinstance(context.get("ip"), Mapping):
        del context["ip"]
    if isinstance(network, str) and network:
        context["ip"] = network
    page = context.get("page")
    if isinstance(page, Mapping):
        context["page"] = _named(page, {**{key: key for key in page}, "qs": "search"})
    browser = context.get("browser")
    if isinstance(browser, Mapping) and isinstance(browser.get("lang"), str):
        context.setdefault("locale", browser["lang"])
        if browser.keys() == {"lang"}:
            del context["browser"]
    return context


def _device(context: Fields, source_type: str | None) -> str:
    agent, named = context.get("userAgent"), _inside(context, "device", "type")
    return device_type(
        agent if isinstance(agent, str) else None, named if isinstance(named, str) else None, source_type or ""
    )


def _inside(holder: Fields, *path: str) -> Any:
    found: Any = holder
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _named(given: object, names: Mapping[str, str] | None) -> dict[str, Any]:
    """Give the fields of an object that say something; with `names` only those in it, each by its other name."""
    if not isinstance(given, Mapping):
        return {}
    return {
        key if names is None else names[key]: value
        for key, value in given.items()
        if not is_empty(value) and (names is None or key in names)
    }
