"""The e-mail channel's way in: a listener that speaks LMTP (RFC 2033), to which a mail server hands mail over.

LMTP and not SMTP: it answers for each recipient once the mail is kept, and leaves the queue and the internet to the
mail server. The commands are aiosmtpd's. The text of a mail is gathered here, a piece at a time as it comes, because
aiosmtpd takes it a line at a time, on the event loop, which is the door's. Everything is bounded.
"""

import asyncio
import re
import socket
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import Envelope as Transaction
from aiosmtpd.smtp import syntax

from richpanel.core.mail import Envelope
from richpanel.source.mailroom import Mailroom, refused
from richpanel.source.mailtext import Allowance, Text
from richpanel.telemetry import get_logger

MAX_MAIL_BYTES: Final = 33_554_432
"""About what the large mail services let through: attachments of 24 MB in base64."""
MAX_RECIPIENTS: Final = 100
MAX_COMMAND_BYTES: Final = 2_048
_BURST_BYTES: Final = 131_072
_BREATH_SECONDS: Final = 0.002
_BETWEEN_REPLIES: Final = 0.01
"""Seconds: OpenSMTPD breaks off, and sends the mail again, where it finds two replies in one packet."""
_PLAIN_ERROR: Final = re.compile(r"^(5\d\d) (?!5\.)")
_log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What sessions may take.

    `connections` at once; `unfinished_bytes` of all mails that are arriving or being kept; `command_seconds` for the
    next command, and for a mail's text together with keeping it; `session_seconds` for a session as a whole.
    """

    connections: int = 50
    unfinished_bytes: int = 2 * MAX_MAIL_BYTES
    command_seconds: float = 300.0
    session_seconds: float = 1_800.0


@dataclass
class Listener:
    """What the sessions have in common. `name` is the path of the socket they come on, where that is a Unix socket."""

    room: Mailroom
    bounds: Bounds
    allowance: Allowance
    name: str = ""
    server: asyncio.AbstractServer | None = None
    sessions: "set[MailSession]" = field(default_factory=set)
    closing: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def close(self, grace: float = 2.0) -> None:
        """Take no more. Mails under way get `grace` seconds to be kept; the mail server sends any other again."""
        self.closing = True
        self._stop_listening()
        for session in list(self.sessions):
            session.end_if_idle()
        if self.sessions:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.gone.wait(), grace)
        for session in list(self.sessions):
            session.abort()
        self.room.close()

    def _stop_listening(self) -> None:
        if self.server is not None:
            self.server.close()
        if self.name:
            Path(self.name).unlink(missing_ok=True)

    def forget(self, session: "MailSession") -> None:
        """Count a session out."""
        self.sessions.discard(session)
        if self.closing and not self.sessions:
            self.gone.set()


class MailSession(LMTP):
    """One connection of a mail server."""

    line_length_limit = MAX_COMMAND_BYTES  # Of commands: a mail's text does not come this way.
    command_size_limit = MAX_COMMAND_BYTES

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to speak on a connection."""
        super().__init__(
            _Answers(),
            data_size_limit=MAX_MAIL_BYTES,
            enable_SMTPUTF8=True,
            hostname=socket.gethostname() or "localhost",  # Else it would ask the name service.
            ident="richpanel LMTP",
            timeout=listener.bounds.command_seconds,
            loop=loop,
        )
        self.command_size_limits = defaultdict(lambda: MAX_COMMAND_BYTES)  # Its own: aiosmtpd's is all sessions'.
        self._listener = listener
        self._text: Text | None = None
        self._busy = False
        self._taken = 0
        self._ends: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------------------------------------- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or say that there are too many."""
        listener = self._listener
        if listener.closing or len(listener.sessions) >= listener.bounds.connections:
            cast("asyncio.Transport", transport).write(b"421 4.3.2 Too many connections; try again later\r\n")
            transport.close()
            return
        listener.sessions.add(self)
        self._ends = self.loop.call_later(listener.bounds.session_seconds, self.abort)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the session."""
        if self._ends is not None:  # It was greeted.
            self._ends.cancel()
            self._listener.forget(self)
            super().connection_lost(error)

    def eof_received(self) -> bool | None:
        """End with the peer's end."""
        return None if self._ends is None else super().eof_received()

    def data_received(self, data: bytes) -> None:
        """Keep a mail's text; the rest are commands, for aiosmtpd."""
        if self._text is not None:
            behind = self._text.feed(data)
            if behind is None:
                self._take_breath(len(data))
                return
            self._text, data = None, behind
        if data and self._ends is not None:
            super().data_received(data)

    def _take_breath(self, taken: int) -> None:
        """Let the door have its turn: a mail server of this machine sends faster than the event loop should listen."""
        self._taken += taken
        if self._taken >= _BURST_BYTES:
            self._taken = 0
            cast("asyncio.Transport", self.transport).pause_reading()
            self.loop.call_later(_BREATH_SECONDS, self._go_on)

    def _go_on(self) -> None:
        transport = cast("asyncio.Transport | None", self.transport)
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    def end_if_idle(self) -> None:
        """Say good-bye, unless a mail is under way."""
        if not self._busy and self.transport is not None:
            cast("asyncio.Transport", self.transport).write(b"421 4.3.2 The server is stopping; try again later\r\n")
            self.transport.close()

    def abort(self) -> None:
        """Drop the connection, whatever is under way."""
        if self.transport is not None:
            cast("asyncio.Transport", self.transport).abort()

    async def push(self, status: Any) -> None:
        """Send a reply, with the enhanced code that aiosmtpd's errors lack (RFC 2034)."""
        if isinstance(status, str):
            status = _PLAIN_ERROR.sub(r"\1 5.5.0 ", status).encode("utf-8", "replace")
        await super().push(status)

    # ---------------------------------------------------------------------------------------------------------- a mail

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:
        """Receive a mail's text, have it kept, and reply once for each recipient (RFC 2033, 4.2)."""
        transaction = self.envelope
        if await self.check_helo_needed("LHLO") or transaction is None:
            return
        if arg or not transaction.rcpt_tos:
            await self.push("501 5.5.4 Syntax: DATA" if arg else "503 5.5.1 Error: need RCPT command")
            return
        text = Text(MAX_MAIL_BYTES, self._listener.allowance)
        self._busy, self._text = True, text
        try:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            await text.ended.wait()
            reply = await self._keep(text, transaction) if text.code is None else refused(text.code)
        finally:
            text.release()
            self._busy, self._text = False, None
        self.envelope = self._create_envelope()
        for number in range(len(transaction.rcpt_tos)):
            if number:
                await asyncio.sleep(_BETWEEN_REPLIES)
            await self.push(reply)
        if self._listener.closing:
            self.end_if_idle()

    async def _keep(self, text: Text, transaction: Transaction) -> str:
        sender = transaction.mail_from or ""
        envelope = Envelope("" if sender == "<>" else sender, tuple(transaction.rcpt_tos))
        try:
            return await self._listener.room.take(text.content, envelope)
        except Exception:  # noqa: BLE001  # a fault of ours: the mail stays with the mail server, the listener goes on
            _log.exception("mail_not_kept")
            return "451 4.3.0 The mail could not be kept; try again later"


