"""What the door knows: sources with their keys, and who is kept out, read from the databases."""

from typing import cast

from richpanel import telemetry
from richpanel.core.codes import Code
from richpanel.roles.clock import now_ms
from richpanel.source.keys import KeySnapshot, Source, SourceType
from richpanel.source.privacy import KeptOut
from richpanel.store.glance import Glance, Unreadable

_log = telemetry.get_logger(__name__)


class Sources:
    """The sources as the door knows them, read again only where a definition has changed: it asks twice a second.

    With them it looks after who is kept out, and after the counts of what was refused for that.
    """

    def __init__(self, glance: Glance, keys: KeySnapshot) -> None:
        """Nothing is read yet."""
        self._glance = glance
        self._keys = keys
        self._kept_out: object = None
        self._version = -1
        self._ends_at = 0
        self._known: list[Source] = []

    def load(self) -> list[Source]:
        """Give the sources, and bring beside them up to date who is kept out."""
        version, now = self._glance.definitions_version(), now_ms()
        if version != self._version or 0 < self._ends_at <= now:
            rows = self._glance.sources(now)
            self._known = [
                Source(
                    id=row.id,
                    name=row.name,
                    type=cast("SourceType", row.type),
                    enabled=row.enabled,
                    write_keys=row.keys,
                    rate_limit=row.rate_limit,
                    identity_secret=row.identity_secret,
                    sealed_secrets=row.secrets,
                )
                for row in rows
            ]
            self._ends_at = min((row.ends_at for row in rows if row.ends_at), default=0)
            self._version = version
        self._look_after_privacy()
        return self._known

    def _look_after_privacy(self) -> None:
        """Where a database cannot be read or written just now, new keys work all the same."""
        counts = self._keys.refusals.take()
        try:
            version = self._glance.suppressed_version()
            if version != self._kept_out:
                self._keys.kept_out = KeptOut(self._glance.account_key(), self._glance.suppressed())
                self._kept_out = version
            if counts:
                self._glance.count_refusals(counts, Code.SUPPRESSED.value)
        except Unreadable as error:
            self._keys.refusals.put_back(counts)
            _log.warning("suppressions_not_refreshed", reason=str(error))
