"""The role that folds the log into the state where others do the same beside it, on this machine or on another one."""

import os
import threading
from functools import partial
from typing import Final

from richpanel.config import Settings, as_options
from richpanel.log.consumer import StreamConsumer
from richpanel.log.jetstream import JetStreamWriter
from richpanel.log.opening import open_reader, stream_of
from richpanel.log.stream_erasing import StreamEraser
from richpanel.process.batch import Applied
from richpanel.process.checking import minutes
from richpanel.process.definitions import Watch
from richpanel.process.shared import SharedWorker
from richpanel.roles.ever import ever_applied
from richpanel.roles.parent import Parent, on_stop
from richpanel.roles.rebuilding import Rebuilding
from richpanel.roles.replaying import Means, Replaying
from richpanel.roles.reporting import Report
from richpanel.roles.shared_erasing import Databases, SharedErasing
from richpanel.roles.slack import Slack
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.leadership import Leadership

_NICE: Final = 10
"""As alone (`roles.process`): calls and pages go first where there are fewer cores than work."""
_PATIENCE_SECONDS: Final = 60.0
"""How long a worker waits for its turn before it says so, and tries again."""


def run(settings: Settings, parent: Parent) -> None:
    """Fold what the stream hands out, until told to stop; a batch is finished first."""
    os.nice(_NICE)
    stop = threading.Event()
    on_stop(stop.set)
    parent.listen()
    report, slack = Report(parent), Slack()
    directory = DataDirectory(settings.data, settings.database_url)
    account = open_engine(directory.account_url, read_only=True)
    ledger = open_engine(directory.account_url)
    state = open_engine(directory.state_url, busy_seconds=_PATIENCE_SECONDS)
    stream = stream_of(settings.log_url or "")
    consumer = StreamConsumer(stream)

    def on_batch(applied: Applied, seconds: float) -> None:
        report.on_batch(applied, seconds)
        slack.worked()

    told = partial(SharedWorker, on_stall=report.on_stall, check_at=minutes(settings.audience_check_at))
    worker = told(consumer, state, Watch(account, ledger), on_batch)
    parent.say(ready=True)
    scrubbed = open_engine(directory.state_url)
    erasing = SharedErasing(
        Databases(scrubbed, open_engine(directory.delivery_url)),
        Watch(account, ledger),
        open_reader(directory.log, settings.log_url),
        StreamEraser(stream),
        Leadership(directory.database_url, "erasing"),
    )
    log = open_reader(directory.log, settings.log_url)
    applied = ever_applied(directory.path, directory.database_url)
    replaying = Replaying(
        Means(
            open_engine(directory.state_url, read_only=True),
            ledger,
            open_engine(directory.delivery_url),
            log,
            lambda: JetStreamWriter(stream, log, applied=applied),
            Leadership(directory.database_url, "replaying"),
        )
    )
    rebuilding = Rebuilding(as_options(settings), ledger, Leadership(directory.database_url, "rebuilding"))
    worker.run(stop)
    rebuilding.close()
    replaying.close()
    erasing.close()
    consumer.close()
    for engine in (account, ledger, state, scrubbed):
        engine.dispose()
