"""Sending: one request to a destination, and what came of it.

The other side is a stranger. It gets five seconds for all of it, redirects are not followed, of its answer a piece is
kept, and where the address that its name stands for is a private one nothing is sent at all: that is looked at when the
connection is made, so that a name cannot mean one address when it is saved and another one when it is used.
"""

import socket
import ssl
from email.utils import parsedate_to_datetime
from time import monotonic, time
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import msgspec

from richpanel.core.codes import Code
from richpanel.core.endpoints import is_public
from richpanel.core.retrying import Outcome

TOTAL_SECONDS: Final = 5.0
"""From the first packet to the last byte of the answer; what Segment gives a partner, too (facts of Richpanel 9.2)."""
CONNECT_SECONDS: Final = 3.0
ANSWER_BYTES: Final = 4_096
"""What is kept of an answer."""
_MOST_BYTES: Final = 65_536
"""A longer answer is not read to its end; its connection is closed."""
_IDLE_SECONDS: Final = 15.0
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


class Sender:
    """Sends; connections are kept for a while. To be made, used and closed within one event loop."""

    def __init__(self, user_agent: str, *, allow_private: bool, connections: int = 100, total: float = TOTAL_SECONDS):
        """`allow_private` lets it reach the machine that it runs on, and its neighbours."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=connections,
                keepalive_timeout=_IDLE_SECONDS,
                socket_factory=None if allow_private else _public_socket,
            ),
            timeout=aiohttp.ClientTimeout(total=total, connect=min(CONNECT_SECONDS, total)),
            # What is compressed could be large without looking so.
            headers={"User-Agent": user_agent, "Content-Type": "application/json", "Accept-Encoding": "identity"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def send(self, url: str, body: dict[str, Any]) -> Answer:
        """Send a body, and wait for the end of the answer. Never raises for what the other side does."""
        begun = monotonic()
        outcome, said = await self._ask(url, body)
        return Answer(outcome, int((monotonic() - begun) * 1000), said)

    async def _ask(self, url: str, body: dict[str, Any]) -> tuple[Outcome, bytes | None]:
        reached = False
        try:
            async with self._session.post(url, data=_encode(body), allow_redirects=False) as answer:
                reached = True
                said = await _beginning(answer)
                return Outcome(answer.status, retry_after=retry_after(answer.headers.get("Retry-After"), time())), said
        except aiohttp.ClientConnectorDNSError:
            code = Code.HOST_NOT_FOUND
        except (aiohttp.ClientSSLError, ssl.SSLError):
            code = Code.TLS_FAILED
        except aiohttp.ClientConnectorError as error:
            code = _connecting(error.os_error)
        except aiohttp.ConnectionTimeoutError:
            code = Code.CONNECT_TIMED_OUT
        except TimeoutError:
            code = Code.ANSWER_TIMED_OUT
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, aiohttp.ClientOSError, OSError):
            code = Code.CONNECTION_RESET
        except aiohttp.InvalidURL:
            code = Code.HOST_NOT_FOUND
        except (aiohttp.ClientError, ValueError):
            code = Code.CONNECTION_RESET if reached else Code.ANSWER_UNREADABLE
        return Outcome(None, code), None


async def _beginning(answer: aiohttp.ClientResponse) -> bytes:
    """Read an answer to its end, and keep its beginning; one that goes on and on is cut off."""
    kept = bytearray()
    count = 0
    async for piece in answer.content.iter_any():
        count += len(piece)
        kept += piece[: ANSWER_BYTES - len(kept)]
        if count > _MOST_BYTES:
            answer.close()
            break
    return bytes(kept)


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


def _public_socket(address: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    """Make the socket for a connection, if its address is one of the Internet."""
    family, kind, protocol, _, where = address
    if not is_public(str(where[0])):
        raise PrivateAddressError("a private address")
    return socket.socket(family, kind, protocol)


def _connecting(error: OSError) -> Code:
    """Name why no connection could be made."""
    if isinstance(error, PrivateAddressError):
        return Code.PRIVATE_ADDRESS
    if isinstance(error, ConnectionRefusedError):
        return Code.CONNECTION_REFUSED
    if isinstance(error, ConnectionResetError):
        return Code.CONNECTION_RESET
    return Code.CONNECT_TIMED_OUT if isinstance(error, TimeoutError) else Code.CONNECTION_FAILED
