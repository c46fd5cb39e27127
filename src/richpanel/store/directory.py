"""The data directory: where each thing stands in it."""

from dataclasses import dataclass
from pathlib import Path

from richpanel.store.database import sqlite_url


@dataclass(frozen=True)
class DataDirectory:
    """The places in a data directory."""

    path: Path

    @property
    def account_url(self) -> str:
        """Where the definitions are."""
        return sqlite_url(self.path, "account")

    @property
    def state_url(self) -> str:
        """Where the state is."""
        return sqlite_url(self.path, "state")

    def state_file_url(self, name: str) -> str:
        """Where a file of the state is that is not, or not yet, the one in force (`store.state_files`)."""
        return f"sqlite:///{self.path / name}"

    @property
    def log(self) -> Path:
        """Where the log is."""
        return self.path / "log"

    @property
    def exists(self) -> bool:
        """Whether there is an account in it."""
        return (self.path / "account.db").exists()
