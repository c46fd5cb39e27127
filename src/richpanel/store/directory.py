"""Where everything is: the data directory, and the database of a cluster."""

from dataclasses import dataclass
from pathlib import Path

from richpanel.store.database import Branch, sqlite_url
from richpanel.store.revisions import holds_account
from richpanel.store.urls import schema_url, shown_url


@dataclass(frozen=True)
class DataDirectory:
    """The places in a data directory; on a cluster databases and log are elsewhere instead (PostgreSQL, JetStream)."""

    path: Path
    database_url: str | None = None
    log_url: str | None = None

    @property
    def is_embedded(self) -> bool:
        """Whether the databases are files in it."""
        return self.database_url is None

    @property
    def account_url(self) -> str:
        """Where the definitions are."""
        return self._url("account")

    @property
    def state_url(self) -> str:
        """Where the state is."""
        return self._url("state")

    @property
    def delivery_url(self) -> str:
        """Where the deliveries are."""
        return self._url("delivery")

    def state_file_url(self, name: str) -> str:
        """Where a file of the state is that is not, or not yet, the one in force (`store.state_files`)."""
        return f"sqlite:///{self.path / name}"

    @property
    def log(self) -> Path:
        """Where the log is, unless there is a `log_url`."""
        return self.path / "log"

    @property
    def exists(self) -> bool:
        """Whether there is an account in it. Raises ConnectionError where a server of databases does not answer."""
        if self.database_url is None:
            return (self.path / "account.db").exists()
        return holds_account(self.database_url)

    @property
    def databases(self) -> str:
        """What people call the place of the databases; no password is in it."""
        return str(self.path) if self.database_url is None else shown_url(self.database_url)

    def _url(self, branch: Branch) -> str:
        return sqlite_url(self.path, branch) if self.database_url is None else schema_url(self.database_url, branch)
