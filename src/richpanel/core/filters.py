"""Destination filters: what a destination does not get, or gets less of (`semantics.md` 7; Segment facts, 6).

A filter is a condition in FQL and what to do with the messages that it matches: DROP, SAMPLE (a share of them passes),
DROP_PROPERTIES and ALLOW_PROPERTIES. Of all that a message matches, samples come first, then drops, then the fields.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from richpanel.core.codes import Code
from richpanel.core.cut import Cut, Step
from richpanel.core.fql import Condition, FqlError, compile_fql, path_keys
from richpanel.core.fql_nodes import Place

MAX_FILTERS: Final = 10
MAX_TITLE: Final = 64
MAX_KEY: Final = 256
MAX_FIELDS: Final = 8_192
"""Characters of a field's name, and of all paths and names that the actions of one filter may hold together.

They stand in every distinct set of decisions that is stored.
"""
_UNCUT: Final = (
    *("type", "messageId", "userId", "anonymousId", "event", "name"),
    *("timestamp", "originalTimestamp", "sentAt", "receivedAt"),
)
"""What says what a message is, whose and of when: without them it would be another message, or none."""
_MESSAGE_ID: Final = "messageId"

ActionType = Literal["DROP", "SAMPLE", "DROP_PROPERTIES", "ALLOW_PROPERTIES"]
_ORDER: Final[tuple[ActionType, ...]] = ("SAMPLE", "DROP", "DROP_PROPERTIES", "ALLOW_PROPERTIES")


def _told(description: str | None = None, **schema: Any) -> msgspec.Meta:
    """Tell a bound in the API's document; `check` says it in words."""
    return msgspec.Meta(description=description, extra_json_schema=schema)


