"""What a role that processes tells the parent: what it has counted, and why it does not get on."""

from time import monotonic
from typing import Final

from richpanel import telemetry
from richpanel.roles.parent import Parent

_REPORT_SECONDS: Final = 1.0


class Report:
    """Tells the parent what was counted, once a second at the most, and why nothing goes on where that is so."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._told = 0.0

    def on_batch(self, _applied: object, seconds: float) -> None:
        telemetry.BATCHES.add(1)
        telemetry.BATCH_SECONDS.observe(seconds)
        if monotonic() - self._told > _REPORT_SECONDS:
            self._told = monotonic()
            self._parent.say(figures=telemetry.snapshot())

    def on_stall(self, reason: str | None) -> None:
        self._parent.say(stalled=reason)
