"""Records: what is written is what is read, byte for byte."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.codes import Code
from richpanel.core.message import decode_batch
from richpanel.core.record import Discard, Meta, decode, decode_meta, encode

RAW = msgspec.Raw(b'{ "All": true }')


def payload(meta: Meta, *items: bytes) -> bytes:
    return b"".join(encode(meta, items))


def meta(**fields: object) -> Meta:
    return Meta(at=1_790_000_000_000, source="src_1", sizes=[], **fields)  # type: ignore[arg-type]  # a test's shorthand


@given(st.lists(st.binary(max_size=50), max_size=6), st.data())
def test_what_is_written_is_read(items: list[bytes], data: st.DataObject) -> None:
    refused = data.draw(st.integers(0, len(items)))
    discards = [Discard(Code.MESSAGE_TOO_LARGE, 40_000 + n, f"m{n}") for n in range(refused)]
    written = payload(meta(discards=discards), *items)
    record = decode(written)
    kept = len(items) - refused
    assert [item.body for item in record.items] == items[:kept]
    assert [(discard, item.body) for discard, item in record.discarded] == list(
        zip(discards, items[kept:], strict=True)
    )
    for item in [*record.items, *(item for _, item in record.discarded)]:
        assert written[item.offset : item.offset + len(item.body)] == item.body
        assert written[item.offset + len(item.body) :][:1] == b"\n"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, msgspec.Raw])
def test_items_may_be_any_buffer(kind: type) -> None:
    written = b"".join(encode(meta(), [kind(b'{"a":1}'), kind(b"{}")]))
    assert [item.body for item in decode(written).items] == [b'{"a":1}', b"{}"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"door": "segment", "type": "track"},
        {"door": "channel", "channel": "email"},
        {"sentAt": "2026-11-22T02:35:09.123Z"},
        {"sentAt": 1_790_000_000_000},
        {"sentAt": {"not": ["a", "time", None]}},
        {"context": RAW, "integrations": RAW},
        {"ids": {0: "given-1", 7: "given-2"}},
        {"ip": "203.0.113.9"},
    ],
    ids=str,
)
def test_meta_is_read_back(fields: dict[str, object]) -> None:
    given = meta(**fields)
    read, offset = decode_meta(payload(given, b"{}"))
    assert read == given
    assert read.sizes == [2]
    assert payload(given, b"{}")[offset:] == b"{}\n"


@pytest.mark.parametrize("body", [b'{"batch":[{}]}', b'{"batch":[{}],"context":null}'])
def test_a_batch_without_context_or_integrations_gives_a_readable_meta(body: bytes) -> None:
    """An absent raw value must be left out of the meta: written as nothing it would make the meta unreadable."""
    batch = decode_batch(body)
    read, _ = decode_meta(
        payload(meta(context=batch.context, integrations=batch.integrations), *map(bytes, batch.batch))
    )
    assert bytes(read.context) == bytes(batch.context)
    assert not read.integrations
    assert not decode_meta(payload(meta(context=msgspec.Raw(), integrations=msgspec.Raw())))[0].context


def test_a_raw_context_keeps_its_bytes() -> None:
    read, _ = decode_meta(payload(meta(context=RAW)))
    assert bytes(read.context) == bytes(RAW)


def test_a_record_may_hold_nothing() -> None:
    written = payload(meta())
    assert decode(written).items == []
    assert decode(written).discarded == []
    assert decode_meta(written)[1] == len(written)


def test_defaults_are_shared_by_no_two_metas() -> None:
    one, other = meta(), meta()
    one.ids[0] = "x"
    one.discards.append(Discard(Code.INVALID_JSON, 1))
    assert (other.ids, other.discards) == ({}, [])


def test_a_small_record_is_small() -> None:
    assert len(payload(meta())) < 80
