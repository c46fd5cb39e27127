"""Keys: which source a write key or an API Key opens. A snapshot of the store, so that no request waits for one."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from richpanel.source.privacy import KeptOut, Refusals
from richpanel.telemetry import get_logger

_log = get_logger(__name__)

SourceType = Literal["web", "mobile", "server", "segment", "channel", "engage"]


class Source(msgspec.Struct, frozen=True):
    """A source as the door sees it.

    `write_keys` open the Tracking API; those of a source of type `segment` are its connector's API Keys, and open
    `/segment` and Richpanel's tracking API instead; `sealed_secrets` are its API Secrets as stored. `rate_limit` is
    calls a second, None for no limit. `identity_secret` is there only where the source requires identity verification.
    """

    id: str
    name: str
    type: SourceType
    enabled: bool
    write_keys: tuple[str, ...]
    rate_limit: float | None = None
    identity_secret: str | None = None
    sealed_secrets: tuple[str, ...] = ()


class KeySnapshot:
    """Which key opens which source, as of the last refresh. Looking one up is one look into a dict.

    `channel` is the source that channel activity belongs to, the e-mail listener's too. `kept_out` says whose calls are
    refused, and `refusals` how many were; both are looked after by who refreshes this. `open_secret` reads a secret as
    it is stored, None where it cannot.
    """

    def __init__(self, sources: Iterable[Source] = ()) -> None:
        """Begin with these sources."""
        self.write_keys: dict[str, Source] = {}
        self.api_keys: dict[str, Source] = {}
        self.channel: Source | None = None
        self.kept_out = KeptOut()
        self.refusals = Refusals()
        self.open_secret: Callable[[str], str | None] = lambda _sealed: None
        self._opened: dict[str, str] = {}
        self._sources: list[Source] = []
        self._failing = False
        self.replace(sources)

    def replace(self, sources: Iterable[Source]) -> None:
        """Put these in the place of all that was known."""
        sources = list(sources)
        if sources == self._sources:
            return
        self._sources = sources
        self.write_keys = {key: source for source in sources if source.type != "segment" for key in source.write_keys}
        self.api_keys = {key: source for source in sources if source.type == "segment" for key in source.write_keys}
        self.channel = next((source for source in sources if source.type == "channel"), None)
        self._opened = {}

    def secrets(self, source: Source) -> list[str]:
        """Give the API Secrets of a connector's source that can be read; each is read once."""
        for sealed in source.sealed_secrets:
            if sealed not in self._opened and (secret := self.open_secret(sealed)) is not None:
                self._opened[sealed] = secret
        return [self._opened[sealed] for sealed in source.sealed_secrets if sealed in self._opened]

    async def refresh(self, load: Callable[[], Iterable[Source]], every: float = 0.5) -> None:
        """Ask `load`, in a thread, every so many seconds until cancelled; while it fails, the old keys stay."""
        while True:
            try:
                self.replace(await asyncio.to_thread(lambda: list(load())))
                if self._failing:
                    _log.warning("keys_refreshed_again")
                self._failing = False
            except Exception:  # noqa: BLE001  # whatever fails in the store, calls with known keys are taken in
                if not self._failing:  # Said once, not twice a second.
                    _log.exception("keys_not_refreshed")
                self._failing = True
            await asyncio.sleep(every)
