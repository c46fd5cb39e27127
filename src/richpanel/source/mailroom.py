"""The mailroom: what becomes of a mail that the listener (`source/lmtp.py`) has received.

From top to bottom: read it (`core/mail.py`), in a thread, so that the door's event loop goes on; append the record to
the log; and only when that is durable give the reply that rids the mail server of it. What will pass (a full log, the
server's end, a disabled source, a fault of ours) is answered with 4xx: the mail server keeps the mail and comes again.
A mail that comes twice counts once, by its Message-ID.
"""

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from richpanel import telemetry
from richpanel.core import record
from richpanel.core.channel import encode_activity
from richpanel.core.codes import Code
from richpanel.core.mail import Envelope, Read, discarded, read_mail
from richpanel.core.record import Discard, Meta
from richpanel.log.contract import LogClosed, LogFull, LogUnsure, LogWriter
from richpanel.source.keys import KeySnapshot

_LATER: Final = {
    Code.LOG_FULL: "452 4.3.1 The log cannot take more now; try again later",
    Code.LOG_UNSURE: "451 4.3.0 The log did not answer; try again later",
    Code.SHUTTING_DOWN: "451 4.3.2 The server is stopping; try again later",
    Code.SOURCE_DISABLED: "451 4.3.2 The source for channel messages is disabled; try again later",
}


class Mailroom:
    """Takes mails in. `now` gives ms UTC; `contact_forms` are addresses whose mail is of its Reply-To."""

    def __init__(
        self, log: LogWriter, keys: KeySnapshot, now: Callable[[], int], contact_forms: Collection[str] = ()
    ) -> None:
        """Take mails into `log`, in the name of the source for channel messages."""
        self._log = log
        self._keys = keys
        self._now = now
        self._contact_forms = frozenset(contact_forms)
        # One thread: however many mails come, they share one turn of the interpreter with the door.
        self._reading = ThreadPoolExecutor(1, "mail")

    async def take(self, raw: bytes | bytearray, envelope: Envelope) -> str:
        """Keep a mail; give the reply for its recipients, once it is durable."""
        source = self._keys.channel
        if source is None or not source.enabled:
            return refused(Code.SOURCE_DISABLED)
        loop = asyncio.get_running_loop()
        size = len(raw)
        read: Read = await loop.run_in_executor(self._reading, read_mail, raw, envelope, self._contact_forms)
        activity, code = read
        meta = Meta(at=self._now(), source=source.id, sizes=[], door="channel", channel=activity.channel)
        if code is None:
            item = encode_activity(activity)
        else:
            item = discarded(activity)
            meta.discards = [Discard(code, size, activity.messageId)]
        try:
            await self._log.append(record.encode(meta, [item]))
        except LogFull:
            return refused(Code.LOG_FULL)
        except LogClosed:
            return refused(Code.SHUTTING_DOWN)
        except LogUnsure:
            return refused(Code.LOG_UNSURE)
        except ValueError:  # Larger than a message of the log's stream may be.
            return refused(Code.MAIL_TOO_LARGE)
        if code is None:
            telemetry.ACCEPTED.add(1, source.id, "channel")
            return f"250 2.0.0 Kept as {activity.messageId}"
        telemetry.DISCARDED.add(1, source.id, code.value)
        return f"250 2.0.0 Kept as a discard: {code}" if code.status < 400 else f"554 5.6.0 {code.text}"

    def close(self) -> None:
        """End the thread; a mail that it is at is not answered any more."""
        self._reading.shutdown(wait=False, cancel_futures=True)


def refused(code: Code) -> str:
    """Give the reply to a mail of which nothing was kept, and count it."""
    telemetry.REFUSED.add(1, code.value)
    return _LATER.get(code) or f"552 5.3.4 {code.text}"
