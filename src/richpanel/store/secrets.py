"""Secrets that must be read again (a destination's API Secret): sealed with a key that is not in the database."""

import base64
import os
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken

from richpanel.store.secret_key import KEY_FILE as KEY_FILE
from richpanel.store.secret_key import read_key

_SHORTEST_KEY: Final = 32


class SecretKeyError(ValueError):
    """The secret key is missing, too short or not the one that sealed this."""


class SecretBox:
    """Seals and opens short texts (Fernet: AES-128-CBC with HMAC-SHA256)."""

    def __init__(self, key: str) -> None:
        """Take a key of 32 characters or more; it should be random."""
        if len(key) < _SHORTEST_KEY:
            raise SecretKeyError(f"the secret key must have {_SHORTEST_KEY} characters or more (RICHPANEL_SECRET_KEY)")
        self._fernet = Fernet(base64.urlsafe_b64encode(sha256(key.encode()).digest()))

    def seal(self, text: str) -> str:
        """Encrypt a text."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """Decrypt what `seal` gave; raises SecretKeyError where another key sealed it."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise SecretKeyError(
                "a secret was sealed with another key: restore secret.key or RICHPANEL_SECRET_KEY"
            ) from error


def open_secrets(directory: Path, key: str | None = None) -> SecretBox:
    """Open the box with `key`, else with the directory's key file. Raises SecretKeyError where there is neither."""
    found = read_key(directory, key)
    if found is None:
        raise SecretKeyError(f"there is no secret key: put {KEY_FILE} into {directory}, or set RICHPANEL_SECRET_KEY")
    return SecretBox(found)


def make_key(directory: Path) -> str:
    """Make the data directory's key file (mode 600), which is not there yet; give the key."""
    key = Fernet.generate_key().decode()
    made = os.open(directory / KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(made, "w") as file:
        file.write(key + "\n")
        file.flush()
        os.fsync(file.fileno())
    return key
