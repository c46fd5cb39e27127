"""MIME: the text that was written and what came with it, whatever wrote the mail, and at a bounded cost."""

import time
import warnings
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from richpanel.core.mime import MAX_DEPTH, MAX_HEAD_BYTES, MAX_PARTS, Attached, Mail, Unreadable, clean, one_line


def mail(headers: str, body: str | bytes = "") -> Mail:
    """A mail of these lines; line ends become CRLF."""
    text = body if isinstance(body, bytes) else body.encode()
    raw = headers.strip("\n").encode("utf-8", "surrogateescape") + b"\n\n" + text
    return Mail(raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def parts(*each: str, kind: str = "mixed", boundary: str = "b") -> str:
    """A multipart's headers and body."""
    inside = "".join(f"--{boundary}\n{one}\n" for one in each)
    return f'Content-Type: multipart/{kind}; boundary="{boundary}"\n\n{inside}--{boundary}--\n'


PLAIN = "Content-Type: text/plain; charset=utf-8\n\nPlain"
HTML = "Content-Type: text/html; charset=utf-8\n\n<p>Rich</p>"
PICTURE = "Content-Type: image/png; name=a.png\nContent-Transfer-Encoding: base64\nContent-ID: <1>\n\nAAAA\nAAA="
LISTED = Attached("a.png", "image/png", 5)
NOTE, ALONE = Attached("n.txt", "text/plain", 4), Attached("a", "application/pdf", 3)
FORWARDED = Attached(None, "message/rfc822", 19)


def whole(text: str) -> Mail:
    """A mail of headers and body together."""
    return mail(*text.split("\n\n", 1))


# ----------------------------------------------------------------------------------------------------------- which text


@pytest.mark.parametrize(
    ("text", "shown", "attached"),
    [
        (PLAIN, "Plain", []),
        (HTML, "Rich", []),
        ("Subject: x\n\nno type", "no type", []),
        (parts(PLAIN, HTML, kind="alternative"), "Plain", []),
        (parts(HTML, PLAIN, kind="alternative"), "Plain", []),
        (parts("Content-Type: text/plain\n\n \n", HTML, kind="alternative"), "Rich", []),
        (parts(PLAIN, "Content-Type: text/x-amp-html\n\n<html amp>", HTML, kind="alternative"), "Plain", []),
        (parts(PLAIN, PICTURE), "Plain", [LISTED]),
        (parts(PLAIN, PICTURE, "\nand more"), "Plain\n\nand more", [LISTED]),
        (parts(HTML, "\n-- footer"), "Rich\n\n-- footer", []),
        (parts(parts(HTML, PICTURE, kind="related", boundary="c"), PICTURE), "Rich", [LISTED, LISTED]),
        (parts(PLAIN, parts(HTML, PICTURE, kind="related", boundary="c"), kind="alternative"), "Plain", [LISTED]),
        (parts(parts(PLAIN, HTML, kind="alternative", boundary="b1"), PICTURE), "Plain", [LISTED]),
        (parts(PLAIN, "Content-Disposition: attachment; filename=n.txt\n\nnote"), "Plain", [NOTE]),
        (parts(PLAIN, "Content-Type: text/plain; name=n.txt\n\nnote"), "Plain", [NOTE]),
        (parts(PLAIN, "Content-Type: message/rfc822\n\nSubject: in\n\nside"), "Plain", [FORWARDED]),
        (parts(PLAIN, "Content-Type: text/calendar\n\nBEGIN"), "Plain", [Attached(None, "text/calendar", 5)]),
        ("Content-Type: application/pdf; name=a\nContent-Transfer-Encoding: base64\n\nAAAA", "", [ALONE]),
        ("Content-Type: multipart/mixed; boundary=b\n\nno such boundary", "no such boundary", []),
        ("Content-Type: multipart/mixed\n\nno boundary at all", "no boundary at all", []),
        ("Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\nnever closed", "never closed", []),
        ("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\nepilogue\n--b\n\ntwo", "one", []),
        ("Content-Type: multipart/mixed; boundary=b\n\n--b  \t\n\none\n--bc\ntwo\n--b--", "one\n--bc\ntwo", []),
        ("Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n--b--", "", []),
        ("Content-Type: nonsense\n\nstill a text", "still a text", []),
    ],
)  # fmt: skip
def test_the_text_and_what_is_attached(text: str, shown: str, attached: list[Attached]) -> None:
    read = whole(text)
    assert (read.text(), read.attachments(), read.cut) == (shown, attached, False)


def test_line_ends_of_any_kind() -> None:
    raw = parts(PLAIN, PICTURE).encode()
    for each in (raw, raw.replace(b"\n", b"\r\n")):
        assert (Mail(each).text(), [one.name for one in Mail(each).attachments()]) == ("Plain", ["a.png"])


@pytest.mark.parametrize("size", [0, 1, 2, 3, 100, 5_000, 70_000])
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
def test_sizes_are_those_of_the_file(size: int, encoding: str) -> None:
    made = EmailMessage()
    made.set_content("x")
    made.add_attachment(b"a" * size, maintype="application", subtype="x", filename="f", cte=encoding)
    (found,) = Mail(made.as_bytes(policy=SMTP)).attachments()
    assert abs(found.size - size) <= (0 if encoding == "base64" else size * 0.05 + 2)


# ------------------------------------------------------------------------------------------------------------- decoding


@pytest.mark.parametrize(
    ("headers", "body", "text"),
    [
        ("Content-Type: text/plain; charset=iso-8859-1", "Größe €".encode("cp1252"), "Größe €"),
        ("Content-Type: text/plain; charset=ISO-8859-15", "€".encode("iso8859-15"), "€"),
        ("Content-Type: text/plain; charset=iso-2022-jp", "日本".encode("iso2022_jp"), "日本"),
        ("Content-Type: text/plain; charset=gb2312", "中文".encode("gb2312"), "中文"),
        ("Content-Type: text/plain; charset=koi8-r", "Привет".encode("koi8-r"), "Привет"),
        ("Content-Type: text/plain; charset=us-ascii", "Größe".encode(), "Größe"),
        ("Content-Type: text/plain; charset=us-ascii", "Größe".encode("cp1252"), "Größe"),
        ("Content-Type: text/plain", "Größe".encode("cp1252"), "Größe"),
        ("Content-Type: text/plain; charset=x-unknown", "Größe".encode(), "Größe"),
        ("Content-Type: text/plain; charset=utf-8", b"broken \xff end", "broken \ufffd end"),
        ("Content-Type: text/plain; charset=punycode", b"a-b", "a-b"),
        ("Content-Type: text/plain; charset=zip", b"a", "a"),
        ("Content-Type: text/plain; charset=utf-7", b"+2AA-a", "?a"),
        ("Content-Type: text/plain; charset=\x00", b"a", "a"),
        ("Content-Transfer-Encoding: base64", b"R3LDtsOfZQ==", "Größe"),
        ("Content-Transfer-Encoding: BASE64 ", b"R3LDts\nOfZQ", "Größe"),
        ("Content-Transfer-Encoding: quoted-printable", b"Gr=C3=B6=\n=C3=9Fe =3D =zz =", "Größe = =zz"),
        ("Content-Transfer-Encoding: x-uuencode", b"begin 644 x\n#8F%R\n`\nend\n", "bar"),
        ("Content-Transfer-Encoding: 8bit", "é".encode(), "é"),
        ("Content-Transfer-Encoding: unknown", b"as it is", "as it is"),
        ("Subject: x", b"a\x00b\x07c\x1b[31m\x0bd\te", "abc[31md\te"),
        ("Subject: x", b"a\rb", "a\nb"),
    ],
)  # fmt: skip
def test_a_text_in_any_encoding(headers: str, body: bytes, text: str) -> None:
    raw = headers.encode() + b"\n\n" + body
    assert Mail(raw).text() == text


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("attachment; filename=plain.pdf", "plain.pdf"),
        ('attachment; filename="with space.pdf"', "with space.pdf"),
        ("attachment; filename*=UTF-8''rechn%C3%BCng.pdf", "rechnüng.pdf"),
        ("attachment; filename*0*=UTF-8''rechn%C3; filename*1*=%BCng.pdf", "rechnüng.pdf"),
        ('attachment; filename="=?utf-8?q?rechn=C3=BCng.pdf?="', "rechnüng.pdf"),
        ('attachment; filename="rechnüng.pdf"', "rechnüng.pdf"),
        ('attachment; filename="a\u202efdp.exe"', "afdp.exe"),
        ('attachment; filename="../../etc/passwd"', "../../etc/passwd"),
        ("attachment", None),
        ('attachment; filename=""', None),
    ],
)
def test_the_name_of_an_attachment(value: str, name: str | None) -> None:
    found = whole(parts(PLAIN, f"Content-Type: application/pdf\nContent-Disposition: {value}\n\nx")).attachments()
    assert found == [Attached(name, "application/pdf", 1)]


