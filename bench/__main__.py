"""`python -m bench`: measure the targets (docs/reference/benchmarks.md); beside it what decisions rest on."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.console import Console

from bench import accept, archives, layouts, logs, profiling, report
from bench.audiences import audiences
from bench.backlog import backlog as measure_backlog
from bench.cluster import Plan, cluster
from bench.clustered import engage_clustered
from bench.delivery import delivery
from bench.growth import growth
from bench.live import live
from bench.load import Load
from bench.membership import membership
from bench.options import QUICK, RESULTS, Bench, Options
from bench.serving import Server
from bench.visible import visible
from bench.whole import whole_path

app = App(name="bench", help="Measure the targets, each with its reference in the same run.")
SOAK = Options(rows=(7, 8, 11, 12), growth=5_000_000, customers=1_000_000)
_DOOR = {4: visible, 3: accept.accept_latency, 2: accept.durable_singles, 1: accept.durable_batches}
"""In the order in which they are measured: what wants an idle processing first."""

Data = Annotated[Path, Parameter(help="Where data directories are made, and removed: the disk that is measured.")]
Json = Annotated[Path | None, Parameter(name="--json", help="Write the figures here instead of into bench/results.")]


@app.default
def run(
    *,
    rows: Annotated[str | None, Parameter(help="Rows of the table, as 1,5; all if left out.")] = None,
    quick: Annotated[bool, Parameter(negative=(), help="A tenth of everything: to see that it works.")] = False,
    seconds: Annotated[float | None, Parameter(help="Length of each timed phase (rows 1 to 4, 8 and 12).")] = None,
    events: Annotated[
        int | None, Parameter(help="Events of the whole path (rows 5 and 6), and of each in row 13.")
    ] = None,
    growth: Annotated[int | None, Parameter(help="Events to grow to (rows 7, 8, 11 and 12).")] = None,
    customers: Annotated[int | None, Parameter(help="Customers to grow to (rows 7, 8, 11 and 12).")] = None,
    deliveries: Annotated[int | None, Parameter(help="Events to be delivered (row 9).")] = None,
    backlog: Annotated[int | None, Parameter(help="Events of the backlog (row 10).")] = None,
    data: Data = RESULTS,
    json: Json = None,
) -> None:
    """Measure the rows of the table of targets."""
    chosen = {"seconds": seconds, "events": events, "growth": growth, "customers": customers}
    chosen |= {"deliveries": deliveries, "backlog": backlog}
    measure(_options(QUICK if quick else Options(), rows, chosen), data, json)


@app.command
def soak(
    *,
    rows: Annotated[str | None, Parameter(help="7, 8, 11 or 12; all if left out.")] = None,
    seconds: Annotated[float | None, Parameter(help="Length of the timed phases of rows 8 and 12.")] = None,
    growth: Annotated[int | None, Parameter(help="Events to grow to.")] = None,
    customers: Annotated[int | None, Parameter(help="Customers to grow to.")] = None,
    data: Data = RESULTS,
    json: Json = None,
) -> None:
    """Grow to 5 M events and 1 M customers: rows 7, 8, 11 and 12 at full size."""
    measure(_options(SOAK, rows, {"seconds": seconds, "growth": growth, "customers": customers}), data, json)


@app.command
def profile(
    *,
    events: Annotated[int, Parameter(help="Events to fold, once without and once with the profiler.")] = 100_000,
    lines: Annotated[int, Parameter(help="Functions to print.")] = 40,
    mixed: Annotated[bool, Parameter(negative=(), help="With late and repeated messages among them.")] = False,
    data: Data = RESULTS,
) -> None:
    """Fold events in this process under cProfile, and print the costliest functions."""
    profiling.profile(Bench(Options(), _console(), data), events, lines, mixed=mixed)


@app.command(name="layouts")
def compare_layouts(
    *, messages: Annotated[int, Parameter(help="Messages to fill each layout with.")] = 3_000_000, data: Data = RESULTS
) -> None:
    """Measure two layouts of the tables that get a row per message."""
    layouts.layouts(Bench(Options(), _console(), data), messages)


@app.command(name="archives")
def compare_archives(
    *, mib: Annotated[int, Parameter(help="Size of the segment that is archived.")] = 128, data: Data = RESULTS
) -> None:
    """Measure what archiving a segment of the log saves and costs."""
    archives.archives(Bench(Options(), _console(), data), mib)


@app.command(name="logs")
def compare_logs(
    *,
    nats: Annotated[str, Parameter(help="A nats-server with JetStream, as nats://127.0.0.1:4222.")],
    seconds: Annotated[float, Parameter(help="How long each kind of append is measured on each engine.")] = 6.0,
    data: Data = RESULTS,
) -> None:
    """Measure the log's two engines side by side; the stream stays on the server."""
    logs.logs(Bench(Options(), _console(), data), nats, seconds)


