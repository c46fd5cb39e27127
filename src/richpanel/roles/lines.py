"""How a test event leaves the pages' process: to a destination outside, or through the account's own door.

The door, 10 MB, is loaded with the first test that needs it: most installations see one a month.
"""

import asyncio
from collections.abc import MutableMapping
from contextlib import closing
from time import monotonic
from typing import Any

import msgspec

from richpanel import __version__
from richpanel.config import Settings
from richpanel.core.retrying import Outcome
from richpanel.deliver.books import HOSTED
from richpanel.deliver.sending import ANSWER_BYTES, Sender, host_of, url_of
from richpanel.log.contract import LogWriter
from richpanel.roles.clock import now_ms
from richpanel.store.glance import open_glance, secret_opener
from richpanel.web.tester import Sent


class Lines:
    """`web.tester.Lines`, with what really delivers and really receives. `writer` is None where no log is taken in."""

    def __init__(self, settings: Settings, writer: LogWriter | None) -> None:
        """Nothing is opened yet."""
        self._settings = settings
        self._writer = writer

    def is_hosted(self, endpoint: str) -> bool:
        """Tell whether an endpoint is Richpanel's own API."""
        return host_of(endpoint) == HOSTED

    async def outside(self, endpoint: str, body: dict[str, Any], *, batch: bool) -> Sent:
        """Send as the courier sends, on a connection of its own."""
        allow_private = self._settings.allow_private_endpoints
        sender = Sender(f"richpanel-destination/{__version__}", allow_private=allow_private)
        try:
            url = url_of(endpoint, batch)
            answer = await sender.send(url, body)
        finally:
            await sender.close()
        return Sent(url, answer.outcome, answer.milliseconds, answer.body)

    async def account(self, body: dict[str, Any], *, batch: bool) -> Sent | None:
        """Post to the door of this installation, with the keys that are in force now, without a network between."""
        from richpanel.roles.keys import Sources  # Loaded where it is used.
        from richpanel.source import asgi as door
        from richpanel.source.keys import KeySnapshot

        if self._writer is None:
            return None
        settings = self._settings
        begun, keys = monotonic(), KeySnapshot()
        keys.open_secret = secret_opener(settings.data, settings.secret_key)
        with closing(open_glance(settings.data, settings.database_url)) as glance:
            sources = Sources(glance, keys)
            keys.replace(await asyncio.to_thread(sources.load))
            path = "/v2/bt" if batch else "/v2/t"
            app = door.build(self._writer, keys, door.DoorOptions(), now_ms)
            status, said = await _posted(app, path, msgspec.json.encode(body))
            await asyncio.to_thread(sources.load)  # It keeps the count of what was refused for privacy, too.
        return Sent(path, Outcome(status), int((monotonic() - begun) * 1000), said[:ANSWER_BYTES])


async def _posted(app: Any, path: str, body: bytes) -> tuple[int, bytes]:
    """Call an ASGI application; give the status and the body of its answer."""
    given: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
    answer: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return given.pop() if given else {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        answer.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [],
        "client": None,
    }
    await app(scope, receive, send)
    return answer[0]["status"], b"".join(each.get("body", b"") for each in answer[1:])
