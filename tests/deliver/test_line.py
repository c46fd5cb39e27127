"""A line in memory gives what a search among all that waits would give, however it is used."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from richpanel.deliver.line import Line, Waiting

ANN, BOB, PHONE = 11, 12, 13
LIVE, BULK = 0, 1
NOW = 1_000


def waiting(id_: int, identity: int, alias: int = 0, lane: int = LIVE, due_at: int = NOW) -> Waiting:
    return Waiting(id_, identity, alias, lane, due_at)


def line_of(*rows: Waiting) -> Line:
    line = Line()
    assert line.add(rows) == len(rows)
    return line


def test_a_person_s_calls_come_one_after_the_other() -> None:
    line = line_of(waiting(1, ANN), waiting(2, BOB, PHONE), waiting(3, ANN), waiting(4, PHONE), waiting(5, 99))
    assert line.take(LIVE, NOW, 10) == [1, 2, 5]
    assert line.take(LIVE, NOW, 10) == []
    line.finish(2)
    assert line.take(LIVE, NOW, 10) == [4]
    line.finish(1)
    assert line.take(LIVE, NOW, 10) == [3]
    assert len(line) == 3


def test_lanes_do_not_wait_for_each_other() -> None:
    line = line_of(waiting(1, ANN, lane=BULK), waiting(2, ANN))
    assert (line.take(LIVE, NOW, 1), line.take(BULK, NOW, 1)) == ([2], [1])


def test_what_is_put_off_holds_up_its_own_person_alone() -> None:
    line = line_of(waiting(1, ANN), waiting(2, ANN), waiting(3, BOB))
    assert line.take(LIVE, NOW, 1) == [1]
    line.put_off(1, NOW + 500)
    assert line.take(LIVE, NOW, 10) == [3]
    assert line.next_due(NOW) == NOW + 500
    assert line.take(LIVE, NOW + 500, 10) == [1]


def test_what_was_given_and_is_not_under_way_is_given_again() -> None:
    line = line_of(waiting(1, ANN), waiting(2, BOB), waiting(3, ANN))
    assert line.take(LIVE, NOW, 10) == [1, 2]
    line.hold([2])
    assert line.take(LIVE, NOW, 10) == [1]
    line.hold([3])  # As claimed by a search beside the line.
    line.finish(1)
    assert line.take(LIVE, NOW, 10) == [2]


def test_whoever_goes_from_the_middle_leaves_the_order_as_it_was() -> None:
    line = line_of(waiting(1, ANN), waiting(2, ANN, PHONE), waiting(3, PHONE))
    line.finish(2)
    assert line.take(LIVE, NOW, 10) == [1]
    line.finish(1)
    assert line.take(LIVE, NOW, 10) == [3]
    assert len(line) == 1
    assert line.add([waiting(2, ANN), waiting(3, PHONE)]) == 1  # Known ones stand where they stand.


PEOPLE = st.tuples(st.integers(1, 5), st.integers(0, 5), st.integers(0, 1), st.integers(0, 3))
STEPS = st.tuples(st.sampled_from(["take", "finish", "put off", "release"]), st.integers(0, 9), st.integers(1, 3))


@given(st.lists(PEOPLE, max_size=30), st.lists(STEPS, max_size=80))
def test_it_gives_what_a_search_would(
    people: list[tuple[int, int, int, int]], steps: list[tuple[str, int, int]]
) -> None:
    rows = {id_: waiting(id_, *each) for id_, each in enumerate(people, 1)}
    line, taken, now = line_of(*rows.values()), list[int](), 0
    for do, which, limit in steps:
        now += which % 2
        if do == "take":
            for lane in (LIVE, BULK):
                wanted = search(rows, taken, lane, now)
                found = line.take(lane, now, limit)
                assert found == wanted[:limit]
                taken += found
        elif taken:
            id_ = taken.pop(which % len(taken))
            if do == "finish":
                line.finish(id_)
                del rows[id_]
            elif do == "put off":
                rows[id_] = rows[id_]._replace(due_at=now + limit)
                line.put_off(id_, now + limit)
            else:
                line.hold(taken)
        assert len(line) == len(rows)


def search(rows: dict[int, Waiting], taken: list[int], lane: int, now: int) -> list[int]:
    """The rule, said without any memory."""

    def numbers(row: Waiting) -> set[Any]:
        return {row.identity, row.alias} - {0}

    free = [
        row
        for row in rows.values()
        if row.lane == lane and row.due_at <= now and row.id not in taken
        if not any(e.id < row.id and e.lane == lane and numbers(e) & numbers(row) for e in rows.values())
    ]
    return [row.id for row in sorted(free, key=lambda row: (row.due_at, row.id))]
