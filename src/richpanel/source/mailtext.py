"""The text of a mail while it arrives, piece by piece: where it ends, and how much is held (RFC 5321, 4.5.2)."""

import asyncio
from dataclasses import dataclass
from typing import Final

from richpanel.core.codes import Code

_END: Final = b"\r\n.\r\n"


@dataclass(slots=True)
class Allowance:
    """Bytes that mails may still take up until they are kept."""

    left: int


class Text:
    """The text of one mail as it arrives: `feed` it what comes, until it gives back what follows the end.

    `code` says why nothing of it is kept; its end is awaited nevertheless.
    """

    def __init__(self, most: int, allowance: Allowance) -> None:
        """Keep `most` bytes, within what the allowance leaves."""
        self.content = bytearray()  # It grows in place: 24 MB joined from pieces would stop the event loop for 10 ms.
        self.code: Code | None = None
        self.ended = asyncio.Event()
        self._most = most
        self._allowance = allowance
        self._size = 0
        self._begun = False
        self._rest = b"\r\n"  # As if a line had just ended.

    def feed(self, data: bytes) -> bytes | None:
        """Take what came. Give None, or, once the lone dot has come, what came behind it."""
        data = self._rest + data
        end = data.find(_END)
        if end >= 0:
            self._keep(data[: end + 2])
            self.ended.set()
            return data[end + len(_END) :]
        at = data.rfind(b"\r\n")
        if at < 0 or len(data) - at >= len(_END):  # All of what begins there is in sight, and it is not the end.
            at = len(data) - data.endswith(b"\r")
        self._keep(data[:at])
        self._rest = data[at:]
        return None

    def release(self) -> None:
        """Give back what it takes up."""
        self._allowance.left += len(self.content)
        self.content = bytearray()

    def _keep(self, piece: bytes) -> None:
        """Keep a piece, in which each line that begins with two dots is in sight: one of the dots is LMTP's."""
        if not piece:
            return
        piece = piece.replace(b"\r\n..", b"\r\n.")
        if not self._begun:
            piece, self._begun = piece[2:], True
        self._size += len(piece)
        if self._size > self._most:
            self.code = Code.MAIL_TOO_LARGE
        elif len(piece) > self._allowance.left:
            self.code = self.code or Code.LOG_FULL
        if self.code is not None:
            self.release()
        else:
            self.content += piece
            self._allowance.left -= len(piece)
