"""REST: `/status`, how fresh the answers are (contract.md, "REST API")."""

import msgspec
from litestar import get
from litestar.di import NamedDependency as Given

from richpanel.core.timestamps import iso
from richpanel.log.age import waiting_since
from richpanel.log.contract import LogDamaged, LogGone
from richpanel.store.bulk import fetch
from richpanel.store.database import reading as snapshot
from richpanel.store.delivery_waiting import waiting
from richpanel.store.status import Progress, message_count, processed, source_counts
from richpanel.web.stores import Reading, Stores


class LogStatus(msgspec.Struct):
    """The log: the position behind its last record that is safe."""

    last: int


class DeliveryStatus(msgspec.Struct, rename="camel"):
    """What is for destinations outside and not delivered; the oldest that waits is so many seconds old."""

    queued: int
    retrying: int
    dead: int
    oldest_waiting_seconds: float


class Status(msgspec.Struct, rename="camel"):
    """Every record at or below `processed` is in the answers; the oldest that is not is so many seconds old.

    `messages` counts those that are there, `outcomes`, by source id, what became of all that came; `received_at` is
    when the newest of them arrived. `deliveries` has what waits to be sent outside.
    """

    log: LogStatus
    processed: int
    oldest_unprocessed_seconds: float
    messages: int
    outcomes: dict[str, dict[str, int]]
    received_at: str | None
    deliveries: DeliveryStatus


def _oldest_unprocessed(reading: Reading, progress: Progress, last: int) -> float:
    """Give the age in seconds of the first record that is not in the answers, 0 where all are."""
    if progress.position >= last:
        return 0.0
    try:
        arrived = waiting_since(reading.log, progress.position)
    except (LogGone, LogDamaged):
        arrived = progress.received_at
    if arrived is None:
        return 0.0
    return max(0, reading.now - arrived) / 1000


def read_status(reading: Reading) -> Status:
    """Read how far processing is."""
    last = reading.log.end_now()  # Not as it was told: who waits for what was answered must not be told too little.
    progress = processed(reading.state)
    names = {number: source.id for number, source in reading.sources.items()}
    counts = source_counts(reading.state)
    return Status(
        log=LogStatus(last),
        processed=progress.position,
        oldest_unprocessed_seconds=_oldest_unprocessed(reading, progress, last),
        messages=message_count(counts),
        outcomes={names.get(number, str(number)): found for number, found in counts.items()},
        received_at=iso(progress.received_at) if progress.received_at else None,
        deliveries=_deliveries(reading),
    )


def _deliveries(reading: Reading) -> DeliveryStatus:
    with snapshot(reading.deliveries) as connection:
        found = waiting(lambda query: fetch(connection, query), reading.known.destination_ids)
    oldest = min((each.oldest_at for each in found if each.oldest_at is not None), default=None)
    return DeliveryStatus(
        sum(each.queued for each in found),
        sum(each.retrying for each in found),
        sum(each.dead for each in found),
        0.0 if oldest is None else max(reading.now - oldest, 0) / 1000,
    )


@get("/status", operation_id="getStatus", tags=["Status"])
async def status(stores: Given[Stores]) -> Status:
    """Tell how much of the log is in the answers."""
    return await stores.read(read_status)
