"""The secret key that seals what must be read again: where it is, and how all nodes know that theirs is the same.

It is asked for at every start, so this needs nothing but Python's own library.
"""

import hmac
from pathlib import Path
from typing import Final

KEY_FILE: Final = "secret.key"


def read_key(directory: Path, given: str | None) -> str | None:
    """Give the key that is a setting, else the data directory's; None where there is neither. Raises OSError."""
    if given:
        return given
    try:
        return (directory / KEY_FILE).read_text().strip()
    except FileNotFoundError:
        return None


def fingerprint(key: str, hash_key: bytes) -> bytes:
    """Give what the account remembers of a key: it tells whether another one is the same, and nothing of the key."""
    return hmac.digest(key.encode(), b"richpanel secret key" + hash_key, "sha256")
