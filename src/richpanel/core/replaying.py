"""Replays: messages that are decided about again for a destination, once its settings are right (`semantics.md` 7).

Each is a record in the log like any other, so that the state stays a function of the log. It names messages by the
keyed hashes of source and id: those stay when a state is made anew, and nothing of anybody can be read from them.
"""

from hashlib import sha256
from typing import Final

import msgspec

DOOR: Final = "replay"
CHUNK: Final = 500
"""Messages that one record names at the most: as many as are folded in one go without anybody's waiting for it."""


class Again(msgspec.Struct, omit_defaults=True):
    """Some messages of a replay, as the log keeps it. `replay` is the job's id, `destination` that of the destination.

    `messages` are hashes of (source, messageId) (`core.ids.hash64`).
    """

    messageId: str
    replay: str
    destination: str
    messages: list[int]


encode_again = msgspec.json.Encoder().encode
decode_again = msgspec.json.Decoder(Again).decode


def again(replay: str, destination: str, number: int, messages: list[int]) -> Again:
    """Make chunk `number` of a replay; its id is a digest, the same whenever it is written again."""
    digest = sha256(f"{len(replay)}:{replay}:{number}".encode()).hexdigest()[:32]
    return Again(f"replay-{digest}", replay, destination, messages)
