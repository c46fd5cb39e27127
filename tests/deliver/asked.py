"""Deliveries as they are asked for when they are sent."""

from collections.abc import Sequence

from richpanel.store import deliveries
from richpanel.store.deliveries import Delivery
from richpanel.store.outbox import Outgoing


def asked(found: Sequence[Outgoing], destination: int, *, stray: int = 0) -> list[Delivery]:
    """Give the deliveries of what waits, none tried yet, each so many bytes beside its place."""
    return [
        Delivery(
            id=number,
            destination=destination,
            place=each.place + stray,
            n=each.n,
            identity=each.identity,
            alias=each.alias,
            lane=each.lane,
            status=deliveries.QUEUED,
            attempts=0,
            due_at=0,
            created_at=0,
            finished_at=None,
            received_at=each.received_at,
            replay="",
            code=None,
            event=each.event,
        )
        for number, each in enumerate(found)
    ]
