"""What a run of the benchmarks is told, and what its rows share: the console, progress bars, the place for data."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from bench.report import Figure

RESULTS: Final = Path(__file__).parent / "results"


class Options(msgspec.Struct, frozen=True):
    """How much is measured.

    `seconds`: each timed phase. `events`: each whole path (rows 5 and 6; row 13). `growth`, `customers`: the size of
    rows 7, 8, 11 and 12. `deliveries`, `backlog`: what waits in rows 9 and 10.
    """

    rows: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
    seconds: float = 30.0
    events: int = 1_200_000
    growth: int = 1_000_000
    customers: int = 200_000
    deliveries: int = 100_000
    backlog: int = 100_000

    @property
    def corpus(self) -> int:
        """Events that are made beforehand for a timed phase; they are then sent again with other ids."""
        return int(self.seconds * 10_000)

    @property
    def idle_seconds(self) -> float:
        """How long the server has to idle."""
        return self.seconds / 3

    @property
    def first(self) -> int:
        """The size with which growth is compared: 500 k events, half of all in shorter runs."""
        return min(500_000, self.growth // 2)


QUICK: Final = Options(seconds=5.0, events=150_000, growth=300_000, customers=50_000, deliveries=20_000, backlog=10_000)


@dataclass
class Bench:
    """A run: its options, what it has found so far, and where it may put data."""

    options: Options
    console: Console
    where: Path = RESULTS
    figures: list[Figure] = field(default_factory=list)

    @contextmanager
    def task(self, title: str, total: float) -> Iterator["Task"]:
        """Show a progress bar while the block runs."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        if not self.console.is_terminal:
            self.console.print(f"{title} ...", highlight=False)
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as progress:
            yield Task(progress, progress.add_task(title, total=round(total)))

    def found(self, figure: Figure) -> None:
        """Note a figure, and say so."""
        self.figures.append(figure)


@dataclass
class Task:
    """One progress bar."""

    _progress: Progress
    _id: TaskID
    _started: float = field(default_factory=monotonic)

    def to(self, done: float) -> None:
        """Show how far it is."""
        self._progress.update(self._id, completed=round(done))

    def tick(self) -> None:
        """Show how many seconds it has taken."""
        self.to(monotonic() - self._started)
