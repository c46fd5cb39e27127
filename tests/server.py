"""The real `richpanel serve` as a subprocess in a data directory of its own, and the hands to use it with.

Nothing here imports the package: the tests see what a user sees, which is the command, its output and HTTP.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tests.installation import environment

COMMAND = Path(sys.executable).parent / "richpanel"
START_SECONDS = 60.0
STOP_SECONDS = 60.0
KEY_SECONDS = 30.0
LISTENING, WITHOUT_URL = "listening on ", ("processing", "delivering")


@dataclass(frozen=True)
class Source:
    """A source as `richpanel source add --json` prints it."""

    id: str
    name: str
    type: str
    write_key: str


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body decoded."""
        return json.loads(self.body)


def request(
    method: str,
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    source_address: str | None = None,
) -> Answer:
    """One request on a connection of its own, from `source_address` where given; redirects are not followed."""
    parts = urlsplit(url)
    where = (source_address, 0) if source_address else None
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30, source_address=where)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


@dataclass
class Server:
    """`richpanel serve` on a free port of the loopback, over the data directory `data` (made if absent).

    Use it as a context manager: leaving it sends SIGTERM and asserts the exit code 0.
    """

    data: Path
    env: Mapping[str, str] = field(default_factory=dict)
    args: Sequence[str] = ()
    inside: Sequence[str] = ()
    """The command that runs it elsewhere."""
    url: str = ""
    _process: subprocess.Popen[bytes] | None = None
    _token: str = ""

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if self._process is None:
            return
        if failure is None:
            self.stop()
        else:
            self.kill()

    # ------------------------------------------------------------------------------------------------ the process

    @property
    def pid(self) -> int:
        """The parent of its roles."""
        assert self._process is not None, "not running"
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it was started, and neither stopped nor killed since."""
        return self._process is not None

    @property
    def output(self) -> Path:
        """Where everything goes that the server prints."""
        return self.data.parent / f"{self.data.name}.out"

    def start(self) -> str:
        """Starts the server, waits for its line `listening on http://H:P`, and gives that URL.

        A server that only processes or delivers says so instead, and has none.
        """
        assert self._process is None, "already running"
        self.data.parent.mkdir(parents=True, exist_ok=True)
        already = self.output.stat().st_size if self.output.exists() else 0
        command: list[str | Path] = [
            *self.inside,
            COMMAND,
            "serve",
            "--data",
            self.data,
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            *self.args,
        ]
        with self.output.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self._environment(),
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            for line in self.printed(already).splitlines():
                if line.startswith(LISTENING):
                    self.url = line.removeprefix(LISTENING).strip()
                    return self.url
                if line in WITHOUT_URL:
                    return ""
            time.sleep(0.02)
        printed = self.printed(already)
        self.kill()
        raise AssertionError(f"`richpanel serve` did not say '{LISTENING}...'; it printed:\n{printed}")

    def printed(self, since: int = 0) -> str:
        """What the server printed from byte `since` on."""
        with self.output.open("rb") as out:
            out.seek(since)
            return out.read().decode(errors="replace")

    def stop(self) -> None:
        """SIGTERM: it drains, exits 0 and leaves no process behind."""
        process, self._process = self._process, None
        assert process is not None, "not running"
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            kill_group(process)
            raise
        left = group_outlives(process.pid, seconds=5.0)
        if left:
            kill_group(process)
        assert code == 0, f"exit code {code} after SIGTERM; it printed:\n{self.printed()}"
        assert not left, f"processes were left behind; it printed:\n{self.printed()}"

    def kill(self) -> None:
        """`kill -9` to the server and its children, as if the power failed."""
        process, self._process = self._process, None
        if process is not None:
            kill_group(process)

    # ---------------------------------------------------------------------------------------------- the commands

    def _environment(self) -> dict[str, str]:
        return {**environment(self.data), **self.env}

    def command(self, *args: str) -> str:
        """Runs `richpanel ARGS --data DIR`, asserts that it succeeded and gives what it printed."""
        line = [str(COMMAND), *args, "--data", str(self.data)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, env=self._environment(), check=False)
        assert done.returncode == 0, f"{' '.join(line)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def add_source(self, name: str, kind: str = "web") -> Source:
        """Adds a source and waits until its key works: within a second, says contract.md."""
        made = json.loads(self.command("source", "add", name, "--type", kind, "--json"))
        source = Source(made["id"], made["name"], made["type"], made["writeKey"])
        assert (source.name, source.type) == (name, kind)
        if self._process is not None:
            self.wait_key(source.write_key)
        return source

    def wait_key(self, key: str) -> None:
        deadline = time.monotonic() + KEY_SECONDS
        while request("GET", f"{self.url}/v1/projects/{key}/settings").status != 200:
            assert time.monotonic() < deadline, f"the new write key is not known after {KEY_SECONDS} s"
            time.sleep(0.05)

    # -------------------------------------------------------------------------------------------------- the REST API

    @property
    def token(self) -> str:
        """An API token of our own, made by the command at the first use."""
        if not self._token:
            self._token = json.loads(self.command("token", "add", "tests", "--json"))["token"]
        return self._token

    def api(self, method: str, path: str, body: object = None, **query: str | int) -> Answer:
        """One call of the REST API: `path` below /api/v1, with ids already percent-encoded (`segment`)."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        url = f"{self.url}/api/v1{path}" + (f"?{urlencode(query)}" if query else "")
        return request(method, url, None if body is None else json.dumps(body).encode(), headers)

    def get(self, path: str, **query: str | int) -> Any:
        """GET below /api/v1, asserted to be 200, decoded."""
        answer = self.api("GET", path, **query)
        assert answer.status == 200, f"GET {path}: {answer.status} {answer.body[:500]!r}"
        return answer.json()

    def customer(self, uid: str) -> Any:
        """The customer with this uid."""
        return self.get(f"/customers/{segment(uid)}")

    def timeline(self, uid: str, kind: str = "customers") -> list[Any]:
        """The first page (500 at most) of the timeline of a customer or, with `kind` "visitors", a visitor."""
        entries = self.get(f"/{kind}/{segment(uid)}/timeline", limit=500)["data"]
        assert isinstance(entries, list)
        return entries

    def traces(self, message_id: str) -> list[Any]:
        """The traces of a message: one per source that sent the id."""
        traces = self.get(f"/messages/{segment(message_id)}")["data"]
        assert isinstance(traces, list)
        return traces

    def wait_processed(self, seconds: float = 90.0) -> None:
        """Waits until all that is in the log now is in the answers."""
        deadline = time.monotonic() + seconds
        last: int | None = None
        while True:
            status = self.get("/status")
            last = status["log"]["last"] if last is None else last
            if status["processed"] >= last:
                return
            assert time.monotonic() < deadline, f"not processed after {seconds} s: {status}; printed:\n{self.printed()}"
            time.sleep(0.05)


def segment(identifier: str) -> str:
    """An id as one segment of a path: it may hold anything, `gid://shopify/Customer/42` for one."""
    return quote(identifier, safe="")


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process that was started as the leader of its session, and to its children."""
    with suppress(ProcessLookupError):  # none of it is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)


def group_outlives(leader: int, seconds: float) -> bool:
    """Whether a process of the leader's group still runs after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            os.killpg(leader, 0)
        except ProcessLookupError:
            return False
        if time.monotonic() > deadline:
            return True
        time.sleep(0.02)
