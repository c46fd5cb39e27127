"""Records: what is written is what is read, byte for byte."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.codes import Code
from richpanel.core.message import decode_batch
from richpanel.core.record import (
    Discard,
    Meta,
    decode,
    decode_meta,
    encode,
    erase,
    erase_head,
    head,
    is_erased,
    item_offsets,
)

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
    ids=", ".join,
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


OTHER = [b'{"messageId":"m-kept"}', b'{"a":  1}']


def spots(written: bytes) -> list[tuple[int, int]]:
    """Where each body of a payload stands, the kept ones first, read as the layout says and not by what is tested."""
    found, offset = decode_meta(written)
    places = []
    for size in found.sizes:
        places.append((offset, size))
        offset += size + 1
    return places


@pytest.mark.parametrize(
    ("fields", "erased", "left"),
    [
        ({"ids": {0: "given-0", 2: "given-2"}}, [0], {"ids": {2: "given-2"}}),
        ({"ids": {0: "given-0", 2: "given-2"}}, [0, 2], {}),
        ({"context": RAW, "integrations": RAW, "ip": "203.0.113.9", "sentAt": 7}, [0, 1], "as before"),
        ({"context": RAW, "integrations": RAW, "ip": "203.0.113.9", "sentAt": 7}, [0, 1, 2], {}),
        ({"door": "segment", "type": "track", "ip": "203.0.113.9"}, [2, 0, 1, 1], {"door": "segment", "type": "track"}),
        ({"door": "channel", "channel": "email", "sentAt": "x"}, [], "as before"),
    ],
)
def test_an_erased_body_takes_along_what_is_of_it_alone(fields, erased, left) -> None:
    items = [b'{"n":0}', *OTHER]
    written = payload(meta(**fields), *items)
    scrubbed = erase(written, [spots(written)[index] for index in erased])
    assert len(scrubbed) == len(written)
    expected = meta(**(fields if left == "as before" else left))
    expected.sizes = [len(item) for item in items]
    assert decode_meta(scrubbed)[0] == expected
    found = [item.body for item in decode(scrubbed).items]
    assert found == [b" " * len(item) if index in erased else item for index, item in enumerate(items)]
    assert [is_erased(body) for body in found] == [index in erased for index in range(3)]
    assert spots(scrubbed) == spots(written)
    assert erase(scrubbed, [spots(written)[index] for index in erased]) == scrubbed


def test_an_erased_discard_is_no_more() -> None:
    blank = Discard(Code.INVALID_JSON, 3)
    written = payload(meta(discards=[Discard(Code.ID_NOT_STRING, 9, "bad"), blank]), b"{}", b'{"a":"b"}', b"   ")
    scrubbed = erase(written, spots(written)[1:2])
    assert decode(scrubbed).discarded == [(blank, decode(written).discarded[1][1])], "blank as it came: a discard"
    assert b"bad" not in scrubbed
    assert decode(scrubbed).items == decode(written).items
    assert decode(erase(scrubbed, spots(written)[2:])).discarded == []


@pytest.mark.parametrize("spot", [(0, 2), (4, 2), (-1, 2)], ids=str)
def test_what_is_no_body_is_not_erased(spot) -> None:
    written = payload(meta(), b"{}", b"[]")
    with pytest.raises(ValueError, match="no body"):
        erase(written, [spots(written)[0], spot])
    with pytest.raises(ValueError, match="no body"):
        erase(written, [(spots(written)[0][0], 5)])
    for other in (b"", b"abc", b"\x04\0\0\0abcd", b"\x02\0\0\0{}"):
        with pytest.raises(ValueError, match="meta"):
            erase(other, [(0, 1)])


@pytest.mark.parametrize(
    ("body", "erased"), [(b"", False), (b" ", True), (b"   ", True), (b" {}", False), (b"\n ", False), (b" \n", False)]
)
def test_spaces_alone_are_what_was_erased(body, erased) -> None:
    assert is_erased(body) is erased


@given(
    count=st.integers(1, 8),
    chosen=st.sets(st.integers(0, 7)),
    refused=st.integers(0, 8),
    shared=st.fixed_dictionaries({}, optional={"ip": st.just("IP"), "sentAt": st.text(), "context": st.just(RAW)}),
    data=st.data(),
)
def test_erased_bytes_are_gone_and_all_else_stays(count, chosen, refused, shared, data) -> None:
    chosen = {index for index in chosen if index < count}
    refused = min(refused, count)
    kept = count - refused
    items = [b'{"body %d":"%s"}' % (index, data.draw(st.text(max_size=30)).encode()) for index in range(count)]
    given_ids = {index: f"id {index}" for index in range(kept) if data.draw(st.booleans())}
    discards = [Discard(Code.ID_NOT_STRING, 50 + index, f"id {index}") for index in range(kept, count)]
    written = payload(meta(ids=given_ids, discards=discards, **shared), *items)
    places = spots(written)
    scrubbed = erase(written, [places[index] for index in chosen])
    assert (len(scrubbed), spots(scrubbed)) == (len(written), places)
    assert not any(b"body %d" % index in scrubbed or b'"id %d"' % index in scrubbed for index in chosen)
    for index, (offset, size) in enumerate(places):
        assert scrubbed[offset : offset + size + 1] == (b" " * size if index in chosen else items[index]) + b"\n"
    old, new = decode_meta(written)[0], decode_meta(scrubbed)[0]
    assert new.ids == {index: given for index, given in given_ids.items() if index not in chosen}
    assert decode(scrubbed).discarded == [
        pair for index, pair in enumerate(decode(written).discarded, kept) if index not in chosen
    ]
    if len(chosen) < count:
        assert (new.ip, new.sentAt, new.context) == (old.ip, old.sentAt, old.context)
    else:
        assert (new.ip, new.sentAt, bytes(new.context)) == (None, None, b"")
    step = written
    for index in sorted(chosen):
        step = erase(step, [places[index]])
    assert step == scrubbed, "at once or one by one"


def test_a_head_is_what_stands_in_front_of_the_items() -> None:
    written = payload(meta(ids={1: "given"}), b"{}", b'{"a":1}', b"")
    assert written.startswith(head(written))
    assert written[len(head(written)) :] == b'{}\n{"a":1}\n\n'
    assert item_offsets(head(written)) == [item.offset for item in decode(written).items]
    assert item_offsets(head(payload(meta()))) == []


@given(st.integers(1, 6), st.integers(0, 3), st.sets(st.integers(0, 8)), st.booleans())
def test_an_erased_head_is_that_of_the_erased_record(kept: int, refused: int, chosen: set[int], shared: bool) -> None:
    """But for what all share, which goes with the last of them: the whole head does, then."""
    discards = [Discard(Code.MESSAGE_TOO_LARGE, 40_000, f"m{number}") for number in range(refused)]
    given_ids = {number: f"given-{number}" for number in range(0, kept, 2)}
    items = [b"{}" for _ in range(kept + refused)]
    written = payload(meta(ids=given_ids, discards=discards, ip="192.0.2.1" if shared else None), *items)
    offsets = item_offsets(written)
    gone = [offsets[number] for number in chosen if number < len(offsets)]
    found = erase_head(head(written), gone)
    assert len(found) == len(head(written))
    if len(gone) < len(offsets):
        assert found == head(erase(written, [(offset, 2) for offset in gone]))
    assert not any(f'"given-{number}"'.encode() in found for number in given_ids if offsets[number] in gone)
