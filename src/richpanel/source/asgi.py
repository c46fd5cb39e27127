"""The door: Segment's Tracking API, the partner endpoint and Richpanel's tracking API, as a bare ASGI application.

One request, from top to bottom: find the path, read the body (`body`), judge it (`accept`), append the record to the
log, and answer only when that is durable. No framework, because its share of a request would be larger than ours.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from os import urandom
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

import msgspec

from richpanel import telemetry
from richpanel.core.codes import Code
from richpanel.core.message import TYPES
from richpanel.core.signing import is_signed
from richpanel.log.contract import LogClosed, LogFull, LogUnsure, LogWriter
from richpanel.source import answers, browser, partner, wire
from richpanel.source.accept import Intake, Outcome, Request, Route
from richpanel.source.address import Proxies
from richpanel.source.answers import SUCCESS, Answer, Receive, Scope, Send
from richpanel.source.body import Bodies, Disconnected, Refused, inflate
from richpanel.source.credentials import basic_user
from richpanel.source.keys import KeySnapshot, Source
from richpanel.source.turn import Turn

_PREFIXES: Final = ("/v1/", "/v2/", "/v3/", "/segment/", "/analytics.js/", "/analytics-next/")

_LETTERS: Final = {"i": "identify", "t": "track", "p": "page", "s": "screen", "g": "group", "a": "alias"}
_POST: Final = b"POST, OPTIONS"
_GET: Final = b"GET, HEAD, OPTIONS"
_ANY: Final = b"GET, HEAD, POST, OPTIONS"
_SEGMENT: Final = Route("segment")
_RICHPANEL: Final = Route("richpanel", batch=True)

Handle = Callable[[Scope, Receive], Awaitable[Answer]]


class DoorOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the door is told from outside.

    `body_seconds`: the time that a body may take to arrive. `unfinished_bytes`: what all bodies that are still arriving
    may hold in memory, and those that wait for their turn as much again. `turn_seconds`: for how long bodies are judged
    before pages and others have their turn. `wait_seconds`: for how long a body waits for its own. `retry_seconds`:
    what a client is told when too much waits. `browser_package`: the folder of the installed npm package
    `@segment/analytics-next`. `public_url`: under which address clients reach us, where the request does not tell.
    `trusted_proxies`: addresses and networks whose `X-Forwarded-*` is believed.
    """

    body_seconds: float = 15.0
    unfinished_bytes: int = 64 << 20
    turn_seconds: float = 0.05
    wait_seconds: float = 1.0
    retry_seconds: int = 2
    browser_package: Path | None = None
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()


class _Place(NamedTuple):
    """What stands at a path: the methods that it takes, and what answers them."""

    methods: bytes
    handle: Handle

    def takes(self, method: str) -> bool:
        return method == "POST" if self.methods is _POST else method in ("GET", "HEAD")


def owns(path: str) -> bool:
    """Whether the door answers a path, found or not; everything else is the web's."""
    return path.startswith(_PREFIXES) or path == "/segment"


def message_ids() -> Callable[[], str]:
    """Make the giver of message ids: a start drawn by lot, then a number (a UUID would cost ten times as much)."""
    start, numbers = urandom(9).hex(), count()
    return lambda: f"door-{start}-{next(numbers)}"


