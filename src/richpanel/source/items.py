"""Items: one call of a request judged, and a batch read so far that its items can be judged one by one.

What makes a whole body unreadable is told here from what makes one item bad: an item that is nested too deeply, or that
holds half an emoji, must not take a batch's good items with it.
"""

import hmac
from typing import Any, Final, NamedTuple

import msgspec

from richpanel.core.codes import Code
from richpanel.core.ids import clean_id
from richpanel.core.message import (
    MAX_MESSAGE_BYTES,
    MAX_MESSAGE_ID,
    Batch,
    Call,
    Head,
    decode_batch,
    reason_of_decode_error,
    validate,
    validate_readable,
)
from richpanel.source.scan import DEEP, cut_deep, flaw, is_readable, mend_surrogates

FEW: Final = 8
"""Below this many items, decoding each of them whole is quicker than looking over the body first."""
DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Keyed(msgspec.Struct):
    writeKey: Any = None


class _Named(msgspec.Struct):
    messageId: Any = None


_decode_keyed = msgspec.json.Decoder(_Keyed).decode
_decode_named = msgspec.json.Decoder(_Named).decode
_decode_object = msgspec.json.Decoder(dict[str, Any] | None).decode


class ReadBatch(NamedTuple):
    """A batch split into its items: `body` as it was read, `deep` what had to be cut out of it, in order."""

    batch: Batch
    body: bytes
    deep: list[bytes]


class Envelope(NamedTuple):
    """What a batch says once for all its items, checked."""

    context: msgspec.Raw
    integrations: msgspec.Raw
    user_hash: object


def key_in(body: bytes) -> str | None:
    """Find the write key in a body that was refused: "" where it has none, None where the body cannot be read."""
    try:
        key = _decode_keyed(body).writeKey
    except msgspec.ValidationError:
        return ""
    except DECODE_ERRORS:
        return None
    return key if isinstance(key, str) else ""


def message_id_in(item: bytes | memoryview) -> str | None:
    """Find the messageId of a bad item, so that it can be looked up; None where it has none that one could ask for."""
    try:
        found = clean_id(_decode_named(item).messageId)
    except DECODE_ERRORS:
        return None
    return found if found is not None and len(found) <= MAX_MESSAGE_ID else None


def judge(item: bytes | memoryview, path_type: str | None) -> Call | Code:
    """Check one call whole: all that `validate` checks, and what it would skip."""
    if len(item) > MAX_MESSAGE_BYTES:
        return Code.MESSAGE_TOO_LARGE
    return flaw(item) or validate(item, path_type)


def judge_single(body: bytes, path_type: str | None) -> tuple[Call | Code, bytes]:
    """Check a single call; give the verdict, and the body with its halves of characters mended."""
    found = judge(body, path_type)
    if found is Code.INVALID_JSON and (mended := mend_surrogates(body)) is not None:
        return judge(mended, path_type), mended
    return found, body


def unverified(call: Call, secret: str, batch_hash: object = None) -> bool:
    """Whether a call names a user without proving it by `context.userHash` (`semantics.md` 2, identity verification).

    The proof is the HMAC-SHA256 of the userId with the source's secret, in hexadecimal.
    """
    user = clean_id(call.userId)
    if user is None:
        return False
    given = (call.context or {}).get("userHash", batch_hash)
    if not isinstance(given, str):
        return True
    expected = hmac.digest(secret.encode(), user.encode(), "sha256").hex()
    return not hmac.compare_digest(expected.encode(), given.strip().lower().encode())


def judge_items(read: ReadBatch, views: list[memoryview], secret: str | None, batch_hash: object) -> list[Head | Code]:
    """Check each item of a batch."""
    if secret is None and len(views) >= FEW and is_readable(read.body):
        return [validate_readable(view) for view in views]
    found: list[Head | Code] = []
    for view in views:
        call = judge(view, None)
        if secret is not None and isinstance(call, Call) and unverified(call, secret, batch_hash):
            found.append(Code.IDENTITY_UNVERIFIED)
        else:
            found.append(call)
    return found


def good_calls(found: list[Head | Code]) -> list[Head]:
    """Give the calls among the verdicts."""
    # `isinstance` asks the enum's metaclass and costs four times as much.
    return [call for call in found if type(call) is not Code]  # type: ignore[misc]


def unnamed(calls: list[Head]) -> list[int]:
    """Tell which calls have no messageId: one that is absent, or that stands for none."""
    ids = [call.messageId for call in calls]
    # What SDKs send, a UUID with something before it, is long: most need no closer look.
    short = [at for at, given in enumerate(ids) if type(given) is not str or len(given) < 36 or given[0] in "0- "]
    return [at for at in short if clean_id(ids[at]) is None]


def read_batch(body: bytes) -> ReadBatch | Code:
    """Split a batch into its items, or tell why nobody can."""
    deep: list[bytes] = []
    for _ in range(3):  # As it is, without what is too deep, with halves of characters mended.
        try:
            batch = decode_batch(body)
        except RecursionError:
            body, deep = cut_deep(body)
            if not deep:
                return Code.TOO_DEEP
        except msgspec.ValidationError as error:
            reason = reason_of_decode_error(error)
            return reason if reason is Code.NUMBER_OUT_OF_RANGE else Code.INVALID_BATCH
        except msgspec.DecodeError:
            mended = mend_surrogates(body)
            if mended is None:
                return Code.INVALID_JSON
            body = mended
        except UnicodeDecodeError:
            return Code.INVALID_UTF8
        else:
            if deep and sum(bytes(raw) == DEEP for raw in batch.batch) < len(deep):
                return Code.TOO_DEEP  # Not an item: the batch's own context, say.
            return ReadBatch(batch, body, deep)
    return Code.INVALID_JSON


def _read_object(raw: msgspec.Raw, wrong: Code) -> dict[str, Any] | Code | None:
    view = memoryview(raw)
    if not view.nbytes:
        return None
    if view.nbytes > MAX_MESSAGE_BYTES:
        return Code.MESSAGE_TOO_LARGE  # It counts for each item, and an item with it would be too large.
    if (found := flaw(view)) is not None:
        return found
    try:
        content: dict[str, Any] | None = _decode_object(raw)
    except DECODE_ERRORS as error:
        reason = reason_of_decode_error(error)
        return wrong if reason is Code.NOT_AN_OBJECT else reason
    return content


def read_envelope(batch: Batch) -> Envelope | Code:
    """Check a batch's own `context` and `integrations`, which are for every item."""
    context = _read_object(batch.context, Code.CONTEXT_NOT_OBJECT)
    if isinstance(context, Code):
        return context
    integrations = _read_object(batch.integrations, Code.INTEGRATIONS_NOT_OBJECT)
    if isinstance(integrations, Code):
        return integrations
    return Envelope(
        batch.context if context else msgspec.Raw(),
        batch.integrations if integrations else msgspec.Raw(),
        context.get("userHash") if context else None,
    )
