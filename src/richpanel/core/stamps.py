"""Stamps: a message's place in the order that everything is folded by, `(t, messageId, source)` (`semantics.md` 1)."""

Stamp = tuple[int, str, str]
"""Event time (ms UTC), message id, source id. Tuples compare as the order does; arrival plays no part."""
