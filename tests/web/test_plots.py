"""Plots: what is there at all is seen, nothing sticks out, and nothing is drawn of nothing."""

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from richpanel.store.delivery_breakdown import Moment
from richpanel.web.plots import HEIGHT, plot

counts = st.integers(0, 10_000_000)
moments = st.builds(Moment, at=st.just("2025-11-24T16:00:00.000Z"), delivered=counts, failed=counts, retries=counts)
BAR = re.compile(r"M(\d+) (\d+)h(\d+)v(\d+)h-\3z")


def test_nothing_is_not_drawn() -> None:
    assert plot([]) is None
    assert plot([Moment("2025-11-24T16:00:00.000Z")] * 60) is None


@given(st.lists(moments, min_size=1, max_size=60))
def test_every_figure_has_its_bar(series: list[Moment]) -> None:
    drawn = plot(series)
    if drawn is None:
        assert not any(each.delivered or each.failed or each.retries for each in series)
        return
    tops: dict[int, list[tuple[int, int]]] = {}
    for tone, path in drawn.paths:
        bars = [tuple(map(int, each)) for each in BAR.findall(path)]
        assert "".join(f"M{x} {y}h{width}v{height}h-{width}z" for x, y, width, height in bars) == path
        figure = {"good": "delivered", "bad": "failed", "warn": "retries"}[tone]
        assert len(bars) == sum(getattr(each, figure) > 0 for each in series)
        for x, y, width, height in bars:
            assert x + width <= drawn.width
            assert 0 <= y < y + height <= HEIGHT
            tops.setdefault(x, []).append((y, y + height))
    for stacked in tops.values():
        assert all(above[1] == below[0] for below, above in pairwise(stacked))
        assert stacked[0][1] == HEIGHT
