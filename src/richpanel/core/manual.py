"""Manual links: a person links a visitor to a customer, cuts a link, or takes one of both back (`semantics.md` 3).

Each is a record in the log like any other, and holds by its place in the order, not by when it is processed:

- a **link** counts as if a call with both ids had come at that moment: what the alias does from then on is the uid's,
  and so is all it did before, where nobody was linked before;
- an **unlink** ends what every link between the two before it stands for, of a call or by hand; a later one counts;
- an **undo** names one of both by its message id, and takes it back as if it had never been made.

A message that itself carries a uid stays that uid's: its sender said who it was.
"""

from typing import Final, Literal

import msgspec

ManualType = Literal["link", "unlink", "undo"]
MANUAL_TYPES: Final[tuple[ManualType, ...]] = ("link", "unlink", "undo")
LINK, UNLINK, UNDO = 7, 8, 9
"""Their numbers where a message's type is a number: after the six Segment types and channel activity."""
DOOR: Final = "people"


class Manual(msgspec.Struct, omit_defaults=True):
    """One of the three, as the log keeps it. `undoes` is the message id of the record that an undo takes back.

    `by` names who did it.
    """

    messageId: str
    type: ManualType
    uid: str | None = None
    anonymousId: str | None = None
    undoes: str | None = None
    timestamp: str | int | float | None = None
    by: str | None = None


encode_manual = msgspec.json.Encoder().encode
decode_manual = msgspec.json.Decoder(Manual).decode


def type_number(kind: ManualType) -> int:
    """Give the number of a type."""
    return LINK + MANUAL_TYPES.index(kind)
