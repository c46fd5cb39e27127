"""Calls for a destination outside, and what became of them, written as the delivering role writes it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from richpanel.store import deliveries, delivery_requests
from richpanel.store.database import open_engine
from richpanel.store.deliveries import ACCEPTED, DEAD, FAILED, LIVE, RETRYING, Attempt, Result
from richpanel.store.destinations import list_destinations
from tests.web.running import NOW, Site

URL = "https://api.richpanel.com"
PAYLOAD = b'{"event":"order_completed","uid":"ann"}'


@contextmanager
def writing(site: Site) -> Iterator[Connection]:
    """The deliveries, to write to."""
    engine = open_engine(site.directory.delivery_url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def hosted(site: Site) -> tuple[str, int]:
    """A destination outside, connected to the website; give its id and number."""
    body = {"name": "Hosted", "settings": {"apiKey": "k"}, "endpoint": URL, "sources": [site.source().id]}
    made = site.api("POST", "/destinations", body).json()["id"]
    engine = open_engine(site.directory.account_url, read_only=True)
    with engine.connect() as connection:
        number = next(row.number for row in list_destinations(connection) if row.id == made)
    engine.dispose()
    return made, number


def take_over(site: Site, number: int) -> None:
    """Take over what is in the outbox."""
    state = open_engine(site.directory.state_url, read_only=True)
    with writing(site) as connection, state.connect() as reading:
        deliveries.take_over(connection, reading, number, now=NOW)
    state.dispose()


def answered(site: Site, number: int, *statuses: int) -> None:
    """Answer what is due, in order; statuses that are left over are for nobody."""
    with writing(site) as connection:
        due = deliveries.due(connection, number, LIVE, now=NOW, limit=100)
        deliveries.record(connection, [_result(each, status) for each, status in zip(due, statuses, strict=False)])


def grant(site: Site) -> None:
    """Do what was asked of deliveries, as the delivering role does it."""
    notes = open_engine(site.directory.account_url)
    with notes.begin() as account, writing(site) as connection:
        asked = delivery_requests.waiting(account)
        delivery_requests.grant(connection, asked, site.clock())
        delivery_requests.done(account, asked)
    notes.dispose()


def _result(delivery: deliveries.Delivery, status: int) -> Result:
    said = {
        ACCEPTED: Attempt(NOW, 80, 200, None, PAYLOAD, b'{"ok":true}'),
        RETRYING: Attempt(NOW, 5_000, None, "request_timeout", PAYLOAD),
        FAILED: Attempt(NOW, 40, 400, "invalid_value", PAYLOAD, b"what is this? <b>"),
        DEAD: Attempt(NOW, 40, 503, "overloaded", PAYLOAD, b"busy"),
    }[status]
    return Result(delivery, status, NOW, said, said.code, NOW + 60_000 if status == RETRYING else None)
