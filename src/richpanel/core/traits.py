"""Traits: what identify calls say of a person, and the email rule (`semantics.md` 4).

Per top-level key the newest identify by order wins; a removed key keeps its stamp, so that an older value cannot come
back. Values stay the JSON text they came as.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from richpanel.core.ids import email_address
from richpanel.core.money import decode_exact
from richpanel.core.stamps import Stamp

Trait = tuple[str | None, Stamp]
"""A value as JSON text (None: removed) and the stamp of the identify that set it."""

SESSION_KEY: Final = "richpanel_session_id"
"""Routing data: taken out of traits and properties (`semantics.md` 4)."""

_FIRST_CLASS: Final = {
    "email": "email",
    "firstname": "firstName",
    "lastname": "lastName",
    "phone": "phone",
    "name": "name",
}
FIRST_CLASS: Final = frozenset(_FIRST_CLASS.values())
"""The traits that say who somebody is, by their one spelling."""
_LONGEST: Final = max(map(len, _FIRST_CLASS)) + 2
_SEPARATORS: Final = str.maketrans("", "", "_- ")
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode


def canonical_key(key: str) -> str:
    """Give a key its one spelling: `first_name` and the like are `firstName`; unknown keys stay as they are."""
    if len(key) > _LONGEST:
        return key
    return _FIRST_CLASS.get(key.translate(_SEPARATORS).lower(), key)


def read(raw: bytes | msgspec.Raw) -> dict[str, str | None]:
    """Read an identify's traits: key -> JSON text, None for `null`. An unusable email is left out, so it sets nothing.

    Where two spellings of a key are given, the canonical one wins.
    """
    traits: dict[str, str | None] = {}
    exact: set[str] = set()
    for given, value in _decode_object(raw).items():
        key = canonical_key(given)
        if key == SESSION_KEY or key in exact:
            continue
        text: str | None = str(memoryview(value), "utf-8")
        if text == "null":
            text = None
        elif key == "email" and email_address(_decode_any(value)) is None:
            continue
        if key == given:
            exact.add(key)
        traits[key] = text
    return traits


def apply(traits: dict[str, Trait], given: Mapping[str, str | None], stamp: Stamp) -> list[str]:
    """Set each key that `given` names unless a newer identify has; give the keys whose value changed."""
    changed = []
    for key, value in given.items():
        known = traits.get(key)
        if known is None or known[1] <= stamp:
            if known is None or known[0] != value:
                changed.append(key)
            traits[key] = (value, stamp)
    return changed


def merge(into: dict[str, Trait], other: Mapping[str, Trait]) -> None:
    """Take over the traits of another part of the same person's messages."""
    for key, trait in other.items():
        known = into.get(key)
        if known is None or known[1] <= trait[1]:
            into[key] = trait


def email(identified: Trait | None, carried: Trait | None) -> str | None:
    """Give the email as JSON text: the newest identify's, or that of a newer page or track call.

    `identified` is the email trait; `carried` the newest email that a page or track call with a userId carried. Because
    an identify without an email ends what calls before it carried, the newest of each kind decide alone.
    """
    if identified is None or identified[0] is None:
        return None
    return carried[0] if carried is not None and carried[1] > identified[1] else identified[0]


def _text(value: str | None) -> str | None:
    """Decode a trait that should be text; numbers count as their digits."""
    if value is None:
        return None
    decoded = _decode_any(value)
    if isinstance(decoded, str):
        return decoded
    return value if isinstance(decoded, int | float) and not isinstance(decoded, bool) else None


class Contact(msgspec.Struct):
    """The first-class fields of a person."""

    email: str | None
    firstName: str | None
    lastName: str | None
    name: str | None
    phone: str | None


def contact(traits: Mapping[str, Trait], carried: Trait | None) -> Contact:
    """Give the first-class fields: a name fills its missing parts at the first space, parts make a missing name."""

    def value(key: str) -> str | None:
        trait = traits.get(key)
        return None if trait is None else _text(trait[0])

    first, last, name = value("firstName"), value("lastName"), value("name")
    given = name
    if name is None and (first or last):
        name = " ".join(part for part in (first, last) if part)
    if given is not None:
        head, _, tail = given.strip().partition(" ")
        if first is None and last is None:
            first, last = head or None, tail.strip() or None
        elif first is None and last is not None:
            first = head or None
        elif last is None:
            last = tail.strip() or None
    return Contact(_text(email(traits.get("email"), carried)), first, last, name, value("phone"))


def known(traits: Mapping[str, Trait], carried: Trait | None, keys: Collection[str]) -> dict[str, Any]:
    """Give the values of these keys, by their one spelling, decoded with exact numbers; what is absent is left out.

    The first-class ones are as people see them: the email that holds, names made of each other.
    """
    found: dict[str, Any] = {}
    first_class = FIRST_CLASS.intersection(keys)
    if first_class:
        seen = contact(traits, carried)
        found = {key: getattr(seen, key) for key in first_class}
    for key in keys:
        trait = traits.get(key)
        if key not in first_class and trait is not None and trait[0] is not None:
            found[key] = decode_exact(trait[0])
    return {key: value for key, value in found.items() if value is not None}
