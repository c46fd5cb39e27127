"""The law of erasure finds what it is there to find: each of its rules is broken on purpose, and the property fails."""

import pytest
from hypothesis import Phase, given, settings

from richpanel.process import erasure, refusing
from richpanel.process.definitions import Watch
from richpanel.process.tombstones import Tombstones
from richpanel.store import addresses, channels, history, message_rows
from tests.process.account import Arrived, Template, on_sqlite
from tests.process.histories import late_links, letters_of_known, linked_by_hand, plans, repeated, replaced_links
from tests.process.reference_erasure import Erasure
from tests.process.test_law import law
from tests.process.test_law_erasure import check, erasures
from tests.process.test_law_seeded import EXAMPLES, Bug, giving, nothing

BUGS = {
    "an alias goes on as it was": Bug(erasure, "part", lambda runs, _: runs, late_links()),
    "an id that comes again goes on as it was": Bug(Tombstones, "parts", giving(())),
    "an address goes on as it was": Bug(addresses, "part", nothing, letters_of_known()),
    "late messages come in": Bug(refusing, "_belongs", giving(False)),
    "repeats of what was erased come in": Bug(Watch, "erased_among", giving(set()), repeated()),
    "links stay": Bug(erasure, "without", lambda runs, _: runs, replaced_links()),
    "others and their orders keep what was taken": Bug(erasure, "_find_others", nothing),
    "what stands in no history stays": Bug(message_rows, "not_kept_of", giving([])),
    "a cut by hand goes where a call links again": Bug(history, "any_call_links", giving(False), linked_by_hand()),
    "letters stay": Bug(channels, "remove", nothing, letters_of_known()),
}
LONG = {"an alias goes on as it was", "what stands in no history stays", "a cut by hand goes where a call links again"}
"""Bugs that only the several hundredth history shows."""


@on_sqlite
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.soak] * (name in LONG)) for name in BUGS])
def test_the_law_fails_where(template: Template, name: str) -> None:
    bug = BUGS[name]

    @settings(law(EXAMPLES), derandomize=True, database=None, phases=[Phase.generate], report_multiple_bugs=False)
    @given(records=bug.among, wanted=erasures, plan=plans)
    def holds(records: list[Arrived], wanted: list[tuple[int, Erasure]], plan: list[tuple[int, bool]]) -> None:
        check(template, records, wanted, plan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bug.place, bug.name, bug.instead)
        with pytest.raises((AssertionError, KeyError)):
            holds()
