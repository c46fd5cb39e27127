"""A mail server's side of LMTP: the standard library's client, which hears one reply where LMTP gives one each."""

import re
import smtplib
from collections.abc import Sequence
from pathlib import Path

SUPPORT = "support@shop.example"
Reply = tuple[int, str]


class Client(smtplib.LMTP):
    """A connection to a listener: `place` is its Unix socket, or its port on the loopback."""

    def __init__(self, place: Path | int, seconds: float = 20.0) -> None:
        """Connect, and say LHLO."""
        if isinstance(place, Path):
            super().__init__(str(place))
        else:
            super().__init__("127.0.0.1", place, timeout=seconds)
        assert self.sock is not None
        self.sock.settimeout(seconds)
        code, said = self.ehlo("mail.shop.example")
        assert code == 250, said

    def reply(self) -> Reply:
        """Hear one reply."""
        code, said = self.getreply()
        return code, said.decode()

    def command(self, line: str) -> Reply:
        """Say a command, and hear the reply."""
        self.putcmd(line)
        return self.reply()

    def begin(self, sender: str = "bounces@x.example", to: Sequence[str] = (SUPPORT,)) -> int:
        """Announce a mail up to DATA; give how many recipients were taken."""
        code, said = self.command(f"MAIL FROM:<{sender}> BODY=8BITMIME")
        assert code == 250, said
        taken = [self.command(f"RCPT TO:<{each}>")[0] for each in to].count(250)
        assert self.command("DATA")[0] == 354
        return taken

    def deliver(self, raw: bytes, sender: str = "bounces@x.example", to: Sequence[str] = (SUPPORT,)) -> list[Reply]:
        """Hand a mail over; give the reply for each recipient."""
        taken = self.begin(sender, to)
        self.send(wire(raw))
        return [self.reply() for _ in range(taken)]


def wire(raw: bytes) -> bytes:
    """A mail as it goes over the wire: CRLF, dots doubled, and the lone dot at its end."""
    lines = re.sub(rb"\r?\n", b"\r\n", raw)
    dotted = re.sub(rb"(?m)^\.", b"..", lines)
    return dotted + (b".\r\n" if dotted.endswith(b"\r\n") or not dotted else b"\r\n.\r\n")


def letter(number: object = 1, *headers: str, sender: str = "Ada <ada@x.example>", body: str = "Hello") -> bytes:
    """A mail with an id of its own."""
    head = [f"From: {sender}", f"Message-ID: <{number}@x.example>", "Subject: Where is my order?", *headers]
    return "\r\n".join([*head, "", body, ""]).encode()
