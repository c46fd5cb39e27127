"""A bot: one visitor with a very large history, in sessions of both kinds and with orders."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from tests.process.account import MINUTE, T0, Account, Arrived, at

SESSION = 10
"""Events of a session; every other session has an id of its own."""
DEVICE = "bot"


def minute(number: int) -> float:
    """When event `number` happens: ten events 6 s apart, then a pause of half an hour."""
    session, within = divmod(number, SESSION)
    return session * 31 + within / 10


def event(number: int, *, order_every: int = 100) -> dict[str, Any]:
    """One of the bot's events, by number."""
    call: dict[str, Any] = {
        "type": "page",
        "messageId": f"bot-{number:07}",
        "anonymousId": DEVICE,
        "timestamp": at(minute(number)),
        "name": "Home",
        "properties": {},
        "context": {
            "page": {"url": f"https://shop.example/p/{number % 977}", "path": f"/p/{number % 977}"},
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36",
            "library": {"name": "analytics.js", "version": "2.1.0"},
        },
    }
    if number // SESSION % 2:
        call["properties"]["richpanel_session_id"] = f"s{number // SESSION}"
    if number % order_every == order_every - 1:
        call.update(type="track", event="Order Completed")
        call["properties"].update(order_id=f"o{number}", total=10, currency="USD")
    return call


def records(events: int, *, first: int = 0, each: int = 500, order_every: int = 100) -> Iterator[Arrived]:
    """The bot's events, in records as they arrive."""
    for start in range(first, first + events, each):
        numbers = range(start, min(start + each, first + events))
        items = [event(number, order_every=order_every) for number in numbers]
        yield Arrived(items, at=T0 + round(minute(numbers[-1]) * MINUTE) + 1000)


def batched(arrived: Iterable[Arrived], count: int) -> Iterator[list[Arrived]]:
    """So many records at a time: no more may wait for the disk."""
    rest = iter(arrived)
    while part := list(islice(rest, count)):
        yield part


def grow(account: Account, arriving: Iterable[Arrived]) -> None:
    """Let the bot's events arrive, and apply them."""
    for part in batched(arriving, 100):
        account.write(part)
        account.process(8 << 20)
