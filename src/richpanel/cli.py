"""The command `richpanel`: its verbs, each loaded only when it is used, and how a failure is told."""

import sys
from typing import Final

from cyclopts import App, CycloptsError

from richpanel import __version__
from richpanel.config import SettingError

_VERBS: Final = (
    ("serve", "richpanel.commands.serve:serve", "Run the server."),
    ("import", "richpanel.commands.importing:import_file", "Load Segment messages from a file of JSON lines."),
    ("export", "richpanel.commands.exporting:export", "Write out customers or events."),
    ("status", "richpanel.commands.status:status", "Show how far the processing is, and what arrived."),
    ("doctor", "richpanel.commands.doctor:doctor", "Check this machine, the settings and the data directory."),
    ("migrate", "richpanel.commands.migrate:migrate", "Bring the databases to this version's tables."),
)
_GROUPS: Final = (
    (
        "source",
        "Sources: where messages come from.",
        (
            ("add", "richpanel.commands.sources:add", "Add a source and show its write key."),
            ("list", "richpanel.commands.sources:list_all", "List the sources."),
            ("enable", "richpanel.commands.sources:enable", "Take messages from a source again."),
            ("disable", "richpanel.commands.sources:disable", "Refuse messages from a source (403)."),
        ),
    ),
    (
        "token",
        "Tokens for the REST API.",
        (
            ("add", "richpanel.commands.tokens:add", "Make a token; it is shown once."),
            ("list", "richpanel.commands.tokens:list_all", "List the tokens in force."),
            ("revoke", "richpanel.commands.tokens:revoke", "End a token."),
        ),
    ),
)


def build() -> App:
    """Put the command together; nothing of a verb is imported."""
    app = App(
        name="richpanel",
        help="Segment calls become customers with a timeline.",
        version=__version__,
        help_flags=["--help", "-h"],
        version_flags=["--version"],
    )
    for name, path, text in _VERBS:
        app.command(path, name=name, help=text)
    for group_name, group_text, verbs in _GROUPS:
        group = App(name=group_name, help=group_text)
        for name, path, text in verbs:
            group.command(path, name=name, help=text)
        app.command(group)
    return app


def main() -> None:
    """Run the command line; a failure is one line on stderr and the exit code 1, a line that is wrong the code 2."""
    try:
        build()(exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _fail(str(error), 2)
    except SettingError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(text: str, code: int) -> None:
    sys.stderr.write(f"richpanel: {' '.join(text.split())}\n")
    sys.exit(code)
