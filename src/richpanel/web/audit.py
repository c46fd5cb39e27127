"""The seam where the audit log is written: each answer passes here, with who asked and what for.

No handler writes it. Changes are in the log before their answer is sent; looks and sign-ins within a second, so that no
page waits for them. What a request says is never taken over but for a few fields that hold no secret and no
customer's value.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from litestar.types import Message, Scope
from sqlalchemy.exc import SQLAlchemyError

from richpanel.core.identity import ANONYMOUS, UID
from richpanel.core.regulation import Hashed, hashed
from richpanel.core.roles import May
from richpanel.store.audit import AuditRow, Kind, prune, write
from richpanel.telemetry import get_logger
from richpanel.web.permissions import API, needed, pattern
from richpanel.web.stores import Stores

DAY_MS: Final = 86_400_000
AGAIN_MS: Final = 600_000
"""A look at the same person by the same reader counts once in so long: pages that are open follow what comes."""
FIELDS: Final = ("action", "name", "login", "role", "type", "overlap")
_ABOUT_PEOPLE: Final = ("action", "type")
_FLUSH_SECONDS: Final = 0.5
_PRUNE_EVERY: Final = 3_600_000
_REMEMBERED: Final = 10_000
_LONGEST: Final = 200

_ONLY_TRIED: Final = ("/audiences/preview", "/traits/preview", "/destinations/*/filters/try")
_TRIED_UNLESS_SENT_ON: Final = ("/audiences/new", "/audiences/*/edit", "/traits/new", "/traits/*/edit")
_NOUNS: Final = {
    "/settings/shop": "shop setting",
    "/settings/people": "user",
    "/settings/account/password": "own password",
    "/settings/account/sessions": "own session",
    "/settings/account/second-step": "own second step",
    "/settings/tokens": "token",
    "/settings/keys": "write key",
    "/sources/*/rotate": "write key",
    "/customers": "customer",
    "/visitors": "visitor",
    "/messages": "message",
    "/channels": "channel message",
    "/exports": "list",
    "/views": "saved view",
    "/privacy": "regulation",
    "/regulations": "regulation",
    "/integrations": "connector",
    "/deliveries": "delivery",
    "/traits": "computed trait",
    "/sign-in": "",
    "/sign-out": "",
}
_DONE: Final = {
    **{"rename": "renamed", "enable": "enabled", "disable": "disabled", "delete": "deleted", "rotate": "rotated"},
    **{"uninstall": "uninstalled", "pause": "paused", "live": "started", "cancel": "cancelled", "resume": "resumed"},
    **{"role": "changed the role of", "password": "reset the password of", "factor": "took the second step of"},
    **{
        "one": "ended",
        "others": "ended all others but",
        "begin": "began",
        "confirm": "turned on",
        "stop": "turned off",
    },
    **{"drop": "dropped", "retry": "tried again", "codes": "renewed the codes of", "revoke": "revoked", "add": "added"},
}
"""What the buttons of our forms have done."""
_OF_DELIVERIES: Final = {each: _DONE[each] for each in ("drop", "retry")}
"""The same, where the API's path says it."""
_LISTS: Final = ("new", "people", "tokens", "messages")
"""Last segments of paths that name where something is added, and not what is done."""
_PEOPLE: Final = {"customer": UID, "visitor": ANONYMOUS}


def noun_of(path: str) -> str:
    """Name what a route is about: by the longest rule, else its first segment in the singular."""
    parts = path.strip("/").split("/")
    for end in range(len(parts), 0, -1):
        found = _NOUNS.get("/" + "/".join(parts[:end]))
        if found is not None:
            return found
    return parts[0].removesuffix("s")


def person_hash(secret: bytes, noun: str, value: str) -> Hashed:
    """Give the hash under which a look at somebody, or at a message, is found."""
    return hashed(secret, _PEOPLE[noun], value) if noun in _PEOPLE else hashed(secret, UID, f"{noun} {value}")