@app.command(name="membership")
def measure_membership(
    *,
    events: Annotated[int, Parameter(help="Events that come in.")] = 200_000,
    people: Annotated[int, Parameter(help="People that they are of.")] = 50_000,
    data: Data = RESULTS,
) -> None:
    """Measure what an event costs an audience, and what one costs that concerns none."""
    membership(Bench(Options(), _console(), data), events, people)


@app.command(name="audiences")
def measure_audiences(
    *,
    events: Annotated[int, Parameter(help="Events that are folded, with each audience.")] = 200_000,
    data: Data = RESULTS,
) -> None:
    """Measure what a live audience costs the processing, beside none."""
    audiences(Bench(Options(), _console(), data), events)


@app.command(name="cluster")
def compare_cluster(
    *,
    events: Annotated[int, Parameter(help="Events of each whole path.")] = Plan().events,
    workers: Annotated[str, Parameter(help="Numbers of process nodes.")] = "1,2,4",
    ingest: Annotated[str, Parameter(help="Numbers of ingest nodes, for accepting alone.")] = "1,2",
    seconds: Annotated[float, Parameter(help="Length of accepting alone.")] = Plan().seconds,
    data: Data = RESULTS,
    json: Annotated[Path | None, Parameter(name="--json", help="Write the figures here, too.")] = None,
    plot: Annotated[Path | None, Parameter(help="Draw what an event costs each role here, as SVG.")] = None,
) -> None:
    """Measure the whole path on PostgreSQL and JetStream beside the embedded one; both servers are started here."""
    plan = Plan(events, _counts(workers), _counts(ingest), seconds)
    cluster(Bench(Options(), _console(), data), plan, json, plot)


@app.command(name="engage")
def measure_engage(
    *,
    growth: Annotated[int, Parameter(help="Events to grow to.")] = 5_000_000,
    customers: Annotated[int, Parameter(help="Customers to grow to.")] = 1_000_000,
    seconds: Annotated[float, Parameter(help="Length of the timed phase of row 12.")] = 30.0,
    workers: Annotated[int, Parameter(help="Process nodes.")] = 2,
    data: Data = RESULTS,
    json: Json = None,
) -> None:
    """Measure rows 11 and 12 on PostgreSQL and JetStream; both servers are started here."""
    options = Options(rows=(11, 12), growth=growth, customers=customers, seconds=seconds)
    measure(options, data, json, lambda bench, load: engage_clustered(bench, load, workers))


def measure(
    options: Options, data: Path, json: Path | None, rows: Callable[[Bench, Load], None] | None = None
) -> list[report.Figure]:
    """Measure rows, print the table and write the figures; they are printed as far as they go if one fails."""
    bench = Bench(options, _console(), data)
    before = report.machine()
    try:
        with Load() as load:
            (rows or _measure)(bench, load)
    finally:
        bench.figures.sort(key=lambda figure: figure.row)
        if bench.figures:
            report.show(bench.figures, bench.console)
            path = report.write(bench.figures, options, before, json, RESULTS)
            bench.console.print(f"written to {path}", highlight=False)
    return bench.figures


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=150)  # In a file, a table may be as wide as it wants.


def _measure(bench: Bench, load: Load) -> None:
    rows = bench.options.rows
    door = [measured for row, measured in _DOOR.items() if row in rows]
    if door:
        with Server(bench.where) as server:
            for measured in door:
                measured(accept.Place(bench, server, load))
    if 5 in rows or 6 in rows:
        whole_path(bench, load, rows)
    if {7, 8, 11, 12} & set(rows):
        with Server(bench.where) as server:
            growth(accept.Place(bench, server, load), rows)
    if 9 in rows:
        delivery(bench)
    if 10 in rows:
        measure_backlog(bench)
    if 13 in rows:
        live(bench, load)


def _counts(listed: str) -> tuple[int, ...]:
    return tuple(int(count) for count in listed.split(",") if count)


def _options(base: Options, rows: str | None, chosen: dict[str, float | None]) -> Options:
    given = {name: value for name, value in chosen.items() if value is not None}
    if rows is None:
        return msgspec.structs.replace(base, **given)
    wanted = tuple(sorted({int(row) for row in rows.split(",")}))
    if not set(wanted) <= set(base.rows):
        sys.exit(f"rows are {', '.join(map(str, base.rows))}")
    return msgspec.structs.replace(base, rows=wanted, **given)


if __name__ == "__main__":
    app()
