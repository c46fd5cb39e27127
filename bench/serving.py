"""The server that is measured: the real `richpanel serve`, in a data directory of its own."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, Self

import msgspec
from sqlalchemy import Engine

from bench.processes import children, cpu_seconds, memory, pin
from richpanel.log.contract import LogReader
from richpanel.log.opening import open_reader
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.sources import add_source
from richpanel.store.tokens import add_token

_COMMAND: Final = Path(sys.executable).parent / "richpanel"
_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 60.0
_LISTENING: Final = "listening on http://127.0.0.1:"
ROLES: Final = ("front", "web", "process", "deliver", "engage")


class ServerFailed(Exception):
    """The server did not do what a server does; its output is in the text."""


class Status(msgspec.Struct):
    """How far processing is: positions in the log, and the number of messages that are applied."""

    last: int
    processed: int
    messages: int


def applied_until(
    status: Callable[[], Status], watch: Callable[[Status], object] | None = None, every: float = 0.1
) -> Status:
    """Wait until all that is in the log now is applied, and give how far that is."""
    last = status().last
    while (now := status()).processed < last:
        if watch is not None:
            watch(now)
        time.sleep(every)
    if watch is not None:
        watch(now)
    return now


def ask(port: int, path: str, token: str = "", body: Any = None) -> tuple[int, bytes]:
    """Ask a server of this machine for a path; post where there is a body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        if body is None:
            connection.request("GET", path, headers=headers)
        else:
            given = json.dumps(body).encode()
            connection.request("POST", path, given, headers | {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Installation(Protocol):
    """What is measured, embedded or a cluster: where it takes calls, and how it is asked."""

    port: int
    key: str
    token: str
    roles: Sequence[str]
    """Whose CPU can be asked for."""

    def api(self, path: str, body: Any = None) -> Any:
        """Ask the REST API for a path below /api/v1; post where there is a body."""

    def status(self) -> Status:
        """Tell how far processing is."""

    def wait_processed(self, watch: Callable[[Status], object] | None = None, every: float = 0.1) -> Status:
        """Wait until all that is in the log now is applied."""

    def cpu(self, role: str) -> float:
        """Give the CPU seconds that a role has used."""

    def cpu_of_all(self) -> float:
        """Give the CPU seconds of all processes together."""

    def log(self) -> LogReader:
        """Read the log."""

    def state(self) -> Engine:
        """Read the state."""


class Server:
    """`richpanel serve` on a free port; its data directory is made under `where`, and removed at the end."""

    roles: Sequence[str] = ROLES

    def __init__(self, where: Path, **settings: str) -> None:
        where.mkdir(parents=True, exist_ok=True)
        self._directory = Path(tempfile.mkdtemp(prefix="server-", dir=where))
        self.data = self._directory / "data"
        self._output = (self._directory / "output.txt").open("w+b")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RICHPANEL_")}
        environment |= {f"RICHPANEL_{name.upper()}": value for name, value in settings.items()}
        self._process = subprocess.Popen(
            [_COMMAND, "serve", "--data", self.data, "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        try:
            self.port = self._listening()
            started = children(self._process.pid)
            self.pids = {role: next(pid for pid, line in started.items() if line[-1] == role) for role in ROLES}
            self._define()
            deadline = time.monotonic() + _START_SECONDS
            while self._get(f"/v1/projects/{self.key}/settings")[0] != 200:
                if time.monotonic() > deadline:
                    raise ServerFailed("the new write key does not work")
                time.sleep(0.05)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    # ------------------------------------------------------------------------------------------------- the process

    def stop(self) -> None:
        """Let the server finish what it does; its data directory stays until the end of the context."""
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(_STOP_SECONDS) != 0:
            raise ServerFailed(self._printed())

    def pin(self, front: set[int], others: set[int]) -> None:
        """Keep each role on its cores."""
        for role, pid in self.pids.items():
            pin(pid, front if role == "front" else others)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold the processing still: a reference is measured with the machine to itself."""
        os.kill(self.pids["process"], signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pids["process"], signal.SIGCONT)

    def cpu(self, role: str) -> float:
        """Give the CPU seconds that a role's process has used."""
        return cpu_seconds(self.pids[role])

    def memory(self) -> dict[str, tuple[float, float]]:
        """Give each process's resident memory in MiB, all of it and its share; `parent` is the supervisor."""
        pids = {"parent": self._process.pid, **self.pids}
        return {role: memory(pid) for role, pid in pids.items()}

    def cpu_of_all(self) -> float:
        """Give the CPU seconds of all processes together."""
        return sum(map(cpu_seconds, (self._process.pid, *self.pids.values())))

    def _listening(self) -> int:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            for line in self._printed().splitlines():
                if line.startswith(_LISTENING):
                    return int(line.removeprefix(_LISTENING))
            time.sleep(0.02)
        raise ServerFailed(self._printed())

    def _printed(self) -> str:
        return (self._directory / "output.txt").read_text(errors="replace")

    def _define(self) -> None:
        """Make a source and a token as the commands do, without a process for each."""
        engine = open_engine(DataDirectory(self.data).account_url)
        now = int(time.time() * 1000)
        with engine.begin() as connection:
            self.key = add_source(connection, "Benchmark", "web", now=now).write_keys[0]
            self.token = add_token(connection, "benchmark", now=now)[1]
        engine.dispose()

    def _end(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_STOP_SECONDS)
        self._output.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    # -------------------------------------------------------------------------------------------------------- HTTP

    def _get(self, path: str) -> tuple[int, bytes]:
        return ask(self.port, path)

    def api(self, path: str, body: Any = None) -> Any:
        """Ask the REST API for a path below /api/v1; post where there is a body."""
        status, answer = ask(self.port, f"/api/v1{path}", self.token, body)
        if status not in (200, 201):
            raise ServerFailed(f"{path}: {status} {answer[:500]!r}\n{self._printed()}")
        return json.loads(answer)

    def log(self) -> LogReader:
        """Read the log."""
        return open_reader(DataDirectory(self.data).log, None)

    def state(self) -> Engine:
        """Read the state."""
        return open_engine(DataDirectory(self.data).state_url, read_only=True)

    def status(self) -> Status:
        """Tell how far processing is."""
        if self._process.poll() is not None:
            raise ServerFailed(self._printed())
        found = self.api("/status")
        return Status(found["log"]["last"], found["processed"], found["messages"])

    def batches(self) -> int:
        """Tell how many transactions the processing has made; the figure is up to a second old."""
        found = re.search(rb"^richpanel_batches_total ([\d.e+]+)$", self._get("/metrics")[1], re.MULTILINE)
        return int(float(found[1])) if found else 0

    def wait_processed(self, watch: Callable[[Status], object] | None = None, every: float = 0.1) -> Status:
        """Wait until all that is in the log now is applied."""
        return applied_until(self.status, watch, every)