class Journal:
    """Writes the log of one process."""

    def __init__(self, stores: Stores, client: Callable[[Scope], str], days: int) -> None:
        self._stores = stores
        self._client = client
        self._kept_ms = days * DAY_MS
        self._waiting: list[AuditRow] = []
        self._looked: dict[tuple[str, str | None, str, Hashed | None], int] = {}
        self._pruned = 0

    async def before_send(self, message: Message, scope: Scope) -> None:
        """Note an answer as it goes out."""
        if message["type"] == "http.response.start":
            scope["state"]["answered"] = (message["status"], dict(message["headers"]))
        elif message["type"] == "http.response.body":
            status, headers = scope["state"].pop("answered", (0, {}))
            row = await self._row(scope, status, headers, message["body"]) if status else None
            if row is None:
                return
            if row.kind == "change":
                await self._write([row])
            else:
                self._waiting.append(row)

    async def keep(self) -> None:
        """Write what waits, and let go of what is old, until cancelled."""
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self.flush()
            if self._stores.now() - self._pruned >= _PRUNE_EVERY:
                await self.prune()

    async def prune(self) -> None:
        """Let go of what is older than is kept."""
        self._pruned = now = self._stores.now()
        await self._tell(lambda conn: prune(conn, now - self._kept_ms))

    async def flush(self) -> None:
        """Write what waits."""
        rows, self._waiting = self._waiting, []
        if rows:
            await self._write(rows)

    async def _write(self, rows: list[AuditRow]) -> None:
        await self._tell(lambda conn: write(conn, rows))

    async def _tell(self, change: Callable[[Any], object]) -> None:
        """What cannot be written is in the program's log: the change is made, and its answer is not held back."""
        try:
            await self._stores.define(change, beside=True)
        except SQLAlchemyError as error:
            get_logger(__name__).error("request_failed", method="audit", route="audit", exc_info=error)

    async def _row(self, scope: Scope, status: int, headers: Mapping[bytes, bytes], body: bytes) -> AuditRow | None:
        """Tell what was done; None for what is not noted."""
        template, method = str(scope.get("path_template", "")), str(scope.get("method", ""))
        path = pattern(template)
        kind = _kind(path, method, status, template)
        if kind is None:
            return None
        state, now, noun = scope["state"], self._stores.now(), noun_of(path)
        viewer, token = state.get("viewer"), state.get("token")
        who = viewer.login if viewer else token.name if token else state.get("login", "")
        ids = [unquote(str(each)) for each in scope["path_params"].values()]
        person = None
        if ids and noun in (*_PEOPLE, "message"):
            secret = (await self._stores.definitions()).account.hash_key
            person = person_hash(secret, noun, ids.pop(0))
        fields = state.get("form", {})
        allowed = _ABOUT_PEOPLE if person or noun in ("regulation", "channel message") else FIELDS
        row = AuditRow(
            at=now,
            kind=kind,
            who=who,
            token=token.id if token and not viewer else None,
            verb=_verb(kind, path, method, status, fields),
            noun=noun,
            object=state.get("object") or "/".join(ids)[:_LONGEST] or _created(headers, body),
            person=person,
            address=self._client(scope),
            details=_details(fields, allowed),
        )
        return None if kind == "look" and self._seen(row) else row

    def _seen(self, row: AuditRow) -> bool:
        """Tell whether the same reader looked a moment ago."""
        key = (row.who, row.token, row.verb + row.noun, row.person)
        if row.at - self._looked.get(key, row.at - AGAIN_MS) < AGAIN_MS:
            return True
        self._looked.pop(key, None)
        self._looked[key] = row.at
        while len(self._looked) > _REMEMBERED:
            del self._looked[next(iter(self._looked))]
        return False


def _kind(path: str, method: str, status: int, template: str) -> Kind | None:
    """Tell which requests are noted: sign-ins, right or wrong; changes made; looks at one person, and exports."""
    if path in ("/sign-in", "/sign-in/*", "/sign-in/code", "/sign-out") and method == "POST":
        return "sign-in" if status != 403 else None
    if status >= 400 or not template:
        return None
    if method in ("GET", "HEAD"):
        needs = needed("GET", template)
        one = needs in (May.CUSTOMERS, May.MESSAGE) and "*" in path
        return "look" if status == 200 and (one or needs == May.EXPORTS) else None
    if path in _ONLY_TRIED or (path in _TRIED_UNLESS_SENT_ON and status != 303):
        return None
    return "change"


def _verb(kind: Kind, path: str, method: str, status: int, fields: Mapping[str, str]) -> str:
    if kind == "sign-in":
        if path == "/sign-out":
            return "signed out"
        return "signed in" if status == 303 else "password accepted" if status == 200 else "sign-in failed"
    if kind == "look":
        return "exported" if needed("GET", path) == May.EXPORTS else "looked at"
    if fields.get("action"):
        return _DONE.get(fields["action"], fields["action"])[:_LONGEST]
    last = path.rpartition("/")[2]
    if method != "POST" or last in ("*", "edit"):
        return "deleted" if method == "DELETE" else "changed"
    return _OF_DELIVERIES.get(last, last) if path.count("/") > 1 and last not in _LISTS else "added"


def _details(fields: Mapping[str, str], allowed: Sequence[str]) -> dict[str, str]:
    """Take what may be kept of a form; a role only where the button pressed gives one."""
    left_out = {"action", "role"} if fields.get("action", "role") != "role" else {"action"}
    return {name: fields[name][:_LONGEST] for name in allowed if fields.get(name) and name not in left_out}


def _created(headers: Mapping[bytes, bytes], body: bytes) -> str | None:
    """Find the id of what was made: where a form leads to, or in the API's answer."""
    where = headers.get(b"location", b"").decode("latin-1")
    if where.count("/") == 2 and not where.startswith(("/settings", API)):
        return unquote(where.rpartition("/")[2].partition("#")[0].partition("?")[0])[:_LONGEST] or None
    if headers.get(b"content-type", b"").startswith(b"application/json"):
        try:
            return msgspec.json.decode(body, type=_Made).id[:_LONGEST] or None
        except msgspec.DecodeError:
            return None
    return None


class _Made(msgspec.Struct):
    """What the API answers to who makes something."""

    id: str = ""
