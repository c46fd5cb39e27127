"""Computing: the plans of audiences and computed traits, made ready, and what each makes of a person (0025)."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from richpanel.core.announcing import Told, computing, entering
from richpanel.core.computed import typed
from richpanel.core.defined import PlanError, Problem
from richpanel.core.membership import AudiencePlan, Person, State, TraitPlan
from richpanel.core.money import encode_exact
from richpanel.core.watching import Watch
from richpanel.core.windows import NEVER
from richpanel.store.computations import ComputationRow, Ended
from richpanel.store.plans import PlanRow

_encode: Final = msgspec.msgpack.Encoder(order="deterministic").encode
_decode: Final = msgspec.msgpack.Decoder().decode
_VISITOR: Final = Person(customer=False)


class Judged(NamedTuple):
    """The value that a plan has for somebody, and until when (ms UTC), None where time alone does not change it."""

    raw: Any
    until: int | None


class Ready:
    """A version of an audience or computed trait, made ready. `nothing` is the value of those who are not there."""

    def __init__(self, number: int, computation: int, plan: AudiencePlan | TraitPlan) -> None:
        """Hold a plan by its number and that of what it is a version of."""
        self.number = number
        self.computation = computation
        self.plan = plan
        self.empty = _encode(plan.empty())
        self.nothing: Any = False
        if isinstance(plan, TraitPlan):
            self.nothing = plan.value(plan.empty(), 0)[0]
        self.idle = self.written(self.nothing)
        """That value as it is written."""
        self.has_visitors = self.judge(plan.empty(), _VISITOR, 0).raw != self.nothing
        self.has_customers = self.judge(plan.empty(), Person(), 0).raw != self.nothing
        """Whether visitors, and customers, are in of whom nothing is known."""

    def judge(self, state: State, person: Person | None, now: int) -> Judged:
        """Give the value at `now`, ms UTC. A computed trait is one of customers; who is not there is in nothing."""
        if person is None:
            return Judged(self.nothing, None)
        if isinstance(self.plan, AudiencePlan):
            verdict = self.plan.judge(state, person, now)
            return Judged(verdict.member, verdict.until if verdict.until < NEVER else None)
        if not person.customer:
            return Judged(self.nothing, None)
        raw, until = self.plan.value(state, now)
        return Judged(raw, until if until < NEVER else None)

    def written(self, raw: Any) -> str:
        """Write a value as JSON."""
        if isinstance(self.plan, AudiencePlan):
            return "true" if raw else "false"
        return encode_exact(typed(raw)).decode()

    def is_known(self, told: Told | None, raw: Any, now: int) -> bool:
        """Tell whether the world knows a value, or need not."""
        tell = entering if isinstance(self.plan, AudiencePlan) else computing
        return tell(told, raw, now) is None


class Plans:
    """All plans of an account that are computed, and which messages they look at."""

    def __init__(self, computations: Iterable[ComputationRow] = (), ended: Iterable[Ended] = ()) -> None:
        """Make ready those that are live or will be; `ended` are deleted."""
        self.ready: dict[int, Ready] = {}
        self.of_computation: dict[int, list[Ready]] = {}
        self.computations: dict[str, int] = {}
        self.computing: dict[int, int] = {}
        """Plans whose first run is not over, and when they were made (ms UTC): those made at once go live at once."""
        self.problems: dict[int, str] = {}
        """Why plans cannot be made ready, by number."""
        self.ended: dict[int, str] = {}
        """The keys of those that are deleted, by number: what is still to be folded of what was told of them is."""
        for each in ended:
            self.computations[each.id] = each.number
            self.ended[each.number] = each.key
        for row in computations:
            self.computations[row.id] = row.number
            for plan in (row.live, row.next):
                if plan is None or plan.status not in ("live", "computing"):
                    continue
                try:
                    made = Ready(plan.number, row.number, _made_ready(plan))
                except PlanError as error:
                    self.problems[plan.number] = str(error)
                    continue
                self.ready[plan.number] = made
                self.of_computation.setdefault(row.number, []).append(made)
                if plan.status == "computing":
                    self.computing[plan.number] = plan.created_at
        self.watch = Watch({number: each.plan for number, each in self.ready.items()})

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self.ready)


def _made_ready(plan: PlanRow) -> AudiencePlan | TraitPlan:
    if plan.fault is not None:
        raise PlanError(Problem.UNREADABLE, plan.fault.partition(": ")[2])
    return plan.defined.plan()


def pack(state: State) -> bytes:
    """Write a state for the store: equal ones have the same bytes."""
    return _encode(state)


def unpack(data: bytes) -> State:
    """Read what `pack` wrote."""
    found: State = _decode(data)
    return found
