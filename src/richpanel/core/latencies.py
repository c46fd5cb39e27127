"""Latencies: spans of time counted by how long they are, to an eighth of an octave (9 %), for percentiles."""

from collections.abc import Mapping
from math import ceil, log2
from typing import Final

_STEPS: Final = 8
"""Buckets for each doubling."""


def bucket_of(milliseconds: int) -> int:
    """Give the bucket that a span is counted in; the one of less than a millisecond is 0."""
    return 0 if milliseconds < 1 else 1 + ceil(log2(milliseconds) * _STEPS)


def longest(bucket: int) -> int:
    """Give the longest span of a bucket, ms."""
    return 0 if bucket == 0 else int(2 ** ((bucket - 1) / _STEPS))


def percentile(counts: Mapping[int, int], percent: float) -> int | None:
    """Give a span, ms, that so many percent of the counted ones do not exceed; None where there are none."""
    left = sum(counts.values()) * percent / 100
    for bucket in sorted(counts):
        left -= counts[bucket]
        if left <= 0 and counts[bucket]:
            return longest(bucket)
    return None
