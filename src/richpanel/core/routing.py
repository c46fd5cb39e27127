"""Routing: whether a message goes to a Richpanel destination (`semantics.md` 7).

The integrations object is read exactly as Segment's classic integrations read it (facts of the Segment side, 5):
opt-out, with the first version's `context.providers` and `context.all` still honoured. `context.integrations` is data,
no switch.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from richpanel.core.codes import Code
from richpanel.core.cut import Cut
from richpanel.core.filters import PASSED, Verdict
from richpanel.core.message import DELIVERED_TYPES

NAME: Final = "Richpanel"
"""The destination's name in the integrations object, case-sensitive; the catalog lists no previous names."""

Outcome = Literal["kept", "unsupported", "filtered", "failed"]

_OUTCOMES: Final[dict[Code, Outcome]] = {
    Code.UNSUPPORTED_EVENT_TYPE: "unsupported",
    Code.FILTERED_BY_INTEGRATIONS_OBJECT: "filtered",
    Code.FILTERED_BY_RULES: "filtered",
    Code.FILTER_FAILED: "filtered",
    Code.INVALID_SETTINGS: "failed",
    Code.UID_REQUIRED: "filtered",
}
_NOTHING: Final[Mapping[str, Any]] = {}
_QUOTED_NAME: Final = b'"' + NAME.lower().encode() + b'"'
_decode = msgspec.json.Decoder().decode


class Decision(msgspec.Struct, frozen=True):
    """What a destination decided about a message, once, with the configuration in force (`semantics.md` 7).

    Where its filters had a say: the title of the one that dropped the message, or the first that took fields; what was
    taken; and why a filter could not be evaluated. `replay` is the id of the replay that had it decide again.
    """

    destination: str
    outcome: Outcome
    code: Code | None = None
    filter: str | None = None
    cut: Cut | None = None
    reason: str | None = None
    replay: str | None = None


Ruling = Code | Verdict | None
"""What `decide` says: None to keep the message as it is, a code that is against it, or what the filters say."""


def outcome_of(code: Code | None) -> Outcome:
    """Name the outcome that a code means."""
    return "kept" if code is None else _OUTCOMES[code]


def decision(destination: str, ruling: Ruling) -> Decision:
    """Name the outcome that a ruling means."""
    if isinstance(ruling, Verdict):
        said = (ruling.filter or None, ruling.cut, ruling.reason or None)
        return Decision(destination, outcome_of(ruling.code), ruling.code, *said)
    return Decision(destination, outcome_of(ruling), ruling)


def decide(
    kind: str,
    integrations: msgspec.Raw,
    context: msgspec.Raw,
    key_valid: bool,
    judge: Callable[[], Verdict] | None = None,
    *,
    called: str | None = None,
) -> Ruling:
    """Decide about a message: None to keep it, else the code of the first thing against it (`semantics.md` 7).

    `integrations` and `context` are the item's with the batch's merged in (`core.inside.merged`). `key_valid` says
    whether the destination's API Key is one that its account knows; for an endpoint elsewhere it is true. `judge` asks
    the destination's filters, where it has some. `called` is another name by which the integrations object may mean
    the destination: what tells of audiences names some by their ids.
    """
    if kind not in DELIVERED_TYPES:
        return Code.UNSUPPORTED_EVENT_TYPE
    through = _let_through(integrations, context) if called is None else _tells(integrations, context, called)
    if not through:
        return Code.FILTERED_BY_INTEGRATIONS_OBJECT
    said = PASSED if judge is None else judge()
    if said.code is not None:
        return said
    if not key_valid:
        return Code.INVALID_SETTINGS
    return None if said is PASSED else said


def integration_enabled(
    integrations: Mapping[str, Any] | None,
    context: Mapping[str, Any] | None,
    name: str = NAME,
    previous_names: Sequence[str] = (),
) -> bool:
    """Tell whether the integrations object lets a message through to the destination called `name`.

    A boolean under its own name decides; anything else there (options, null) turns it on, even under `All: false`. Else
    `All` decides, in any case; only booleans count. Names are case-sensitive; the present one wins over previous ones.
    """
    bag = _bag(integrations, context)
    enabled = _all_enabled(bag, context or _NOTHING)
    providers = bag.get("providers")
    names = (*previous_names, name)
    if isinstance(providers, Mapping):
        for each in names:
            if each in providers:
                enabled = bool(providers[each]) or isinstance(providers[each], dict | list)  # JavaScript's truth.
    for each in names:
        if each in bag:
            enabled = bag[each] if isinstance(bag[each], bool) else True
    return enabled


def integration_options(
    integrations: Mapping[str, Any] | None, context: Mapping[str, Any] | None, name: str = NAME
) -> Mapping[str, Any]:
    """Give the options that a message carries for the destination called `name`, in any case; empty without any."""
    for holder in (_bag(integrations, context), context or _NOTHING):
        options = holder.get(name)
        if not options:
            options = _any_case(holder, name)
        if isinstance(options, Mapping):
            return options
    return _NOTHING


def _bag(integrations: Mapping[str, Any] | None, context: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Find the integrations object: the top-level one, even empty; else `context.providers`; else the whole context."""
    if integrations is not None:
        return integrations
    if not context:
        return _NOTHING
    providers = _any_case(context, "providers")
    return providers if isinstance(providers, Mapping) else context


def _all_enabled(bag: Mapping[str, Any], context: Mapping[str, Any]) -> bool:
    for holder in (_any_case(context, "providers"), context, bag):
        switch = _any_case(holder, "all") if isinstance(holder, Mapping) else None
        if isinstance(switch, bool):
            return switch
    return True


def _any_case(holder: Mapping[str, Any], name: str) -> Any:
    """Look a key up in any case; of several the last wins, as with a key that JSON repeats."""
    wanted = name.lower()
    for key in reversed(list(holder)):
        if key.lower() == wanted:
            return holder[key]
    return None


def _tells(integrations: msgspec.Raw, context: msgspec.Raw, called: str) -> bool:
    return _tells_same(bytes(integrations), bytes(context), called)


@lru_cache(256)
def _tells_same(integrations: bytes, context: bytes, called: str) -> bool:
    """Answer for what tells of audiences: of one it says the same for each person, and a million times."""
    return _let_through(msgspec.Raw(integrations), msgspec.Raw(context), (called,))


def _let_through(integrations: msgspec.Raw, context: msgspec.Raw, others: Sequence[str] = ()) -> bool:
    """Read the integrations object of a message, decoding as little as it takes: mostly nothing."""
    around = _object(context) if _may_switch(context) else None
    if around is None and not _may_switch(integrations):
        return True
    return integration_enabled(_object(integrations), around, previous_names=others)


def _may_switch(raw: msgspec.Raw) -> bool:
    """Tell, without decoding, whether a key in here could be one that switches; an escape could hide one."""
    seen = bytes(raw)
    if len(seen) <= len(b"{}"):
        return False
    seen = seen.lower()  # Long needles skip: this is four times quicker than looking for short ones in each case.
    return b'"all"' in seen or b'"providers"' in seen or _QUOTED_NAME in seen or b"\\" in seen


def _object(raw: msgspec.Raw) -> dict[str, Any] | None:
    """Decode an object; anything else, or nothing, is None."""
    value = _decode(raw) if raw else None
    return value if isinstance(value, dict) else None
