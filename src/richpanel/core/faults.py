"""Reading what people define, strictly: whatever is wrong is told by its place, such as `condition.and[1].count.op`."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

T = TypeVar("T")
MAX_NAME: Final = 512
"""Characters of a key, a path or an event's name."""
_SHOWN: Final = 64


class Fault(NamedTuple):
    """What is wrong: the field, as a path from the top, and a sentence for who wrote it."""

    field: str
    text: str


class FaultyError(ValueError):
    """A definition that cannot be saved, with all that is wrong with it."""

    def __init__(self, *faults: Fault) -> None:
        """Hold one fault or more."""
        super().__init__("; ".join(f"{each.field}: {each.text}" for each in faults))
        self.faults = faults


def wrong(at: str, text: str) -> FaultyError:
    """Make the error of one fault, to be raised."""
    return FaultyError(Fault(at, text))


def quoted(value: object) -> str:
    """Write what somebody gave, in short."""
    text = value if isinstance(value, str) else repr(value)
    return f"`{text if len(text) <= _SHOWN else text[:_SHOWN] + '...'}`"


def an_object(
    value: object, at: str, *, required: Collection[str] = (), optional: Collection[str] = ()
) -> dict[str, Any]:
    """Read an object that has these keys and no others."""
    if not isinstance(value, dict):
        raise wrong(at, f"Must be an object, not {kind(value)}.")
    known = [*required, *optional]
    faults = [Fault(f"{at}.{key}", "Is required.") for key in required if key not in value]
    faults += [
        Fault(f"{at}.{key}", f"Is not known here; possible: {', '.join(known)}.") for key in value if key not in known
    ]
    if faults:
        raise FaultyError(*faults)
    return value


def a_text(value: object, at: str, longest: int = MAX_NAME) -> str:
    """Read a text that is not blank."""
    if not isinstance(value, str):
        raise wrong(at, f"Must be a text, not {kind(value)}.")
    if not value.strip():
        raise wrong(at, "Must not be empty.")
    if len(value) > longest:
        raise wrong(at, f"May have {longest:,} characters, not {len(value):,}.")
    return value


def an_integer(value: object, at: str, least: int, most: int) -> int:
    """Read an integer within bounds."""
    if type(value) is not int:
        raise wrong(at, f"Must be an integer, not {kind(value)}.")
    if not least <= value <= most:
        raise wrong(at, f"Must be from {least:,} to {most:,}, not {value:,}.")
    return value


def one_of(value: object, at: str, possible: Collection[str]) -> str:
    """Read one of a few words."""
    if not isinstance(value, str) or value not in possible:
        raise wrong(at, f"Must be one of {', '.join(possible)}, not {quoted(value)}.")
    return value


def each(value: object, at: str, read: Callable[[Any, str], T], *, least: int = 1, most: int = 100) -> tuple[T, ...]:
    """Read a list; what is wrong with any of its elements is told together."""
    if not isinstance(value, list):
        raise wrong(at, f"Must be a list, not {kind(value)}.")
    if not least <= len(value) <= most:
        raise wrong(at, f"Must have {least} to {most} elements, not {len(value)}.")
    found: list[T] = []
    faults: list[Fault] = []
    for number, element in enumerate(value):
        try:
            found.append(read(element, f"{at}[{number}]"))
        except FaultyError as error:
            faults += error.faults
    if faults:
        raise FaultyError(*faults)
    return tuple(found)


def kind(value: object) -> str:
    """Name the JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, Sequence) else "a number"
