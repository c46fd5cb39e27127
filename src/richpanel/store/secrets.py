"""Secrets that must be read again (a destination's API Secret): sealed with a key that is not in the database."""

import base64
import os
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken

KEY_FILE: Final = "secret.key"
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
    """Open the box with `key`, else with the data directory's key file, made (mode 600) where there is none."""
    if key:
        return SecretBox(key)
    path = directory / KEY_FILE
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return SecretBox(path.read_text().strip())
    with os.fdopen(made, "w") as file:
        file.write(Fernet.generate_key().decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return SecretBox(path.read_text().strip())
