"""The bucket of calls."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from richpanel.source.rate import Rates


def test_a_bucket_fills_at_its_rate() -> None:
    rates = Rates()
    assert [rates.take("s", 2, 1, 0) for _ in range(3)] == [0, 0, 1]
    assert rates.take("s", 2, 1, 499) == 1
    assert rates.take("s", 2, 1, 500) == 0
    assert rates.take("s", 2, 1, 500) == 1
    assert [rates.take("s", 2, 1, 60_000) for _ in range(3)] == [0, 0, 1]
    assert rates.take("other", 2, 1, 60_000) == 0


@pytest.mark.parametrize(("rate", "calls", "wait"), [(100, 2_500, 25), (1, 10, 10), (0.5, 1, 2), (10, 11, 1)])
def test_a_large_request_passes_and_has_its_price(rate: float, calls: int, wait: int) -> None:
    rates = Rates()
    assert rates.take("s", rate, calls, 0) == 0
    assert rates.take("s", rate, 1, 0) == wait
    assert rates.take("s", rate, 1, wait * 1000) == 0


def test_a_clock_that_is_put_back() -> None:
    rates = Rates()
    assert rates.take("s", 1, 1, 10_000) == 0
    assert rates.take("s", 1, 1, 0) == 1
    assert rates.take("s", 1, 1, 1_000) == 0


def test_a_rate_of_nothing_lets_nothing_pass() -> None:
    rates = Rates()
    rates.take("s", 0, 1, 0)
    assert rates.take("s", 0, 1, 10_000) > 0


@settings(deadline=None)
@given(st.integers(1, 50), st.lists(st.tuples(st.integers(0, 400), st.integers(1, 5)), max_size=80))
def test_no_more_than_the_rate_passes(rate: int, requests: list[tuple[int, int]]) -> None:
    """Whoever asks in whatever rhythm gets one bucket, what filled it since, and the rest of one request."""
    rates, now, passed = Rates(), 0, 0
    for pause, calls in requests:
        now += pause
        if rates.take("s", rate, calls, now) == 0:
            passed += calls
        assert passed <= rate + now * rate / 1000 + 4 + 1e-6
