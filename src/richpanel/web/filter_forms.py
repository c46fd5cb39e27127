"""The form of one destination filter: how a filter is shown in its fields, and read from them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from richpanel.core.filters import Action, ActionType, Filter
from richpanel.web.filters import FilterTried
from richpanel.web.problems import Fault

KEEP: Final = "KEEP"
"""The action of a filter whose actions the form cannot show: it keeps them."""


class FilterForm(msgspec.Struct, kw_only=True, rename={"condition": "if"}):
    """A filter in fields. `was` is its title before, empty for a new one; `percent` is from 0 to 100."""

    action: Literal["save", "try", "delete"] = "save"
    was: str = ""
    title: str = ""
    condition: str = ""
    type: Literal["DROP", "SAMPLE", "DROP_PROPERTIES", "ALLOW_PROPERTIES", "KEEP"] = "DROP"
    percent: str = ""
    path: str = ""
    fields: str = ""
    enabled: str = ""
    message: str = ""


class Edited(msgspec.Struct, frozen=True):
    """A filter that is being edited: as filled in, what is wrong with it by field, and what a try told."""

    form: FilterForm
    faults: Mapping[str, Fault] = {}
    tried: FilterTried | None = None


class ShownFilter(msgspec.Struct, frozen=True):
    """A filter on the page: as it is saved, and as it is in its form."""

    saved: Filter
    form: FilterForm
    summary: str
    edited: Edited | None = None


def shown_filters(stored: Sequence[dict[str, Any]], edited: Edited | None) -> list[ShownFilter]:
    """Show the filters of a destination; the one that is being edited as it was filled in."""
    shown = []
    for saved in msgspec.convert(stored, list[Filter]):
        mine = edited if edited is not None and edited.form.was == saved.title else None
        shown.append(ShownFilter(saved, mine.form if mine else _form(saved), _summary(saved.actions), mine))
    return shown


def filter_of(form: FilterForm, saved: Filter | None) -> Filter:
    """Read a filter from its fields, with the description, and where the form cannot show them the actions, it had."""
    actions = saved.actions if form.type == KEEP and saved else [_action(form)]
    description = saved.description if saved else ""
    return Filter(form.title.strip(), form.condition.strip(), actions, form.enabled == "on", description)


def _action(form: FilterForm) -> Action:
    match form.type:
        case "SAMPLE":
            return Action("SAMPLE", _share(form.percent), form.path.strip() or None)
        case "DROP_PROPERTIES" | "ALLOW_PROPERTIES":
            return Action(form.type, fields=_fields(form.fields))
        case _:
            return Action("DROP")


def _share(percent: str) -> float | None:
    try:
        return float(percent.strip().rstrip("%")) / 100
    except ValueError:
        return None


def _fields(text: str) -> dict[str, list[str]]:
    """Read `path: key, key` from each line; a line without a colon names keys at the top."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        path, colon, keys = line.rpartition(":")
        names = [key.strip() for key in keys.split(",") if key.strip()]
        if names or colon:
            found.setdefault(path.strip(), []).extend(names)
    return found


def _text(fields: Mapping[str, Sequence[str]]) -> str:
    return "\n".join(f"{path}: {', '.join(keys)}" if path else ", ".join(keys) for path, keys in fields.items())


def _form(saved: Filter) -> FilterForm:
    form = FilterForm(
        was=saved.title,
        title=saved.title,
        condition=saved.condition,
        enabled="on" if saved.enabled else "",
    )
    action = saved.actions[0]
    as_shown = msgspec.structs.replace(
        form,
        type=action.type,
        percent=f"{action.percent * 100:.12g}" if action.percent is not None else "",
        path=action.path or "",
        fields=_text(action.fields or {}),
    )
    is_whole = len(saved.actions) == 1 and filter_of(as_shown, saved) == saved
    return as_shown if is_whole else msgspec.structs.replace(form, type=KEEP)


def _summary(actions: Sequence[Action]) -> str:
    return ", ".join(_named(each) for each in actions)


def _named(action: Action) -> str:
    names: dict[ActionType, str] = {
        "DROP": "Drop",
        "DROP_PROPERTIES": "Drop properties",
        "ALLOW_PROPERTIES": "Allow properties",
    }
    return names.get(action.type) or f"Sample {(action.percent or 0) * 100:.4g} %"
