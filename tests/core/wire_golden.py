"""The golden files of the wire: `make golden` (`python -m tests.core.wire_golden`) writes their payloads anew.

A file holds a call as a shop sends it, written by hand after the example in Segment's spec, the type of its source, and
the payload that Richpanel is sent for it. Only the payload is renewed.
"""

from pathlib import Path
from typing import Any

import msgspec

from richpanel.core.money import decode_exact, encode_exact
from richpanel.core.timestamps import parse
from richpanel.core.wire import payload

FOLDER = Path(__file__).parent / "golden" / "wire"
ENGAGE = FOLDER / "calls" / "engage.json"
EMAIL = "ada@example.com"
"""The customer's, whom an Engage message does not name by it."""
FILES = sorted(FOLDER.glob("*/*.json"))


def read(file: Path) -> Any:
    """A golden file, its numbers with their digits."""
    return decode_exact(file.read_bytes())


def made(file: Path) -> dict[str, Any]:
    """The payload for the call in a golden file."""
    held = read(file)
    t = parse(held["message"]["timestamp"])
    assert t is not None
    return payload(held["message"], t, email=EMAIL if file == ENGAGE else None, source_type=held["source"])


def written(file: Path) -> bytes:
    """A golden file as it should be."""
    held = read(file)
    content = {"source": held["source"], "message": held["message"], "payload": made(file)}
    return msgspec.json.format(encode_exact(content), indent=2) + b"\n"


if __name__ == "__main__":
    for each in FILES:
        each.write_bytes(written(each))
