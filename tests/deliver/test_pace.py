"""Pace: the rate as the other side sees it, concurrency that adapts, and leaving alone what only fails."""

from bisect import bisect_right, insort

from hypothesis import given
from hypothesis import strategies as st

from richpanel.deliver.pace import MOST_CONCURRENCY, WINDOW_SECONDS, Breaker, Concurrency, Pace, Window

FAILURES_TO_OPEN = 10


def half() -> float:
    return 0.5


# ---------------------------------------------------------------------------------------------------------- the rate


@given(
    st.integers(1, 12),
    st.lists(
        st.tuples(st.floats(0, 40), st.floats(0, 8), st.floats(0, 1)),
        max_size=80,
    ),
    st.booleans(),
)
def test_no_30_seconds_see_more_than_the_rate(rate: int, steps: list[tuple[float, float, float]], used: bool) -> None:
    """Each request arrives somewhere between its sending and its answer, as the network pleases."""
    window, now = Window(rate, 0.0, used=used), 0.0
    under_way: list[float] = []
    arrivals: list[float] = []
    for wait, takes, where in steps:
        now += wait
        while under_way and under_way[0] <= now:
            window.end(under_way.pop(0))
        if not window.free(now):
            continue
        window.begin()
        insort(under_way, now + takes)
        arrivals.append(now + takes * where)
    arrivals.sort()
    for at in arrivals:
        seen = bisect_right(arrivals, at) - bisect_right(arrivals, at - WINDOW_SECONDS)
        assert seen <= rate
    assert not used or all(at >= WINDOW_SECONDS for at in arrivals)


def test_a_rate_is_used_in_full() -> None:
    window = Window(50, 0.0, used=False)
    sent = 0
    for second in range(300):
        while window.free(float(second)):
            window.begin()
            window.end(float(second))
            sent += 1
    assert sent == 500
    assert window.free_at() == 300.0


def test_without_a_rate_nothing_is_held_back_or_remembered() -> None:
    window = Window(None, 0.0, used=True)
    for _ in range(10_000):
        window.begin()
        window.end(0.0)
    assert window.free(0.0) == MOST_CONCURRENCY
    assert window.free_at() is None


# --------------------------------------------------------------------------------------------------- how many at once


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 2)), max_size=400))
def test_concurrency_stays_within_its_bounds(steps: list[tuple[bool, float]]) -> None:
    concurrency, now = Concurrency(), 0.0
    for went_well, took in steps:
        now += took
        if went_well:
            concurrency.grow(concurrency.limit)
        else:
            concurrency.shrink(now - took, now)
        assert 1 <= concurrency.limit <= MOST_CONCURRENCY


def test_concurrency_grows_to_what_is_borne_and_recovers() -> None:
    concurrency = Concurrency()
    for _ in range(5_000):
        concurrency.grow(concurrency.limit)
    assert concurrency.limit == MOST_CONCURRENCY
    concurrency.shrink(10.0, 11.0)
    assert concurrency.limit == MOST_CONCURRENCY // 2
    for _ in range(MOST_CONCURRENCY):
        concurrency.shrink(10.5, 11.5)  # Sent before the halving: the same trouble.
    assert concurrency.limit == MOST_CONCURRENCY // 2
    concurrency.shrink(11.0, 12.0)
    assert concurrency.limit == MOST_CONCURRENCY // 4


def test_concurrency_does_not_grow_by_what_is_not_used() -> None:
    concurrency = Concurrency()
    before = concurrency.limit
    for _ in range(5_000):
        concurrency.grow(1)
    assert concurrency.limit == before


# ----------------------------------------------------------------------------------------------------- left in peace


def test_a_breaker_opens_rests_and_asks_with_one() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN):
        assert breaker.free(0.0) > 1
        breaker.begin()
        breaker.failed(0.0, 0.0, 0.5)
    rest = breaker.free_at()
    assert rest is not None
    assert breaker.free(rest - 0.01) == 0
    assert breaker.free(rest) == 1
    breaker.begin()
    assert breaker.free(rest) == 0
    breaker.failed(rest, rest + 1, 0.5)
    longer = breaker.free_at()
    assert longer is not None
    assert longer - (rest + 1) > rest
    breaker.begin()
    breaker.succeeded()
    assert breaker.free(longer) > 1


def test_a_breaker_asks_at_least_once_a_minute() -> None:
    breaker, now = Breaker(), 0.0
    for _ in range(60):
        breaker.begin()
        breaker.failed(now, now, 0.999)
        at = breaker.free_at()
        assert at is None or at - now <= 60.0
        now = at or now
    assert breaker.is_open


def test_some_failures_among_successes_do_not_open_it() -> None:
    breaker = Breaker()
    for turn in range(1_000):
        breaker.begin()
        breaker.failed(0.0, 0.0, 0.0) if turn % FAILURES_TO_OPEN else breaker.succeeded()
        assert not breaker.is_open


def test_a_probe_that_was_given_up_leaves_room_for_the_next() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN):
        breaker.failed(0.0, 0.0, 0.5)
    breaker.begin()
    breaker.gave_up()
    assert breaker.free(1_000.0) == 1


# ------------------------------------------------------------------------------------------------------ all together


@given(
    st.one_of(st.none(), st.integers(1, 20)),
    st.lists(st.tuples(st.sampled_from(["ok", "fail", "hold", "give up"]), st.floats(0, 20)), max_size=300),
)
def test_there_is_always_a_way_on(rate: int | None, steps: list[tuple[str, float]]) -> None:
    """With nothing under way, either something may begin, or it is known when: no destination is forgotten."""
    pace, now = Pace(rate, 0.0, half), 0.0
    for what, wait in steps:
        now += wait
        if not pace.free(now):
            at = pace.free_at(now)
            assert at is not None
            assert at > now
            now = at
            continue
        pace.begin()
        match what:
            case "ok":
                pace.succeeded(now)
            case "fail":
                pace.failed(now, now)
            case "hold":
                pace.failed(now, now, 25.0)
                assert pace.free(now + 24.9) == 0
            case _:
                pace.gave_up(now)


def test_a_rate_that_is_set_later_counts_what_is_under_way() -> None:
    pace = Pace(None, 0.0, half)
    for _ in range(3):
        pace.begin()
    pace.set_rate(5, 10.0)
    assert pace.free(10.0) == 0
    assert pace.free_at(10.0) == 40.0
    for _ in range(3):
        pace.succeeded(39.0)
    assert pace.free(40.0) == 2
    pace.set_rate(5, 41.0)
    assert pace.free(41.0) == 2


def test_a_long_hold_ends_within_an_hour() -> None:
    pace = Pace(None, 0.0, half)
    pace.begin()
    pace.failed(0.0, 0.0, 10**9)
    assert pace.free(3_599.0) == 0
    assert pace.free(3_600.0) > 0


def test_what_was_sent_before_it_was_forgiven_tells_nothing() -> None:
    pace = Pace(None, 0.0, lambda: 0.5)
    for _ in range(20):
        pace.begin()
    for _ in range(10):
        pace.failed(0.0, 1.0, retry_after=100.0)
    assert pace.free(2.0) == 0
    pace.forgive(2.0)
    for _ in range(10):
        pace.failed(0.0, 3.0, retry_after=100.0)
    assert not pace.is_resting(3.0)
    assert pace.free(3.0) > 0
