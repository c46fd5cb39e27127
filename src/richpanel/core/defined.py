"""What an audience or a computed trait is defined as, with all that it asks of others: a version, to be made ready.

A version stands alone: it holds the conditions of the audiences and the computed traits that it asks for as they were
when it was made. An edit of one of those makes a new version of it, too (`core.references.dependants`).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, TypeAlias

import msgspec

from richpanel.core.computed import Computation, computation_json, read_computation
from richpanel.core.condition_json import condition_json, read
from richpanel.core.conditions import Computed, leaves
from richpanel.core.membership import Audience, AudiencePlan, TraitPlan
from richpanel.core.money import decode_exact, encode_exact
from richpanel.core.planning import plan_audience
from richpanel.core.references import asked

Definition: TypeAlias = Audience | Computation
_UNREADABLE: Final = (ValueError, TypeError, AttributeError, IndexError, RecursionError)
"""What comes of a definition of another version's making; `FaultyError` and what decoding raises are among it."""


class Problem(StrEnum):
    """Why a version cannot be computed."""

    UNREADABLE = "unreadable_definition"
    GONE = "asked_is_gone"


class PlanError(ValueError):
    """A version cannot be computed: a closed code, and the reason in words."""

    def __init__(self, code: Problem, reason: str) -> None:
        """Say both, as they are stored."""
        super().__init__(f"{code.value}: {reason}")
        self.code = code


class Defined(msgspec.Struct, frozen=True):
    """A definition, and by their keys the audiences and computed traits that it asks for, also through others."""

    what: Definition
    audiences: Mapping[str, Audience] = {}
    traits: Mapping[str, Computation] = {}

    def plan(self) -> AudiencePlan | TraitPlan:
        """Make it ready. Raises PlanError."""
        try:
            if isinstance(self.what, Computation):
                return TraitPlan(self.what)
            return plan_audience(self.what, self.audiences, self.traits)
        except KeyError as error:
            raise PlanError(Problem.GONE, f"it asks for {error}, which is not there") from None
        except _UNREADABLE as error:
            raise PlanError(Problem.UNREADABLE, f"this version cannot compute it ({error})") from None


def gather(what: Definition, audiences: Mapping[str, Audience], traits: Mapping[str, Computation]) -> Defined:
    """Take of all that there is what a definition asks for; that must be there (`core.references.check`)."""
    found: dict[str, Audience] = {}
    computed: dict[str, Computation] = {}
    left = [what]
    while left:
        each = left.pop()
        if isinstance(each, Computation):
            continue
        computed.update((part.key, traits[part.key]) for part in leaves(each.condition) if isinstance(part, Computed))
        for key in sorted(asked(each.condition) - found.keys()):
            found[key] = audiences[key]
            left.append(found[key])
    return Defined(what, dict(sorted(found.items())), dict(sorted(computed.items())))


def defined_json(defined: Defined) -> str:
    """Write it as it is stored."""
    given = {
        "what": _json(defined.what),
        "audiences": {key: _json(each) for key, each in defined.audiences.items()},
        "traits": {key: _json(each) for key, each in defined.traits.items()},
    }
    return encode_exact(given).decode()


def read_defined(text: str) -> Defined:
    """Read back what `defined_json` wrote, of this version or another one. Raises PlanError."""
    try:
        given = decode_exact(text)
        audiences = {key: _audience(each) for key, each in given["audiences"].items()}
        traits = {key: read_computation(each) for key, each in given["traits"].items()}
        what = given["what"]
        return Defined(_audience(what) if "condition" in what else read_computation(what), audiences, traits)
    except (KeyError, *_UNREADABLE) as error:
        raise PlanError(Problem.UNREADABLE, f"this version cannot read it ({error})") from None


def _json(what: Definition) -> dict[str, Any]:
    if isinstance(what, Computation):
        return computation_json(what)
    return {"condition": condition_json(what.condition), "visitors": what.visitors}


def _audience(given: Mapping[str, Any]) -> Audience:
    return Audience(read(given["condition"]), given["visitors"])
