"""The condition tree as a form: read from its fields, edited by its buttons, with what is wrong where it is wrong.

A field is named by its place in the tree: `c.parts.1.where.0.path`. The form is lenient, it holds what was typed;
`web.condition_writing` makes the API's JSON of it, and `core.condition_json` judges that.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, TypeAlias

import msgspec

from richpanel.core.faults import Fault

ROOT: Final = "c"
_LISTS: Final = ("parts", "where", "steps")
_MAX_WORDS: Final = 48
PartKind: TypeAlias = Literal["and", "or", "event", "sequence", "trait", "computed", "audience"]


class WhereForm(msgspec.Struct):
    """A filter. `at` is its place in the JSON, once that is written."""

    of: Literal["property", "context"] = "property"
    path: str = ""
    op: str = "="
    value: str = ""
    at: str = ""


class StepForm(msgspec.Struct):
    """A step of a sequence; `word` is `first` of the one that it begins with."""

    word: Literal["first", "then", "thenNot"] = "then"
    event: str = ""
    number: str = ""
    unit: str = "hours"
    where: list[WhereForm] = []
    at: str = ""


class PartForm(msgspec.Struct):
    """A part of the tree, of any kind: each kind has fields of its own, and keeps those of the others empty.

    `key` is a trait's path or what a computed trait or an audience is called; `figure` and `property` are of a computed
    trait that is being defined, which else is an event with a window.
    """

    kind: PartKind = "event"
    negated: bool = False
    event: str = ""
    op: str = ">="
    times: str = "1"
    window: Literal["", "within", "between", "after", "before"] = ""
    number: str = "30"
    unit: str = "days"
    start: str = ""
    end: str = ""
    key: str = ""
    test: str = "="
    value: str = ""
    figure: str = "count"
    property: str = ""
    where: list[WhereForm] = []
    steps: list[StepForm] = []
    parts: list["PartForm"] = []
    at: str = ""


def new_part(kind: PartKind) -> PartForm:
    """Give an empty part; a sequence has two steps at least."""
    if kind == "sequence":
        return PartForm(kind, steps=[StepForm("first"), StepForm()])
    return PartForm(kind, parts=[PartForm()]) if kind in ("and", "or") else PartForm(kind)


# ------------------------------------------------------------------------------------------------------------- fields


def read_fields(form: Iterable[tuple[str, str]]) -> PartForm:
    """Read the tree from the fields of a form. Raises msgspec.ValidationError where they are none of ours."""
    tree: dict[str, Any] = {}
    for name, value in form:
        words = name.split(".")
        if words[0] != ROOT or not 1 < len(words) <= _MAX_WORDS:
            continue
        holder = tree
        for word in words[1:-1]:
            inner = holder.setdefault(word, {})
            holder = inner if isinstance(inner, dict) else {}
        holder[words[-1]] = value
    return msgspec.convert(_with_lists(tree), PartForm, strict=False)


def _with_lists(tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if key in _LISTS and isinstance(value, dict):
            numbers = sorted((number for number in value if number.isdecimal() and len(number) < 5), key=int)
            found[key] = [_with_lists(value[number]) for number in numbers if isinstance(value[number], dict)]
        else:
            found[key] = value
    return found


def edit(root: PartForm, action: str, path: str, kind: PartKind = "event") -> None:
    """Do what a button says to the part at a path, if there is one: `add` a part, a `where`, a `step`; `remove` it."""
    words = path.split(".")[1:]
    holder: list[Any] = [root]
    number, found = 0, root
    for name, digits in zip(words[::2], words[1::2], strict=False):
        holder = getattr(found, name, []) if name in _LISTS else []
        number = int(digits) if digits.isdecimal() and len(digits) < 5 else len(holder)
        if number >= len(holder):
            return
        found = holder[number]
    match action:
        case "add" if isinstance(found, PartForm):
            found.parts.append(new_part(kind))
        case "where" if not isinstance(found, WhereForm):
            found.where.append(WhereForm())
        case "step" if isinstance(found, PartForm):
            found.steps.append(StepForm())
        case "remove" if found is not root:
            del holder[number]


def placed(root: PartForm, faults: Iterable[Fault]) -> dict[str, list[str]]:
    """Give what is wrong by the place of the deepest part that it is in, with what of that it is; else by its field."""
    places = sorted(set(_places(root)) - {""}, key=len, reverse=True)
    found: dict[str, list[str]] = {}
    for field, text in faults:
        at = next((each for each in places if field == each or field.startswith((f"{each}.", f"{each}["))), field)
        rest = field[len(at) :].lstrip(".").removeprefix("then.").removeprefix("thenNot.")
        said = f"{rest[:1].upper()}{rest[1:]}: {text[:1].lower()}{text[1:]}" if rest else text
        found.setdefault(at, []).append(said)
    return found


def _places(part: PartForm | StepForm) -> Iterator[str]:
    yield part.at
    yield from (each.at for each in part.where)
    if isinstance(part, PartForm):
        for step in part.steps:
            yield from _places(step)
        for inner in part.parts:
            yield from _places(inner)
