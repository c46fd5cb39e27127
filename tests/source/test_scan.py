"""What is found without decoding: it agrees with what decoding finds, and costs what its input costs."""

import json
import time
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from richpanel.core.codes import Code
from richpanel.core.message import Head, decode_batch, decode_message, validate, validate_readable
from richpanel.source.scan import DEEP, MAX_DEPTH, cut_deep, depths, flaw, is_readable, is_utf8, mend_surrogates
from tests.source.running import Running, track

TEXT = st.text(st.sampled_from('aé\U0001f6d2"\\[]{}e9+.,: \n'), max_size=12) | st.text(max_size=5)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=30,
)
SUSPICIOUS = st.sampled_from(
    [
        b"1e999",
        b"-1E+999",
        b"1e308",
        b"0e99999",
        b"9" * 400,
        b"0." + b"9" * 400,
        b'"4e123,"',
        b'"\xff"',
        b"1e-999",
        b"1e0309",
    ]
)


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def depths_one_by_one(body: bytes) -> list[int]:
    found, depth, inside, escaped = [], 0, False, False
    for character in body.decode("latin-1"):
        if inside:
            inside, escaped = character != '"' or escaped, character == "\\" and not escaped
        elif character == '"':
            inside = True
        else:
            depth += (character in "[{") - (character in "]}")
        found.append(depth)
    return found


@settings(deadline=None)
@given(JSON)
def test_depths(content: Any) -> None:
    body = json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert depths(body).tolist() == depths_one_by_one(body)


def code_of(verdict: Head | Code) -> Code | None:
    return verdict if isinstance(verdict, Code) else None


@settings(max_examples=300, deadline=None)
@given(JSON, SUSPICIOUS, st.booleans())
def test_a_readable_batch_is_judged_as_if_it_were_decoded(content: Any, odd: bytes, with_odd: bool) -> None:
    """`is_readable` is certain when it says yes: then the quick look finds what the whole decoding finds."""
    call = json.dumps(track(properties={"p": content}), ensure_ascii=False).encode("utf-8", "surrogatepass")
    strange = b'{"type":"track","event":"E","userId":"u","properties":{"p":' + odd + b"}}"
    items = [call, strange] if with_odd else [call]
    body = b'{"batch":[' + b",".join(items) + b"]}"
    if not is_readable(body):
        return
    for raw in decode_batch(body).batch:
        assert code_of(validate_readable(memoryview(raw))) == code_of(validate(raw))
        assert flaw(memoryview(raw)) is None


def test_an_iphone_is_readable() -> None:
    """Every iPhone's user agent holds what looks like a number's exponent; it must not cost the quick look."""
    agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) Version/17.4 Mobile/15E148 Safari/604.1"
    assert is_readable(json.dumps({"batch": [{"context": {"userAgent": agent}}] * 30}).encode())
    assert not is_readable(b'{"batch":[{"properties":{"n":15E1480}}]}')
    assert not is_readable(b'{"batch":[{"properties":{"n": -1.5e400}}]}')


def test_what_the_sdks_send_is_readable() -> None:
    """The quick way is the usual one: ids, texts and prices do not leave it."""
    for _ in range(200):
        ids = {"messageId": f"ajs-next-1764000000000-{uuid4()}", "anonymousId": str(uuid4())}
        page = {"url": f"https://shop.example/p/{uuid4()}?e=1e9,2", "title": "Ünï \U0001f6d2 [1e5], {2}"}
        products = [{"product_id": uuid4().hex, "price": 18.99, "quantity": 1, "position": 3} for _ in range(20)]
        call = track(**ids, context={"page": page}, properties={"products": products, "total": 1e21})
        assert is_readable(json.dumps({"batch": [call] * 30}, ensure_ascii=False).encode())


@pytest.mark.parametrize("padding", [0, 30, 200, 5_000])
@pytest.mark.parametrize(
    ("number", "readable"),
    [
        (b"1e999", False),
        (b"1E+400", False),
        (b"-1.5e0400", False),
        (b"9" * 309, False),
        (b"9" * 250 + b"e99", False),
        (b"1e99", True),
        (b"1e-99", True),
        (b"1.25", True),
        (b"9" * 100, True),
        (b'"4e123"', True),
        (b'"9b2e1234-0000-4e56-8e123-000000000000"', True),
    ],
)
def test_numbers(number: bytes, readable: bool, padding: int) -> None:
    space = b" " * padding
    assert is_readable(b'{"batch":[' + space + number + space + b"]}") is readable


