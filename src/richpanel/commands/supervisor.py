"""The parent of a server's processes: starts them, restarts the one that dies, and stops them all.

It holds the listening socket, so that a restarted role finds the connections that came meanwhile, and imports little.
Its word to a child goes through the child's stdin (settings first, then news; the end of it means that the parent is
gone); a child's word through its stdout, a JSON object a line (`roles/parent.py`).
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Final

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0
_GRACE_SECONDS: Final = 5.0
"""What a role gets beyond the time that requests under way get."""
_HEALTHY_SECONDS: Final = 30.0
_ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1"}
"""No role calculates with matrices: numpy need not start a thread for each core, which takes 50 ms at each start."""
_EARLY_DEATHS: Final = 3
"""A role that dies so often before it was ever ready ends the server: it will not get better by itself."""


class ServerFailedError(Exception):
    """The server cannot go on; the text says why and what to do."""


@dataclass
class Child:
    """A role's process and how it has been doing."""

    role: str
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    ready: bool = False
    was_ready: bool = False
    deaths: int = 0
    pause: float = _FIRST_PAUSE
    next_start: float = 0.0
    fatal: str | None = None


@dataclass(frozen=True)
class News:
    """Something that a child said or did, or a signal; `word` is None where the child has ended."""

    child: Child | None
    word: Mapping[str, Any] | None = None


def _log(role: str, code: int | None, reason: str | None, again_in: float) -> None:
    """Write the one line that the parent ever logs, without what `telemetry` would load for it."""
    fields = {"event": "role_ended", "role": "server", "level": "error", "ended": role, "code": code, "reason": reason}
    at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    sys.stderr.write(json.dumps({**fields, "again_in_seconds": again_in, "timestamp": at}) + "\n")
    sys.stderr.flush()


