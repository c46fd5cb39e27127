"""Making a data directory ready for use: the tables of this version, an account, the secret key, a first login."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time

from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.first_start import FirstLogin, first_login, first_start
from richpanel.store.migrating import migrate
from richpanel.store.secrets import SecretBox, open_secrets


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Let one process at a time make the directory ready: migrations of one file do not go side by side."""
    with (directory / "prepare.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def prepare(directory: DataDirectory, *, secret_key: str | None = None) -> SecretBox:
    """Make a directory ready, new or old: tables as this version wants them, and an account. Gives its secrets.

    What it makes is for this user alone. Idempotent, and safe while a server runs. Raises OSError, SecretKeyError,
    RevisionError.
    """
    directory.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(directory.path):
        for name in ("account.db", "state.db"):
            os.close(os.open(directory.path / name, os.O_CREAT | os.O_RDWR, 0o600))
        migrate(directory.account_url, "account")
        migrate(directory.state_url, "state")
        box = open_secrets(directory.path, secret_key)
        engine = open_engine(directory.account_url, cache_mib=1)
        with engine.begin() as connection:
            first_start(connection, box, now=int(time() * 1000))
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
