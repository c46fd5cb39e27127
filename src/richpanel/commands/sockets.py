"""The sockets that a server's parent holds, so that a role started again finds the connections that came meanwhile.

The port is for the world. Two Unix sockets are for the roles among themselves: on `web` the pages' process serves HTTP
to the front, on `log` the front takes what other roles append, where the log is not a stream that they reach alone.
They lie in a private directory under the system's temporary one, because a Unix socket's path may have about 100 bytes
and a data directory's may have more.
"""

import errno
import fcntl
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from richpanel.commands.supervisor import ServerFailedError

_BIND_SECONDS: Final = 2.0
"""How long a port is waited for that the processes of a killed server may still hold."""
_BACKLOG: Final = 2048
PRIVATE: Final = ("web", "log")
_LONGEST_PATH: Final = 100
_PREFIX: Final = "richpanel-"
_SWEPT_SECONDS: Final = 60.0
"""A directory that is younger may be one that its server has not locked yet."""
_SHORT: Final = "/tmp"  # noqa: S108  # what is made in it is a directory with a name by lot, for this user alone


@dataclass(frozen=True)
class Sockets:
    """The sockets that listen: the port (None where this server has none), and the private ones by name."""

    port: socket.socket | None
    private: dict[str, socket.socket] = field(default_factory=dict)

    @property
    def descriptors(self) -> dict[str, tuple[int, ...]]:
        """What each role inherits: only what it accepts on, so that a socket is closed when its role has closed it."""
        if self.port is None:
            return {}
        appends = [self.private["log"].fileno()] if "log" in self.private else []
        return {"front": (self.port.fileno(), *appends), "web": (self.private["web"].fileno(),)}

    def told(self) -> dict[str, object]:
        """Give, as plain JSON values, what a role is told: descriptors to accept on, paths to connect to."""
        told: dict[str, object] = {"port": self.port.fileno() if self.port is not None else None}
        for name, listening in self.private.items():
            told |= {name: listening.fileno(), f"{name}_path": listening.getsockname()}
        return told


@contextmanager
def listening(port: socket.socket | None, private: tuple[str, ...] = PRIVATE) -> Iterator[Sockets]:
    """Add the private sockets to a port; all are closed at the end, and their directory goes. ServerFailedError."""
    if port is None:
        yield Sockets(None)
        return
    with port, ExitStack() as opened:
        try:
            directory = opened.enter_context(_directory())
            bound = {name: opened.enter_context(_bound(directory / name)) for name in private}
        except OSError as error:
            raise ServerFailedError(f"cannot make the sockets between the server's processes: {error}") from None
        yield Sockets(port, bound)


@contextmanager
def _directory() -> Iterator[Path]:
    """Make a directory for this user alone, with a path that is short enough; it is locked while its server lives."""
    temporary = Path(tempfile.gettempdir())
    place = temporary if len(str(temporary)) <= _LONGEST_PATH - len(f"/{_PREFIX}xxxxxxxx/web") else Path(_SHORT)
    _sweep(place)
    made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    lock = os.open(made, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def _sweep(place: Path) -> None:
    """Remove what servers left that were killed."""
    for left in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            seen = left.lstat()
            if (
                seen.st_uid != os.getuid()
                or time.time() - seen.st_mtime < _SWEPT_SECONDS
                or not (left / "log").is_socket()
            ):
                continue
            lock = os.open(left, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


def _bound(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    made.listen(_BACKLOG)
    return made


def listen(host: str, port: int) -> socket.socket:
    """Bind the port; what a killed server's processes still hold is waited for. Raises ServerFailedError."""
    deadline = time.monotonic() + _BIND_SECONDS
    while True:
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
            return socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except socket.gaierror as error:
            raise ServerFailedError(f"there is no address {host!r} to listen on: {error.strerror}") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            reason = "it is taken; --port 0 picks a free one" if error.errno == errno.EADDRINUSE else error.strerror
            raise ServerFailedError(f"cannot listen on {host} port {port}: {reason}") from None
