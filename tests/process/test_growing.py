"""Pieces that are being made: each covers a short time, whatever comes late."""

from richpanel.process.growing import Growing, Growths

HOUR = 3_600_000
DAY = 24 * HOUR


def test_what_comes_late_grows_apart_by_its_time() -> None:
    growths = Growths(1)
    timely = growths.of(100 * DAY)
    assert growths.of(100 * DAY - HOUR) is timely
    last_month, long_ago = growths.of(70 * DAY), growths.of(3 * DAY)
    assert len({id(each) for each in (timely, last_month, long_ago)}) == 3
    assert growths.of(71 * DAY) is last_month
    assert growths.of(101 * DAY) is timely
    assert growths.all() == [timely, last_month, long_ago]


def test_one_that_is_stored_begins_anew_and_the_others_go_on() -> None:
    growths = Growths(1)
    timely, late = growths.of(100 * DAY), growths.of(3 * DAY)
    for growing in (timely, late):
        growths.begin_anew(growing)
    assert growths.all() == []
    assert growths.of(3 * DAY) not in (timely, late), "it is still late"
    assert growths.timely is None


def test_it_knows_what_it_holds() -> None:
    growing = Growing(5, 1)
    growing.hold(7, (5, "m", "s"), None)
    growing.hold(9, (3, "n", "s"), "o1")
    growing.hold(8, (6, "o", "s"), None)
    assert (growing.numbers, growing.low, growing.high) == ([7, 9, 8], 3, 6)
    assert growing.made().orders == [("o1", (3, "n", "s"))]
