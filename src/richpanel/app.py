"""What runs in each process of a server: `python -m richpanel.app ROLE`, started by `commands/supervisor.py`.

A role's modules are loaded in its own process alone: that is half of the time to be ready, and of the memory. `prepare`
is no role but a step before them, where the data directory is new or of an older version.
"""

import gc
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any, Final

from richpanel.config import Settings, read_settings
from richpanel.roles.parent import CannotRunError, Parent, die_with_parent


def main() -> None:
    """Run the role named on the command line until the parent says stop or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # A Ctrl-C reaches the whole group; the parent says when to stop.
    die_with_parent()
    parent = Parent()
    given = parent.start()
    settings = read_settings(given["settings"], {}).settings
    role = sys.argv[1]
    begin_log = partial(_begin_log, settings, role)
    if role not in _WAITING:
        begin_log()
    try:
        _ROLES[role](settings, parent, given)
    except (CannotRunError, OSError) as error:
        parent.say(fatal=str(error))
        sys.exit(1)
    except Exception:  # noqa: BLE001  # a fault of ours: into the program's log; the parent starts the role again
        begin_log().get_logger(__name__).exception("role_failed")
        sys.exit(1)


def _begin_log(settings: Settings, role: str) -> ModuleType:
    """Set the program's log up, and give `telemetry`, which has it."""
    # structlog loads rich where it finds it, for tracebacks that no role prints: 7 MB and 40 ms in each process.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # this is what makes its import fail

    from richpanel import telemetry

    telemetry.configure_logging(role, style=settings.log_format, level=settings.log_level)
    return telemetry


def _prepare(settings: Settings, parent: Parent, given: dict[str, Any]) -> None:
    from richpanel.roles import prepare

    with _database_needed():
        prepare.run(settings, parent, with_login=given["login"])


def _front(settings: Settings, parent: Parent, given: dict[str, Any]) -> None:
    from richpanel.roles import front

    _settle_memory()
    front.run(settings, parent, given["sockets"])


def _web(settings: Settings, parent: Parent, given: dict[str, Any]) -> None:
    from richpanel.roles import web

    _settle_memory()
    with _database_needed():
        web.run(settings, parent, given["sockets"])


def _process(settings: Settings, parent: Parent, given: dict[str, Any]) -> None:
    if settings.log_url is not None:
        from richpanel.roles import sharing

        _settle_memory()
        with _database_needed():
            sharing.run(settings, parent)
        return
    from richpanel.roles import process

    _settle_memory()
    with _database_needed():
        process.run(settings, parent, given["sockets"])


def _deliver(settings: Settings, parent: Parent, _given: dict[str, Any]) -> None:
    from richpanel.roles import deliver

    _settle_memory()
    with _database_needed():
        deliver.run(settings, parent, partial(_begin_log, settings, "deliver"))


def _engage(settings: Settings, parent: Parent, given: dict[str, Any]) -> None:
    from richpanel.roles import engage

    _settle_memory()
    with _database_needed():
        engage.run(settings, parent, given["sockets"], partial(_begin_log, settings, "engage"))


_ROLES: Final[dict[str, Callable[[Settings, Parent, dict[str, Any]], None]]] = {
    "prepare": _prepare,
    "front": _front,
    "web": _web,
    "process": _process,
    "deliver": _deliver,
    "engage": _engage,
}
_WAITING: Final = ("deliver", "engage")
"""These begin by waiting for work, often for ever: their log is set up once there is some, for it is half of them."""


@contextmanager
def _database_needed() -> Iterator[None]:
    """Say in a line that the database cannot be used. Not for the front, which does without SQLAlchemy."""
    try:
        yield
    except Exception as error:
        from sqlalchemy.exc import OperationalError  # Not before: it is 15 MB, and who waits for work does without.

        if isinstance(error, OperationalError):
            raise CannotRunError(f"the database cannot be used: {error.orig}") from error
        raise


def _settle_memory() -> None:
    """Spare the collector what is loaded by now, and let it come less often: requests leave little in circles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


if __name__ == "__main__":
    main()
