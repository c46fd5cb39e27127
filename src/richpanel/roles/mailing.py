"""Mailing: one mail to a server for mail, by SMTP, over TLS wherever the server offers it."""

import smtplib
import socket
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

SECONDS: Final = 10.0
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")


class MailRefusedError(Exception):
    """The server takes this mail neither now nor later."""


class Mailer(NamedTuple):
    """A server, as a URL (`smtp://USER:PASSWORD@HOST:PORT`, or `smtps`), and whom mail is from."""

    url: str
    sender: str

    @property
    def shown(self) -> str:
        """The server without user and password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def send(self, to: Sequence[str], subject: str, text: str, *, notice: str) -> None:
        """Send a mail, whose Message-ID is made of the notice's id. Raises OSError, or MailRefusedError."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self.sender, ", ".join(to), subject
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{notice}@{self.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # So that no absence is told of in answer.
        message.set_content(text)
        try:
            with self.connected() as server:
                server.send_message(message, self.sender, list(to))
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise _refusal(min(codes), f"refused for {', '.join(error.recipients)}") from None
        except smtplib.SMTPResponseException as error:
            raise _refusal(error.smtp_code, error.smtp_error) from None
        except smtplib.SMTPException as error:
            raise OSError(str(error)) from None

    def connected(self) -> smtplib.SMTP:
        """Connect and sign in. Raises OSError and SMTPException."""
        parts = urlsplit(self.url)
        host, user = parts.hostname or "", unquote(parts.username or "")
        server: smtplib.SMTP
        if parts.scheme == "smtps":
            trust = ssl.create_default_context()
            server = smtplib.SMTP_SSL(host, parts.port or 465, timeout=SECONDS, context=trust)
        else:
            server = smtplib.SMTP(host, parts.port or (587 if user else 25), timeout=SECONDS)
        try:
            server.ehlo()
            if parts.scheme == "smtp" and server.has_extn("starttls"):
                server.starttls(context=ssl.create_default_context())
                server.ehlo()
            elif parts.scheme == "smtp" and user and host not in _LOCAL:
                raise OSError("the server offers no TLS, so the password is not sent")
            if user:
                server.login(user, unquote(parts.password or ""))
        except BaseException:
            server.close()
            raise
        return server


def _refusal(code: int, said: bytes | str) -> Exception:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    told = f"{code} {' '.join(text.split())}"
    return MailRefusedError(told) if code >= 500 else OSError(told)


def mailer_of(url: str | None, sender: str | None) -> Mailer | None:
    """Give what sends mail, where a server is set; from richpanel@ and this host's name, unless `sender` is set."""
    return None if url is None else Mailer(url, sender or f"richpanel@{socket.getfqdn()}")
