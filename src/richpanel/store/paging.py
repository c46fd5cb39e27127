"""Pages of a list: opaque cursors that name the last entry given, so that nothing shifts under the reader."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")


class BadCursor(ValueError):
    """A cursor that this list did not give."""


class Page(msgspec.Struct, Generic[T]):
    """Part of a list, and the cursor of the next part; None at the end."""

    data: list[T]
    next: str | None = None


def write_cursor(*values: Any) -> str:
    """Write the sort values of a page's last entry as a cursor."""
    return urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def read_cursor(cursor: str | None, *types: Any) -> tuple[Any, ...] | None:
    """Read a cursor whose values have these types; None where there is none. Raises BadCursor."""
    if cursor is None:
        return None
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return msgspec.json.decode(text, type=tuple[types])  # type: ignore[valid-type]
    except (ValueError, msgspec.DecodeError) as error:
        raise BadCursor("this cursor is not one that the list gave") from error
