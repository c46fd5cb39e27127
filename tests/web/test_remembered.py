"""What is remembered: the little is counted each time, the much by others than who looks, and nothing gets old."""

from collections.abc import Callable

from richpanel.web.remembered import FRESH_MS, MUCH, OLD_MS, Figured, Remembered

NOW = 1_764_000_000_000


class Looks:
    """Looks at a number that changes, by a clock; what is left for later waits until a test does it."""

    def __init__(self, looked: int) -> None:
        self.left: list[Callable[[], object]] = []
        self.remembered = Remembered(self.left.append, MUCH)
        self.looked = looked
        self.number = 1
        self.now = NOW

    def count(self) -> Figured[int]:
        return Figured(self.number, self.now, self.looked)

    def shown(self, key: str = "a") -> int:
        return self.remembered.give(key, self.now, self.count, self.count).value


def test_the_little_is_counted_each_time() -> None:
    looks = Looks(MUCH)
    assert looks.shown() == 1
    looks.number = 2
    assert (looks.shown(), looks.left) == (2, [])


def test_nobody_waits_for_the_much_to_be_counted_again() -> None:
    looks = Looks(MUCH + 1)
    assert looks.shown() == 1
    looks.number, looks.now = 2, NOW + FRESH_MS - 1
    assert (looks.shown(), len(looks.left)) == (1, 0)
    looks.now += 1
    assert (looks.shown(), looks.shown(), len(looks.left)) == (1, 1, 1), "once for all who ask"
    looks.left.pop()()
    assert (looks.shown(), looks.left) == (2, [])
    looks.now += FRESH_MS
    assert (looks.shown(), len(looks.left)) == (2, 1), "and again once that is over"


def test_the_old_is_given_to_nobody_nor_what_comes_from_the_future() -> None:
    looks = Looks(MUCH + 1)
    looks.shown()
    looks.number, looks.now = 2, NOW + OLD_MS
    assert (looks.shown(), looks.left) == (2, [])
    looks.number, looks.now = 3, NOW
    assert looks.shown() == 3, "the clock was put back"


def test_each_key_has_its_own() -> None:
    looks = Looks(MUCH + 1)
    assert looks.shown("a") == 1
    looks.number = 2
    assert (looks.shown("b"), looks.shown("a")) == (2, 1)


def test_who_cannot_count_it_again_is_no_end() -> None:
    looks = Looks(MUCH + 1)
    looks.shown()
    looks.number, looks.now = 2, NOW + FRESH_MS

    def failing() -> Figured[int]:
        raise OSError("gone")

    looks.remembered.give("a", looks.now, looks.count, failing)
    (again,) = looks.left
    looks.left.clear()
    try:
        again()
    except OSError:
        looks.shown()
    assert len(looks.left) == 1
