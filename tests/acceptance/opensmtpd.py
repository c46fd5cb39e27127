"""Debian's OpenSMTPD with the lines of docs/howto/email.md, for the length of a block: a mail server with a queue.

It keeps its queue in one place of the machine and must be started as root, so one runs at a time.
"""

import fcntl
import os
import re
import smtplib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sdk.network import LOOPBACK, free_port

DOCUMENTED = Path(__file__).parents[2] / "docs" / "howto" / "email.md"
SECONDS = 60.0


def configuration(port: int, lmtp: int) -> str:
    """The documented lines with the test's ports, all else untouched."""
    text = DOCUMENTED.read_text(encoding="utf-8").partition("in `smtpd.conf`:")[2]
    lines = re.search(r"```\n(.+?)```", text, re.DOTALL)
    assert lines is not None
    found = lines[1]
    for documented, ours in {
        "listen on 0.0.0.0\n": f"listen on {LOOPBACK} port {port}\n",
        "lmtp://127.0.0.1:2424": f"lmtp://{LOOPBACK}:{lmtp}",
        'rcpt-to "support@shop.example"': 'domain "shop.example"',
    }.items():
        assert documented in found, f"docs/howto/email.md no longer says: {documented}"
        found = found.replace(documented, ours)
    return found


@dataclass
class MailServer:
    """OpenSMTPD at an SMTP port."""

    port: int
    output: Path

    def send(self, raw: bytes, sender: str, *to: str) -> None:
        """Hand it a mail, as another mail server of the internet does; it answers once the mail is in its queue."""
        with smtplib.SMTP(LOOPBACK, self.port, timeout=SECONDS) as client:
            assert client.sendmail(sender, to or ("support@shop.example",), raw) == {}

    def queue(self) -> list[str]:
        """What it has not handed over yet: a line for each recipient, with what it was last told."""
        return self.control("show", "queue").splitlines()

    def wait_queued(self, count: int, told: str) -> None:
        """Wait until so many are in the queue, each told this at its last try."""
        self._wait(lambda: len(queue := self.queue()) == count and all(told in line for line in queue))

    def wait_handed_over(self, count: int) -> None:
        """Wait until so many have been taken since it was started. (The queue does not show a new mail at once.)"""
        self._wait(lambda: self.output.read_text().count('result="Ok"') == count)

    def _wait(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not true():
            assert time.monotonic() < deadline, f"{self.queue()}\n{self.output.read_text()}"
            time.sleep(0.05)

    def retry(self) -> None:
        """Have it try again now, and not in some minutes."""
        for line in self.control("show", "routes").splitlines():
            self.control("resume", "route", line.split(".")[0])
        if self.queue():
            self.control("schedule", "all")

    def control(self, *args: str) -> str:
        """Its operator's command."""
        done = subprocess.run(
            ["/usr/sbin/smtpctl", *args], capture_output=True, text=True, timeout=SECONDS, check=False
        )
        return done.stdout


@contextmanager
def opensmtpd(folder: Path, lmtp: int) -> Iterator[MailServer]:
    """Run it in front of the listener at this port."""
    if os.geteuid() != 0:
        pytest.skip("OpenSMTPD can be started by root alone")
    folder.mkdir()
    server = MailServer(free_port(), folder / "smtpd.log")
    (folder / "smtpd.conf").write_text(configuration(server.port, lmtp))
    command = ("/usr/sbin/smtpd", "-d", "-f", folder / "smtpd.conf")
    with Path(tempfile.gettempdir(), "opensmtpd-tests.lock").open("w") as lock, server.output.open("wb") as output:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            _wait_listening(process, server)
            server.control("remove", "all")  # What a test left behind that was killed.
            yield server
            server.control("remove", "all")
        finally:
            process.terminate()
            process.wait(SECONDS)


def _wait_listening(process: "subprocess.Popen[bytes]", server: MailServer) -> None:
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            smtplib.SMTP(LOOPBACK, server.port, timeout=SECONDS).close()
        except (OSError, smtplib.SMTPException):
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"OpenSMTPD did not start:\n{server.output.read_text()}")
