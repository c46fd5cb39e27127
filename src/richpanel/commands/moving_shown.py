"""What `richpanel migrate-to` says on its way: lines and a progress bar for people, or events for programs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final

from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from richpanel.commands.invocation import console, print_json

_EVENT_SECONDS: Final = 1.0
_BYTES: Final = "bytes"


class Telling:
    """Says what happens. A bar is shown where standard error is a terminal."""

    def __init__(self, *, json: bool) -> None:
        """With `json`, events go to standard output instead."""
        self.json = json
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[counts]}"))
        out = console(stderr=True)
        self._bar = Progress(*columns, TimeRemainingColumn(), console=out, disable=not out.is_terminal, transient=True)

    def __enter__(self) -> "Telling":
        """Show the bar."""
        if not self.json:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Show it no more."""
        self._bar.stop()

    def say(self, event: str, text: str, **facts: object) -> None:
        """Say that something has happened, or is about to."""
        if self.json:
            print_json({"event": event, **facts})
            return
        shown = self._bar.live.is_started
        self._bar.stop()  # It goes to standard error, and would be written over.
        console().print(text)
        if shown:
            self._bar.start()

    @contextmanager
    def task(self, step: str, total: int | None, unit: str = "rows") -> Iterator[Callable[[int], None]]:
        """Show how far a step is; gives what is to hear of more that is done."""
        meter = _Meter(step, total, unit, began=monotonic())
        task = self._bar.add_task(step, total=total, counts="")
        said = meter.began

        def show(more: int) -> None:
            nonlocal said
            meter.done += more
            self._bar.update(task, completed=meter.done, counts=str(meter))
            if self.json and monotonic() - said >= _EVENT_SECONDS:
                said = monotonic()
                print_json({"event": "progress", **meter.facts})

        try:
            yield show
        finally:
            self._bar.remove_task(task)
        if self.json:
            print_json({"event": "done", **meter.facts})


class _Meter:
    def __init__(self, step: str, total: int | None, unit: str, *, began: float) -> None:
        self.step = step
        self.total = total
        self.unit = unit
        self.began = began
        self.done = 0

    @property
    def facts(self) -> dict[str, Any]:
        seconds = round(monotonic() - self.began, 3)
        return {"step": self.step, self.unit: self.done, "total": self.total, "seconds": seconds}

    def __str__(self) -> str:
        rate = self.done / max(monotonic() - self.began, 1e-3)
        if self.unit == _BYTES:
            of = "" if self.total is None else f" of {decimal(self.total)}"
            return f"{decimal(self.done)}{of}, {decimal(round(rate))}/s"
        of = "" if self.total is None else f" of {self.total:,}"
        return f"{self.done:,}{of}, {rate:,.0f}/s"
