"""A command that is told to stop (commands/stopping.py)."""

import gc
import os
import signal
import weakref
from collections.abc import Iterator

import pytest

from richpanel.commands.stopping import Stopping


@pytest.fixture
def told() -> Iterator[Stopping]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    made = Stopping()
    made.listen()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


class Held:
    """Something that a weak reference can be to."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_at_its_next_step_wherever_the_signal_came(told: Stopping, number: signal.Signals) -> None:
    told.obey()
    held = Held()
    heard = weakref.ref(held, lambda _: os.kill(os.getpid(), number))
    del held
    gc.collect()
    assert heard() is None
    with pytest.raises(KeyboardInterrupt):
        told.obey()


def test_told_again_it_stops_at_once(told: Stopping) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        told.obey()
