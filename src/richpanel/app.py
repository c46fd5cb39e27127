"""What runs in each process of a server: `python -m richpanel.app front|process`, started by `commands/supervisor.py`.

A role's modules are loaded in its own process alone: that is half of the time to be ready, and of the memory.
"""

import gc
import signal
import socket
import sys

from sqlalchemy.exc import OperationalError

from richpanel import telemetry
from richpanel.config import Settings, read_settings
from richpanel.roles.parent import CannotRunError, Parent, die_with_parent
from richpanel.store.secrets import SecretKeyError


def main() -> None:
    """Run the role named on the command line until the parent says stop or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # A Ctrl-C reaches the whole group; the parent says when to stop.
    die_with_parent()
    parent = Parent()
    given = parent.start()
    settings = read_settings(given["settings"], {}).settings
    role = sys.argv[1]
    telemetry.configure_logging(role, style=settings.log_format, level=settings.log_level)
    try:
        if role == "front":
            _front(settings, parent, socket.socket(fileno=given["socket"]), with_login=given["login"])
        else:
            _process(settings, parent)
    except (CannotRunError, SecretKeyError, OSError) as error:
        parent.say(fatal=str(error))
        sys.exit(1)
    except OperationalError as error:
        parent.say(fatal=f"the database cannot be used: {error.orig}")
        sys.exit(1)
    except Exception:  # noqa: BLE001  # a fault of ours: into the program's log; the parent starts the role again
        telemetry.get_logger(__name__).exception("role_failed")
        sys.exit(1)


def _front(settings: Settings, parent: Parent, listening: socket.socket, *, with_login: bool) -> None:
    from richpanel.roles import front

    _settle_memory()
    front.run(settings, parent, listening, with_login=with_login)


def _process(settings: Settings, parent: Parent) -> None:
    from richpanel.roles import process

    _settle_memory()
    process.run(settings, parent)


def _settle_memory() -> None:
    """Spare the collector what is loaded by now, and let it come less often: requests leave little in circles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


if __name__ == "__main__":
    main()
