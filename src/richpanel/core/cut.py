"""A cut: what destination filters take from a message before the destination gets it (`semantics.md` 7)."""

from typing import Any

import msgspec

from richpanel.core.inside import is_absent, merged
from richpanel.core.message import Message

_encode = msgspec.json.Encoder().encode
_PARTS = ("properties", "traits", "context")


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is taken from the object at `path`: the fields `keys`, or with `allow` all others."""

    path: tuple[str, ...]
    keys: tuple[str, ...]
    allow: bool = False


class Cut(msgspec.Struct, frozen=True):
    """What is taken from a message. It is stored with the decision, so that it stays what it was decided to be.

    A step takes fields from the object at its path, in every element where an array is on the way. Steps only take
    away, so their order does not matter.
    """

    steps: tuple[Step, ...]

    def apply(self, body: dict[str, Any]) -> dict[str, Any]:
        """Give a message without what is taken; the one given stays as it is. Raw values within it stay raw."""
        for step in self.steps:
            body = _taken(body, step, 0)
        return body

    def apply_to(self, message: Message, shared_context: msgspec.Raw) -> None:
        """Take it from a message of the log, which has its batch's context merged in from then on."""
        message.context = merged(shared_context, message.context)
        body = {part: raw for part in _PARTS if not is_absent(raw := getattr(message, part))}
        left = self.apply(body)
        for part in body:
            setattr(message, part, left.get(part, msgspec.Raw()))


def _taken(value: Any, step: Step, depth: int) -> Any:
    """Give a value without what a step takes from it; the value itself where that is nothing."""
    if isinstance(value, msgspec.Raw):
        opened = _opened(value)
        left = _taken(opened, step, depth)
        return value if left is opened else msgspec.Raw(_encode(left))
    if isinstance(value, list):
        items = [_taken(each, step, depth) for each in value]
        return value if all(one is other for one, other in zip(items, value, strict=True)) else items
    if not isinstance(value, dict):
        return value
    if depth == len(step.path):
        kept = {key: each for key, each in value.items() if (key in step.keys) == step.allow}
        return value if len(kept) == len(value) else kept
    key = step.path[depth]
    if key not in value:
        return value
    left = _taken(value[key], step, depth + 1)
    return value if left is value[key] else {**value, key: left}


def _opened(raw: msgspec.Raw) -> dict[str, msgspec.Raw] | list[msgspec.Raw] | None:
    """Open an object or an array, one level deep; None for anything else."""
    start = bytes(memoryview(raw)[:1])
    if start == b"{":
        return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    return msgspec.json.decode(raw, type=list[msgspec.Raw]) if start == b"[" else None
