"""The secret key of a node against the account's: every node has the same one, or it does not start.

Otherwise what one of them seals the others could not open, and nobody would notice before it is needed.
"""

import hmac
from pathlib import Path

from sqlalchemy import Connection, delete, insert, select

from richpanel.store import definitions
from richpanel.store.account import AccountSettings, read_account
from richpanel.store.secret_key import KEY_FILE, fingerprint, read_key
from richpanel.store.secrets import SecretBox, SecretKeyError, make_key

_TODO = (
    "put {file} of the first node, or of the backup, into {directory}, or set RICHPANEL_SECRET_KEY to the same on "
    "every node; `richpanel migrate --new-secret-key` gives up what is sealed, where the key is lost"
)


def node_secrets(conn: Connection, directory: Path, given: str | None) -> SecretBox:
    """Open the box with this node's key; only where the account knows of none yet, a new key is made.

    Raises SecretKeyError where there is no key, or one that is too short; OSError.
    """
    key = read_key(directory, given)
    if key is None and _known(conn) is not None:
        raise SecretKeyError(f"there is no secret key on this node: {_todo(directory)}")
    return SecretBox(make_key(directory) if key is None else key)


def agree(conn: Connection, account: AccountSettings, directory: Path, given: str | None) -> None:
    """Make sure that this node's key is the account's; the first node's becomes it. Raises SecretKeyError."""
    if _known(conn) is None:
        own = fingerprint(read_key(directory, given) or "", account.hash_key)
        conn.execute(insert(definitions.secret_key).values(id=1, fingerprint=own))
    else:
        check_key(conn, directory, given)


def check_key(conn: Connection, directory: Path, given: str | None) -> None:
    """Make sure that this node's key is the account's, where it is known. Raises SecretKeyError, LookupError."""
    known = _known(conn)
    own = fingerprint(read_key(directory, given) or "", read_account(conn).hash_key)
    if known is not None and not hmac.compare_digest(known, own):
        raise SecretKeyError(f"the secret key of this node is not the account's: {_todo(directory)}")


def give_up_key(conn: Connection) -> None:
    """Let the next key be the account's. What another one sealed cannot be opened with it, and is to be made anew."""
    conn.execute(delete(definitions.secret_key))


def _known(conn: Connection) -> bytes | None:
    found = conn.execute(select(definitions.secret_key.c.fingerprint)).scalar()
    return None if found is None else bytes(found)


def _todo(directory: Path) -> str:
    return _TODO.format(file=KEY_FILE, directory=directory)
