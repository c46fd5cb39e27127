"""All figures in Prometheus' text format (`GET /metrics`)."""

from collections.abc import Iterable
from typing import assert_never

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from richpanel.telemetry import BOUNDS, FIGURES, Counter, Gauge, Histogram


class _Figures(Collector):
    def collect(self) -> Iterable[Metric]:
        """Give every figure, one that has not counted yet, too."""
        return map(_family, FIGURES)


def exposition() -> bytes:
    """Write out all figures as they are now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures())
    return generate_latest(registry)


def _family(figure: Counter | Gauge | Histogram) -> Metric:
    match figure:
        case Counter():
            counted = CounterMetricFamily(figure.name, figure.text, labels=figure.labels)
            for labels, value in figure.values.items():
                counted.add_metric(labels, value)
            return counted
        case Gauge():
            now = GaugeMetricFamily(figure.name, figure.text, labels=figure.labels)
            for labels, value in figure.values.items():
                now.add_metric(labels, value)
            return now
        case Histogram():
            taken = HistogramMetricFamily(figure.name, figure.text, labels=figure.labels)
            for labels, counts in figure.values.items():
                taken.add_metric(labels, _buckets(counts[:-1]), counts[-1])
            return taken
        case _:
            assert_never(figure)


def _buckets(counts: list[float]) -> list[tuple[str, float]]:
    """Give the counts as Prometheus has them: a bucket holds all that are smaller, too."""
    total, buckets = 0.0, []
    for bound, count in zip([*map(str, BOUNDS), "+Inf"], counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
