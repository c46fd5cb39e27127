"""What `richpanel rebuild` shows, and asks, on either set-up."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from richpanel.commands.invocation import console, print_json, print_table
from richpanel.commands.rebuild_told import Telling
from richpanel.commands.stopping import stopping
from richpanel.store.comparison import Tally
from richpanel.store.rebuilds import Step

DIFFERENT: Final = 3
"""The exit code where the new state is not what the old one is, switched or not."""
_DIFFERENCES: Final = {"different": "different", "onlyOld": "only in the old", "onlyNew": "only in the new"}


@dataclass(frozen=True)
class Choice:
    """What the command line says."""

    dry_run: bool
    yes: bool
    json: bool

    def switches(self, tallies: list[Tally]) -> bool:
        """Tell whether to switch; ask where that is open and somebody is there to answer."""
        if self.dry_run:
            return False
        if self.yes or all(tally.is_equal for tally in tallies):
            return True
        if self.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
            return False
        return console().input("Switch to the new state nevertheless? [y/N] ").strip().lower() in ("y", "yes")


@dataclass(frozen=True)
class Outcome:
    """How it ended: where both were compared (a position of the log), how they compare, and how long it took."""

    position: int
    switched: bool
    seconds: float
    tallies: list[Tally]

    def tell(self, choice: Choice) -> None:
        """Print it, and end the command where the two differ."""
        equal = all(tally.is_equal for tally in self.tallies)
        if choice.json:
            shown = {"position": self.position, "equal": equal, "switched": self.switched}
            print_json({**shown, "seconds": round(self.seconds, 3), "comparison": self.tallies})
        else:
            console().print(_said(equal=equal, switched=self.switched, dry_run=choice.dry_run))
        if not equal:
            sys.exit(DIFFERENT)


def _said(*, equal: bool, switched: bool, dry_run: bool) -> str:
    compared = "The new state equals the old one" if equal else "The new state differs from the old one"
    if switched:
        return f"{compared}; the new one is in force."
    why = "--dry-run" if dry_run else "--yes switches nevertheless"
    return f"{compared}; the old one stays in force ({why})."


class Bar:
    """A progress bar on a terminal; elsewhere nothing. At each step that it is told of the command may be stopped.

    `telling` hears of each step as well, and may end the rebuild.
    """

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[counts]}"),
            TimeRemainingColumn(),
        )
        out = console(stderr=True)
        self._bar = Progress(*columns, console=out, disable=not out.is_terminal, transient=True)
        self._task = self._bar.add_task("rebuild", total=None, counts="")

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def stop(self) -> None:
        """Make room for what is printed."""
        self._bar.stop()

    def say(self, what: Step) -> None:
        """Show what is being done where nobody knows how long it takes."""
        stopping.obey()
        self._telling(what)
        self._bar.start()
        self._bar.reset(self._task, description=what, total=None, counts="")

    def folded(self, until: int) -> Callable[[int], bool]:
        """Give what shows how far the log is folded."""
        self._bar.start()
        self._bar.reset(self._task, description="fold", total=until, counts="")

        def show(position: int) -> bool:
            stopping.obey()
            self._telling("fold", position, until)
            counts = f"{position / 1e6:,.1f} of {until / 1e6:,.1f} MB of the log"
            self._bar.update(self._task, completed=position, counts=counts)
            return True

        return show

    def compared(self, kind: str, done: int, total: int) -> None:
        """Show how far the comparison is."""
        stopping.obey()
        self._telling("compare", done, total)
        counts = f"{done:,} of {total:,} {kind}"
        self._bar.update(self._task, description="compare", completed=done, total=total, counts=counts)

    def taken_up(self, total: int) -> Callable[[int], None]:
        """Give what shows how many of so many messages are folded, on a cluster."""
        self._bar.start()
        self._bar.reset(self._task, description="fold", total=total, counts="")
        done = 0

        def show(more: int) -> None:
            nonlocal done
            stopping.obey()
            done += more
            self._telling("fold", done, max(done, total))
            self._bar.update(self._task, completed=done, counts=f"{done:,} of {max(done, total):,} messages")

        return show


def show_tallies(tallies: list[Tally]) -> None:
    """Print how the two compare."""
    rows = [
        [tally.kind, *(f"{count:,}" for count in (tally.equal, tally.different, tally.only_old, tally.only_new))]
        for tally in tallies
    ]
    print_table(["", "equal", *_DIFFERENCES.values()], rows, empty="")
    examples = [
        [tally.kind, _DIFFERENCES[example.difference], example.who, example.detail]
        for tally in tallies
        for example in tally.examples
    ]
    if examples:
        print_table(["", "how", "which", "in what"], examples, empty="")