@pytest.mark.parametrize("levels", [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 5_000])
def test_depth_of_an_item(levels: int) -> None:
    item = b'{"a":' + nested(levels - 1) + b"}"
    assert flaw(item) is (Code.TOO_DEEP if levels > MAX_DEPTH else None)
    assert is_readable(b'{"batch":[' + item + b"]}") is (levels < MAX_DEPTH - 1)


def test_brackets_in_strings_are_no_depth() -> None:
    assert flaw(b'{"a":"' + b"[" * 5_000 + b'"}') is None
    assert flaw(b'{"a":"\\"' + b"[" * 5_000 + b'"}') is None
    assert flaw(b'{"a":"\\\\",' + b'"b":' + nested(5_000) + b"}") is Code.TOO_DEEP
    assert flaw(b"[" + b"[]," * 5_000 + b"[]]") is None


def test_cutting_out_what_is_too_deep() -> None:
    good = [b'{"a":[[1]]}', b'{"b":"]"}', b"5"]
    deep = [nested(MAX_DEPTH + 1), b'{"x":' + nested(3_000) + b"}"]
    body = b'{"batch":[' + b",".join([good[0], deep[0], good[1], deep[1], good[2]]) + b'],"c":{"d":{}}}'
    cut, found = cut_deep(body)
    assert found == deep
    assert cut == b'{"batch":[' + b",".join([good[0], DEEP, good[1], DEEP, good[2]]) + b'],"c":{"d":{}}}'
    assert cut_deep(b'{"batch":[]}') == (b'{"batch":[]}', [])
    assert cut_deep(b"") == (b"", [])
    assert cut_deep(b"]]]]") == (b"]]]]", [])


@pytest.mark.parametrize("count", [0, 20])
@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 980, 3_000, 16_000])
async def test_deep_nesting_costs_only_its_own_item(door: Running, levels: int, count: int) -> None:
    source = door.add()
    deep = (
        b'{"type":"track","event":"E","userId":"u","messageId":"deep","properties":{"p":' + nested(levels - 2) + b"}}"
    )
    answer = await door.post("/v1/track", deep, source)
    assert (answer.status, answer.code) == (400, "too_deep")
    good = [track(messageId=f"m-{n}") for n in range(count + 1)]
    items = b",".join(json.dumps(item).encode() for item in good)
    for body in (b'{"batch":[' + deep + b"," + items + b"]}", b'{"batch":[' + items + b"," + deep + b"]}"):
        assert (await door.post("/v1/batch", body, source)).code is None
    assert door.bodies(source) == good * 2
    assert door.discards(source) == [("too_deep", deep[:4096])] * 3


@pytest.mark.parametrize("count", [0, 20])
@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"1e999", "number_out_of_range"),
        (b"-1e999", "number_out_of_range"),
        (b"9" * 5_000, "number_out_of_range"),
        (b'"\xff"', "invalid_utf8"),
        (b'"\xc3"', "invalid_utf8"),
        (b'"\xed\xa0\x80"', "invalid_utf8"),
        (b'"\xc0\xaf"', "invalid_utf8"),
    ],
)
@pytest.mark.parametrize("field", ["properties", "context", "timestamp", "originalTimestamp", "writeKey", "userId"])
async def test_unreadable_values(door: Running, field: str, value: bytes, code: str, count: int) -> None:
    """What nobody could read later does not enter; the items beside it do."""
    source = door.add()
    inside = b'{"p":' + value + b"}" if field in ("properties", "context") else value
    item = b'{"type":"track","event":"E","anonymousId":"a","messageId":"x","%s":%s}' % (field.encode(), inside)
    answer = await door.post("/v1/track", item, source)
    assert (answer.status, answer.code) == (400, code)
    good = [track(messageId=f"m-{n}") for n in range(count + 1)]
    body = b'{"batch":[' + item + b"," + b",".join(json.dumps(call).encode() for call in good) + b"]}"
    assert (await door.post("/v1/batch", body, source)).code is None
    assert door.bodies(source) == good
    assert [found for found, _ in door.discards(source)] == [code] * 2


async def test_broken_text_under_an_unknown_name(door: Running) -> None:
    source = door.add()
    for item in (b'{"event":"E","userId":"u","\xff":1}', b'{"event":"E","userId":"u","x":"\xff"}'):
        assert (await door.post("/v1/track", item, source)).code == "invalid_utf8"


