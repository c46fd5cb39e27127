"""Sending: one request to a destination, and what came of it.

The other side is a stranger. It gets five seconds for all of it, redirects are not followed, of its answer a piece is
kept, and where the address that its name stands for is a private one nothing is sent at all: that is looked at when the
connection is made, so that a name cannot mean one address when it is saved and another one when it is used.
"""

import asyncio
import socket
import ssl
from email.utils import parsedate_to_datetime
from functools import lru_cache
from time import monotonic, time
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from richpanel.core.codes import Code
from richpanel.core.endpoints import is_public
from richpanel.core.retrying import Outcome
from richpanel.deliver.channel import ANSWER_BYTES, AnswerUnreadableError, Channel, Reply

__all__ = ["ANSWER_BYTES", "Answer", "Sender"]
TOTAL_SECONDS: Final = 5.0
"""From the first packet to the last byte of the answer; what Segment gives a partner, too (facts of Richpanel 9.2)."""
CONNECT_SECONDS: Final = 3.0
_IDLE_SECONDS: Final = 15.0
_PLAIN: Final = "/%:@!$&'()*+,;=~"
_encode = msgspec.json.Encoder().encode


class PrivateAddressError(OSError):
    """A destination's host has an address that is not of the Internet."""


class Answer(NamedTuple):
    """What came of a request: how it is to be judged, how long it took, and the beginning of what was answered."""

    outcome: Outcome
    milliseconds: int
    body: bytes | None = None


def url_of(endpoint: str, batch: bool) -> str:
    """Give the URL of the tracking API at a base URL, which may name its version: `/v2` unless it does."""
    base = endpoint.rstrip("/")
    version = "" if base.endswith(("/v2", "/v3")) else "/v2"
    return f"{base}{version}/{'bt' if batch else 't'}"


class _Target(NamedTuple):
    """Where a URL leads, and how a request there begins."""

    host: str
    port: int
    is_secret: bool
    head: bytes


