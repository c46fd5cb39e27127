"""A segment's bytes as they pass by: what has to go goes, however they are cut into pieces (log/rewriting.py)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core import record
from richpanel.log.contract import HEADER_SIZE, LogDamaged
from richpanel.log.frames import entries, header
from richpanel.log.rewriting import Rewriting
from tests.contract.test_log_erase import bodies_of, recorded

BASE = 4242


def segment(count: int) -> bytes:
    return b"".join(header([payload], len(payload)) + payload for payload in map(recorded, range(count)))


def in_pieces(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


@given(count=st.integers(1, 8), size=st.one_of(st.integers(1, 20), st.integers(100, 9000)), data=st.data())
def test_it_is_the_same_in_pieces_of_any_size(count, size, data) -> None:
    content = segment(count)
    whole = entries(content, BASE)
    chosen = data.draw(st.sets(st.tuples(st.integers(0, count - 1), st.integers(0, 1)), min_size=1))
    rewriting = Rewriting(BASE, [bodies_of(whole[number])[index] for number, index in chosen])
    found = b"".join(rewriting.through(in_pieces(content, size)))
    assert len(found) == len(content)
    for number, (old, new) in enumerate(zip(whole, entries(found, BASE), strict=True)):
        gone = [bodies_of(old)[index] for which, index in chosen if which == number]
        inside = [(place - old.start - HEADER_SIZE, length) for place, length in gone]
        assert new == old._replace(payload=record.erase(old.payload, inside))
    assert rewriting.changed == len({number for number, _ in chosen})
    assert all(body in content and body not in found for body in rewriting.bodies)
    assert len(rewriting.bodies) == len(chosen)


def test_damage_is_passed_on_where_it_is_of_another_record() -> None:
    content = bytearray(segment(5))
    whole = entries(bytes(content), BASE)
    for spoiled in (1, 3):
        content[whole[spoiled].end - BASE - 2] ^= 1
    spans = [bodies_of(whole[number])[0] for number in (0, 2, 4)]
    found = b"".join(Rewriting(BASE, spans).through([bytes(content)]))
    for number, entry in enumerate(whole):
        kept = content[entry.start - BASE : entry.end - BASE]
        assert (found[entry.start - BASE : entry.end - BASE] == kept) is (number in (1, 3))
    with pytest.raises(LogDamaged, match="CRC") as caught:
        b"".join(Rewriting(BASE, [bodies_of(whole[3])[0]]).through([bytes(content)]))
    assert caught.value.position == whole[3].start


def test_what_cannot_be_found_is_told() -> None:
    content = segment(3)
    whole = entries(content, BASE)
    with pytest.raises(ValueError, match="no record"):
        list(Rewriting(BASE, [(BASE + len(content), 4)]).through([content]))
    with pytest.raises(ValueError, match="no body"):
        list(Rewriting(BASE, [(whole[1].start, 4)]).through([content]))
    broken = content[: whole[1].start - BASE] + b"\xff\xff\xff\x7f" + content[whole[1].start - BASE + 4 :]
    with pytest.raises(LogDamaged, match="ends within") as caught:
        list(Rewriting(BASE, [bodies_of(whole[2])[0]]).through(in_pieces(broken, 100)))
    assert caught.value.position == whole[1].start
