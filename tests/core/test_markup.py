"""Text out of HTML: what a reader sees, and nothing that takes long."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.markup import text_of


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("", ""),
        ("Hello", "Hello"),
        ("<p>Hello</p><p>World</p>", "Hello\n\nWorld"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("<div>a</div><div>b</div>", "a\n\nb"),
        ("<DIV>a<DIV>b</DIV></DIV>", "a\nb"),
        ("a\nb\t c\r\nd", "a b c d"),
        ("a&nbsp;&nbsp;b &amp; c &lt;d&gt; &euro;&#8364;&#x20AC; &unknown;", "a b & c <d> €€€ &unknown;"),
        ("&#0;&#xD800;&#99999999999;", "\ufffd" * 3),
        ("<ul><li>one<li>two</li></ul>end", "- one\n- two\n\nend"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\n\nc"),
        ("<b>bo</b>ld <i>it</i>", "bold it"),
        ("<h1>Title</h1>text", "Title\n\ntext"),
        ("<a href=\"https://x.example/?a=1&b=2\" title='y'>link</a>", "link"),
        ("<img src='cid:1' alt='x'>", ""),
        ("<html><head><title>T</title><style>p{color:red}</style></head><body>b</body></html>", "b"),
        ("a<script>if (1 < 2) { alert('<b>x</b>') }</script>b", "ab"),
        ("a<STYLE>x</sTyLe >b", "ab"),
        ("a<script>never ends", "a"),
        ("a<!-- <p>not this</p> -->b", "ab"),
        ("a<!--[if mso]><table><tr><td>x</td></tr></table><![endif]-->b<![if !x]>c<![endif]>", "abc"),
        ("a<!-- never ends <p>b</p>", "a"),
        ("<!DOCTYPE html><?xml version='1'?>a", "a"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("a <- b", "a <- b"),
        ("<o:p>a</o:p>", "a"),
        ("<p>  </p><p></p>a<p>&nbsp;</p><p> </p>b", "a\n\nb"),
    ],
)
def test_what_a_reader_sees(markup: str, text: str) -> None:
    assert text_of(markup) == text


@given(
    st.lists(
        st.sampled_from(["<", ">", "a", "&", "#", ";", "!--", "--", "/", "p", "style", '"', "'", " ", "\n", "x27"])
    )
)
def test_anything_is_read(pieces: list[str]) -> None:
    text = text_of("".join(pieces))
    assert text == text.strip()
    assert "\n\n\n" not in text


@pytest.mark.parametrize(
    "piece",
    ["<", "<a", "<a ", "<a x='", '<a x="', "</", "<!", "<!--", "<![CDATA[", "<?", "<style>", "<style></", "&", "&#9"],
)
def test_nothing_takes_long(piece: str) -> None:
    """The standard library's parser takes 8 s for some of these at a quarter of the size."""
    started = time.process_time()
    text_of(piece * (262_144 // len(piece)))
    text_of(f"&#{'9' * 262_144};")
    assert time.process_time() - started < 2
