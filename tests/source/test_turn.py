"""Turns: work is spread over turns of the loop, and what cannot wait is turned away."""

import asyncio
import time

from richpanel.source.turn import Turn


async def work(turn: Turn, done: list[int], number: int, size: int = 1, seconds: float = 0.0) -> bool:
    """Ask for a turn and, where it comes, keep the loop busy."""
    if not await turn.comes(size):
        return False
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    done.append(number)
    return True


async def test_what_fits_into_a_turn_waits_for_nothing() -> None:
    turn, done = Turn(10.0, 0.0, 0), list[int]()
    assert all(await asyncio.gather(*(work(turn, done, number) for number in range(100))))
    assert done == list(range(100))


async def test_others_have_their_turn_in_between_and_the_first_is_first() -> None:
    turn, done, others = Turn(0.01, 10.0, 1000), list[int](), list[int]()

    async def other() -> None:
        while len(done) < 20:
            others.append(len(done))
            await asyncio.sleep(0)

    watching = asyncio.create_task(other())
    assert all(await asyncio.gather(*(work(turn, done, number, seconds=0.006) for number in range(20))))
    await watching
    assert done == list(range(20))
    assert len(set(others)) >= 10, "not all of it in one turn"
    assert turn.waiting == 0


async def test_nobody_waits_longer_than_there_is_patience() -> None:
    turn, done = Turn(0.01, 0.1, 1000), list[int]()
    started = time.perf_counter()
    taken = await asyncio.gather(*(work(turn, done, number, seconds=0.02) for number in range(100)))
    assert 3 <= taken.count(True) < 50
    assert done == list(range(len(done)))
    assert time.perf_counter() - started < 2.0
    assert turn.waiting == 0


async def test_only_so_much_waits() -> None:
    turn, done = Turn(0.0, 10.0, 25), list[int]()
    taken = await asyncio.gather(*(work(turn, done, number, size=10, seconds=0.001) for number in range(5)))
    assert taken == [True, True, True, False, False]
    assert turn.waiting == 0
