"""The form of a condition or a computed trait as JSON of the API, and back."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from richpanel.core.faults import wrong
from richpanel.core.money import decode_exact, encode_exact
from richpanel.core.windows import UNITS
from richpanel.web.condition_forms import PartForm, StepForm, WhereForm

AT: Final = "condition"
"""Where in the body of the API the tree stands: faults are told by places below it."""
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_SPAN: Final = re.compile(r"(\S*)\s*([a-z]*)", re.IGNORECASE)
_LISTED: Final = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^,]+)\s*(?:,|$)')
_BARE: Final = ("exists", "not_exists")
_RELATIVE: Final = ("within_last", "within_next")
_AS_TYPED: Final = ("contains", "not_contains", "starts_with", "ends_with", "before", "after")


def tree_json(root: PartForm) -> dict[str, Any]:
    """Give the JSON of a tree, and note at each part where in it that is. A group of one at the top is that one."""
    if root.kind in ("and", "or") and len(root.parts) == 1 and not root.negated:
        root.at = ""
        return _part_json(root.parts[0], AT)
    return _part_json(root, AT)


def trait_json(root: PartForm) -> dict[str, Any]:
    """Give the JSON of a computed trait."""
    root.at = AT
    given = {"kind": root.figure, **_event_json(root.event, root.where, AT), **_window_json(root)}
    return given if root.figure == "count" else {**given, "property": root.property}


def _part_json(part: PartForm, at: str) -> dict[str, Any]:
    if part.negated and part.kind != "event":
        return {"not": _plain_json(part, f"{at}.not")}
    return _plain_json(part, at)


def _plain_json(part: PartForm, at: str) -> dict[str, Any]:
    part.at = at
    match part.kind:
        case "and" | "or":
            return {
                part.kind: [_part_json(each, f"{at}.{part.kind}[{place}]") for place, each in enumerate(part.parts)]
            }
        case "trait" | "computed":
            return {part.kind: part.key, "op": part.test, **_value_json(part.test, part.value)}
        case "audience":
            return {"audience": part.key}
        case "sequence":
            steps = [_step_json(each, f"{at}.sequence[{place}]", place) for place, each in enumerate(part.steps)]
            return {"sequence": steps, **_window_json(part)}
        case "event":
            given = {**_event_json(part.event, part.where, at), **_window_json(part)}
            if part.negated:
                given["performed"] = False
            if (part.op, part.times) != (">=", "1"):
                given["count"] = {"op": part.op, "value": _integer(part.times)}
            return given


def _event_json(event: str, where: list[WhereForm], at: str) -> dict[str, Any]:
    filters = []
    for place, each in enumerate(where):
        each.at = f"{at}.where[{place}]"
        filters.append({each.of: each.path, "op": each.op, **_value_json(each.op, each.value)})
    return {"event": event, "where": filters} if filters else {"event": event}


def _step_json(step: StepForm, at: str, place: int) -> Any:
    step.at = at
    if place == 0:
        step.word = "first"
        return _event_json(step.event, step.where, at)
    word = "thenNot" if step.word == "thenNot" else "then"
    given: dict[str, Any] = {word: _event_json(step.event, step.where, f"{at}.{word}")}
    if step.number.strip():
        given["within"] = {step.unit: _integer(step.number)}
    return given


def _window_json(part: PartForm) -> dict[str, Any]:
    match part.window:
        case "within":
            return {"within": {part.unit: _integer(part.number)}}
        case "between":
            return {"between": [part.start.strip(), part.end.strip()]}
        case "after" | "before":
            return {part.window: part.start.strip()}
        case "":
            return {}


def _value_json(op: str, text: str) -> dict[str, Any]:
    if op in _BARE:
        return {}
    if op in _AS_TYPED:
        return {"value": text}
    if op == "in":
        return {"value": [_scalar(each) for each in _LISTED.findall(text)]}
    if op in _RELATIVE:
        found = _SPAN.fullmatch(text.strip().lower())
        number, unit = found.groups() if found else (text, "")
        unit = unit if unit.endswith("s") else f"{unit}s"
        return {"value": {unit if unit in UNITS else "days": _integer(number)}}
    return {"value": _scalar(text)}


def _integer(text: str) -> int | str:
    stripped = text.strip()
    return int(stripped) if stripped.isascii() and stripped.isdecimal() and len(stripped) < 16 else text


def _scalar(text: str) -> Any:
    """Read what was typed as JSON would have it where it is a number, true, false or a text in quotes; else a text."""
    stripped = text.strip()
    if stripped in ("true", "false"):
        return stripped == "true"
    if _NUMBER.fullmatch(stripped):
        return decode_exact(stripped)
    if len(stripped) > 1 and stripped[0] == stripped[-1] == '"':
        try:
            return decode_exact(stripped)
        except msgspec.DecodeError:
            return text
    return stripped


def _typed(value: Any, *, listed: bool = False) -> str:
    """Write a value as it is to be typed, so that `_scalar` reads the same."""
    if not isinstance(value, str):
        return encode_exact(value).decode()
    is_plain = _scalar(value) == value and not (listed and ("," in value or '"' in value or not value))
    return value if is_plain else encode_exact(value).decode()


# ---------------------------------------------------------------------------------------------------------- from JSON


def tree_of(condition: Mapping[str, Any]) -> PartForm:
    """Show a condition, as `core.condition_json` gives it, in the form; at the top there is always a group."""
    part = _part_of(condition)
    return part if part.kind in ("and", "or") else PartForm("and", parts=[part])


def trait_of(computation: Mapping[str, Any]) -> PartForm:
    """Show a computed trait in the form."""
    part = _part_of({key: value for key, value in computation.items() if key not in ("kind", "property")})
    part.figure, part.property = computation["kind"], computation.get("property", "")
    return part


def _part_of(given: Mapping[str, Any]) -> PartForm:
    if "not" in given:
        part = _part_of(given["not"])
        part.negated = not part.negated
        return part
    if "audience" in given:
        return PartForm("audience", key=given["audience"])
    for group in ("and", "or"):
        if group in given:
            return PartForm("and" if group == "and" else "or", parts=list(map(_part_of, given[group])))
    if "trait" in given:
        return PartForm("trait", key=given["trait"], test=given["op"], value=_value_of(given))
    if "computed" in given:
        return PartForm("computed", key=given["computed"], test=given["op"], value=_value_of(given))
    if "sequence" in given:
        part = PartForm("sequence", steps=list(map(_step_of, given["sequence"])))
    else:
        count = given.get("count", {"op": ">=", "value": 1})
        part = PartForm("event", not given.get("performed", True), given["event"], count["op"], str(count["value"]))
        part.where = list(map(_where_of, given.get("where", [])))
    _show_window(part, given)
    return part


def _show_window(part: PartForm, given: Mapping[str, Any]) -> None:
    if "within" in given:
        ((part.unit, number),) = given["within"].items()
        part.window, part.number = "within", str(number)
    elif "between" in given:
        part.window, (part.start, part.end) = "between", map(_date, given["between"])
    elif "after" in given:
        part.window, part.start = "after", _date(given["after"])
    elif "before" in given:
        part.window, part.start = "before", _date(given["before"])


def _date(instant: str) -> str:
    return instant.removesuffix("T00:00:00.000Z").replace(".000Z", "Z")


def _step_of(given: Mapping[str, Any]) -> StepForm:
    word: Any = next((each for each in ("then", "thenNot") if each in given), "first")
    event = given if word == "first" else given[word]
    step = StepForm(word, event["event"], where=list(map(_where_of, event.get("where", []))))
    if "within" in given:
        ((step.unit, number),) = given["within"].items()
        step.number = str(number)
    return step


def _where_of(given: Mapping[str, Any]) -> WhereForm:
    of: Any = "context" if "context" in given else "property"
    return WhereForm(of, given[of], given["op"], _value_of(given))


def _value_of(given: Mapping[str, Any]) -> str:
    value = given.get("value")
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(_typed(each, listed=True) for each in value)
    if isinstance(value, dict):
        ((unit, number),) = value.items()
        return f"{number} {unit}"
    return value if given["op"] in _AS_TYPED else _typed(value)


def read_json(text: str) -> Any:
    """Read what somebody wrote as JSON. Raises FaultyError."""
    try:
        return decode_exact(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise wrong("json", f"This is no JSON: {error}.") from None