class _Answers:
    """What we answer to commands where aiosmtpd's own reply would do less, or lacks its enhanced code."""

    async def handle_EHLO(
        self, _server: LMTP, session: Any, _transaction: Transaction, host: str, replies: list[str]
    ) -> list[str]:
        """Name the extensions that RFC 2033 asks for."""
        session.host_name = host
        return [*replies[:-1], "250-PIPELINING", "250 ENHANCEDSTATUSCODES"]

    async def handle_MAIL(
        self, _server: LMTP, _session: Any, transaction: Transaction, address: str, _options: list[str]
    ) -> str:
        """Begin a mail; `<>` is the null sender."""
        transaction.mail_from = address
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, _server: LMTP, _session: Any, transaction: Transaction, address: str, _options: list[str]
    ) -> str:
        """Take any recipient: which addresses are the helpdesk's is the mail server's to know."""
        if len(transaction.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 Too many recipients; send the mail again to the others"
        transaction.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_RSET(self, _server: LMTP, _session: Any, _transaction: Transaction) -> str:
        """Forget the mail."""
        return "250 2.0.0 OK"

    async def handle_NOOP(self, _server: LMTP, _session: Any, _transaction: Transaction, _arg: str) -> str:
        """Do nothing."""
        return "250 2.0.0 OK"

    async def handle_QUIT(self, _server: LMTP, _session: Any, _transaction: Transaction) -> str:
        """End."""
        return "221 2.0.0 Bye"

    async def handle_VRFY(self, _server: LMTP, _session: Any, _transaction: Transaction, _address: str) -> str:
        """Tell nothing about addresses."""
        return "252 2.5.2 Send some mail, and see"

    async def handle_exception(self, error: Exception) -> str:
        """A command that nobody could parse, or a fault of ours: it may be tried again."""
        _log.warning("mail_command_failed", error=repr(error)[:200])
        return "451 4.3.0 The command failed"


def bind(place: tuple[str, int] | Path) -> socket.socket:
    """Make the socket: (host, port), or a Unix socket, to which every user of the machine may write. Raises OSError.

    Mail servers run as users of their own; who may come near a Unix socket is the permissions of its folder to say.
    """
    if isinstance(place, tuple):
        family = socket.getaddrinfo(*place, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server(place, family=family)
    _free(place)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(place))
    place.chmod(0o666)
    made.listen()
    return made


def _free(path: Path) -> None:
    """Remove a socket that a server left behind. Raises OSError where another process listens, or it is no socket."""
    if not path.exists():
        return
    if not path.is_socket():
        raise FileExistsError(f"{path} is there, and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise OSError(f"another process listens at {path}")


async def listen(listening: socket.socket, room: Mailroom, bounds: Bounds | None = None) -> Listener:
    """Take mails in on a socket that `bind` made."""
    loop = asyncio.get_running_loop()
    bounds = bounds or Bounds()
    listener = Listener(room, bounds, Allowance(bounds.unfinished_bytes))

    def accept() -> MailSession:
        return MailSession(listener, loop)

    if listening.family == socket.AF_UNIX:
        listener.name = listening.getsockname()
    create = loop.create_unix_server if listening.family == socket.AF_UNIX else loop.create_server
    listener.server = await create(accept, sock=listening)
    return listener