@pytest.mark.parametrize(
    ("value", "subject"),
    [
        ("=?utf-8?q?Gr=C3=B6=C3=9Fe?=", "Größe"),
        ("=?utf-8?b?R3LDtg==?= =?utf-8?b?w59l?=", "Größe"),
        ("=?iso-8859-1?Q?a_b?= c", "a b c"),
        ("Größe", "Größe"),
        ("folded\n  twice\n\tover", "folded  twice\tover"),
        ("=?nonsense?q?a?=", "a"),
        ("=?utf-8?b?!!!?=", ""),
        ("=?utf-8?q?unclosed", "=?utf-8?q?unclosed"),
    ],
)
def test_a_header_in_any_encoding(value: str, subject: str) -> None:
    assert str(mail(f"Subject: {value}").head.parsed("Subject")).strip() == subject


def test_headers_that_are_not_utf8_are_windows() -> None:
    assert str(Mail(b"Subject: Gr\xf6\xdfe\r\n\r\n").head.parsed("Subject")) == "Größe"


def test_what_is_no_header_ends_them() -> None:
    assert Mail(b"no header at all\r\n\r\nbody").text() == "body"
    assert Mail(b"\r\nbody").text() == "body"
    assert Mail(b"").text() == ""
    assert Mail(b"Subject: only headers").text() == ""


