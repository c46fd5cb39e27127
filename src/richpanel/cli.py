"""The command `richpanel`: its verbs, each loaded only when it is used, and how a failure is told."""

import sys
from typing import Final

from cyclopts import App, CycloptsError

from richpanel import __version__
from richpanel.config import SettingError

_SERVE: Final = """Run the server.

It prints `listening on URL` when it is ready; SIGTERM or Ctrl-C stops it in order. Every setting below is also read
from the environment, else from richpanel.toml in the data directory.
"""
_IMPORT: Final = """Load Segment messages from a file of JSON lines.

One message a line; timestamps count as given. With a running server it goes through that, else straight into the log,
on a cluster into its stream. A bad line becomes a discard. Stopped half-way, the same command goes on; a line that is
loaded again changes nothing.
"""
_EXPORT: Final = """Write customers, or their events, to standard output.

Visitors are left out, as they are in the Customers section. Columns of CSV that hold objects hold JSON.
"""
_DOCTOR: Final = """Check this machine, the settings and the data directory.

It shows the effective settings, secrets hidden. The exit code is 1 where there is a problem; a note is none.
"""
_BACKUP: Final = """Write everything into one file, while the server runs or not.

What was accepted before it began is in it. It holds what opens the account (keys, tokens, password hashes) and what
customers did: it is readable by you alone, keep it so. FILE is there once it is complete, or not at all.
"""
_RESTORE: Final = """Make a data directory of a backup.

The directory must be empty or not there yet. Every checksum, record and table is checked before anything is put there;
where something is wrong, nothing is. The server then goes on with the same write keys, tokens and logins.
"""
_REBUILD: Final = """Make the state anew from the log, compare it with the one in force, and switch to it.

A running server serves from the old state meanwhile and makes the switch itself; its decisions about messages stay what
they are. Where the two differ the difference is printed, and it is only switched with --yes or after a question. Exit
code: 0 equal, 3 different, 1 failed; nothing is ever left half-way.
"""
_ERASE: Final = """Erase people from every store, and print the receipt.

A running server does it, on a cluster its servers; where none runs this command does, and has the directory to itself.
What comes late of them is refused for ever; what they do afterwards starts afresh. --verify checks the chain of
receipts, and looks through the state, the log and the files for everybody who was erased; the exit code is 1 where
something is wrong.
"""
_REPLAY: Final = """Send again what a destination did not take, once its settings are right.

What the built-in account did not keep is decided about anew and comes in as if it had never failed; a destination
outside gets one more delivery of each message, with the same eventId. A running server does it, at most --rate messages
a second; this command shows how far it is. Ctrl-C cancels the replay: what is sent stays sent, and --resume goes on.
"""
_MIGRATE_TO: Final = """Move the account from this data directory to PostgreSQL and JetStream, while its server runs.

Everything is copied and verified by digest while calls and pages go on. Then the server stops, what came last follows,
and richpanel.toml leads the next start to the cluster: seconds without a server. Stopped or killed before that, nothing
has changed, and the same command begins anew; a database or a stream that holds something else is refused.
"""
_SOURCE_ADD: Final = """Add a source and show its write key.

It is connected to the destination that the first start made, so that its messages are kept for the account at once. A
running server knows the key within a second.
"""
_AUDIENCES_CHECK: Final = """Count everybody again by the stored messages, and tell who differs from what is kept.

It does on demand, beside a running server or without one, what is done each night: for all audiences and computed
traits that are live, or the one that is named. It mends nothing: the nightly check does. The exit code is 1 where
somebody differs.
"""
_VERBS: Final = (
    ("serve", "richpanel.commands.serve:serve", _SERVE),
    ("import", "richpanel.commands.importing:import_file", _IMPORT),
    ("export", "richpanel.commands.exporting:export", _EXPORT),
    ("status", "richpanel.commands.status:status", "Show how far the processing is, and what arrived."),
    ("rebuild", "richpanel.commands.rebuild:rebuild", _REBUILD),
    ("replay", "richpanel.commands.replay:replay", _REPLAY),
    ("erase", "richpanel.commands.erasing:erase", _ERASE),
    ("doctor", "richpanel.commands.doctor:doctor", _DOCTOR),
    ("backup", "richpanel.commands.backup:backup", _BACKUP),
    ("restore", "richpanel.commands.restore:restore", _RESTORE),
    ("migrate-to", "richpanel.commands.moving:migrate_to", _MIGRATE_TO),
    ("migrate", "richpanel.commands.migrate:migrate", "Bring the databases to this version's tables."),
)
_GROUPS: Final = (
    (
        "audiences",
        "Audiences and computed traits.",
        (("check", "richpanel.commands.audiences:check", _AUDIENCES_CHECK),),
    ),
    (
        "source",
        "Sources: where messages come from.",
        (
            ("add", "richpanel.commands.sources:add", _SOURCE_ADD),
            ("list", "richpanel.commands.sources:list_all", "List the sources."),
            ("enable", "richpanel.commands.sources:enable", "Take messages from a source again."),
            ("disable", "richpanel.commands.sources:disable", "Refuse messages from a source (403)."),
            ("rotate", "richpanel.commands.sources:rotate", "Issue a write key in the place of one."),
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
    (
        "user",
        "Who may sign in to the pages.",
        (
            ("add", "richpanel.commands.users:add", "Let somebody sign in."),
            ("list", "richpanel.commands.users:list_all", "List who may sign in."),
            ("role", "richpanel.commands.users:give_role", "Give somebody another role."),
            ("password", "richpanel.commands.users:password", "Give somebody a new password."),
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
