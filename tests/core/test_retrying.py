"""Retrying: which outcome is tried again, when, and for how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.codes import Code
from richpanel.core.retrying import (
    STATUSES,
    UNFINISHED,
    Outcome,
    Patience,
    Verdict,
    code_of,
    is_transient,
    pause,
    verdict,
)

FIRST_AT = 1_700_000_000_000
PATIENCE = Patience()
AGAIN = {408, 429, *range(500, 600)} - {501, 505}


def after(
    outcome: Outcome, tries: int = 1, *, now: int = FIRST_AT, jitter: float = 0.5, hosted: bool = False
) -> Verdict:
    return verdict(outcome, tries, FIRST_AT, now, jitter, hosted=hosted, patience=PATIENCE)


def test_the_statuses_are_the_contracts() -> None:
    assert STATUSES == ("queued", "retrying", "delivered", "accepted", "superseded", "failed", "dead")
    assert {"queued", "retrying"} == UNFINISHED


@given(st.integers(200, 299))
def test_a_success_is_delivered_or_at_the_hosted_api_accepted(status: int) -> None:
    assert after(Outcome(status)) == Verdict("delivered")
    assert after(Outcome(status), hosted=True) == Verdict("accepted")


@given(st.integers(300, 599))
def test_what_is_tried_again(status: int) -> None:
    found = after(Outcome(status))
    assert found.status == ("retrying" if status in AGAIN else "failed")
    assert (found.due_at is None) == (found.status == "failed")
    assert found.code is not None


@pytest.mark.parametrize(
    "code",
    [
        *(Code.ANSWER_TIMED_OUT, Code.CONNECT_TIMED_OUT, Code.CONNECTION_REFUSED, Code.CONNECTION_RESET),
        *(Code.CONNECTION_FAILED, Code.HOST_NOT_FOUND, Code.TLS_FAILED, Code.ANSWER_UNREADABLE, Code.PRIVATE_ADDRESS),
    ],
)
def test_no_answer_is_tried_again(code: Code) -> None:
    assert is_transient(Outcome(None, code))
    assert after(Outcome(None, code)).status == "retrying"
    assert after(Outcome(None, code)).code == code


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *((200, None), (204, None), (302, "answered_3xx"), (400, "answered_400"), (401, "answered_401")),
        *((403, "answered_403"), (404, "answered_404"), (409, "answered_4xx"), (413, "answered_4xx")),
        *((408, "answered_408"), (429, "answered_429"), (500, "answered_5xx"), (501, "answered_501")),
        *((503, "answered_5xx"), (505, "answered_505"), (599, "answered_5xx"), (700, "answer_unreadable")),
    ],
)
def test_an_answer_has_a_code(status: int, code: str | None) -> None:
    assert code_of(Outcome(status)) == code


@given(st.integers(1, 500), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_spread_over_all_of_what_doubles(tries: int, jitter: float) -> None:
    most = min(PATIENCE.first * 2 ** (tries - 1), PATIENCE.longest)
    assert 0 <= pause(tries, jitter, PATIENCE) <= most
    assert pause(tries, 0.0, PATIENCE) == 0
    assert pause(tries, 0.5, PATIENCE) == most // 2


def test_a_pause_is_bounded_in_the_end() -> None:
    assert pause(10**6, 0.999999, PATIENCE) < PATIENCE.longest


@given(st.integers(1, 100), st.integers(0, PATIENCE.lasting - 1), st.floats(0, 1, exclude_max=True))
def test_it_is_tried_for_at_least_as_long_as_it_should(tries: int, since: int, jitter: float) -> None:
    """Within that time nothing dies, and a last try comes at its very end."""
    found = after(Outcome(503), tries, now=FIRST_AT + since, jitter=jitter)
    assert found.status == "retrying"
    assert found.due_at is not None
    assert FIRST_AT + since < found.due_at <= max(FIRST_AT + PATIENCE.lasting, FIRST_AT + since + 1)


@given(st.integers(0, 10**9))
def test_what_fails_once_that_time_is_over_is_dead(beyond: int) -> None:
    assert after(Outcome(503), 40, now=FIRST_AT + PATIENCE.lasting + beyond) == Verdict("dead", Code.ANSWERED_5XX)
    assert after(Outcome(200), 40, now=FIRST_AT + PATIENCE.lasting + beyond) == Verdict("delivered")


@given(st.integers(0, PATIENCE.lasting), st.floats(0, 1, exclude_max=True))
def test_a_server_that_says_how_long_to_wait_is_heeded(wait: int, jitter: float) -> None:
    found = after(Outcome(429, retry_after=wait), jitter=jitter)
    assert found.due_at is not None
    assert found.due_at >= FIRST_AT + wait


def test_a_server_cannot_have_us_wait_for_ever() -> None:
    assert after(Outcome(429, retry_after=10**12)).due_at == FIRST_AT + PATIENCE.lasting


def test_four_hours_are_some_dozens_of_tries() -> None:
    """With a jitter of a half: neither a flood nor next to none."""
    now, tries = FIRST_AT, 0
    while True:
        tries += 1
        found = after(Outcome(None, Code.CONNECTION_REFUSED), tries, now=now)
        if found.due_at is None:
            break
        now = found.due_at
    assert found.status == "dead"
    assert now == FIRST_AT + PATIENCE.lasting
    assert 20 <= tries <= 60
