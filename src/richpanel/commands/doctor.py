"""`richpanel doctor`: what is set, what is there, and what is wrong; exit code 1 where something is."""

import sys
from os import environ
from typing import Annotated, Final

from cyclopts import Parameter
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.text import Text

from richpanel.commands import alarm_checks, checks, database_checks, delivery_checks, stream_checks
from richpanel.commands.checks import Check
from richpanel.commands.invocation import AsJson, Data, console, directory_of, print_json, print_table
from richpanel.config import read_settings
from richpanel.store.directory import DataDirectory

_STYLES: Final = {"ok": "green", "note": "yellow", "problem": "bold red"}


def doctor(
    *,
    deep: Annotated[
        bool, Parameter(negative=(), help="Read every record of the log and every page of the databases.")
    ] = False,
    json: AsJson = False,
    data: Data = None,
) -> None:
    """Show the settings in force, and what was found."""
    effective = read_settings({"data": data}, environ)
    found = _examine(directory_of(effective.settings), deep=deep, data=data)
    problems = [check for check in found if check.state == "problem"]
    if json:
        settings = {name: {"value": value, "from": origin} for name, value, origin in effective.shown()}
        print_json({"ok": not problems, "checks": [check._asdict() for check in found], "settings": settings})
    else:
        print_table(["setting", "value", "from"], effective.shown(), empty="")
        rows = [[name, Text(state, _STYLES[state]), text] for name, state, text in found]
        print_table(["check", "", ""], rows, empty="")
        console().print(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}." if problems else "No problems.")
    if problems:
        sys.exit(1)


def _examine(directory: DataDirectory, *, deep: bool, data: Data) -> list[Check]:
    settings = read_settings({"data": data}, environ).settings
    found = [*checks.machine(environ), checks.browser_sdk(settings), *checks.files(settings)]
    if (found[-1].name == "data directory" and directory.is_embedded) or not _is_there(directory, found):
        return found
    found += database_checks.databases(directory, settings.secret_key, deep=deep)
    found += delivery_checks.deliveries(directory)
    found += alarm_checks.alarms(directory, settings)
    if not directory.is_embedded:
        return [*found, *stream_checks.stream(directory), *checks.mail(settings)]
    out = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=out, disable=not out.is_terminal or not deep, transient=True) as bar:
        task = bar.add_task("reading the log", total=None)
        found += checks.log(directory, deep=deep, show=lambda done, all_: bar.update(task, completed=done, total=all_))
    return [*found, *checks.mail(settings)]


def _is_there(directory: DataDirectory, found: list[Check]) -> bool:
    """Tell whether there is something to look at."""
    try:
        if directory.exists:
            return True
    except ConnectionError as error:
        found.append(Check("PostgreSQL", "problem", f"{directory.databases}: {error}"))
        return False
    if not directory.is_embedded:
        found.append(Check("PostgreSQL", "note", f"{directory.databases} has no account yet: the first start makes it"))
        return True
    return False
