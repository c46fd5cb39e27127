"""The role that tells of audiences and computed traits. Before there is one it only looks for one, like delivering."""

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Any, Final

from richpanel.config import Settings
from richpanel.roles.parent import Parent, on_stop
from richpanel.store.glance import Glance, Unreadable, open_glance

_NICE: Final = 10
"""As processing (`roles.process`): calls and pages go first where there are fewer cores than work."""
_LOOK_SECONDS: Final = 1.0


def run(settings: Settings, parent: Parent, sockets: Mapping[str, Any], begin_log: Callable[[], object]) -> None:
    """Wait for an audience or a computed trait, and tell of it until told to stop.

    `begin_log` sets the program's log up: it is called once there is something to do.
    """
    os.nice(_NICE)
    stop = threading.Event()
    on_stop(stop.set)
    parent.listen()
    parent.say(ready=True)
    with closing(open_glance(settings.data, settings.database_url)) as glance:
        while not _is_engaged(glance):
            if stop.wait(_LOOK_SECONDS):
                return
    begin_log()
    from richpanel.roles import telling  # Loaded where it is used.

    telling.run(settings, sockets.get("log_path"), stop)


def _is_engaged(glance: Glance) -> bool:
    with suppress(Unreadable):
        return any(source.type == "engage" for source in glance.sources())
    return False
