"""Delivering outside: what the state keeps for destinations that are not the built-in account."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from signal import SIGTERM
from typing import Final

import uvloop

from richpanel import __version__, telemetry
from richpanel.config import Settings
from richpanel.core.retrying import Patience
from richpanel.deliver.books import Books, Store
from richpanel.deliver.courier import Means
from richpanel.deliver.dispatch import Dispatch
from richpanel.deliver.sending import Sender
from richpanel.log.opening import open_reader
from richpanel.roles.clock import now_ms
from richpanel.roles.parent import CannotRunError, Parent
from richpanel.store.advisory import Seat
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.secrets import SecretKeyError, open_secrets

_HOUR_MS: Final = 3_600_000


def run(settings: Settings, parent: Parent, told: threading.Event) -> None:
    """Deliver until `told` to stop; what is under way is finished first. Raises CannotRunError."""
    directory = DataDirectory(settings.data, settings.database_url, settings.log_url)
    try:
        secrets = open_secrets(directory.path, settings.secret_key)
    except SecretKeyError as error:
        raise CannotRunError(str(error)) from error
    reader = open_reader(directory.log, settings.log_url)
    engines = (
        open_engine(directory.delivery_url),
        open_engine(directory.account_url, cache_mib=1),
        open_engine(directory.state_url, read_only=True, cache_mib=8),
        open_engine(directory.account_url, read_only=True, cache_mib=1),
    )
    with closing(reader), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_deliver(settings, parent, told, Books(Store(*engines, reader.slice, secrets, now_ms))))
    for engine in engines:
        engine.dispose()


def _tell(parent: Parent, books: Books, resting: dict[int, bool]) -> None:
    """Tell which destinations are left alone just now."""
    for number, is_resting in resting.items():
        if (destination := books.setup.destinations.get(number)) is not None:
            telemetry.DELIVER_RESTS.set(float(is_resting), destination.id)
    parent.say(figures=telemetry.snapshot())


async def _deliver(settings: Settings, parent: Parent, told: threading.Event, books: Books) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(SIGTERM, stop.set)
    if told.is_set():
        return
    url = settings.database_url
    place = None if url is None else lambda number: Seat(url, f"delivering {number}")
    sender = Sender(f"richpanel-destination/{__version__}", allow_private=settings.allow_private_endpoints)
    with ThreadPoolExecutor(1, thread_name_prefix="books") as hands:
        patience = Patience(lasting=settings.delivery_patience * _HOUR_MS)
        means = Means(books, sender, hands, now_ms, patience, kept_days=settings.delivery_retention)
        dispatch = Dispatch(means, place, settings.drain_timeout, lambda resting: _tell(parent, books, resting))
        await dispatch.run(stop)
        await sender.close()
