"""Errors: problem details (RFC 9457) to API clients, a page to people. What nobody foresaw is logged, never shown."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, TypeGuard

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, PermissionDeniedException

from richpanel.core.codes import Code
from richpanel.log.contract import LogClosed, LogFull, LogUnsure
from richpanel.store.database import is_unreachable
from richpanel.telemetry import get_logger

MEDIA_TYPE: Final = "application/problem+json"
REASONS: Final = {
    "mode": (
        "Richpanel takes cloud-mode alone: calls go to this server and on from here. "
        "Device-mode is refused: there is no code of Richpanel's for a browser or an app to load."
    ),
}
"""Why a field of a body is refused, where its type alone would not tell."""
_DETAILS: Final[dict[int, str]] = {
    HTTPStatus.NOT_FOUND: "There is nothing at this path.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This path does not take this method; `Allow` lists those that it takes.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than what is taken here.",
}
"""What a status that routing gives means here."""
_RETRY_SECONDS: Final = "1"
_EXPECTED: Final = (LogFull, LogClosed, LogUnsure, ConnectionError, RecursionError)
"""What is answered, and no fault of ours."""


class NotAllowed(PermissionDeniedException):
    """Somebody's role does not go so far; `ask` has the logins of those who can change that."""

    ask: Sequence[str] = ()


class SentOn(Exception):
    """The page is not for them, and another one is."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path: Final = path


class Fault(msgspec.Struct, omit_defaults=True):
    """One thing wrong with a request: which parameter or which field of the body, and what; where within a text."""

    detail: str
    parameter: str | None = None
    field: str | None = None
    line: int | None = None
    column: int | None = None


class Problem(msgspec.Struct, omit_defaults=True):
    """An error as RFC 9457 has it; `errors` names the parameters or fields at fault."""

    title: str
    status: int
    detail: str
    type: str = msgspec.field(default="about:blank")
    errors: list[Fault] = msgspec.field(default_factory=list)


def _faults(error: HTTPException) -> list[Fault]:
    """Read what was found wrong with the parameters or the body, in Litestar's form."""
    faults = []
    for entry in error.extra if isinstance(error.extra, list) else []:
        key, of_body = entry.get("key"), entry.get("source") == "body"
        message = REASONS.get(str(key)) if of_body else None
        field = key if of_body and key != "data" else None
        place = (entry.get("line"), entry.get("column"))
        faults.append(Fault(message or str(entry["message"]), None if of_body else key, field, *place))
    return faults


def _foreseen(error: Exception) -> TypeGuard[HTTPException]:
    """Tell whether an error is an answer; a status of 500 is none, whoever raised it."""
    return isinstance(error, HTTPException) and error.status_code != HTTPStatus.INTERNAL_SERVER_ERROR


def problem_of(error: Exception) -> tuple[Problem, dict[str, str]]:
    """Tell an exception as a problem, with the headers that belong to it."""
    if isinstance(error, LogFull):
        detail = "The log cannot take more now; try again after Retry-After seconds. Nothing was kept."
        return Problem("Too Many Requests", 429, detail), {"Retry-After": _RETRY_SECONDS}
    if isinstance(error, LogClosed):
        detail = "The server is stopping; try again. Nothing was kept."
        return Problem("Service Unavailable", 503, detail), {"Retry-After": _RETRY_SECONDS}
    if isinstance(error, LogUnsure):
        detail = "The log did not answer, so this may be kept or not; send it again, with the same id if it has one."
        return Problem("Service Unavailable", 503, detail), {"Retry-After": _RETRY_SECONDS}
    if isinstance(error, ConnectionError) or is_unreachable(error):
        detail = "The log or the database cannot be reached; try again."
        return Problem("Service Unavailable", 503, detail), {"Retry-After": _RETRY_SECONDS}
    if isinstance(error, RecursionError):  # Only a body can be so deep, and decoding it stops here.
        return Problem("Bad Request", 400, Code.TOO_DEEP.text), {}
    if not _foreseen(error):
        return Problem("Internal Server Error", 500, "This is our fault; it is in the server's log."), {}
    title = HTTPStatus(error.status_code).phrase
    detail = _DETAILS.get(error.status_code, title) if error.detail == title else error.detail
    faults = _faults(error)
    if detail.startswith("Validation failed for"):  # Litestar's text repeats the URL, which is the client's.
        detail = "; ".join(fault.detail for fault in faults) or title
    return Problem(title, error.status_code, detail, errors=faults), dict(error.headers or {})


def log_unforeseen(request: Request[Any, Any, Any], error: Exception) -> None:
    """Write what we did not foresee to the log, with the way to it and without the query or the body."""
    if not isinstance(error, _EXPECTED) and not _foreseen(error) and not is_unreachable(error):
        route = request.scope.get("path_template", "")
        get_logger(__name__).error("request_failed", method=request.method, route=route, exc_info=error)


def api_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer an error to an API client."""
    log_unforeseen(request, error)
    problem, headers = problem_of(error)
    content = msgspec.json.encode(problem)
    return Response(content, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)
