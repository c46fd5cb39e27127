"""The form of an audience or computed trait: what it holds, what that makes, and what is wrong with it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import parse_qsl

import msgspec
from litestar.exceptions import ValidationException
from sqlalchemy import Connection

from richpanel.core.announcing import Class
from richpanel.core.computed import Computation, computation_json, read_computation
from richpanel.core.condition_json import condition_json, read
from richpanel.core.defined import Definition
from richpanel.core.faults import Fault, FaultyError
from richpanel.core.membership import Audience
from richpanel.core.money import encode_exact
from richpanel.store.computations import ComputationRow
from richpanel.web.audience_definitions import check_condition
from richpanel.web.condition_forms import PartForm, edit, new_part, placed, read_fields
from richpanel.web.condition_writing import AT, read_json, trait_json, trait_of, tree_json, tree_of

Faults: TypeAlias = Mapping[str, list[str]]
_MAX_FIELDS: Final = 10_000
_EDITS: Final = ("add", "where", "step", "remove")


class DefinitionForm(msgspec.Struct):
    """What the form holds. No `destinations` are all; once `tried`, what is wrong is shown as it is typed.

    A `live` one is that of a page that stays, and only takes over what has changed."""

    kind: Class
    root: PartForm
    name: str = ""
    key: str = ""
    visitors: bool = False
    tracks: bool = False
    destinations: Sequence[str] = ()
    json: str = ""
    tried: bool = False
    live: bool = False
    action: str = ""


class Made(NamedTuple):
    """What a form makes: the definition, None where something is wrong; its JSON, whatever that is; the faults."""

    what: Definition | None
    json: bytes
    faults: Sequence[Fault]


def empty_form(kind: Class) -> DefinitionForm:
    """Give the form of something new: an audience begins with one event."""
    return DefinitionForm(kind, new_part("and") if kind == "audience" else PartForm(window="within"))


def form_of(row: ComputationRow) -> DefinitionForm:
    """Give the form of one that is there, in its newest version."""
    what = row.newest.defined.what
    return DefinitionForm(
        row.kind,
        tree_of(condition_json(what.condition)) if isinstance(what, Audience) else trait_of(computation_json(what)),
        name=row.name,
        key=row.key,
        visitors=isinstance(what, Audience) and what.visitors,
        tracks=row.tracks,
        destinations=row.destinations or (),
    )


def read_form(kind: Class, body: bytes) -> DefinitionForm:
    """Read the form as a browser sends it. Raises ValidationException where it is none of ours."""
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
        root = read_fields(fields)
    except (ValueError, msgspec.ValidationError):
        raise ValidationException("This is not the form of our page. Reload and try again.") from None
    given = dict(fields)
    form = DefinitionForm(
        kind,
        root,
        name=given.get("name", "").strip(),
        key=given.get("key", "").strip(),
        visitors="visitors" in given,
        tracks="tracks" in given,
        destinations=[value for name, value in fields if name == "destinations"],
        json=given.get("json", ""),
        tried=given.get("tried") == "1",
        live="live" in given,
        action=given.get("do", "save"),
    )
    action, _, path = form.action.partition(" ")
    if action in _EDITS:
        kind_of_part: Any = given.get(f"{path}.new", "event")
        edit(root, action, path, kind_of_part)
    return form


def from_json(form: DefinitionForm) -> list[Fault]:
    """Take over the JSON that somebody wrote into the form; give what is wrong with it, and leave the form then."""
    try:
        given = read_json(form.json)
        if form.kind == "audience":
            form.root = tree_of(condition_json(read(given, "json")))
        else:
            form.root = trait_of(computation_json(read_computation(given, "json")))
    except FaultyError as error:
        return [
            Fault("json", each.text if each.field == "json" else f"{each.field}: {each.text}") for each in error.faults
        ]
    return []


def make(conn: Connection, form: DefinitionForm) -> Made:
    """Make what a form says, and check it against all that there is."""
    given = tree_json(form.root) if form.kind == "audience" else trait_json(form.root)
    written = encode_exact(given)
    try:
        what: Definition
        what = Audience(read(given, AT), form.visitors) if form.kind == "audience" else read_computation(given, AT)
        check_condition(conn, form.key, what)
    except FaultyError as error:
        return Made(None, written, error.faults)
    return Made(what, written, ())


def shown_faults(form: DefinitionForm, faults: Sequence[Fault]) -> Faults:
    """Give what is wrong by where it is shown."""
    return placed(form.root, faults)


def text_of(what: Definition | None) -> str:
    """Write a definition in one line; nothing where there is none yet."""
    if isinstance(what, Computation):
        return str(what)
    return "" if what is None else str(what.condition)
