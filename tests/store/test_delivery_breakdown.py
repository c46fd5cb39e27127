"""Figures by part of a window and by event; the same on either engine."""

from richpanel.store import delivery_breakdown, delivery_schema
from richpanel.store.bulk import insert
from richpanel.store.deliveries import ACCEPTED, DEAD, DELIVERED, FAILED, QUEUED, RETRYING, SUPERSEDED
from richpanel.store.delivery_breakdown import EventFigures, Moment
from richpanel.store.delivery_reading import Which, list_deliveries
from tests.store.test_deliveries import NOW, OTHER, OUTSIDE, Both, both

__all__ = ["both"]
MINUTE = 60_000
HOUR = 60 * MINUTE


def test_the_parts_of_a_window_have_what_fell_into_them(both: Both) -> None:
    since = NOW - HOUR
    rows = [
        (OUTSIDE, since - MINUTE, DELIVERED, "", 100),
        (OUTSIDE, since, DELIVERED, "", 5),
        (OUTSIDE, since + 14 * MINUTE, ACCEPTED, "", 2),
        (OUTSIDE, since + 15 * MINUTE, FAILED, "answered_400", 3),
        (OUTSIDE, since + 20 * MINUTE, DEAD, "answered_5xx", 4),
        (OUTSIDE, since + 21 * MINUTE, SUPERSEDED, "superseded", 50),
        (OUTSIDE, NOW, RETRYING, "answered_5xx", 6),
        (OTHER, NOW, RETRYING, "answered_5xx", 1_000),
    ]
    with both.delivery.begin() as connection:
        insert(connection, delivery_schema.figures, rows)
        found = delivery_breakdown.series(connection, OUTSIDE, since, NOW, 4)
    assert [(each.delivered, each.failed, each.retries) for each in found] == [
        (7, 0, 0),
        (0, 7, 0),
        (0, 0, 0),
        (0, 0, 6),
    ]
    assert [each.at for each in found] == sorted(each.at for each in found)
    assert isinstance(found[0], Moment)


def put(both: Both, *rows: tuple[str | None, int, int]) -> None:
    """Deliveries: event, status, destination; in this order."""
    columns = ("destination", "place", "n", "identity", "alias", "lane", "status", "attempts", "due_at", "created_at")
    with both.delivery.begin() as connection:
        insert(
            connection,
            delivery_schema.deliveries,
            [
                (destination, place, place, place, 0, 0, status, 0, NOW, NOW, NOW, "", event)
                for place, (event, status, destination) in enumerate(rows, 1)
            ],
            columns=(*columns, "received_at", "replay", "event"),
        )


def test_events_have_what_they_are_now(both: Both) -> None:
    put(both, ("Paid", QUEUED, OUTSIDE), ("Paid", DEAD, OUTSIDE), ("Paid", FAILED, OUTSIDE), (None, ACCEPTED, OUTSIDE))
    with both.delivery.connect() as connection:
        found = delivery_breakdown.by_event(connection, NOW)
        assert delivery_breakdown.by_event(connection, NOW + 1) == {}
    assert list(found) == [OUTSIDE]
    assert delivery_breakdown.shown(found[OUTSIDE]) == [
        EventFigures(event="Paid", queued=1, failed=2),
        EventFigures(event=None, delivered=1),
    ]


def test_the_deliveries_of_an_event_are_found_among_all(both: Both) -> None:
    put(
        both,
        *(("Paid", DELIVERED, OUTSIDE), ("Seen", DELIVERED, OUTSIDE), ("Paid", FAILED, OTHER), ("Paid", DEAD, OUTSIDE)),
    )
    ids = {OUTSIDE: "dst_a", OTHER: "dst_b"}

    def listed(which: Which, cursor: str | None = None, limit: int = 10) -> tuple[list[int], str | None]:
        with both.delivery.connect() as connection:
            page = list_deliveries(connection, ids, which, cursor=cursor, limit=limit)
        return [each.id for each in page.data], page.next

    assert listed(Which(event="Paid")) == ([4, 3, 1], None)
    assert listed(Which(event="Paid", destination="dst_a")) == ([4, 1], None)
    assert listed(Which(event="Paid", destination="dst_a", status="delivered")) == ([1], None)
    assert listed(Which(event="Paid", destination="dst_c")) == ([], None)
    found, cursor = listed(Which(event="Paid"), limit=2)
    assert found == [4, 3]
    assert listed(Which(event="Paid"), cursor, 2) == ([1], None)
