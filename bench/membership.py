"""`python -m bench membership`: what an event costs audiences, in one process and without a store (docs/decisions).

People are Zipf-distributed, and events come an instant after each other over ninety days, so that windows close all the
time. What an event costs, in CPU, is its name looked up, and where it concerns an audience: opened, the person's packed
state unpacked, added to, judged, packed. The definition (core/reasons.py) is beside it, over the same people.
"""

import time
from collections import defaultdict
from typing import Any, Final

import msgspec
import numpy as np
from rich.table import Table

from bench.options import Bench
from bench.workload import FIRST_MS, zipf
from richpanel.core.computed import Computation, read_computation
from richpanel.core.condition_json import read
from richpanel.core.happened import Happened, happened, name_of
from richpanel.core.membership import Audience, AudiencePlan, Person, TraitPlan
from richpanel.core.message import decode_message
from richpanel.core.planning import plan_audience
from richpanel.core.reasons import History
from richpanel.core.watching import Watch

BATCH: Final = 5_000
"""Events that are taken in together: each person's state is read, judged and written once for all of theirs."""
CUSTOMER: Final = Person()
DAYS: Final = 90 * 86_400_000
ORDER: Final = "Order Completed"
MONTH: Final = {"within": {"days": 30}}
DEARER: Final = [{"property": "total", "op": ">", "value": 50}]
ABANDONED: Final = [{"event": "Checkout Started"}, {"thenNot": {"event": ORDER}, "within": {"hours": 1}}]
AUDIENCES: Final[dict[str, dict[str, Any]]] = {
    "ever": {"event": ORDER},
    "in the last 30 days": {"event": ORDER, **MONTH},
    "5 dear ones in the last 30 days": {"event": ORDER, **MONTH, "count": {"op": ">=", "value": 5}, "where": DEARER},
    "spent 500 in the last 30 days": {"computed": "spent", "op": ">=", "value": 500},
    "abandoned in the last 7 days": {"sequence": ABANDONED, "within": {"days": 7}},
}
SPENT: Final[dict[str, Any]] = {"kind": "sum", "event": ORDER, "property": "total", **MONTH}
_pack: Final = msgspec.msgpack.Encoder(order="deterministic").encode
_unpack: Final = msgspec.msgpack.decode


def membership(bench: Bench, events: int, people: int) -> None:
    """Measure each audience alone, and what a message costs that concerns none."""
    traits = {"spent": read_computation(SPENT)}
    who = zipf(np.random.default_rng(1), events, people)
    bodies = [_body(number) for number in range(64)]
    table = Table("audience", "us of CPU an event", "of which judging", "bytes a person", "the definition, us a person")
    plans: dict[str, Any] = {name: plan_audience(Audience(read(each)), {}, traits) for name, each in AUDIENCES.items()}
    table.add_row("none", f"{_unconcerned(bodies, events, plans):.2f}", "", "", "")
    with bench.task("feeding audiences", len(plans) + 1) as task:
        for number, (name, plan) in enumerate(plans.items()):
            table.add_row(name, *_fed(plan, who, bodies), _defined(AUDIENCES[name], who, traits, bodies))
            task.to(number + 1)
        table.add_row("(computed trait) spent", *_fed(TraitPlan(traits["spent"]), who, bodies), "")
    bench.console.print(table)


def _body(number: int) -> bytes:
    total = (number * 37) % 120
    products = [{"sku": f"s-{number}", "price": 19.9, "quantity": 1, "name": "A thing of our shop"}] * 3
    return msgspec.json.encode(
        {
            "type": "track",
            "event": ORDER if number % 2 else "Checkout Started",
            "userId": "u",
            "messageId": "0" * 36,
            "properties": {"order_id": "1", "total": total + 0.5, "currency": "USD", "products": products},
            "context": {"library": {"name": "analytics.js", "version": "next-1.70.0"}, "page": {"path": "/cart"}},
        }
    )


def _unconcerned(bodies: list[bytes], events: int, plans: dict[str, Any]) -> float:
    watch = Watch(dict(enumerate(plans.values())))
    messages = [decode_message(body.replace(b"Order Completed", b"Product Viewed")) for body in bodies[1::2]]
    start = time.process_time()
    for number in range(events):
        if watch.of_event(name_of(messages[number & 31])):
            raise AssertionError("an event that concerns nobody was taken for one that does")
    return (time.process_time() - start) / events * 1e6


def _fed(plan: AudiencePlan | TraitPlan, who: list[int], bodies: list[bytes]) -> tuple[str, str, str]:
    """Feed all events in batches; give the cost of one that concerns the plan, of judging, and the size of a state."""
    messages = [decode_message(body) for body in bodies]
    states: dict[int, bytes] = {}
    step, judging, concerned = DAYS // len(who), 0.0, 0
    clock = time.process_time
    begun = clock()
    for first in range(0, len(who), BATCH):
        batch: defaultdict[int, list[int]] = defaultdict(list)
        for number, profile in enumerate(who[first : first + BATCH], first):
            if name_of(messages[number & 63]) in plan.watched:
                batch[profile].append(number)
        now = FIRST_MS + (first + BATCH) * step
        for profile, numbers in batch.items():
            concerned += len(numbers)
            packed = states.get(profile)
            state = plan.empty() if packed is None else _unpack(packed)
            changed = False
            for number in numbers:
                stamp = (FIRST_MS + number * step, f"{number:036}", "src_1")
                event = happened(messages[number & 63], stamp, around=False)  # As none of these looks at contexts.
                changed |= event is not None and plan.add(state, event)
            if not changed:
                continue
            start = clock()
            _judged(plan, state, now)
            judging += clock() - start
            states[profile] = _pack(state)
    whole = clock() - begun
    size = sum(map(len, states.values())) / max(len(states), 1)
    return f"{whole / concerned * 1e6:.1f}", f"{judging / concerned * 1e6:.1f}", f"{size:.0f}"


def _judged(plan: AudiencePlan | TraitPlan, state: list[Any], now: int) -> object:
    return plan.judge(state, CUSTOMER, now) if isinstance(plan, AudiencePlan) else plan.value(state, now)


def _defined(condition: dict[str, Any], who: list[int], traits: dict[str, Computation], bodies: list[bytes]) -> str:
    """Ask the definition about a thousand people, each with their whole history."""
    messages = [decode_message(body) for body in bodies]
    step = DAYS // len(who)
    histories: defaultdict[int, list[Happened]] = defaultdict(list)
    for number, profile in enumerate(who):
        if profile in histories or len(histories) < 1_000:
            event = happened(messages[number & 63], (FIRST_MS + number * step, f"{number:036}", "src_1"))
            if event is not None:
                histories[profile].append(event)
    parsed = read(condition)
    start = time.process_time()
    for events in histories.values():
        History(events, Person(), FIRST_MS + DAYS, audiences={}, traits=traits).reason(parsed)
    return f"{(time.process_time() - start) / len(histories) * 1e6:.0f}"
