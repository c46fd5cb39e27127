"""Debian's nats-server with JetStream, as the suite starts it: on free loopback ports, each with a store of its own."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.sdk.network import LOOPBACK, free_port

_START_SECONDS: Final = 60.0


class NatsServer:
    """One server, which can be killed, stopped and started again at the same place."""

    def __init__(self, directory: Path, *more: str, host: str = LOOPBACK, inside: Sequence[str] = ()) -> None:
        """Start it, with `more` on its command line.

        `inside` is the command that runs it elsewhere, where `host` is its address.
        """
        self.directory = directory
        self.port = free_port()
        self.url = f"nats://{host}:{self.port}"
        self._host = host
        self._inside = inside
        self._more = more
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        program = shutil.which("nats-server") or "/usr/sbin/nats-server"
        # A stream reserves the 10 GB that it may take, which a directory in memory does not have.
        settings = self.directory / "server.conf"
        settings.write_text(f'jetstream {{ store_dir: "{self.directory}", max_file_store: {1 << 40} }}\n')
        place = ("-a", self._host, "-p", str(self.port), "-c", str(settings))
        command = (*self._inside, program, *place, *self._more)
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, (self.directory / "server.log").read_text()
            assert time.monotonic() < deadline, "nats-server does not answer"
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        """Its process, the parent of all the others."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it as a power switch would: nothing is said, nothing written."""
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it hang: connections stay, and nobody answers."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # Until the last of its threads has stopped.

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it in good order; a second call does nothing."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(_START_SECONDS)
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self._host, self.port), timeout=1) as connection:
                return connection.recv(5) == b"INFO "
        except OSError:
            return False


def cluster(directory: Path) -> dict[str, NatsServer]:
    """Start three servers that keep streams together; give them by name."""
    ports = {name: free_port() for name in ("one", "two", "three")}
    routes = ",".join(f"nats://{LOOPBACK}:{port}" for port in ports.values())
    return {
        name: NatsServer(
            directory / name,
            *("--name", name, "--cluster_name", "richpanel", "--cluster", f"nats://{LOOPBACK}:{port}"),
            *("--routes", routes),
        )
        for name, port in ports.items()
    }
