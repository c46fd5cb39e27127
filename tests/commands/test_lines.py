"""Lines of a file as batches: good items as they are, bad ones such that the door refuses them alone."""

import io
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.commands.lines import ID_PREFIX, MAX_ITEMS, batches
from richpanel.core.codes import Code
from richpanel.core.message import MAX_REQUEST_BYTES, decode_batch, decode_message, validate

GOOD = b'{"type":"track","userId":"u","event":"e","messageId":"m","properties":{"price":1.10}}'


def read(text: bytes, offset: int = 0, number: int = 0) -> list[bytes]:
    """All items of a file."""
    return [item for batch in batches(io.BytesIO(text), offset, number, "src\x1ffile") for item in batch.items]


def test_a_good_line_keeps_its_bytes() -> None:
    assert read(GOOD + b"\n\r\n \n" + GOOD + b"\r\n") == [GOOD, GOOD]


def test_a_line_without_an_id_gets_the_same_one_each_time() -> None:
    nameless = GOOD.replace(b',"messageId":"m"', b"")
    [first, second] = read(nameless + b"\n" + nameless)
    ids = [decode_message(item).messageId for item in (first, second)]
    assert all(str(message_id).startswith(ID_PREFIX) for message_id in ids)
    assert ids[0] != ids[1], "the same text on another line is another message"
    assert read(nameless + b"\n") == [first]
    assert read(nameless, offset=len(nameless) + 1, number=1) == [second], "resumed in the middle"
    assert b'"price":1.10' in first, "digits are kept"
    other = [item for batch in batches(io.BytesIO(nameless), 0, 0, "src\x1fother") for item in batch.items]
    assert other != [first]


@pytest.mark.parametrize("blocked", ['""', "null", '"undefined"'])
def test_a_blocked_id_counts_as_absent(blocked: str) -> None:
    [item] = read(GOOD.replace(b'"m"', blocked.encode()))
    assert str(decode_message(item).messageId).startswith(ID_PREFIX)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"not json", Code.NOT_AN_OBJECT),
        (b"[1]", Code.NOT_AN_OBJECT),
        (b"\xff\xfe", Code.NOT_AN_OBJECT),
        (b"{" * 5_000, Code.NOT_AN_OBJECT),
        (b'{"type":"track","userId":"u"}', Code.EVENT_NOT_DEFINED),
        (b'{"type":"identify"}', Code.NO_USER_ANON_ID),
        (GOOD[:-2] + b',"x":"' + b"x" * 40_000 + b'"}}', Code.MESSAGE_TOO_LARGE),
        (b"x" * 2_000_000, Code.MESSAGE_TOO_LARGE),
    ],
)
def test_a_bad_line_is_refused_alone(line: bytes, code: Code) -> None:
    [batch] = batches(io.BytesIO(GOOD + b"\n" + line + b"\n" + GOOD), 0, 0, "o")
    assert (batch.discarded, batch.lines, batch.offset) == (1, 3, len(GOOD) * 2 + len(line) + 2)
    assert validate(batch.items[1]) is code
    items = decode_batch(batch.body()).batch
    assert [bytes(item) for item in (items[0], items[2])] == [GOOD, GOOD]


def test_batches_fit_a_request() -> None:
    large = GOOD[:-2] + b',"x":"' + b"x" * 30_000 + b'"}}'
    text = b"\n".join([GOOD] * (MAX_ITEMS + 1) + [large] * 40)
    found = list(batches(io.BytesIO(text), 0, 0, "o"))
    assert all(len(batch.items) <= MAX_ITEMS and len(batch.body()) <= MAX_REQUEST_BYTES for batch in found)
    assert sum(len(batch.items) for batch in found) == MAX_ITEMS + 41
    assert found[-1].offset == len(text)
    assert [batch.lines for batch in found] == sorted(batch.lines for batch in found)


@given(st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")), max_size=20), st.booleans())
def test_whatever_a_file_holds_its_batches_are_json_and_count_its_bytes(lines: list[bytes], ended: bool) -> None:
    text = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    found = list(batches(io.BytesIO(text), 0, 0, "o"))
    assert found[-1].offset == len(text)
    for batch in found:
        items = decode_batch(batch.body()).batch
        assert len(items) == len(batch.items)
        bad = sum(isinstance(validate(item), Code) for item in items)
        assert bad == batch.discarded


@given(st.dictionaries(st.text(max_size=5), st.integers(), max_size=4))
def test_an_id_can_be_put_into_any_message(extra: dict[str, int]) -> None:
    message = {**extra, "type": "identify", "userId": "u"}
    message.pop("messageId", None)
    for name in ("anonymousId", "event", "name", "category", "traits", "properties", "context", "integrations"):
        message.pop(name, None)
    [item] = read(json.dumps(message, indent=None).encode())
    decoded = msgspec.json.decode(item)
    assert decoded.pop("messageId").startswith(ID_PREFIX)
    assert decoded == message
