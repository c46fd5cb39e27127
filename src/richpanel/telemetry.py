"""The closed list of figures (`GET /metrics`), and the program's own log. Stages count here; `web/health.py` shows it.

A figure is a dict of numbers by label: counting costs a dict access, because it stands on the path of each request.
Every figure is written by one thread of one process, and shown by the front; what the processing counts reaches it as a
`Snapshot`.
"""

import logging
import re
import sys
from bisect import bisect_left
from collections.abc import MutableMapping
from typing import Any, Final, Literal, TextIO

import structlog

Labels = tuple[str, ...]
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Counter:
    """A number that only grows while the process lives."""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        """Name a figure; the name ends in `_total`, `labels` are the names of its labels."""
        self.name = name
        self.text = text
        self.labels = labels
        self.values: dict[Labels, float] = {}

    def add(self, number: float, *labels: str) -> None:
        """Count `number` more under these label values."""
        self.values[labels] = self.values.get(labels, 0) + number


class Gauge:
    """A number that goes up and down; set when something asks for the figures."""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        """Name a figure; `labels` are the names of its labels."""
        self.name = name
        self.text = text
        self.labels = labels
        self.values: dict[Labels, float] = {}

    def set(self, value: float, *labels: str) -> None:
        """Say what it is now under these label values."""
        self.values[labels] = value


class Histogram:
    """How long something took: counts by upper bound, and their sum."""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        """Name a figure; the name ends in `_seconds`, `labels` are the names of its labels."""
        self.name = name
        self.text = text
        self.labels = labels
        self.values: dict[Labels, list[float]] = {}  # One count per bound, one above all bounds, and the sum.

    def observe(self, seconds: float, *labels: str) -> None:
        """Count one that took so many seconds under these label values."""
        counts = self.values.get(labels)
        if counts is None:
            counts = self.values[labels] = [0.0] * (len(BOUNDS) + 2)
        counts[bisect_left(BOUNDS, seconds)] += 1
        counts[-1] += seconds


# The door.
ACCEPTED: Final = Counter("richpanel_accepted_messages_total", "Messages that are in the log.", "source", "type")
DISCARDED: Final = Counter("richpanel_discarded_items_total", "Items of a batch that were refused.", "source", "code")
REFUSED: Final = Counter("richpanel_refused_requests_total", "Requests that were refused as a whole.", "code")
REFUSED_PRIVACY: Final = Counter("richpanel_refused_privacy_total", "Messages refused for privacy, ever.", "source")
REQUEST_SECONDS: Final = Histogram("richpanel_http_request_seconds", "Requests, from head to answer.", "part", "status")
# The log.
LOG_BYTES: Final = Gauge("richpanel_log_bytes", "Bytes of the log on disk.")
LOG_ARCHIVED_BYTES: Final = Gauge("richpanel_log_archived_bytes", "Those of them that are archived.")
LOG_WAITING_BYTES: Final = Gauge("richpanel_log_waiting_bytes", "Bytes that wait for the disk.")
LOG_PENDING: Final = Gauge("richpanel_log_pending_records", "Records of a stream that no worker has acknowledged.")
LOG_DURABLE: Final = Gauge("richpanel_log_durable_position", "End of the last record that is safe on disk.")
# Processing.
PROCESSED: Final = Gauge("richpanel_processed_position", "End of the last record that is in the answers.")
PROCESSED_MESSAGES: Final = Gauge("richpanel_processed_messages", "Messages numbered by the processing so far.")
LAG_SECONDS: Final = Gauge("richpanel_processing_lag_seconds", "Age of the oldest record that is not in the answers.")
PROCESS_UP: Final = Gauge("richpanel_process_up", "Whether the processing role runs.")
WEB_UP: Final = Gauge("richpanel_web_up", "Whether the pages' role runs.")
OUTCOMES: Final = Gauge("richpanel_messages", "Messages in the state by what became of them.", "source", "outcome")
BATCHES: Final = Counter("richpanel_batches_total", "Batches that the processing stored.")
BATCH_SECONDS: Final = Histogram("richpanel_batch_seconds", "Reading, folding and storing one batch.")
# The program.
DELIVERIES: Final = Gauge(
    "richpanel_deliver_deliveries",
    "Deliveries that wait (queued, retrying), and dead letters.",
    "destination",
    "status",
)
DELIVER_OLDEST: Final = Gauge(
    "richpanel_deliver_oldest_waiting_seconds", "Age of the oldest delivery that waits.", "destination"
)
DELIVER_RESULTS: Final = Counter(
    "richpanel_deliver_attempts_total",
    "Tries by what came of them (retrying: one that failed, and is made again), and what ended without one.",
    *("destination", "status", "code"),
)
DELIVER_SECONDS: Final = Histogram(
    "richpanel_deliver_seconds", "From a call's arrival to the answer that it was taken, to 9 %.", "destination"
)
DELIVER_RESTS: Final = Gauge(
    "richpanel_deliver_breaker_open",
    "Whether a destination is left alone, since it only failed of late; known where its node takes calls, too.",
    "destination",
)

