"""The text of a mail while it arrives: however it is cut into pieces, the mail and what follows come out whole."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.codes import Code
from richpanel.source.mailtext import Allowance, Text
from tests.lmtp import wire

LINES = st.lists(st.sampled_from([b"", b".", b"..", b"...", b".a", b"a.", b"a", b"\r", b"a\rb", b"\r."]), max_size=8)


def feed(stream: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    """What comes out of a stream that arrives in pieces: the mail, and what follows it."""
    text = Text(1_000, Allowance(1_000))
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)})
    start = 0
    for end in ends:
        behind = text.feed(stream[start:end])
        start = end
        if behind is not None:
            assert text.ended.is_set()
            return bytes(text.content), behind + stream[end:]
    raise AssertionError("no end was found")


@given(LINES, st.lists(st.integers(1, 60), max_size=10), st.sampled_from([b"", b"QUIT\r\n", b".\r\n", b"\r\n.\r\n"]))
def test_however_it_is_cut(lines: list[bytes], cuts: list[int], behind: bytes) -> None:
    raw = b"".join(line + b"\r\n" for line in lines)
    dotted = re.sub(rb"(^|\r\n)\.", rb"\1..", raw)
    assert feed(dotted + b".\r\n" + behind, cuts) == (raw, behind)


@pytest.mark.parametrize("raw", [b"", b"a", b"a\r\n", b".\r\n", b"a\r\n.\r\n", b"\r\n", b"..", b"a\n.\nb", b"a\r\n.b"])
def test_each_cut_of_each(raw: bytes) -> None:
    stream = wire(raw)
    whole = re.sub(rb"\r?\n", b"\r\n", raw)
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            assert feed(stream, [first, second])[0] in (whole, whole + b"\r\n")


def test_a_bare_line_end_ends_nothing() -> None:
    """Else a mail could smuggle in another."""
    text = Text(1_000, Allowance(1_000))
    assert text.feed(b"a\n.\nMAIL FROM:<eve@x>\r.\r\n\n.\r\n.\n") is None
    assert not text.ended.is_set()
    assert text.feed(b"\r\n.\r\n") == b""


def test_a_text_too_large_is_awaited_and_not_kept() -> None:
    allowance = Allowance(100)
    text = Text(10, allowance)
    for _ in range(5):
        assert text.feed(b"123456") is None
    assert (text.code, bytes(text.content), allowance.left) == (Code.MAIL_TOO_LARGE, b"", 100)
    assert text.feed(b"\r\n.\r\nQUIT\r\n") == b"QUIT\r\n"
    fits = Text(10, allowance)
    assert fits.feed(b"12345678\r\n.\r\n") == b""
    assert (fits.code, allowance.left) == (None, 90)


def test_what_all_mails_hold_together_is_bounded() -> None:
    allowance = Allowance(10)
    first, second = Text(100, allowance), Text(100, allowance)
    first.feed(b"1234567\r\n.\r\n")
    second.feed(b"1234567\r\n.\r\n")
    assert (first.code, second.code) == (None, Code.LOG_FULL)
    assert allowance.left == 1
    first.release()
    first.release()
    assert (allowance.left, bytes(first.content)) == (10, b"")


@pytest.mark.parametrize(
    "piece", [b"\r\n" * 32_768, b"a" * 65_536, b"\r" * 65_536, b"\r\n." * 20_000, b"\r\n..\r" * 12_000]
)
def test_nothing_takes_long(piece: bytes) -> None:
    started = time.process_time()
    text = Text(1 << 30, Allowance(1 << 30))
    for _ in range(300):
        text.feed(piece)
    assert time.process_time() - started < 3
