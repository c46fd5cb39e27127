"""What is free goes back to the system (roles/slack.py)."""

import subprocess
import sys

_BURST = """
import time
from pathlib import Path
from richpanel.roles.slack import Slack

MIB = 1 << 20

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

before = resident()
burst = [bytes(2_000) for _ in range(60_000)]
burst = burst[-1:]  # What stands behind all that is free now.
assert resident() > before + 80 * MIB
Slack(after=0.05).worked()
given_up = time.monotonic() + 30
while resident() > before + 40 * MIB:
    assert time.monotonic() < given_up
    time.sleep(0.02)
assert burst
"""


def test_what_a_burst_has_freed_goes_back() -> None:
    """In a process of its own: one that has grown before has room for the burst."""
    done = subprocess.run([sys.executable, "-c", _BURST], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
