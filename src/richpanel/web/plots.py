"""Plots: figures over time as bars, or as a curve, in SVG that a page holds; colours come from the style sheet."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from richpanel.core.timestamps import iso
from richpanel.store.delivery_breakdown import Moment
from richpanel.store.traffic import MINUTE_MS, Bar

HEIGHT: Final = 64
_STEP: Final = 10
"""The width of a bar with the gap behind it; the plot is stretched to the room there is."""
_GAP: Final = 2
_LEAST: Final = 2
"""What is there at all is seen."""
_WIDTH: Final = 600
"""Columns of a curve."""
_TONES: Final = ("good", "bad", "warn")
_ARRIVING_TONES: Final = ("accent", "quiet", "bad", "warn")


class Plot(NamedTuple):
    """Bars as a path for each tone: delivered on the ground, failed on them, then tries that failed.

    `most` is the greatest sum of a bar; the others are sums of all.
    """

    width: int
    height: int
    paths: Sequence[tuple[str, str]]
    most: int
    delivered: int
    failed: int
    retries: int
    since: str


def plot(series: Sequence[Moment]) -> Plot | None:
    """Draw a series; None where nothing happened."""
    sums = [(each.delivered, each.failed, each.retries) for each in series]
    most = max(map(sum, sums), default=0)
    if not most:
        return None
    delivered, failed, retries = (sum(each) for each in zip(*sums, strict=True))
    return Plot(
        width=len(series) * _STEP - _GAP,
        height=HEIGHT,
        paths=_stacked(sums, most, _TONES),
        most=most,
        delivered=delivered,
        failed=failed,
        retries=retries,
        since=series[0].at,
    )


def _stacked(sums: Sequence[Sequence[int]], most: int, tones: Sequence[str]) -> list[tuple[str, str]]:
    """Draw bars, each of the counts of its tones on top of each other, as a path for each tone."""
    drawn: dict[str, list[str]] = {tone: [] for tone in tones}
    for place, counts in enumerate(sums):
        top = HEIGHT
        for tone, count in zip(tones, counts, strict=True):
            if count:
                height = max(round(count / most * (HEIGHT - 2 * _LEAST)), _LEAST)
                top = max(top - height, 0)
                width = _STEP - _GAP
                drawn[tone].append(f"M{place * _STEP} {top}h{width}v{height}h-{width}z")
    return [(tone, "".join(parts)) for tone, parts in drawn.items() if parts]


class Arriving(NamedTuple):
    """What arrived, as bars: a path for each tone; the sums of all; and how many a minute the greatest bar has.

    `minutes` is how long a bar is.
    """

    width: int
    height: int
    paths: Sequence[tuple[str, str]]
    total: int
    kept: int
    other: int
    discarded: int
    repeated: int
    most_a_minute: float
    minutes: int
    since: str


def arriving(series: Sequence[Bar]) -> Arriving | None:
    """Draw what arrived, in two parts at the least; None where nothing did."""
    sums = [each[1:] for each in series]
    most = max(map(sum, sums), default=0)
    if not most:
        return None
    kept, other, discarded, repeated = (sum(each) for each in zip(*sums, strict=True))
    minutes = (series[1].at - series[0].at) // MINUTE_MS
    return Arriving(
        width=len(series) * _STEP - _GAP,
        height=HEIGHT,
        paths=_stacked(sums, most, _ARRIVING_TONES),
        total=kept + other + discarded + repeated,
        kept=kept,
        other=other,
        discarded=discarded,
        repeated=repeated,
        most_a_minute=most / minutes,
        minutes=minutes,
        since=iso(series[0].at),
    )


class Curve(NamedTuple):
    """Sizes over time as one path, stretched to the room there is: each holds until the next, the last until now."""

    width: int
    height: int
    path: str
    most: int
    least: int
    last: int
    since: str


def curve(sizes: Sequence[tuple[int, int]], now: int) -> Curve | None:
    """Draw sizes, (ms UTC, size), oldest first, up to `now`; None where there are none."""
    if not sizes:
        return None
    start = sizes[0][0]
    length = max(now - start, 1)
    most = max(size for _, size in sizes)
    columns: dict[int, int] = {}  # The last of those that fall on one column.
    for at, size in sizes:
        columns[min((at - start) * _WIDTH // length, _WIDTH - 1)] = size
    steps = [f"H{column}V{HEIGHT - round(size / (most or 1) * (HEIGHT - _LEAST))}" for column, size in columns.items()]
    return Curve(
        width=_WIDTH,
        height=HEIGHT,
        path=f"M0 {HEIGHT}{''.join(steps)}H{_WIDTH}V{HEIGHT}z",
        most=most,
        least=min(size for _, size in sizes),
        last=sizes[-1][1],
        since=iso(start),
    )