@dataclass
class Supervisor:
    """Runs the roles until told to stop. Each is sent `start_with`; `inherited` are the descriptors that it may use.

    Told to stop, the pages' role hears of it once the front has ended: what that has under way may need it.
    """

    roles: tuple[str, ...]
    start_with: Mapping[str, object]
    inherited: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    drain_timeout: float = 10.0
    _children: list[Child] = field(default_factory=list)
    _news: "SimpleQueue[News]" = field(default_factory=SimpleQueue)
    _stopping: bool = False

    def start(self) -> None:
        """Start every role and wait until all are ready or a signal came. Raises ServerFailedError; none runs then."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        self._children = [Child(role) for role in self.roles]
        try:
            for child in self._children:
                self._launch(child)
            while not self._stopping and not all(child.ready for child in self._children):
                self._step()
        except BaseException:
            self._kill()
            raise

    def run(self, on_stop: Callable[[], None] | None = None) -> None:
        """Watch over the roles until a signal says stop; then let them drain. Raises ServerFailedError.

        `on_stop` is called before they are told.
        """
        try:
            while not self._stopping:
                self._step()
            if on_stop is not None:
                on_stop()
            self._drain()
        except BaseException:
            self._kill()
            raise

    @property
    def stopping(self) -> bool:
        """Whether a signal has said stop."""
        return self._stopping

    def tell(self, role: str, word: Mapping[str, object]) -> None:
        """Send news to a role, if it runs."""
        line = json.dumps(word).encode() + b"\n"
        for child in self._children:
            process = child.process
            if child.role == role and process is not None and process.stdin is not None:
                try:
                    process.stdin.write(line)
                    process.stdin.flush()
                except (BrokenPipeError, ValueError):
                    pass  # It has just died; its end is on its way to us.

    # ------------------------------------------------------------------------------------------------------- one child

    def _launch(self, child: Child) -> None:
        command = [sys.executable, "-P", "-m", "richpanel.app", child.role]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=self.inherited.get(child.role, ()),
            env={**os.environ, **_ENVIRONMENT},
            bufsize=-1,
        )
        child.process, child.started, child.ready, child.fatal = process, time.monotonic(), False, None
        self.tell(child.role, self.start_with)
        threading.Thread(target=self._listen, args=(child, process), daemon=True).start()

    def _listen(self, child: Child, process: subprocess.Popen[bytes]) -> None:
        """On a thread of its own: pass on what the child says, and that it has ended."""
        if process.stdout is not None:
            for line in process.stdout:
                try:
                    word = json.loads(line)
                except ValueError:
                    continue
                self._news.put(News(child, word))
        process.wait()
        self._news.put(News(child))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._news.put(News(None))

    # --------------------------------------------------------------------------------------------------------- the loop

    def _step(self) -> None:
        """Take one piece of news, or start what is due."""
        due = [child for child in self._children if child.process is None]
        wait = min((child.next_start for child in due), default=time.monotonic() + 60.0) - time.monotonic()
        try:
            news = self._news.get(timeout=max(wait, 0.0)) if wait > 0 else self._news.get_nowait()
        except Empty:
            for child in due:
                if child.next_start <= time.monotonic():
                    self._launch(child)
            return
        if news.child is None:
            self._stopping = True
        elif news.word is None:
            self._on_end(news.child)
        else:
            self._on_word(news.child, news.word)

    def _on_word(self, child: Child, word: Mapping[str, Any]) -> None:
        if word.get("ready"):
            child.ready = child.was_ready = True
            self._tell_states()
        if "fatal" in word:
            child.fatal = str(word["fatal"])
        if "figures" in word:
            self.tell("front", {"figures": word["figures"]})
        if "stalled" in word:
            self.tell("front", {"stalled": word["stalled"]})

    def _on_end(self, child: Child) -> None:
        """A role has ended by itself: start it again after a pause, or give up where that is hopeless."""
        process = child.process
        code = process.returncode if process is not None else None
        lived = time.monotonic() - child.started
        child.process, child.ready = None, False
        child.deaths = 1 if lived > _HEALTHY_SECONDS else child.deaths + 1
        child.pause = _FIRST_PAUSE if child.deaths == 1 else min(child.pause * 2, _LONGEST_PAUSE)
        child.next_start = time.monotonic() + child.pause
        if not child.was_ready and (child.fatal or child.deaths >= _EARLY_DEATHS):
            raise ServerFailedError(child.fatal or f"the {child.role} role ended with code {code}; see the lines above")
        _log(child.role, code, child.fatal, round(child.pause, 1))
        self._tell_states(restarted=child.role)

    def _tell_states(self, **more: str) -> None:
        """Tell the front which of the others are ready; one that never was is still starting, like the server."""
        others = [child for child in self._children if child.role != "front"]
        self.tell("front", {"ready": {child.role: child.ready or not child.was_ready for child in others}, **more})

    # --------------------------------------------------------------------------------------------------------- the end

    def _drain(self) -> None:
        """Tell every role to stop and wait for it; one that takes too long is killed, and that is a failure."""
        last = [child for child in self._children if child.role == "web"]
        first = [child for child in self._children if child.role != "web"]
        late = [*self._stop(first, self.drain_timeout + _GRACE_SECONDS), *self._stop(last, _GRACE_SECONDS)]
        if late:
            raise ServerFailedError(f"did not stop in order: {', '.join(late)}; nothing that was accepted is lost")

    def _stop(self, children: Sequence[Child], seconds: float) -> list[str]:
        """Tell these to stop, and wait for so long; give those that did not stop in order."""
        late, deadline = [], time.monotonic() + seconds
        for child in children:
            if child.process is not None:
                child.process.terminate()
        for child in children:
            if child.process is None:
                continue
            try:
                code = child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                code = None
            # A role that was not ready yet may have been told before it listened for it.
            if code != 0 and not (code == -signal.SIGTERM and not child.ready):
                late.append(child.role)
        return late

    def _kill(self) -> None:
        for child in self._children:
            if child.process is not None and child.process.poll() is None:
                child.process.kill()
                child.process.wait()