RESTARTS: Final = Counter("richpanel_role_restarts_total", "Roles that died and were started again.", "role")

FIGURES: Final[tuple[Counter | Gauge | Histogram, ...]] = (
    *(ACCEPTED, DISCARDED, REFUSED, REFUSED_PRIVACY, REQUEST_SECONDS),
    *(LOG_BYTES, LOG_ARCHIVED_BYTES, LOG_WAITING_BYTES, LOG_PENDING, LOG_DURABLE),
    *(PROCESSED, PROCESSED_MESSAGES, LAG_SECONDS, PROCESS_UP, WEB_UP, OUTCOMES, BATCHES, BATCH_SECONDS, RESTARTS),
    *(DELIVERIES, DELIVER_OLDEST, DELIVER_RESULTS, DELIVER_SECONDS, DELIVER_RESTS),
)
"""All there are: a figure that is not here is not shown."""

Snapshot = dict[str, list[tuple[list[str], float | list[float]]]]


def snapshot() -> Snapshot:
    """Give what this process has counted, in plain JSON values, for the process that shows it."""
    return {
        figure.name: [(list(labels), value) for labels, value in figure.values.items()]
        for figure in FIGURES
        if figure.values
    }


def take_over(snapshot_of_another: Snapshot) -> None:
    """Show what another process has counted, as it stands; each figure belongs to one process."""
    for name, values in snapshot_of_another.items():
        for figure in FIGURES:
            if figure.name == name:
                # A histogram's lists come from histograms alone.
                figure.values.update((tuple(labels), value) for labels, value in values)  # type: ignore[misc]


# ---------------------------------------------------------------------------------------------------- the program's log

LogFormat = Literal["auto", "json", "text"]
_SECRET: Final = re.compile(r"secret|password|token|authorization|cookie|api_?key|write_?key", re.IGNORECASE)


def _hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace what stands under a secret's name, in case somebody logs one."""
    for name in event:
        if _SECRET.search(name):
            event[name] = "(hidden)"
    return event


def _formatter(*, json: bool, colors: bool) -> logging.Formatter:
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide_secrets,
    ]
    if json:
        end: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # A traceback without the values of variables: those may be secrets.
        end = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)]
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[remove, *end])


def configure_logging(
    role: str, *, style: LogFormat = "auto", level: str = "info", stream: TextIO | None = None
) -> None:
    """Send structlog's and every library's log lines to stderr: for people on a terminal, JSON elsewhere.

    `role` names the process in each line. Libraries are heard from warnings up.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(json=style == "json" or (style == "auto" and not terminal), colors=terminal))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("richpanel").setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _hide_secrets,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Give the logger of a module (`get_logger(__name__)`) or a role; before `configure_logging` it prints plainly."""
    full = name if name.partition(".")[0] == "richpanel" else f"richpanel.{name}"
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(full)
    return logger


log = get_logger