class Action(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What to do with what a filter matches.

    SAMPLE lets the share `percent` (0 to 1) pass, by a hash of the value at `path` (a message without one, and where no
    path is given: by its messageId). DROP_PROPERTIES takes the `fields` away, ALLOW_PROPERTIES all others beside them:
    each a path, `""` for the top level, with the keys below it.
    """

    type: ActionType
    percent: Annotated[float, _told(minimum=0, maximum=1)] | None = None
    path: str | None = None
    fields: dict[str, list[Annotated[str, _told(minLength=1, maxLength=MAX_KEY)]]] | None = None


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A filter: the condition `if` is in Segment's filter language, FQL."""

    title: Annotated[str, _told(minLength=1, maxLength=MAX_TITLE)]
    condition: Annotated[str, _told(minLength=1, description="In FQL; `all` is every message.")] = msgspec.field(
        name="if"
    )
    actions: Annotated[list[Action], _told(minItems=1)]
    enabled: bool = True
    description: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What filters make of a message: dropped with a code, by the filter of this title; or kept, with a cut or without.

    `reason` says why a condition could not be evaluated.
    """

    code: Code | None = None
    cut: Cut | None = None
    filter: str = ""
    reason: str = ""


class Fault(NamedTuple):
    """What is wrong with filters: the field, as `filters[0].if`, a sentence for who wrote it, and where within it."""

    field: str
    text: str
    place: Place | None = None


PASSED: Final = Verdict()


class _Act(NamedTuple):
    """An action, ready: the filter's number and title, its condition, and what it does."""

    filter: int
    title: str
    condition: Condition
    type: ActionType
    passes: Callable[[Mapping[str, Any]], bool] | None
    steps: tuple[Step, ...]


class Filters:
    """A destination's enabled filters, compiled."""

    __slots__ = ("_acts",)

    def __init__(self, filters: Iterable[Filter]) -> None:
        """Compile filters. One that cannot be compiled drops all, as one that fails for every message."""
        acts = [
            act for number, each in enumerate(filters) if each.enabled for act in _acts(number, each, _condition(each))
        ]
        self._acts = sorted(acts, key=lambda act: _ORDER.index(act.type))

    def __bool__(self) -> bool:
        """Tell whether there is anything to ask."""
        return bool(self._acts)

    def judge(self, message: Mapping[str, Any]) -> Verdict:
        """Tell what becomes of a message, decoded, with its batch's context merged in. It never fails."""
        matched: dict[int, bool] = {}
        steps: dict[Step, None] = {}
        title = ""
        for act in self._acts:
            if act.filter not in matched:
                try:
                    matched[act.filter] = act.condition(message)
                except FqlError as error:
                    return Verdict(Code.FILTER_FAILED, None, act.title, str(error))
            if not matched[act.filter]:
                continue
            if act.type == "DROP" or (act.passes is not None and not act.passes(message)):
                return Verdict(Code.FILTERED_BY_RULES, None, act.title)
            if act.steps:
                title = title or act.title
                steps.update(dict.fromkeys(act.steps))
        return Verdict(None, Cut(tuple(steps)), title) if steps else PASSED


def check(filters: Sequence[Filter]) -> list[Fault]:
    """Tell all that is wrong with a destination's filters; nothing where they can be saved."""
    faults = []
    if len(filters) > MAX_FILTERS:
        faults.append(Fault("filters", f"A destination may have {MAX_FILTERS} filters, not {len(filters)}."))
    titles: set[str] = set()
    for number, each in enumerate(filters[:MAX_FILTERS]):
        at = f"filters[{number}]"
        if each.title in titles:
            faults.append(Fault(f"{at}.title", "Another filter of this destination has the same title."))
        titles.add(each.title)
        faults += check_one(each, at)
    return faults


def check_one(filter_: Filter, at: str) -> list[Fault]:
    """Tell what is wrong with a filter that stands at this field."""
    faults = []
    if not filter_.title.strip() or len(filter_.title) > MAX_TITLE:
        faults.append(Fault(f"{at}.title", f"A title of 1 to {MAX_TITLE} characters is required."))
    try:
        compile_fql(filter_.condition)
    except FqlError as error:
        faults.append(Fault(f"{at}.if", str(error), error.place))
    if not filter_.actions:
        faults.append(Fault(f"{at}.actions", "At least one action is required: what to do with what it matches."))
    types = [action.type for action in filter_.actions]
    if len(set(types)) < len(types):
        faults.append(Fault(f"{at}.actions", "Each type of action may stand in a filter once."))
    elif sum(map(_size, filter_.actions)) > MAX_FIELDS:
        faults.append(Fault(f"{at}.actions", f"The fields of a filter may have {MAX_FIELDS:,} characters together."))
    else:
        for number, action in enumerate(filter_.actions):
            faults += _check_action(action, f"{at}.actions[{number}]")
    return faults


def _size(action: Action) -> int:
    return sum(len(path) + sum(map(len, keys)) for path, keys in (action.fields or {}).items())


def _check_action(action: Action, at: str) -> list[Fault]:
    needs: dict[str, tuple[str, ...]] = {"DROP": (), "SAMPLE": ("percent", "path")}
    allowed = needs.get(action.type, ("fields",))
    faults = [
        Fault(f"{at}.{name}", f"{action.type} takes no `{name}`.")
        for name in ("percent", "path", "fields")
        if name not in allowed and getattr(action, name) is not None
    ]
    if action.type == "SAMPLE":
        percent = action.percent
        if percent is None or not math.isfinite(percent) or not 0 <= percent <= 1:
            faults.append(Fault(f"{at}.percent", "SAMPLE needs the share that passes: a number from 0 to 1."))
        if action.path:
            faults += _check_path(action.path, f"{at}.path")
    elif "fields" in allowed:
        faults += _check_fields(action, f"{at}.fields")
    return faults


def _check_path(path: str, at: str) -> list[Fault]:
    try:
        path_keys(path)
    except FqlError as error:
        return [Fault(at, f"{_quoted(path)}: {error}", error.place)]
    return []


def _check_fields(action: Action, at: str) -> list[Fault]:
    if not action.fields or not all(action.fields.values()):
        example = '{"properties": ["email"], "": ["context"]}'
        return [Fault(at, f"{action.type} needs fields: paths with the keys below each, such as {example}.")]
    faults = []
    for path, keys in action.fields.items():
        faults += _check_path(path, at) if path else []
        if any(not key or len(key) > MAX_KEY for key in keys):
            faults.append(Fault(at, f"{_quoted(path)}: a key has 1 to {MAX_KEY} characters."))
        uncut = [key for key in keys if key in _UNCUT] if not path and action.type == "DROP_PROPERTIES" else []
        if uncut:
            faults.append(
                Fault(at, f"`{uncut[0]}` says what a message is, whose or of when, and stays; DROP takes it whole.")
            )
        if path and path_is_uncut(path):
            faults.append(Fault(at, f"{_quoted(path)} is no object that fields could be taken from."))
    return faults


def path_is_uncut(path: str) -> bool:
    """Tell whether a path leads into what stays as it is."""
    try:
        return path_keys(path)[0] in _UNCUT
    except FqlError:
        return False


def _quoted(text: str) -> str:
    return f"`{text if len(text) <= MAX_KEY else text[:MAX_KEY] + '...'}`"


def _condition(filter_: Filter) -> Condition:
    try:
        return compile_fql(filter_.condition)
    except FqlError as error:
        return _failing(str(error))


def _failing(reason: str) -> Condition:
    def condition(_: Mapping[str, Any]) -> bool:
        raise FqlError(reason)

    return condition


def _acts(number: int, filter_: Filter, condition: Condition) -> list[_Act]:
    made = []
    for action in filter_.actions:
        try:
            passes = _sampling(action) if action.type == "SAMPLE" else None
            steps = _steps(action)
        except FqlError as error:
            condition, passes, steps = _failing(str(error)), None, ()
        made.append(_Act(number, filter_.title, condition, action.type, passes, steps))
    return made


def _steps(action: Action) -> tuple[Step, ...]:
    allow = action.type == "ALLOW_PROPERTIES"
    return tuple(
        Step(path_keys(path) if path else (), (*keys, *_UNCUT) if allow and not path else tuple(keys), allow)
        for path, keys in (action.fields or {}).items()
    )


def _sampling(action: Action) -> Callable[[Mapping[str, Any]], bool]:
    """Make a sample: the same value is always in or always out, at every destination and however often it comes."""
    value = _value_at(path_keys(action.path)) if action.path else None
    limit = int((action.percent or 0) * (1 << 64))

    def passes(message: Mapping[str, Any]) -> bool:
        found = None if value is None else value(message)
        found = message.get(_MESSAGE_ID) if found is None else found
        try:
            written = msgspec.json.encode(found, order="deterministic")
        except (OverflowError, RecursionError, ValueError):
            written = repr(type(found)).encode()
        return int.from_bytes(blake2b(written, digest_size=8).digest(), "big") < limit

    return passes


def _value_at(keys: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Any]:
    def value(message: Mapping[str, Any]) -> Any:
        found: Any = message
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    return value
