"""Planning: an audience's condition is made ready, with all that it asks of other audiences and computed traits."""

from collections.abc import Mapping
from typing import Any

from richpanel.core.comparing import ORDER, changes, path_of, predicate, values_at
from richpanel.core.computed import Computation, asking, typed
from richpanel.core.conditions import All, AnyOf, Computed, Condition, InAudience, Not, Performed, Sequence, Trait
from richpanel.core.kept import Kept, Times, Total
from richpanel.core.membership import Audience, AudiencePlan, Counted, Held, Node, Person, Slot, State, settled
from richpanel.core.sequences import Chain
from richpanel.core.traits import canonical_key
from richpanel.core.windows import NEVER, Span


def plan_audience(
    audience: Audience, audiences: Mapping[str, Audience], traits: Mapping[str, Computation]
) -> AudiencePlan:
    """Make an audience ready. All that it asks for must be there, without circles (`core.references`)."""
    builder = _Builder(audiences, traits)
    node = builder.audience(audience)
    return AudiencePlan(builder.slots, builder.keys, node, exact=_is_exact(audience.condition))


def _is_exact(condition: Condition) -> bool:
    """Tell whether a condition is one count of events, which is looked through up to its next change."""
    return _is_exact(condition.condition) if isinstance(condition, Not) else isinstance(condition, Performed)


class _Builder:
    """Makes the tree of a plan, and the slots that it looks into."""

    def __init__(self, audiences: Mapping[str, Audience], traits: Mapping[str, Computation]) -> None:
        self.slots: list[Slot] = []
        self.keys: set[str] = set()
        self._audiences = audiences
        self._traits = traits

    def audience(self, audience: Audience) -> Node:
        node = self.node(audience.condition)
        return node if audience.visitors else _customers(node)

    def node(self, condition: Condition) -> Node:
        match condition:
            case All(conditions):
                return _all([self.node(part) for part in conditions])
            case AnyOf(conditions):
                return _any([self.node(part) for part in conditions])
            case Not(inner):
                return _not(self.node(inner))
            case InAudience(key):
                return self.audience(self._audiences[key])
            case Trait():
                return self._trait(condition)
            case Computed(key):
                return self._computed(self._traits[key], condition)
            case Sequence():
                return self._sequence(condition)
            case Performed():
                return self._performed(condition)

    def _slot(self, slot: Slot) -> int:
        self.slots.append(slot)
        return len(self.slots) - 1

    def _trait(self, condition: Trait) -> Node:
        first, *others = path_of(condition.key)
        key, test, asked = canonical_key(first), condition.test, predicate(condition.test)
        whole = canonical_key(condition.key)
        self.keys.update((key, whole))

        def node(_: State, person: Person, now: int) -> Held:
            traits = person.traits
            found = values_at(traits[whole], ()) if whole in traits else values_at(traits.get(key), others)
            return asked(found, now), changes(test, found, now)

        return node

    def _performed(self, condition: Performed) -> Node:
        op, value = condition.count.op, condition.count.value
        most = max(1, value if op in (">=", "<") else value + 1)
        length = condition.window.length
        kept: Kept = Total(most) if length == NEVER else Times(length, most)
        slot = Counted(Computation("count", condition.event, None, condition.window), kept, most)
        number = self._slot(slot)
        performed, compare = condition.performed, ORDER[op]

        def holds(raw: Any) -> bool:
            return compare(raw, value) is performed

        return lambda state, _, now: settled(slot.steps(state[number], now), length, holds)

    def _computed(self, computation: Computation, condition: Computed) -> Node:
        slot = Counted(computation)
        number = self._slot(slot)
        length, test, asked = computation.window.length, condition.test, asking(condition.test)

        def node(state: State, _: Person, now: int) -> Held:
            steps = slot.steps(state[number], now)
            if not isinstance(test.value, Span):
                return settled(steps, length, lambda raw: asked(raw, now))
            raw, t = next(steps)  # The test itself moves with time.
            until = changes(test, values_at(typed(raw), ()), now)
            return asked(raw, now), min(t + length if t != NEVER else NEVER, until)

        return node

    def _sequence(self, condition: Sequence) -> Node:
        chain = Chain(condition)
        number = self._slot(chain)
        return lambda state, _, now: chain.judge(state[number], now)


def _customers(node: Node) -> Node:
    return lambda state, person, now: node(state, person, now) if person.customer else (False, NEVER)


def _not(node: Node) -> Node:
    def turned(state: State, person: Person, now: int) -> Held:
        held, until = node(state, person, now)
        return not held, until

    return turned


def _all(nodes: list[Node]) -> Node:
    return _joined(nodes, decisive=False)


def _any(nodes: list[Node]) -> Node:
    return _joined(nodes, decisive=True)


def _joined(nodes: list[Node], *, decisive: bool) -> Node:
    """AND and OR: one part that is decisive decides, for as long as one of them is; else all are of one mind."""

    def node(state: State, person: Person, now: int) -> Held:
        until, decided = NEVER, 0
        for part in nodes:
            held, changing = part(state, person, now)
            if held is decisive:
                if changing == NEVER:
                    return held, NEVER
                decided = max(decided, changing)
            elif changing < until:
                until = changing
        return (decisive, decided) if decided else (not decisive, until)

    return node
