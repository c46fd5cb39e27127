"""`docs/reference/richpanel-wire.md` has the mapping of names as it is."""

import re
from pathlib import Path

from richpanel.core.wire import BATCH_EVENTS, CARRIED
from richpanel.core.wire_names import RECEIVED, SENT

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "richpanel-wire.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([A-Z][\w ]+)` \| `(\w+)` \|$", re.MULTILINE)


def test_every_name_is_as_it_is() -> None:
    assert dict(ROW.findall(PAGE)) == SENT


def test_what_comes_in_under_a_name_of_its_own_is_told() -> None:
    alone = {name for name, event in RECEIVED.items() if SENT.get(event) != name}
    assert alone == {"order_status_update", "fulfillment"}
    assert all(f"`{name}`" in PAGE for name in alone)


def test_the_names_in_the_text() -> None:
    assert f"`{CARRIED}`" in PAGE
    assert f"we send {BATCH_EVENTS} at the most" in PAGE
