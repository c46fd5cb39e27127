"""What a benchmark says: figures beside their references and targets, as a table and as JSON."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from richpanel.store.database import SQLITE_VERSION

CEILINGS: Final = {"append": 243_000.0, "bare app": 40_000.0}
"""What the machine of the ceilings gave (events/s appended and synced, requests/s decoded), sustained, on one core."""
VOID_BELOW: Final = 0.7


class Target(msgspec.Struct):
    """What is wanted, in words, and whether it is so; None where this run cannot tell."""

    text: str
    met: bool | None


class Figure(msgspec.Struct):
    """One row of the table. `reference` was measured in the same run; `details` is what else was seen."""

    row: int
    name: str
    measured: float
    unit: str
    reference: float | None = None
    against: str = ""
    ratio: float | None = None
    targets: list[Target] = []
    details: dict[str, Any] = {}
    void: str = ""

    @property
    def met(self) -> bool | None:
        """Whether all targets are met."""
        verdicts = [target.met for target in self.targets]
        return False if False in verdicts else None if None in verdicts or not verdicts else True


def at_least(value: float, wanted: float, text: str) -> Target:
    """Want a value of `wanted` or more."""
    return Target(f">= {text}", value >= wanted)


def at_most(value: float, wanted: float, text: str) -> Target:
    """Want a value of `wanted` or less."""
    return Target(f"<= {text}", value <= wanted)


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value that so large a share of the values does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def milliseconds(latencies: Sequence[float]) -> dict[str, float]:
    """Give the percentiles of latencies that are in seconds."""
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    return {f"{name} ms": round(percentile(latencies, share) * 1000, 2) for name, share in shares.items()}


def voided(reference: float, ceiling: str) -> str:
    """Say why a figure does not count, where the machine gives its reference less than it should."""
    share = reference / CEILINGS[ceiling]
    if share >= VOID_BELOW:
        return ""
    return f"the reference is at {share:.0%} of its ceiling of {CEILINGS[ceiling]:,.0f}/s: the machine was not free"


def number(value: float | None) -> str:
    """Write a number for people: three digits that count."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print the table, then what else was seen, then the figures that do not count."""
    table = Table("row", "figure", "measured", "reference", "ratio", "target", "met")
    for figure in figures:
        verdict = {True: "[green]yes", False: "[red]no", None: "-"}[figure.met]
        against = f"{number(figure.reference)} ({figure.against})" if figure.reference is not None else "-"
        table.add_row(
            str(figure.row),
            figure.name,
            f"{number(figure.measured)} {figure.unit}",
            against,
            number(figure.ratio),
            "; ".join(target.text for target in figure.targets) or "-",
            "[yellow]void" if figure.void else verdict,
        )
    console.print(table)
    for figure in figures:
        if figure.details:
            seen = ", ".join(f"{name} {number(value) if isinstance(value, int | float) else value}"
                             for name, value in figure.details.items())  # fmt: skip
            console.print(f"[bold]{figure.row} {figure.name}[/]: {seen}", highlight=False)
        if figure.void:
            console.print(f"[yellow]void: {figure.row} {figure.name}: {figure.void}")


def machine() -> dict[str, object]:
    """Say what the figures were measured on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": SQLITE_VERSION,
    }


def write(
    figures: Sequence[Figure], options: object, before: dict[str, object], path: Path | None, folder: Path
) -> Path:
    """Write the figures as JSON: to `path`, else to a file in `folder` that is named after the time."""
    at = datetime.now(UTC)
    path = path or folder / f"{at:%Y%m%d-%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{**msgspec.to_builtins(figure), "met": figure.met} for figure in figures]
    found = {"at": at.isoformat(), "machine": before, "options": options, "figures": rows}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    return path
