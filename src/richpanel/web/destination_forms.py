"""The form of a destination's settings, on the catalog's page and on the destination's own, and its errors by field."""

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple, TypeVar

import msgspec
from litestar.exceptions import HTTPException

from richpanel.store.connectors import ConnectorRow
from richpanel.store.destinations import ACCOUNT, DestinationRow
from richpanel.store.sources import SourceRow
from richpanel.web.destinations import BATCH_EVENTS, DestinationPatch, NewDestination
from richpanel.web.pages import Context
from richpanel.web.paging import bad_field
from richpanel.web.problems import Fault, problem_of
from richpanel.web.source_pages import TYPE_ICONS, TYPE_NAMES
from richpanel.web.stores import Reading

T = TypeVar("T")
_TEXTS: Final = {
    "name": "A name of 1 to 100 characters is needed.",
    "endpoint": "An address begins with https:// (or http://) and has no spaces.",
    "settings.apiKey": "An API Key has at most 1,000 characters.",
    "settings.apiSecret": "An API Secret has at most 1,000 characters.",
    "settings.signatureMode": "Requests are signed with MD5 or SHA-256, or not at all.",
    "settings.batchSize": f"A request has from 1 to {BATCH_EVENTS} calls.",
    "settings.rate": "A rate is a number from 1 to 1,000,000; leave it empty for none.",
}
"""What is wrong with a field that its type refuses."""


class SettingsForm(msgspec.Struct, kw_only=True):
    """What a destination is to be called, what it gets from, and its settings. A checkbox that is set is "on".

    An empty `secret` leaves the one that is kept; `forget` removes it. How it is sent (`signature`, `batch`, `rate`, of
    which an empty one is none) is for an address alone.
    """

    name: str = ""
    sources: str | list[str] = []
    key: str = ""
    secret: str = ""
    forget: str = ""
    where: Literal["account", "url"] = "account"
    url: str = ""
    signature: str = "none"
    batch: str = "1"
    rate: str = ""

    @property
    def source_ids(self) -> list[str]:
        """The sources: one alone comes without a list."""
        return [self.sources] if isinstance(self.sources, str) else self.sources


def form_of(row: DestinationRow) -> SettingsForm:
    """Fill the form in with what a destination has."""
    outside = row.endpoint != ACCOUNT
    return SettingsForm(
        name=row.name,
        sources=list(row.sources),
        key=row.api_key,
        where="url" if outside else "account",
        url=row.endpoint if outside else "",
        signature=row.signature_mode,
        batch=str(row.batch_size),
        rate="" if row.rate is None else str(row.rate),
    )


def _given(form: SettingsForm) -> dict[str, Any]:
    settings: dict[str, str | int | None] = {"apiKey": form.key.strip()}
    if form.secret or form.forget:
        settings["apiSecret"] = form.secret.strip() or None
    if not settings["apiKey"]:
        raise bad_field("settings.apiKey", "An API Key is required.")
    endpoint = ACCOUNT if form.where == "account" else form.url.strip()
    if form.where == "url" and endpoint in ("", ACCOUNT):
        raise bad_field("endpoint", "Say where calls are sent to.")
    if form.where == "url":
        settings["signatureMode"] = form.signature
        settings["batchSize"] = _number(form.batch or "1", "settings.batchSize")
        settings["rate"] = _number(form.rate, "settings.rate") if form.rate.strip() else None
    return {"name": form.name.strip(), "sources": form.source_ids, "settings": settings, "endpoint": endpoint}


def _number(text: str, field: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise bad_field(field, _TEXTS[field]) from None


def told(form: SettingsForm) -> NewDestination:
    """Read the form as the API would; raises ValidationException, which names the field."""
    if not form.source_ids:
        raise bad_field("sources", "Choose at least one source.")
    return _as(NewDestination, _given(form))


def told_of_change(form: SettingsForm) -> DestinationPatch:
    """Read the form as a change; raises ValidationException, which names the field."""
    return _as(DestinationPatch, _given(form))


def _as(kind: type[T], given: dict[str, Any]) -> T:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`")
        raise bad_field(field, _TEXTS.get(field, message)) from None


def faults_of(error: HTTPException | None) -> dict[str, Fault]:
    """Give what was found wrong by field; under "" what concerns none."""
    if error is None:
        return {}
    problem, _ = problem_of(error)
    return {fault.field or "": fault for fault in problem.errors} or {"": Fault(problem.detail)}


def connectable(reading: Reading) -> list[SourceRow]:
    """List the sources that a destination may get calls from."""
    return [row for row in reading.sources.values() if row.deleted_at is None and row.type != "channel"]


def choices(reading: Reading, form: SettingsForm, error: HTTPException | None = None) -> Context:
    """Give what the form's fields need."""
    return {
        "form": form,
        "faults": faults_of(error),
        "source_choices": connectable(reading),
        "type_names": TYPE_NAMES,
        "type_icons": TYPE_ICONS,
    }


class KeyState(NamedTuple):
    """What an API Key is at the built-in account: `tone` is good, warn or bad. `ends_at` is ms UTC."""

    tone: Literal["good", "warn", "bad"]
    text: str
    ends_at: int | None = None
    connector: str = ""


def key_state(row: DestinationRow, connectors: Sequence[ConnectorRow], now: int) -> KeyState | None:
    """Tell whether a destination's API Key works; None where only another system can tell."""
    if row.endpoint != ACCOUNT:
        return None
    for connector in connectors:
        if connector.api_key == row.api_key:
            return KeyState("good", "The key of the connector", None, connector.name)
        for old in connector.retired:
            if old.api_key == row.api_key and old.ends_at > now:
                return KeyState("warn", "An old key of the connector", old.ends_at, connector.name)
            if old.api_key == row.api_key:
                return KeyState("bad", "A key of before, of the connector", old.ends_at, connector.name)
    return KeyState("bad", "No connector of this account has this key")