@pytest.mark.parametrize("count", [0, 20])
async def test_exact_and_unusual_numbers_are_kept(door: Running, count: int) -> None:
    source = door.add()
    item = (
        b'{"type":"track","event":"E","userId":"u","properties":{"p":[1e308,1E-999,12345678901234567890123,0.%s]}}'
        % (b"1" * 400)
    )
    page = b'{"type":"page","userId":"u"}'
    body = b'{"batch":[' + b",".join([item, *[page] * count]) + b"]}"
    assert (await door.post("/v1/batch", body, source)).code is None
    kept = door.record(source)
    assert (kept.items[0].body, len(kept.items)) == (item, count + 1)


NUL_CALLS = [
    b'{"event":"E\x00","userId":"u"}',
    b'\x00{"event":"E","userId":"u"}',
    b'{"event":"E","userId":"u"}\x00',
    b"\x00",
]


@pytest.mark.parametrize(
    "body", [*NUL_CALLS, b'{"event":"E\n","userId":"u"}', b'\xef\xbb\xbf{"event":"E","userId":"u"}']
)
async def test_characters_that_json_does_not_know(door: Running, body: bytes) -> None:
    source = door.add()
    assert (await door.post("/v1/track", body, source)).code == "invalid_json"
    assert door.discards(source) == [("invalid_json", body)]
    assert (await door.post("/v1/batch", b'{"batch":[' + body + b"]}", source)).code == "invalid_json"


async def test_an_escaped_nul_is_a_character(door: Running) -> None:
    source = door.add()
    assert (await door.post("/v1/track", b'{"event":"E\\u0000","userId":"u"}', source)).code is None


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        (rb"\ud83d", rb"\ufffd"),
        (rb"\uDE00 and more", rb"\ufffd and more"),
        (rb"\ud83d\ud83d\ude00", rb"\ufffd\ud83d\ude00"),
        (rb"\ud83d\ude00\ude00", rb"\ud83d\ude00\ufffd"),
        (rb"\\ud83d \ud83dx", rb"\\ud83d \ufffdx"),
        (rb"\\\ud83d", rb"\\\ufffd"),
        (rb"\ud83d\u0041", rb"\ufffd\u0041"),
        (rb"\ud83d\\ude00", rb"\ufffd\\ude00"),
    ],
)
async def test_half_an_emoji_is_mended(door: Running, text: bytes, mended: bytes) -> None:
    """A text cut in the middle of a character: JavaScript sends the half, Segment's own decoder writes U+FFFD."""
    source = door.add()
    call = b'{"type":"track","event":"E","userId":"u","properties":{"text":"%s"}}'
    assert (await door.post("/v1/track", call % text, source)).code is None
    assert (await door.post("/v1/batch", b'{"batch":[' + call % text + b"]}", source)).code is None
    kept = [item.body for record in door.records(source) for item in record.items]
    assert kept == [call % mended] * 2
    decode_message(kept[0])


@pytest.mark.parametrize("text", [b"", rb"\ud83d\ude00", rb"\\ud83d", rb"\u0041", "\U0001f6d2".encode()])
def test_whole_characters_are_left_alone(text: bytes) -> None:
    assert mend_surrogates(b'{"a":"' + text + b'"}') is None


@settings(deadline=None)
@given(st.text(st.characters(), max_size=20))
def test_mending_gives_what_a_lenient_reader_reads(text: str) -> None:
    body = json.dumps(text).encode()
    mended = mend_surrogates(body) or body
    assert json.loads(mended) == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def test_utf8_of_views() -> None:
    assert is_utf8(memoryview("é".encode()))
    assert not is_utf8(memoryview(b"\xff"))
    assert is_utf8("é".encode())


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 524_288,
        b"[[]]" * 131_072,
        rb"\ud800" * 87_381,
        b"\\" * 524_288,
        b'"' * 524_288,
        b'{"a":[' + b"[[[1]]]," * 65_000 + b"1]}",
    ],
    ids=["deep", "brackets", "halves", "backslashes", "quotes", "small items"],
)
async def test_hostile_bodies_cost_little(door: Running, body: bytes) -> None:
    source = door.add()
    began = time.process_time()
    for path in ("/v1/batch", "/v1/track"):
        assert (await door.post(path, body, source)).status == 400
        assert (await door.post(path, body)).status in (400, 401)
    assert time.process_time() - began < 1
