"""The demo beside a server (`serve --demo`): who signs in, with which keys, and the sample shop's traffic, sent once.

`python -m richpanel.commands.demo` reads settings and the URL of the server as a line of JSON on stdin. What it prints
at every start is kept in `demo.json` in the data directory, for its owner alone.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from sqlalchemy import Connection

from richpanel.commands.invocation import console, definitions
from richpanel.config import read_settings
from richpanel.demo.sending import NotSentError, send
from richpanel.demo.visits import story
from richpanel.roles.parent import die_with_parent
from richpanel.store.definitions import random_text
from richpanel.store.directory import DataDirectory
from richpanel.store.sources import add_source, match_sources
from richpanel.store.tokens import add_token, find_token
from richpanel.store.users import add_user, check_login, set_password

FILE: Final = "demo.json"
LOGIN: Final = "demo"
SEED: Final = 2_026
SOURCE: Final = "Website"


class Demo(msgspec.Struct):
    """What the demo has made. `until` is the end of its three days, ms UTC; `sent` whether the server has them all."""

    password: str
    token: str
    until: int
    sent: bool = False


def main() -> None:
    """Print how to get in, and send the shop's traffic if that was not done before."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # A Ctrl-C is for the server, which then stops this.
    die_with_parent()
    given: dict[str, Any] = json.loads(sys.stdin.readline())
    settings = read_settings(given["settings"], {}).settings
    directory = DataDirectory(settings.data, settings.database_url, settings.log_url)
    url: str = given["url"]
    now = int(time.time() * 1000)
    path = directory.path / FILE
    demo = _read(path) or Demo(random_text(16), "", now)
    with definitions(directory, write=True) as connection:
        demo.token = _token(connection, demo.token, now)
        _login(connection, demo.password, now)
        write_key = _write_key(connection, now)
    _write(path, demo)
    lines = {"URL": url, "login": LOGIN, "password": demo.password, "write key": write_key, "API token": demo.token}
    sys.stdout.write("".join(f"{name}: {value}\n" for name, value in lines.items()))
    sys.stdout.flush()
    if not demo.sent:
        _send(demo, url, write_key)
        demo.sent = True
        _write(path, demo)


def _read(path: Path) -> Demo | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Demo)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _write(path: Path, demo: Demo) -> None:
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(demo) + b"\n")
    draft.replace(path)


def _token(connection: Connection, token: str, now: int) -> str:
    """Give a token in force: the one from before, if it still is."""
    return token if find_token(connection, token) else add_token(connection, "demo", now=now)[1]


def _login(connection: Connection, password: str, now: int) -> None:
    if check_login(connection, LOGIN, password) is None and not set_password(connection, LOGIN, password):
        add_user(connection, LOGIN, password, now=now)


def _write_key(connection: Connection, now: int) -> str:
    found = [source for source in match_sources(connection, SOURCE) if source.enabled and source.write_keys]
    return (found[0] if found else add_source(connection, SOURCE, "web", now=now)).write_keys[0]


def _send(demo: Demo, url: str, write_key: str) -> None:
    """Send the shop's three days, with a bar on a terminal."""
    calls = story(SEED, demo.until)
    out = console(stderr=True)
    started = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=out, disable=not out.is_terminal, transient=True) as bar:
        task = bar.add_task("sample shop", total=len(calls))
        try:
            send(calls, url, write_key, lambda more: bar.update(task, advance=more))
        except NotSentError as error:
            out.print(f"richpanel: the sample shop's traffic is not complete ({error}); the next start sends it again")
            sys.exit(1)
    out.print(f"sample shop: {len(calls):,} calls sent in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