class Door:
    """The ASGI application. `now` gives ms UTC; `new_id` names messages that come without an id."""

    def __init__(
        self,
        log: LogWriter,
        keys: KeySnapshot,
        options: DoorOptions,
        now: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        """Use `build`."""
        self._log = log
        self._keys = keys
        self._options = options
        self._now = now
        self._intake = Intake(keys, new_id)
        self._bodies = Bodies(options.body_seconds, options.unfinished_bytes)
        self._turn = Turn(options.turn_seconds, options.wait_seconds, options.unfinished_bytes)
        self._proxies = Proxies(options.trusted_proxies)
        self._library = browser.Library(options.browser_package)
        self._public = browser.public_place(options.public_url) if options.public_url else None
        self._places = self._map()

    def _map(self) -> dict[str, _Place]:
        """List the paths that are known beforehand, each with and without a slash at its end."""
        places: dict[str, _Place] = {}
        for name in TYPES:
            places[f"/v1/pixel/{name}"] = _Place(_GET, partial(self._pixel, Route("tracking", name)))
            places[f"/v1/{name}"] = _Place(_POST, partial(self._tracking, Route("tracking", name)))
        for letter, name in _LETTERS.items():
            places[f"/v1/{letter}"] = places[f"/v1/{name}"]
        for name in ("batch", "b"):
            places[f"/v1/{name}"] = _Place(_POST, partial(self._tracking, Route("tracking", batch=True)))
        places["/v1/import"] = _Place(_POST, partial(self._tracking, Route("import", batch=True)))
        places["/v1/m"] = _Place(_POST, self._metrics)
        places["/segment"] = _Place(_POST, self._partner)
        for path in ("/v2/t", "/v3/t", "/v2/bt"):
            places[path] = _Place(_POST, self._wire)
        return places | {f"{path}/": place for path, place in places.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = perf_counter()
        place = self._places.get(scope["path"]) or self._named(scope["path"])
        method = scope["method"]
        try:
            if method == "OPTIONS":
                given = answers.preflight(scope, place.methods if place else _ANY)
            elif place is None:
                given = answers.error(Code.NOT_FOUND)
            elif not place.takes(method):
                given = answers.error_with(Code.METHOD_NOT_ALLOWED, (b"allow", place.methods))
            else:
                given = await place.handle(scope, receive)
        except Disconnected:
            return
        await send(given.start)
        await send(given.body)
        telemetry.REQUEST_SECONDS.observe(perf_counter() - started, "ingest", str(given.status))

    def _named(self, path: str) -> _Place | None:
        """Find what stands at a path that has a name in it."""
        match path.rstrip("/").split("/"):
            case ["", "v1", "projects", key, "settings"]:
                return _Place(_GET, partial(self._settings, key))
            case ["", "analytics.js", "v1", key, "analytics.min.js"]:
                return _Place(_GET, partial(self._script, key))
            case ["", "analytics-next", "bundles", name]:
                return _Place(_GET, partial(self._bundle, name))
        return None

    # ------------------------------------------------------------------------------------------------------- calls

    async def _tracking(self, route: Route, scope: Scope, receive: Receive) -> Answer:
        headers = dict(scope["headers"])
        body = await self._read(receive, headers)
        user = basic_user(headers.get(b"authorization"))
        source = self._keys.write_keys.get(user) if user is not None else None
        request = Request(route, self._now(), self._proxies.client(scope), source, user is not None)
        return await self._keep(self._intake.take(body, request))

    async def _partner(self, scope: Scope, receive: Receive) -> Answer:
        headers = dict(scope["headers"])
        source = self._keys.api_keys.get(basic_user(headers.get(b"authorization")) or "")
        if source is None:
            return self._refused(Code.INVALID_API_KEY)
        body = await self._read(receive, headers)
        request = Request(_SEGMENT, self._now(), None, source, True)
        if isinstance(body, bytes):
            body = partner.spelled(body)
            if len(headers.get(b"x-segment-settings", b"")) > partner.MAX_SETTINGS_HEADER:
                body = Refused(Code.INVALID_VALUE, body, len(body))
            elif partner.unsupported(body):
                body = Refused(Code.UNSUPPORTED_CALL, body, len(body))
        return await self._keep(self._intake.take(body, request))

    async def _wire(self, scope: Scope, receive: Receive) -> Answer:
        """Take what Richpanel's plugins and tracker post; a signature is optional there, but a wrong one is not."""
        body = await self._read(receive, dict(scope["headers"]))
        posted = body.code if isinstance(body, Refused) else wire.opened(body)
        if isinstance(posted, Code):
            return self._refused(posted)
        source = self._keys.api_keys.get(posted.api_key)
        if source is None:
            return self._refused(Code.INVALID_API_KEY)
        if posted.signature is not None and not is_signed(posted.text, posted.signature, self._keys.secrets(source)):
            return self._refused(Code.INVALID_SIGNATURE)
        batch = posted.batch
        readable = Refused(batch, posted.text.encode(), len(posted.text)) if isinstance(batch, Code) else batch
        outcome = self._intake.take(readable, Request(_RICHPANEL, self._now(), None, source, True))
        if posted.single and outcome.discards and not outcome.types:
            outcome = outcome._replace(code=outcome.code or outcome.discards[0].code)
        return await self._keep(outcome)

    async def _read(self, receive: Receive, headers: dict[bytes, bytes]) -> bytes | Refused:
        body = await self._bodies.read(receive)
        if isinstance(body, Refused):
            return body
        if not await self._turn.comes(len(body)):
            return Refused(Code.OVERLOADED)
        return inflate(body, headers.get(b"content-encoding"))

    async def _keep(self, outcome: Outcome) -> Answer:
        """Append the record, wait until it is durable, and answer."""
        code, source, kept = outcome.code, outcome.source, outcome.record
        if kept is not None:
            try:
                await self._log.append(kept)
            except LogFull:
                code, source = Code.LOG_FULL, None
            except LogClosed:
                code, source = Code.SHUTTING_DOWN, None
            except LogUnsure:
                code, source = Code.LOG_UNSURE, None
        if source is not None:
            _count(outcome, source)
            if outcome.private:
                self._keys.refusals.add(source.id, self._now(), outcome.private)
        return SUCCESS if code is None else self._refused(code, outcome.wait)

    def _refused(self, code: Code, wait: int = 0) -> Answer:
        telemetry.REFUSED.add(1, code.value)
        if code is Code.RATE_LIMITED:
            return answers.try_later(code, wait)
        if code in (Code.LOG_FULL, Code.LOG_UNSURE, Code.OVERLOADED, Code.SHUTTING_DOWN):
            return answers.try_later(code, self._options.retry_seconds)
        if code is Code.REQUEST_TIMEOUT:  # The rest of the body may never come: nothing can follow it.
            return answers.error_with(code, (b"connection", b"close"))
        return answers.error(code)

    async def _metrics(self, _scope: Scope, _receive: Receive) -> Answer:
        """Swallow what Segment's browser SDK tells Segment about itself."""
        return SUCCESS

    # ------------------------------------------------------------------------------------------------- for browsers

    async def _pixel(self, route: Route, scope: Scope, _receive: Receive) -> Answer:
        """Show the pixel whatever becomes of the call in it: an image in an e-mail can do nothing about an error."""
        if scope["method"] == "GET":
            body = browser.pixel_body(scope["query_string"])
            request = Request(route, self._now(), self._proxies.client(scope), None, False)
            await self._keep(self._intake.take(body, request))
        return browser.PIXEL

    async def _settings(self, key: str, scope: Scope, _receive: Receive) -> Answer:
        if key not in self._keys.write_keys:
            return answers.error_with(Code.INVALID_WRITE_KEY, status=404)
        return browser.settings(key, *(self._public or self._proxies.origin(scope)))

    async def _script(self, key: str, scope: Scope, _receive: Receive) -> Answer:
        if key not in self._keys.write_keys:
            return answers.error_with(Code.INVALID_WRITE_KEY, status=404)
        if (reason := self._library.missing) is not None:
            return answers.json_answer(404, {"success": False, "code": Code.NOT_FOUND.value, "message": reason})
        return self._library.script(key).answer(dict(scope["headers"]).get(b"accept-encoding", b""))

    async def _bundle(self, name: str, scope: Scope, _receive: Receive) -> Answer:
        found = self._library.bundle(name)
        if found is None:
            return answers.error(Code.NOT_FOUND)
        return found.answer(dict(scope["headers"]).get(b"accept-encoding", b""))


def _count(outcome: Outcome, source: Source) -> None:
    """Count what is in the log now."""
    types = outcome.types
    for kind, number in ((types[0], 1),) if len(types) == 1 else Counter(types).items():
        telemetry.ACCEPTED.add(number, source.id, kind)
    for discard in outcome.discards:
        telemetry.DISCARDED.add(1, source.id, discard.code.value)


def build(log: LogWriter, keys: KeySnapshot, options: DoorOptions, now: Callable[[], int]) -> Door:
    """Make the door: an ASGI application for the scope type `http`. `now` gives ms UTC."""
    return Door(log, keys, options, now, message_ids())
