"""The form of a condition: what is shown in it and read back is the same condition, and buttons do as they say."""

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given

from richpanel.core.computed import Computation, computation_json, read_computation
from richpanel.core.condition_json import condition_json, read
from richpanel.core.conditions import All, AnyOf, Condition, Not, Performed
from richpanel.core.faults import Fault
from richpanel.core.money import decode_exact, encode_exact
from richpanel.web.condition_forms import PartForm, StepForm, WhereForm, edit, new_part, placed, read_fields
from richpanel.web.condition_writing import trait_json, trait_of, tree_json, tree_of
from tests.core.engage_cases import COMPUTATIONS, CONDITIONS


def fields(part: PartForm | StepForm | WhereForm, path: str = "c") -> Iterator[tuple[str, str]]:
    """Give the fields that a browser sends of a form."""
    for name, value in msgspec.structs.asdict(part).items():
        if isinstance(value, list):
            for place, each in enumerate(value):
                yield from fields(each, f"{path}.{name}.{place}")
        elif name != "at":
            yield f"{path}.{name}", str(int(value)) if isinstance(value, bool) else value


def plain(condition: Condition) -> Condition:
    """Write NOT in the one way in which the form does."""
    match condition:
        case Not(Not(inner)):
            return plain(inner)
        case Not(Performed() as inner):
            return msgspec.structs.replace(inner, performed=not inner.performed)
        case Not(inner):
            return Not(plain(inner))
        case All(parts):
            return All(tuple(map(plain, parts)))
        case AnyOf(parts):
            return AnyOf(tuple(map(plain, parts)))
        case _:
            return condition


def alone(condition: Condition) -> Condition:
    """Give what is alone in a group at the top."""
    if isinstance(condition, All | AnyOf) and len(condition.conditions) == 1:
        return condition.conditions[0]
    return condition


@given(CONDITIONS)
def test_a_condition_goes_through_the_form_and_comes_out_the_same(condition: Condition) -> None:
    shown = tree_of(decode_exact(encode_exact(condition_json(condition))))
    again = read(decode_exact(encode_exact(tree_json(read_fields(list(fields(shown)))))))
    assert again == alone(plain(condition))


@given(COMPUTATIONS)
def test_a_computed_trait_does_too(computation: Computation) -> None:
    shown = trait_of(decode_exact(encode_exact(computation_json(computation))))
    assert read_computation(decode_exact(encode_exact(trait_json(read_fields(list(fields(shown))))))) == computation


@pytest.mark.parametrize(
    ("op", "typed", "meant"),
    [
        ("=", "12.50", 12.5),
        ("=", " gold ", "gold"),
        ("=", "true", True),
        ("=", '"true"', "true"),
        ("=", '"12"', "12"),
        ("=", "012", "012"),
        ("in", 'a, 2 , "b,c"', ["a", 2, "b,c"]),
        ("within_last", "7 days", {"days": 7}),
        ("within_last", "1 hour", {"hours": 1}),
        ("within_last", "3", {"days": 3}),
        ("contains", "12", "12"),
    ],
)
def test_a_value_is_what_was_typed(op: str, typed: str, meant: object) -> None:
    part = PartForm("trait", key="plan", test=op, value=typed)
    assert tree_json(PartForm("and", parts=[part])) == {"trait": "plan", "op": op, "value": meant}


def test_buttons_change_the_tree() -> None:
    root = new_part("and")
    edit(root, "add", "c", "sequence")
    edit(root, "add", "c", "or")
    edit(root, "add", "c.parts.2", "trait")
    edit(root, "where", "c.parts.0")
    edit(root, "where", "c.parts.1.steps.1")
    edit(root, "step", "c.parts.1")
    assert [part.kind for part in root.parts] == ["event", "sequence", "or"]
    assert [part.kind for part in root.parts[2].parts] == ["event", "trait"]
    assert (len(root.parts[0].where), len(root.parts[1].steps), len(root.parts[1].steps[1].where)) == (1, 3, 1)
    for path in ("c.parts.1.steps.2", "c.parts.0.where.0", "c.parts.2", "c", "c.parts.9", "c.at.0", "c.parts.x"):
        edit(root, "remove", path)
    assert [part.kind for part in root.parts] == ["event", "sequence"]
    assert (len(root.parts[0].where), len(root.parts[1].steps)) == (0, 2)


def test_what_is_wrong_is_said_at_the_deepest_part() -> None:
    filtered = PartForm("event", event="A", where=[WhereForm(path="x")])
    root = PartForm("and", parts=[PartForm("audience", True, key="b"), filtered])
    tree_json(root)
    faults = [
        Fault("condition.and[0].not.audience", "There is none."),
        Fault("condition.and[1].where[0].value", "Must be a text."),
        Fault("condition.and[1].event", "Is required."),
        Fault("condition.and", "Too many."),
        Fault("name", "Is required."),
    ]
    assert placed(root, faults) == {
        "condition.and[0].not": ["Audience: there is none."],
        "condition.and[1].where[0]": ["Value: must be a text."],
        "condition.and[1]": ["Event: is required."],
        "condition": ["And: too many."],
        "name": ["Is required."],
    }