def test_one_line_and_clean() -> None:
    assert one_line(" a\r\nBcc: b\x00\u202ec\t d ", 100) == "a Bcc: bc d"
    assert one_line("abc def", 4) == "abc"
    assert clean("a\r\nb\rc\ud800") == "a\nb\nc?"


# --------------------------------------------------------------------------------------------------------------- bounds


def test_headers_without_end_are_unreadable() -> None:
    with pytest.raises(Unreadable):
        Mail(b"X: y\r\n" * MAX_HEAD_BYTES + b"\r\nbody")
    assert Mail(b"X: " + b"y" * (MAX_HEAD_BYTES - 10) + b"\r\n\r\nbody").text() == "body"


def nested(depth: int) -> bytes:
    """Parts within parts, with a text in the innermost."""
    heads = [b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth)]
    return b"".join(heads) + b"Content-Type: text/plain\r\n\r\ndeep"


def test_what_is_too_deep_is_listed() -> None:
    assert Mail(nested(MAX_DEPTH)).text() == "deep"
    too_deep = Mail(nested(MAX_DEPTH + 1))
    assert too_deep.text() == ""
    assert [each.type for each in too_deep.attachments()] == ["multipart/mixed"]


def test_of_too_many_parts_the_first_are_looked_at() -> None:
    many = whole(parts(PLAIN, *[PICTURE] * (MAX_PARTS + 50)))
    assert (many.text(), len(many.attachments()), many.cut) == ("Plain", MAX_PARTS - 1, True)


