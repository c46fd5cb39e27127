"""What `richpanel doctor` looks at: this machine, the settings, and each thing in the data directory."""

import http.client
import json
import os
import platform
import shutil
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

from rich.filesize import decimal
from sqlalchemy.exc import DatabaseError

from richpanel.commands.delivery import connect
from richpanel.commands.running import Running, log_owner, running_server
from richpanel.config import PREFIX, Settings, browser_package, table, variable
from richpanel.config_values import lmtp_place
from richpanel.log.archive import Archive
from richpanel.log.contract import LogDamaged, LogGone
from richpanel.log.files import TORN
from richpanel.log.retention import LogSizes, log_sizes
from richpanel.log.segments import SegmentReader
from richpanel.store.database import SQLITE_VERSION, open_engine, reading
from richpanel.store.directory import DataDirectory
from richpanel.store.secrets import KEY_FILE
from richpanel.store.status import processed
from richpanel.web.health import clock_note

State = Literal["ok", "note", "problem"]
_LITTLE_SPACE: Final = 1 << 30
_NO_SPACE: Final = 100 << 20
_GREETING_SECONDS: Final = 3.0


class Check(NamedTuple):
    """What was looked at, how it stands, and a line about it that says what to do where it is a problem."""

    name: str
    state: State
    text: str


def machine(environment: Mapping[str, str]) -> Iterator[Check]:
    """Look at Python, SQLite and the environment."""
    yield Check("Python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}, {sys.executable}")
    yield from _sqlite()
    known = {variable(name) for name in table()}
    for name in sorted(environment.keys() - known):
        if name.startswith(PREFIX):
            yield Check("environment", "note", f"{name} is no setting of this version: nothing reads it")


def _sqlite() -> Iterator[Check]:
    engine = open_engine("sqlite://", cache_mib=1)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE VIRTUAL TABLE probe USING fts5(words)")
            connection.exec_driver_sql("INSERT INTO probe (probe, rank) VALUES ('secure-delete', 1)")
    except DatabaseError as error:
        reason = "has no FTS5 with secure-delete" if "fts5" not in str(error.orig) else "has no FTS5"
        todo = "erased words would stay in the search index; install pysqlite3-binary, or SQLite 3.42 or later"
        yield Check("SQLite", "problem", f"{SQLITE_VERSION} {reason}: {todo}")
    else:
        yield Check("SQLite", "ok", f"{SQLITE_VERSION}, FTS5 with secure-delete")
    finally:
        engine.dispose()


def browser_sdk(settings: Settings) -> Check:
    """Look for Segment's browser SDK, which the server hands out."""
    package = browser_package(settings)
    if package is None or not (package / "package.json").is_file():
        todo = "pages cannot load Segment's snippet from here (404): npm install @segment/analytics-next"
        return Check("browser SDK", "note", f"{package or 'not installed'}: {todo}")
    return Check("browser SDK", "ok", str(package))


def files(settings: Settings) -> Iterator[Check]:
    """Look at the data directory as files: there, ours, private, with room to grow."""
    path = settings.data
    if not path.is_dir():
        yield Check("data directory", "note", f"{path.absolute()} does not exist yet: the first start makes it")
        return
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield Check("data directory", "problem", f"{path.absolute()} cannot be written by this user")
        return
    yield _writable(path)
    for name in (KEY_FILE, "account.db", "state.db", "delivery.db", "demo.json"):
        if (path / name).exists() and (mode := stat.S_IMODE((path / name).stat().st_mode)) & 0o077:
            yield Check("permissions", "problem", f"{name} can be read by others ({mode:o}): chmod 600 {path / name}")
    free = shutil.disk_usage(path).free
    amount = f"{free / (1 << 30):.1f} GiB free"
    if free < _NO_SPACE:
        yield Check("disk", "problem", f"{amount}: the log will soon refuse messages (429); make room")
    else:
        yield Check("disk", "note" if free < _LITTLE_SPACE else "ok", amount)


def _writable(path: Path) -> Check:
    """Write something and let it go again: a disk can be full or read-only whatever the permissions say."""
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        todo = "messages are refused (429) and nothing is processed until that is over"
        return Check("data directory", "problem", f"{path.absolute()} takes nothing: {error.strerror}; {todo}")
    return Check("data directory", "ok", str(path.absolute()))


