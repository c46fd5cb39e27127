"""How far the log was ever applied: no record may be put below that, or it would be passed over."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from richpanel.store.glance import Unreadable, open_glance


def ever_applied(directory: Path, database_url: str | None) -> Callable[[], int]:
    """Give what tells the end of the last record that was ever applied; that raises ConnectionError.

    It is asked seldom, where a stream is opened, so it keeps no connection.
    """

    def ask() -> int:
        with closing(open_glance(directory, database_url)) as glance:
            try:
                return glance.reached()
            except Unreadable as error:
                raise ConnectionError(str(error)) from None

    return ask
