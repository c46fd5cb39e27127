"""Queries and lists: `?limit=&cursor=` in, `{"data": [...], "next": CURSOR or null}` out (contract.md, "REST API")."""

from collections.abc import Callable, Collection
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from litestar import Request
from litestar.exceptions import ValidationException
from litestar.params import FromPath
from msgspec import Meta

T = TypeVar("T")
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500

Identifier = FromPath[str]
"""An id as a path carries it: percent-encoded (`paths.decode_id`)."""


class Query(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a route takes behind the `?`. A parameter that it does not have is an error: it would change nothing."""


class Paged(Query, kw_only=True):
    """The query of a list."""

    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="How many entries to give.")] = DEFAULT_LIMIT
    cursor: Annotated[str, Meta(min_length=1, description="`next` of the page before.")] | None = None


class Listed(msgspec.Struct, Generic[T]):
    """A list that fits one page."""

    data: list[T]
    next: str | None = None


async def read_query(request: Request[Any, Any, Any]) -> Any:
    """Read the query into what the route's own parameter `asked` is annotated with; a bad one is a 400."""
    return query_of(request, request.route_handler.parsed_fn_signature.parameters["asked"].annotation)


def query_of(request: Request[Any, Any, Any], wanted: Any, *, joined: Collection[str] = ()) -> Any:
    """Read the query into a type; values of the names `joined` may be several, and become one, with commas between."""
    given: dict[str, str] = {}
    of_form = not request.scope["path"].startswith("/api/")
    for name, value in request.query_params.multi_items():
        if of_form and not value:
            continue  # A form sends its empty fields too.
        if name in given and name not in joined:
            raise bad_parameter(name, "The parameter is given twice.")
        given[name] = f"{given[name]},{value}" if name in given else value
    try:
        asked = msgspec.convert(given, wanted, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        raise bad_parameter(path.rstrip("`") or None, message) from None
    for parameter, name in zip(wanted.__struct_encode_fields__, wanted.__struct_fields__, strict=True):
        if parameter in given and getattr(asked, name) is None:
            raise bad_parameter(parameter, "Expected a value, got `null`")  # No way to leave one out.
    return asked


def bad_parameter(name: str | None, message: str) -> ValidationException:
    """Make the error for a bad query parameter."""
    return ValidationException(message, extra=[{"message": message, "key": name, "source": "query"}])


def bad_field(name: str, message: str) -> ValidationException:
    """Make the error for a field of the body that its type cannot tell to be bad."""
    return ValidationException(message, extra=[{"message": message, "key": name, "source": "body"}])


def answer_bad_values(run: Callable[[], T]) -> T:
    """Run a list's query; a cursor or a sort that it does not know (ValueError) is the client's fault."""
    try:
        return run()
    except ValueError as error:
        message = str(error)
        raise ValidationException(message[:1].upper() + message[1:]) from None