def log(directory: DataDirectory, *, deep: bool, show: Callable[[int, int], None]) -> Iterator[Check]:
    """Look at the log: whose it is, how far it goes, how much waits, and with `deep` every record.

    `show` hears (done, all) in bytes while every record is read.
    """
    owner, running = log_owner(directory.path), running_server(directory.path)
    if running is not None:
        yield Check("server", "ok", f"runs at {running.url} (process {running.pid})")
        yield from _readiness(running)
    elif owner is not None:
        yield Check("server", "note", f"process {owner} owns the log: a server that is starting, or an import")
    else:
        yield Check("server", "ok", "does not run")
    reader = SegmentReader(directory.log)
    last = reader.durable()
    yield Check("log", "ok", f"positions {reader.first():,} to {last:,}; {sizes_text(log_sizes(directory.log))}")
    if torn := list((directory.log / TORN).glob("*")):
        size = sum(path.stat().st_size for path in torn)
        told = (
            f"{size:,} bytes that crashes left half-written are kept in {directory.log / TORN}: no message is missing"
        )
        yield Check("torn tail", "note", f"{told}, delete them when you like")
    yield from _processing(directory, last)
    if deep:
        yield _records(reader, last, show)
        yield from _archives(directory.log)
    reader.close()


def mail(settings: Settings) -> Iterator[Check]:
    """Look at the e-mail channel's listener: whether it answers where it should."""
    running = running_server(settings.data)
    place = running.lmtp if running is not None else settings.lmtp
    if place is None:
        if settings.lmtp is not None:
            yield Check("mail", "note", "lmtp is set, and the running server takes no mail: restart it")
    elif running is None:
        yield Check("mail", "ok", f"will be taken by LMTP at {place}")
    else:
        try:
            greeting = _greeting(lmtp_place(place))
        except OSError as error:
            greeting = str(error.strerror or error)
        sound = greeting.startswith("220 ")
        text = (
            f"taken by LMTP at {place}" if sound else f"the listener at {place} does not greet: {greeting or 'nothing'}"
        )
        yield Check("mail", "ok" if sound else "problem", text)


def _greeting(place: tuple[str, int] | Path) -> str:
    if isinstance(place, tuple):
        talking = socket.create_connection(place, timeout=_GREETING_SECONDS)
    else:
        talking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        talking.settimeout(_GREETING_SECONDS)
    with talking:
        if not isinstance(place, tuple):
            talking.connect(str(place))
        return talking.recv(512).decode("ascii", "replace").strip()


def _readiness(running: Running) -> Iterator[Check]:
    """Ask the server what keeps it from its work."""
    connection = connect(running, seconds=10.0)
    try:
        connection.request("GET", "/ready")
        told = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        yield Check("ready", "problem", f"the server does not answer: {error}")
        return
    finally:
        connection.close()
    for reason in told["reasons"]:
        yield Check("ready", "problem", reason)
    for note in told.get("notes", ()):
        yield Check("ready", "note", note)


def sizes_text(sizes: LogSizes) -> str:
    """Tell what the log takes on disk, raw and archived, and how much archiving saved."""
    text = f"{sizes.raw_files:,} raw {'file' if sizes.raw_files == 1 else 'files'} with {decimal(sizes.raw_bytes)}"
    if sizes.ratio is None:
        return f"{text}, none archived"
    held = f"{decimal(sizes.archived_raw_bytes)} in {decimal(sizes.archived_bytes)}, {sizes.ratio:.1f} to 1"
    return f"{text}; {sizes.archived_files:,} archived ({held})"


def _archives(log: Path) -> Iterator[Check]:
    """Look at every byte of the archives; that their records are sound was seen before."""
    paths = sorted(log.glob("*.zst"))
    sound = 0
    for path in paths:
        try:
            Archive(path).check_file()
        except FileNotFoundError:  # Retention has just dropped it.
            pass
        except (LogDamaged, OSError) as error:
            yield Check("archives", "problem", str(error))
            continue
        sound += 1
    if sound == len(paths):
        yield Check("archives", "ok", f"{sound:,} files, each with a matching checksum")


def _processing(directory: DataDirectory, last: int) -> Iterator[Check]:
    engine = open_engine(directory.state_url, read_only=True, cache_mib=1)
    try:
        with reading(engine) as connection:
            progress = processed(connection)
    except DatabaseError as error:
        yield Check("processing", "problem", f"its position cannot be read: {error.orig}")
        return
    finally:
        engine.dispose()
    position, name = progress.position, "processing"
    if position > last:
        yield Check(name, "problem", f"is at {position:,}, behind the log's end {last:,}: the log lost records")
    else:
        yield Check(name, "ok", "has applied all" if position == last else f"{last - position:,} bytes wait for it")
    if (note := clock_note(progress.received_at, int(time.time() * 1000))) is not None:
        yield Check("clock", "note", note)


def _records(reader: SegmentReader, last: int, show: Callable[[int, int], None]) -> Check:
    position = first = reader.first()
    count = 0
    try:
        while position < last and (entries := reader.read(position)):
            count += len(entries)
            position = entries[-1].end
            show(position - first, last - first)
    except (LogDamaged, LogGone, OSError) as error:
        return Check("records", "problem", f"{error}; the records before it are sound")
    if position < last:
        return Check("records", "problem", f"the log ends at {position:,}, and {last:,} was promised")
    return Check("records", "ok", f"{count:,} records, each with a matching checksum")
