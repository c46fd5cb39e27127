"""Sessions (semantics.md 5): explicit ones by id, generated ones by gaps, whatever comes in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.session import GAP_MS, Book, Event, Session, of_event
from richpanel.core.stamps import Stamp

GAP = 30
MARKS = st.none() | st.sampled_from(["/a", "/b", "/c"])
EVENTS = st.builds(
    Event,
    st.builds(lambda t, message: (t, f"m{message}", "src"), st.integers(0, 200), st.integers(0, 99)),
    st.sampled_from(["", "", "s1", "s2"]),
    st.booleans(),
    MARKS,
    MARKS,
    MARKS,
    MARKS,
)
HISTORIES = st.lists(EVENTS, max_size=25, unique_by=lambda event: event.stamp)

MINUTE = 60_000


def event(t: int, key: str = "", message: str = "m") -> Event:
    return Event((t, f"{message}{t}", "src"), key)


def fill(events: list[Event], gap: int = GAP_MS, loaded: list[Session] | None = None) -> Book:
    book = Book(loaded or [], gap)
    for each in events:
        book.add_event(each)
    return book


def times(book: Book) -> list[tuple[int, int, int]]:
    """Start, end and number of events of each session."""
    return [(session.start, session.end, session.events) for session in book.all()]


def naive(events: list[Event], gap: int) -> list[Session]:
    """All sessions, by looking at all events in order."""
    clusters: dict[str, list[Event]] = {}
    generated: list[list[Event]] = []
    for each in sorted(events, key=lambda one: one.stamp):
        if each.key:
            clusters.setdefault(each.key, []).append(each)
        elif generated and each.stamp[0] - generated[-1][-1].stamp[0] < gap:
            generated[-1].append(each)
        else:
            generated.append([each])

    def marks(cluster: list[Event], field: str) -> list[tuple[Stamp, str]]:
        return [(each.stamp, value) for each in cluster if (value := getattr(each, field)) is not None]

    def session(cluster: list[Event]) -> Session:
        return Session(
            key=cluster[0].key,
            first=cluster[0].stamp,
            last=cluster[-1].stamp,
            events=len(cluster),
            visit=any(each.visit for each in cluster),
            landing=next(iter(marks(cluster, "page")), None),
            exit=next(reversed(marks(cluster, "page")), None),
            referrer=next(iter(marks(cluster, "referrer")), None),
            campaign=next(iter(marks(cluster, "campaign")), None),
            device=next(reversed(marks(cluster, "device")), None),
        )

    return sorted(map(session, [*clusters.values(), *generated]), key=lambda found: found.first)


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ([0], [(0, 0, 1)]),
        ([0, 29], [(0, 29, 2)]),
        ([0, 30], [(0, 0, 1), (30, 30, 1)]),
        ([30, 0], [(0, 0, 1), (30, 30, 1)]),
        ([0, 40, 20], [(0, 40, 3)]),  # A late event joins two sessions,
        ([20, 0], [(0, 20, 2)]),  # or moves a start.
        ([0, 60, 30], [(0, 0, 1), (30, 30, 1), (60, 60, 1)]),
        ([0, 29, 58, 87], [(0, 87, 4)]),
        ([0, 0, 0], [(0, 0, 3)]),
    ],
)
def test_generated_sessions_are_cut_by_gaps(minutes: list[int], expected: list[tuple[int, int, int]]) -> None:
    events = [event(t * MINUTE, message=f"m{number}") for number, t in enumerate(minutes)]
    assert times(fill(events)) == [(start * MINUTE, end * MINUTE, count) for start, end, count in expected]


def test_the_gap_is_30_minutes_to_the_millisecond() -> None:
    assert len(fill([event(0), event(30 * MINUTE - 1)]).all()) == 1
    assert len(fill([event(0), event(30 * MINUTE)]).all()) == 2


def test_the_gap_is_a_setting() -> None:
    assert len(fill([event(0), event(30 * MINUTE)], gap=31 * MINUTE).all()) == 1


def test_a_given_id_makes_one_session_whatever_the_gaps() -> None:
    book = fill([event(0, "s1"), event(500 * MINUTE, "s1")])
    assert times(book) == [(0, 500 * MINUTE, 2)]
    assert [session.id for session in book.all()] == ["s1"]


def test_events_with_an_id_do_not_bridge_the_gaps_of_those_without() -> None:
    book = fill([event(0), event(20 * MINUTE, "s1"), event(40 * MINUTE)])
    assert times(book) == [(0, 0, 1), (20 * MINUTE, 20 * MINUTE, 1), (40 * MINUTE, 40 * MINUTE, 1)]


def test_the_generated_id_derives_from_the_first_event_alone() -> None:
    one = of_event(Event((5, "m5", "src"), page="/a"))
    grown = fill([Event((5, "m5", "src")), Event((6, "m6", "other"))]).all()[0]
    assert one.id == grown.id
    assert one.id.startswith("ses_")
    others = [(5, "m6", "src"), (5, "m5", "other")]
    assert len({one.id, *(of_event(Event(stamp)).id for stamp in others)}) == 3
    assert of_event(Event((99, "m5", "src"))).id == one.id


def test_a_late_event_moves_the_generated_id_with_the_start() -> None:
    before = fill([event(20 * MINUTE)]).all()[0].id
    after = fill([event(20 * MINUTE), event(0)]).all()[0].id
    assert after == fill([event(0)]).all()[0].id != before


@given(HISTORIES)
def test_events_in_any_order_give_a_fresh_computation(events: list[Event]) -> None:
    book = fill(events, GAP)
    expected = naive(events, GAP)
    assert book.all() == expected
    assert [session.id for session in book.all()] == [session.id for session in expected]
    assert book.visits == sum(session.visit for session in expected)


@given(HISTORIES, HISTORIES)
def test_joining_whole_sessions_gives_a_fresh_computation(one: list[Event], other: list[Event]) -> None:
    known = {each.stamp for each in one}
    other = [each for each in other if each.stamp not in known]
    book = fill(one, GAP)
    for session in fill(other, GAP).all():
        book.add(session)
    expected = naive([*one, *other], GAP)
    assert book.all() == expected
    assert book.visits == sum(session.visit for session in expected)


@given(HISTORIES, st.data())
def test_a_book_loaded_again_goes_on(events: list[Event], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(events)))
    first = fill(events[:cut], GAP)
    visits = first.visits
    second = fill(events[cut:], GAP, loaded=first.all())
    expected = naive(events, GAP)
    assert second.all() == expected
    assert visits + second.visits == sum(session.visit for session in expected)
