"""Figures of what is delivered outside, read from the deliveries whenever somebody asks for the figures."""

from bisect import bisect_left

from richpanel import telemetry
from richpanel.core.latencies import longest
from richpanel.core.retrying import STATUSES
from richpanel.store.glance import Glance
from richpanel.telemetry import BOUNDS


def read_deliveries(glance: Glance, now: int) -> None:
    """Bring them up to date; `now` is ms UTC. Raises Unreadable."""
    names = glance.outside()
    if not names:
        return
    for each in glance.deliveries.waiting(names):
        name = names[each.destination]
        for status in ("queued", "retrying", "dead"):
            telemetry.DELIVERIES.set(getattr(each, status), name, status)
        age = 0.0 if each.oldest_at is None else max(now - each.oldest_at, 0) / 1000
        telemetry.DELIVER_OLDEST.set(age, name)
    for number, status_number, code, count in glance.deliveries.results():
        telemetry.DELIVER_RESULTS.values[names.get(number, str(number)), STATUSES[status_number], code] = float(count)
    taken: dict[str, list[float]] = {}
    for number, bucket, count in glance.deliveries.latencies():
        counts = taken.setdefault(names.get(number, str(number)), [0.0] * (len(BOUNDS) + 2))
        seconds = longest(bucket) / 1000
        counts[bisect_left(BOUNDS, seconds)] += int(count)
        counts[-1] += seconds * int(count)
    telemetry.DELIVER_SECONDS.values.update({(name,): counts for name, counts in taken.items()})
