"""What is kept of events is as little as the values of any later instant need (core/kept.py)."""

from decimal import Decimal
from typing import Any

from richpanel.core.kept import Categories, Outermost, Sums, Times, Total
from richpanel.core.stamps import Stamp
from richpanel.core.windows import NEVER


def stamp(t: int) -> Stamp:
    return (t, f"m{t}", "web")


def filled(way: Any, *events: tuple[int, list[str]]) -> Any:
    kept = way.empty()
    for t, readings in events:
        way.add(kept, stamp(t), readings)
    return kept


def test_times_are_the_newest_of_a_window() -> None:
    way = Times(10, 3)
    assert filled(way, (1, []), (5, []), (3, []), (4, [])) == [3, 4, 5]
    assert filled(way, (1, []), (11, [])) == [11]  # The first ends as the second comes.
    assert filled(way, (11, []), (1, [])) == [11]
    assert list(way.steps([3, 4, 4, 5], 3)) == [(3, 4), (1, 5), (0, NEVER)]


def test_a_total_stops_where_nobody_looks_further() -> None:
    way = Total(2)
    kept = filled(way, (1, []), (2, []), (3, []))
    assert kept == [2]
    assert not way.add(kept, stamp(4), [])
    way.join(kept, [1])
    assert kept == [2]


def test_sums_are_exact() -> None:
    kept = filled(Sums("sum"), *[(t, ["0.10"]) for t in range(10)])
    assert kept == [10, "1.00"]
    assert not Sums("sum").add(kept, stamp(11), [])
    assert list(Sums("average").steps(kept, 0)) == [(Decimal("0.10"), NEVER)]


def test_the_outermost_is_one() -> None:
    assert filled(Outermost("minimum"), (1, ["5.00", "10.00"]), (2, ["9.00"])) == ["5.00"]
    assert filled(Outermost("last"), (2, ["1"]), (1, ["2"])) == [2, "m2", "web", "1"]
    assert filled(Outermost("first"), (2, ["1"]), (1, ["2"])) == [1, "m1", "web", "2"]


def test_a_category_that_is_known_changes_nothing_unless_it_is_counted() -> None:
    unique, frequent = Categories("unique_count"), Categories("most_frequent")
    kept = filled(unique, (1, ['"a"']), (2, ['"b"', '"a"']))
    assert kept == {'"a"': 1, '"b"': 1}
    assert not unique.add(kept, stamp(3), ['"a"'])
    assert filled(frequent, (1, ['"a"']), (2, ['"b"', '"a"'])) == {'"a"': 2, '"b"': 1}
