"""The role that delivers outside. Before there is a destination outside it only looks for one: all else is 70 MB."""

import os
import threading
from collections.abc import Callable
from contextlib import closing, nullcontext, suppress
from typing import Final

from richpanel.config import Settings
from richpanel.roles.alone import alone
from richpanel.roles.parent import Parent, on_stop
from richpanel.store import state_files
from richpanel.store.glance import Glance, Unreadable, open_glance

_NICE: Final = 10
"""As processing (`roles.process`): calls and pages go first where there are fewer cores than work."""
_LOOK_SECONDS: Final = 1.0


def run(settings: Settings, parent: Parent, begin_log: Callable[[], object]) -> None:
    """Wait for a destination outside, and deliver until told to stop. Raises CannotRunError.

    `begin_log` sets the program's log up: it is called once there is something to do.
    """
    os.nice(_NICE)
    stop = threading.Event()
    on_stop(stop.set)
    parent.listen()
    # On a cluster seats tell who serves what; here there is one process.
    with nullcontext() if settings.database_url else alone(settings.data / state_files.DELIVERING):
        parent.say(ready=True)
        with closing(open_glance(settings.data, settings.database_url)) as glance:
            while not _delivers(glance):
                if stop.wait(_LOOK_SECONDS):
                    return
        begin_log()
        from richpanel.roles import delivering  # Loaded where it is used.

        delivering.run(settings, parent, stop)


def _delivers(glance: Glance) -> bool:
    with suppress(Unreadable):
        return bool(glance.outside())
    return False