def test_a_text_without_end_is_cut() -> None:
    greek = Mail(b"Subject: x\r\n\r\na" + "α".encode() * 200_000)
    assert set(greek.text()) == {"a", "α"}
    for body, encoding in ((b"a" * 400_000, "7bit"), (b"YWFh" * 100_000, "base64"), (b"YWFh\r\n" * 70_000, "base64")):
        cut = Mail(b"Content-Transfer-Encoding: %s\r\n\r\n" % encoding.encode() + body)
        assert set(cut.text()) == {"a"}
        assert cut.cut


MIB = 1 << 20
HEAD = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
PIECES = [b"(", b"<", b'"', b"=?utf-8?q?a?= ", b"a,", b"a@", b"\\", b"; ", b";a*0=", b":;", b"[", b",", b"a ", b"1 "]
HOSTILE = {
    "nested": nested(1_000) + b"\r\n" * (8 * MIB),
    "parts": HEAD + b"--b\r\n\r\n" * MIB,
    "parts of parts": HEAD + (b"--b\r\n" + HEAD.replace(b"=b", b"=c") + b"--c\r\n\r\n" * 90) * 5_000,
    "no boundaries": HEAD + b"--bX\r\n" * MIB,
    "boundaries before blanks": HEAD + (b"--b" + b" " * 1_000 + b"x\r\n") * 10_000,
    "empty lines": b"Subject: x\r\n\r\n" + b"\n" * (16 * MIB),
    "one line": b"Subject: x\r\n\r\n" + b"a" * (16 * MIB),
    "headers": b"a:\r\n" * 60_000 + b"\r\n",
    "types": HEAD + b"".join(b"--b\r\nContent-Type: text/plain%s\r\n\r\n" % (each * 2_000) for each in PIECES),
    "names": HEAD + b"".join(b"--b\r\nContent-Disposition: %s\r\n\r\n" % (each * 2_000) for each in PIECES),
    "comments": b"Content-Type: %s\r\n\r\n" % (b"(" * 5_000),
    "quoted": b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=" * (4 * MIB),
    "base64": b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=" * (4 * MIB),
    "html": b"Content-Type: text/html\r\n\r\n" + b"<a x='" * MIB,
    "punycode": b"Content-Type: text/plain; charset=punycode\r\n\r\n" + b"a-b" * MIB,
    **{f"from {each[:2]!r}": b"From: " + each * 5_000 + b"\r\n\r\n" for each in PIECES},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mails_cost_little(name: str) -> None:
    """Seconds at the most, on any machine; each of these takes the standard library's parser many, or for ever."""
    raw = HOSTILE[name]
    started = time.process_time()
    read = Mail(raw)
    read.text()
    read.attachments()
    for header in ("From", "Reply-To", "Subject", "Date"):
        read.head.parsed(header)
    assert time.process_time() - started < 5


FRAGMENTS = [
    *(b"Content-Type: ", b"multipart/mixed", b"multipart/alternative", b"; boundary=b", b"; boundary=c", b"text/html"),
    *(b"text/plain", b"; charset=utf-16", b"; name=", b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable"),
    *(b"Content-Disposition: attachment", b"; filename*0*=", b"x-uuencode", b"message/rfc822", b"From: ", b"Date: "),
    *(b"\r\n", b"\n", b"\r\n\r\n", b"--b", b"--c", b"--", b"=", b"\x00", b"\xff", b"\xc3\xa9", b'"', b"<", b"(", b" "),
]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=4), max_size=40))
def test_any_bytes_are_a_mail(pieces: list[bytes]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = Mail(b"".join(pieces))
    text = read.text()
    text.encode()
    assert "\x00" not in text
    assert "\r" not in text
    for each in read.attachments():
        assert each.size >= 0
        assert each.name is None or each.name.isprintable() or " " in each.name
