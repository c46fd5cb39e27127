"""Pages: the shop's settings, by which the account counts: currency, phone country, session gap, ids and statuses."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Final, NamedTuple

import msgspec
import phonenumbers
from babel import Locale
from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import ValidationException
from litestar.params import URLEncodedBody
from litestar.response import Redirect
from sqlalchemy import Connection

from richpanel.core.ids import BLOCKED_IDS
from richpanel.store import progress, rebuilds
from richpanel.store.account import VOID_STATUSES, AccountSettings, folded_with, read_account, write_account
from richpanel.store.rebuilds import RebuildRow
from richpanel.web.access import Viewer
from richpanel.web.destination_forms import faults_of
from richpanel.web.paging import Query, bad_field
from richpanel.web.settings_tabs import settings_page
from richpanel.web.signin import Door

SHOP: Final = "/settings/shop"
_MINUTE_MS: Final = 60_000
_LONGEST_GAP: Final = 1_440
_MOST_WORDS: Final = 200
_LONGEST_WORD: Final = 100
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


class ShopForm(msgspec.Struct):
    """The settings as a form has them: the gap in minutes, ids and statuses one on each line."""

    currency: str = ""
    country: str = ""
    gap: str = ""
    blocked: str = ""
    void: str = ""


class ShopQuery(Query, kw_only=True):
    """Whether something was just saved."""

    saved: bool = False


@cache
def currencies() -> list[tuple[str, str]]:
    """List the currencies of today, by code, with their names."""
    names = Locale("en").currencies
    return sorted((code, name) for code, name in names.items() if _CURRENCY.fullmatch(code) and "(" not in name)


@cache
def countries() -> list[tuple[str, str]]:
    """List the countries whose phone numbers are known, by name."""
    names = Locale("en").territories
    found = [(code, names.get(code, code)) for code in phonenumbers.SUPPORTED_REGIONS]
    return sorted(found, key=lambda each: each[1])


def form_of(settings: AccountSettings) -> ShopForm:
    """Fill the form in with what is set."""
    return ShopForm(
        currency=settings.currency,
        country=settings.phone_country,
        gap=f"{settings.session_gap / _MINUTE_MS:g}",
        blocked="\n".join(sorted(settings.blocked_ids)),
        void="\n".join(settings.void_statuses),
    )


def _words(text: str, field: str) -> list[str]:
    """Read lines: in lower case, each once, empty ones left out."""
    words = list(dict.fromkeys(line.strip().lower() for line in text.splitlines() if line.strip()))
    if len(words) > _MOST_WORDS or any(len(each) > _LONGEST_WORD for each in words):
        raise bad_field(field, f"At most {_MOST_WORDS} lines, of {_LONGEST_WORD} characters each.")
    return words


def told(form: ShopForm, before: AccountSettings) -> AccountSettings:
    """Read the form; raises ValidationException, which names the field."""
    if form.currency not in {code for code, _ in currencies()} | {before.currency}:
        raise bad_field("currency", "Choose a currency.")
    if form.country not in phonenumbers.SUPPORTED_REGIONS:
        raise bad_field("country", "Choose a country.")
    minutes = form.gap.strip()
    if not minutes.isascii() or not minutes.isdigit() or not 1 <= int(minutes[:6]) <= _LONGEST_GAP:
        raise bad_field("gap", f"A gap is from 1 to {_LONGEST_GAP:,} minutes.")
    statuses = [each.replace("_", " ").replace("-", " ") for each in _words(form.void, "void")]
    return msgspec.structs.replace(
        before,
        currency=form.currency,
        phone_country=form.country,
        session_gap=int(minutes) * _MINUTE_MS,
        blocked_ids=frozenset(_words(form.blocked, "blocked")),
        void_statuses=tuple(dict.fromkeys(statuses)),
    )


class Changed(NamedTuple):
    """A setting that was changed since the state was folded: what it was, what it is, and what that concerns."""

    name: str
    before: str
    now: str
    concerns: str


def _listed(words: Iterable[str]) -> str:
    return ", ".join(each or "(empty)" for each in sorted(words)) or "none"


def changes_of(before: AccountSettings, now: AccountSettings) -> list[Changed]:
    """List what a rebuild would count anew."""
    found = [
        Changed("Currency", before.currency, now.currency, "lifetime value and average order of every customer"),
        Changed("Phone country", before.phone_country, now.phone_country, "local phone numbers, and whom they link"),
        Changed("Session gap", _minutes(before), _minutes(now), "sessions and visits"),
        Changed(
            "Ids that stand for nobody",
            _listed(before.blocked_ids - now.blocked_ids),
            _listed(now.blocked_ids - before.blocked_ids),
            "whose the calls with these ids are",
        ),
        Changed(
            "Statuses that do not count",
            _listed(before.void_statuses),
            _listed(now.void_statuses),
            "orders' figures",
        ),
    ]
    return [each for each in found if each.before != each.now]


def _minutes(settings: AccountSettings) -> str:
    return f"{settings.session_gap / _MINUTE_MS:g} minutes"


class Anew(NamedTuple):
    """The rebuild that is due: what was changed since the state was folded, and how far the newest one is.

    `runs` is whether it goes on. Without changes they were taken back, and what came in between was folded with them.
    """

    changes: list[Changed]
    newest: RebuildRow | None
    runs: bool


def _anew(conn: Connection, now: int) -> Anew | None:
    before, newest = folded_with(conn), rebuilds.newest(conn)
    if before is None:
        return None
    return Anew(changes_of(before, read_account(conn)), newest, newest is not None and newest.runs(now))


async def _page(
    door: Door, viewer: Viewer, form: ShopForm, *, saved: bool = False, error: ValidationException | None = None
) -> Response[str]:
    context = {
        "anew": await door.stores.look_up(lambda conn: _anew(conn, door.stores.now())),
        "form": form,
        "faults": faults_of(error),
        "saved": saved,
        "currencies": currencies(),
        "countries": countries(),
        "usual_ids": sorted(BLOCKED_IDS),
        "usual_statuses": VOID_STATUSES,
        "longest_gap": _LONGEST_GAP,
    }
    return settings_page(door.pages, viewer, "shop.html", SHOP, context, status=400 if error else 200)


@get(SHOP, include_in_schema=False)
async def shop_page(door: Given[Door], viewer: Given[Viewer], asked: Given[ShopQuery]) -> Response[str]:
    """Show the settings."""
    settings = await door.stores.look_up(read_account)
    return await _page(door, viewer, form_of(settings), saved=asked.saved)


@post(SHOP, include_in_schema=False, status_code=303)
async def shop_form(
    door: Given[Door], viewer: Given[Viewer], data: URLEncodedBody[ShopForm]
) -> Response[str] | Redirect:
    """Save the settings, which has what was processed before made anew (`roles.rebuilding`)."""

    folded = await door.stores.read(lambda reading: progress.read(reading.state).position > 0)

    def change(conn: Connection) -> bool:
        before = read_account(conn)
        after = told(data, before)
        if after != before:
            write_account(conn, after, folded=folded)
        return after != before

    try:
        changed = await door.stores.define(change)
    except ValidationException as error:
        return await _page(door, viewer, data, error=error)
    return Redirect(f"{SHOP}?saved=true" if changed else SHOP, status_code=303)


shop_pages = [shop_page, shop_form]
