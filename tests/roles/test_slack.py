"""What is free goes back to the system (roles/slack.py)."""

import time
from pathlib import Path

from richpanel.roles.slack import Slack

_MIB = 1 << 20


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_what_a_burst_has_freed_goes_back() -> None:
    before = _resident()
    burst = [bytes(2_000) for _ in range(60_000)]
    burst = burst[-1:]  # What stands behind all that is free now.
    assert _resident() > before + 80 * _MIB
    Slack(after=0.05).worked()
    given_up = time.monotonic() + 5
    while _resident() > before + 40 * _MIB:
        assert time.monotonic() < given_up
        time.sleep(0.02)
    assert burst
