"""Manual links as the log keeps them (semantics.md 3)."""

import msgspec
import pytest

from richpanel.core.channel import CHANNEL_TYPE
from richpanel.core.manual import LINK, MANUAL_TYPES, UNDO, UNLINK, Manual, decode_manual, encode_manual, type_number


def test_the_types_are_numbered_after_all_others() -> None:
    assert [type_number(kind) for kind in MANUAL_TYPES] == [LINK, UNLINK, UNDO] == [CHANNEL_TYPE + n for n in (1, 2, 3)]


def test_what_is_written_is_read() -> None:
    given = Manual("m", "link", "u1", "a1", timestamp="2025-10-09T08:53:20Z", by="ada")
    assert decode_manual(encode_manual(given)) == given
    assert encode_manual(Manual("m", "undo", undoes="n")) == b'{"messageId":"m","type":"undo","undoes":"n"}'


def test_other_types_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_manual(b'{"messageId":"m","type":"merge"}')