class Sender:
    """Sends; connections are kept for a while. To be made, used and closed within one event loop."""

    def __init__(self, user_agent: str, *, allow_private: bool, total: float = TOTAL_SECONDS):
        """`allow_private` lets it reach the machine that it runs on, and its neighbours."""
        self._agent, self._total = user_agent, total
        self._allow_private = allow_private
        self._idle: dict[tuple[str, int, bool], list[tuple[float, Channel]]] = {}
        self._channels: set[Channel] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._trust = ssl.create_default_context()
        self._trust.set_alpn_protocols(["http/1.1"])

    async def close(self) -> None:
        """Close the connections."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for channel in self._channels:
            channel.close()
        await asyncio.sleep(0)

    async def send(self, url: str, body: dict[str, Any]) -> Answer:
        """Send a body, and wait for the end of the answer. Never raises for what the other side does."""
        return await self.post(url, _encode(body))

    async def post(self, url: str, body: bytes, headers: bytes = b"") -> Answer:
        """Send JSON that is encoded already, with further lines of the head, each with its end of line."""
        begun = monotonic()
        outcome, said = await self._ask(url, body, headers, begun)
        return Answer(outcome, int((monotonic() - begun) * 1000), said)

    async def _ask(self, url: str, body: bytes, headers: bytes, begun: float) -> tuple[Outcome, bytes | None]:
        try:
            target = _target(url, self._agent)
        except ValueError:
            return Outcome(None, Code.HOST_NOT_FOUND), None
        channel = self._free(target)
        if channel is None:
            try:
                channel = await self._connect(target)
            except OSError as error:
                return Outcome(None, _connecting(error)), None
        try:
            reply = await self._reply(channel, b"%b%d\r\n%b\r\n%b" % (target.head, len(body), headers, body), begun)
        except TimeoutError:
            return Outcome(None, Code.ANSWER_TIMED_OUT), None
        except ssl.SSLError:
            return Outcome(None, Code.TLS_FAILED), None
        except OSError:
            return Outcome(None, Code.CONNECTION_RESET), None
        except AnswerUnreadableError:
            return Outcome(None, Code.ANSWER_UNREADABLE), None
        finally:
            self._keep(target, channel)
        return Outcome(reply.status, retry_after=retry_after(reply.retry_after, time())), reply.body

    async def _reply(self, channel: Channel, request: bytes, begun: float) -> Reply:
        left = self._total - (monotonic() - begun)
        timer = asyncio.get_running_loop().call_later(max(left, 0.0), channel.fail, TimeoutError())
        try:
            return await channel.ask(request)
        except BaseException:
            channel.close()  # What is still to come on it would be taken for the next answer.
            raise
        finally:
            timer.cancel()

    # ------------------------------------------------------------------------------------------------- its connections

    async def _connect(self, target: _Target) -> Channel:
        """Connect; which addresses a name has is seen here, and nowhere before. Raises OSError.

        They are tried in turn, each for its share of the time.
        """
        loop, until = asyncio.get_running_loop(), monotonic() + min(CONNECT_SECONDS, self._total)
        async with asyncio.timeout(until - monotonic()):
            found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        problem = OSError("a name without an address")
        for index, address in enumerate(addresses):
            try:
                async with asyncio.timeout((until - monotonic()) / (len(addresses) - index)):
                    return await self._connected(target, address)
            except OSError as error:
                problem = error
        raise problem

    async def _connected(self, target: _Target, address: str) -> Channel:
        if not self._allow_private and not is_public(address):
            raise PrivateAddressError("a private address")
        trust, name = (self._trust, target.host) if target.is_secret else (None, None)
        _, channel = await asyncio.get_running_loop().create_connection(
            Channel, address, target.port, ssl=trust, server_hostname=name
        )
        self._channels.add(channel)
        return channel

    def _free(self, target: _Target) -> Channel | None:
        idle = self._idle.get(target[:3], [])
        while idle:
            since, channel = idle.pop()
            if channel.is_open and since + _IDLE_SECONDS > monotonic():
                return channel
            self._let_go(channel)
        return None

    def _keep(self, target: _Target, channel: Channel) -> None:
        if not channel.is_open:
            self._let_go(channel)
            return
        self._idle.setdefault(target[:3], []).append((monotonic(), channel))
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._sweep)

    def _let_go(self, channel: Channel) -> None:
        channel.close()
        self._channels.discard(channel)

    def _sweep(self) -> None:
        """Close what nobody has used for long."""
        self._sweeping, now = None, monotonic()
        for idle in self._idle.values():
            for _, channel in [each for each in idle if each[0] + _IDLE_SECONDS <= now]:
                self._let_go(channel)
            idle[:] = [each for each in idle if each[1].is_open]
        if any(self._idle.values()):
            self._sweeping = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._sweep)


@lru_cache(256)
def _target(url: str, user_agent: str) -> _Target:
    """Read a URL. Raises ValueError."""
    parts = urlsplit(url)
    is_secret = parts.scheme == "https"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no URL that can be asked")
    host = parts.hostname if ":" in parts.hostname else parts.hostname.encode("idna").decode()
    named = f"[{host}]" if ":" in host else host
    asked = f"?{quote(parts.query, safe=_PLAIN + '?')}" if parts.query else ""
    head = (
        f"POST {quote(parts.path or '/', safe=_PLAIN)}{asked} HTTP/1.1\r\n"
        f"Host: {named if parts.port is None else f'{named}:{parts.port}'}\r\nUser-Agent: {user_agent}\r\n"
        # What is compressed could be large without looking so.
        "Accept: */*\r\nAccept-Encoding: identity\r\nContent-Type: application/json\r\nContent-Length: "
    )
    return _Target(host, parts.port or (443 if is_secret else 80), is_secret, head.encode("ascii"))


def retry_after(value: str | None, now: float | None = None) -> int | None:
    """Read Retry-After, in ms: seconds, or a date. None where it says nothing that can be understood.

    `now` is seconds since the epoch; without it a date is left alone.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:12]), 10**9) * 1000
    try:
        at = parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
    return None if now is None else max(int((at - now) * 1000), 0)


def host_of(endpoint: str) -> str:
    """Give the host of an endpoint."""
    return (urlsplit(endpoint).hostname or "").lower()


def _connecting(error: OSError) -> Code:
    """Name why no connection could be made."""
    for kind, code in _CONNECTING.items():
        if isinstance(error, kind):
            return code
    return Code.CONNECTION_FAILED


_CONNECTING: Final[dict[type[OSError], Code]] = {
    PrivateAddressError: Code.PRIVATE_ADDRESS,
    socket.gaierror: Code.HOST_NOT_FOUND,
    ssl.SSLError: Code.TLS_FAILED,
    ConnectionRefusedError: Code.CONNECTION_REFUSED,
    ConnectionResetError: Code.CONNECTION_RESET,
    TimeoutError: Code.CONNECT_TIMED_OUT,
}
