"""Debian's PostgreSQL as the suite starts it: on a free loopback port, in a directory of its own, as nobody special."""

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from tests.sdk.network import LOOPBACK, free_port

_START_SECONDS: Final = 60.0
_OWNER: Final = "postgres"
"""The server refuses to run as root; Debian's package brings this user."""
_SETTINGS: Final = {
    "unix_socket_directories": "",
    "max_connections": "500",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
}


def _program(name: str) -> str:
    """Find a program of the newest PostgreSQL: Debian keeps each version's in a directory of its own."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return str(found[-1]) if found else (shutil.which(name) or name)


class PostgresServer:
    """One server, which can be killed, frozen, stopped and started again at the same place."""

    def __init__(self, directory: Path, *, host: str = LOOPBACK, inside: Sequence[str] = (), **settings: str) -> None:
        """Make a database cluster and start it, with its log in `directory`; `settings` are lines of its settings.

        `inside` is the command that runs it elsewhere, where `host` is its address.
        """
        self.directory = directory
        self.host = host
        self._inside = inside
        self.port = free_port()
        self._settings = {**_SETTINGS, "listen_addresses": host, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        # Not in pytest's own directories: those are for root alone, and the server is somebody else.
        self._files = Path(tempfile.mkdtemp(prefix="richpanel-postgres-"))
        atexit.register(shutil.rmtree, self._files, ignore_errors=True)
        if os.geteuid() == 0:
            owner = pwd.getpwnam(_OWNER)
            os.chown(self._files, owner.pw_uid, owner.pw_gid)
        made = ("--auth=trust", "--username=richpanel", "--encoding=UTF8", "--locale=C", "--no-sync")
        subprocess.run(
            self._as_owner("initdb", "-D", str(self._files / "data"), *made), check=True, capture_output=True
        )
        with (self._files / "data" / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {host}/24 trust\n")
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        given = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        place = ("-D", str(self._files / "data"), "-p", str(self.port))
        command = [*self._inside, *self._as_owner("postgres", *place, *given)]
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, (self.directory / "server.log").read_text()
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """Its process, the parent of all the others."""
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres") -> str:
        """Where a database of this server is."""
        return f"postgresql://richpanel@{self.host}:{self.port}/{database}"

    def create(self, database: str, template: str = "template1") -> str:
        """Make a database, as a copy of another that nobody is connected to; give its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            names = (sql.Identifier(database), sql.Identifier(template))
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        return self.url(database)

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    def kill(self) -> None:
        """End it as a power switch would, every process of it."""
        if self._process is not None:
            for child in self._children():
                with suppress(ProcessLookupError):  # It has just ended.
                    os.kill(child, signal.SIGKILL)
        self._signal(signal.SIGKILL)
        (self._files / "data" / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """End it in good order, whoever is connected; a second call does nothing."""
        self._signal(signal.SIGINT)

    def _children(self) -> Sequence[int]:
        assert self._process is not None
        pid = self._process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_START_SECONDS)
            self._process = None

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    @staticmethod
    def _as_owner(program: str, *arguments: str) -> list[str]:
        command = [_program(program), *arguments]
        if os.geteuid() != 0:
            return command
        return ["setpriv", f"--reuid={_OWNER}", f"--regid={_OWNER}", "--clear-groups", *command]
