"""Plots: figures over time as bars, or as a curve, in SVG that a page holds; colours come from the style sheet."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from richpanel.core.timestamps import iso
from richpanel.store.delivery_breakdown import Moment

HEIGHT: Final = 64
_STEP: Final = 10
"""The width of a bar with the gap behind it; the plot is stretched to the room there is."""
_GAP: Final = 2
_LEAST: Final = 2
"""What is there at all is seen."""
_WIDTH: Final = 600
"""Columns of a curve."""
_TONES: Final = ("good", "bad", "warn")


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
    drawn: dict[str, list[str]] = {tone: [] for tone in _TONES}
    for place, counts in enumerate(sums):
        top = HEIGHT
        for tone, count in zip(_TONES, counts, strict=True):
            if count:
                height = max(round(count / most * (HEIGHT - 2 * _LEAST)), _LEAST)
                top -= height
                width = _STEP - _GAP
                drawn[tone].append(f"M{place * _STEP} {top}h{width}v{height}h-{width}z")
    delivered, failed, retries = (sum(each) for each in zip(*sums, strict=True))
    return Plot(
        width=len(series) * _STEP - _GAP,
        height=HEIGHT,
        paths=[(tone, "".join(parts)) for tone, parts in drawn.items() if parts],
        most=most,
        delivered=delivered,
        failed=failed,
        retries=retries,
        since=series[0].at,
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
