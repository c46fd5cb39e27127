"""Making a data directory ready for use: the tables of this version, an account, the secret key, a first login."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time

from richpanel.store import half_copy
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.first_start import FirstLogin, first_login, first_start
from richpanel.store.migrating import migrate
from richpanel.store.nodes import agree, give_up_key, node_secrets
from richpanel.store.secrets import SecretBox


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Let one process at a time make the directory ready: migrations of one file do not go side by side."""
    with (directory / "prepare.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def prepare(directory: DataDirectory, *, secret_key: str | None = None, new_key: bool = False) -> SecretBox:
    """Make a directory and its databases ready, new or old: this version's tables, and an account. Gives its secrets.

    What it makes is for this user alone. Idempotent, and safe while servers run, also where many nodes do it at once.
    `new_key` makes this node's secret key, or a new one, the account's. Raises OSError, SecretKeyError, RevisionError,
    HalfCopyError.
    """
    directory.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(directory.path):
        if directory.is_embedded:
            for name in ("account.db", "state.db", "delivery.db"):
                os.close(os.open(directory.path / name, os.O_CREAT | os.O_RDWR, 0o600))
        migrate(directory.account_url, "account")
        migrate(directory.state_url, "state")
        migrate(directory.delivery_url, "delivery")
        return prepare_account(directory, secret_key, new_key=new_key)


def prepare_account(directory: DataDirectory, secret_key: str | None, *, new_key: bool = False) -> SecretBox:
    """Make an account where there is none, and see that this node's secret key is its.

    All in one transaction: of nodes that start at the same moment, one makes the account. Raises
    SecretKeyError, OSError, HalfCopyError.
    """
    engine = open_engine(directory.account_url, cache_mib=1)
    try:
        with engine.begin() as connection:
            half_copy.refuse(connection)
            if new_key:
                give_up_key(connection)
            box = node_secrets(connection, directory.path, secret_key)
            account = first_start(connection, box, now=int(time() * 1000))
            agree(connection, account, directory.path, secret_key)
    finally:
        engine.dispose()
    return box


def prepare_login(directory: DataDirectory, password: str | None) -> FirstLogin | None:
    """Make the admin's login where nobody can sign in yet, and give it to be shown; a server does this, once."""
    engine = open_engine(directory.account_url, cache_mib=1)
    try:
        with engine.begin() as connection:
            return first_login(connection, password, now=int(time() * 1000))
    finally:
        engine.dispose()
