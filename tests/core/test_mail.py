"""A mail as channel activity: whose it is, its id and time, and the mails that nobody wrote."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.channel import MAX_TEXT_BYTES, Activity, Attachment, Sender
from richpanel.core.codes import Code
from richpanel.core.mail import Envelope, Read, cut, discarded, message_id, read_mail
from richpanel.core.mime import MAX_HEAD_BYTES
from richpanel.core.record import MAX_DISCARD_BYTES

TO_US = Envelope("bounces@x.example", ["support@shop.example"])
FORMS = ["mailer@forms.example"]


def mail(*headers: str, body: str = "Hello") -> bytes:
    """A mail of these headers."""
    return "\r\n".join([*headers, "", body]).encode()


def read(*headers: str, envelope: Envelope = TO_US) -> Read:
    """What becomes of a mail with these headers."""
    return read_mail(mail(*headers), envelope, FORMS)


def test_a_mail_is_activity() -> None:
    raw = mail(
        "From: =?utf-8?q?Ada_L=C3=B6velace?= <Ada@X.example>",
        "To: support@shop.example",
        "Subject: Where is\r\n my order?",
        "Date: Fri, 27 Nov 2026 10:00:00 +0100",
        "Message-ID: <abc.1@mail.x.example>",
        "Content-Type: multipart/mixed; boundary=b",
        body='--b\r\n\r\nHello\r\n--b\r\nContent-Type: image/png; name="a.png"\r\n\r\nxyz\r\n--b--\r\n',
    )
    assert read_mail(raw, TO_US) == Read(
        Activity(
            "abc.1@mail.x.example",
            "email",
            Sender(email="Ada@X.example", name="Ada Lövelace"),
            subject="Where is my order?",
            body="Hello",
            timestamp="2026-11-27T10:00:00+01:00",
            attachments=[Attachment("a.png", "image/png", 3)],
        )
    )


# ---------------------------------------------------------------------------------------------------------- whose it is


@pytest.mark.parametrize(
    ("value", "email", "name"),
    [
        ("ada@x.example", "ada@x.example", None),
        ("<ada@x.example>", "ada@x.example", None),
        ("Ada <ada@x.example>", "ada@x.example", "Ada"),
        ('"Lovelace, Ada" <ada@x.example>', "ada@x.example", "Lovelace, Ada"),
        ("Lovelace, Ada <ada@x.example>", "ada@x.example", "Ada"),
        ("ada@x.example (Ada)", "ada@x.example", None),
        ('"ada@x.example" <ada@x.example>', "ada@x.example", None),
        ('"support@shop.example" <eve@x.example>', "eve@x.example", "support@shop.example"),
        ("=?iso-8859-1?q?J=F6rg?= <joerg@x.example>", "joerg@x.example", "Jörg"),
        ("Jörg <jörg@exämple.example>", "jörg@exämple.example", "Jörg"),
        ("Ada <ada@x.example>, Eve <eve@x.example>", "ada@x.example", "Ada"),
        ("Team: ada@x.example, eve@x.example;", "ada@x.example", None),
        ("=?utf-8?q?Ada=0D=0ABcc=3A_eve=40x?= <ada@x.example>", "ada@x.example", None),
        ("Ada\x00\x07 <ada@x.example>", "ada@x.example", "Ada"),
    ],
)
def test_the_author(value: str, email: str, name: str | None) -> None:
    assert read(f"From: {value}") == Read(
        Activity(message_id_of(f"From: {value}"), "email", Sender(email=email, name=name), body="Hello")
    )


def message_id_of(*headers: str) -> str:
    """The id of a mail that names none."""
    return read(*headers).activity.messageId


@pytest.mark.parametrize(
    "header",
    [
        *("To: support@shop.example", "From:", "From: Ada", "From: root", "From: undisclosed:;", "From: <>", "From: @"),
        *("From: ada@", "From: @x.example", "From: ada x.example", f"From: {'(' * 3_000}", f"From: a@{'b' * 400}"),
    ],
)
def test_a_mail_of_nobody_cannot_be_kept(header: str) -> None:
    assert read(header).code is Code.NO_SENDER


def test_a_mail_that_is_all_headers_is_unreadable() -> None:
    found = read_mail(b"X: y\r\n" * MAX_HEAD_BYTES, TO_US)
    assert (found.code, found.activity.sender) == (Code.MAIL_UNREADABLE, Sender())
    assert found.activity.messageId.startswith("mail-")


@pytest.mark.parametrize(
    ("author", "reply", "whose"),
    [
        ("form@shop.example", "Ada <ada@x.example>", "ada@x.example"),
        ("FORM@Shop.Example", "ada@x.example", "ada@x.example"),
        ("Shop <Mailer@Forms.example>", "ada@x.example", "ada@x.example"),
        ("other@forms.example", "ada@x.example", "other@forms.example"),
        ("eve@evil.example", "ada@x.example", "eve@evil.example"),
        ("noreply@evil.example", "ada@x.example", "noreply@evil.example"),
        ("form@shop.example", "support@shop.example", "form@shop.example"),
        ("form@shop.example", "nobody", "form@shop.example"),
        ("form@sub.shop.example", "ada@x.example", "form@sub.shop.example"),
    ],
)
def test_reply_to_counts_in_the_shops_own_forms_alone(author: str, reply: str, whose: str) -> None:
    assert read(f"From: {author}", f"Reply-To: {reply}").activity.sender.email == whose


# ------------------------------------------------------------------------------------------------------------- nobody's


ADA = "From: Ada <ada@x.example>"


@pytest.mark.parametrize(
    ("headers", "sender", "code"),
    [
        ([ADA], "ada@x.example", None),
        ([ADA, "Auto-Submitted: no"], "ada@x.example", None),
        ([ADA, "Precedence: normal"], "ada@x.example", None),
        (["From: postmaster@x.example"], "postmaster@x.example", None),
        (["From: postmaster@x.example"], "", Code.BOUNCE),
        (["From: Mail Delivery System <MAILER-DAEMON@x.example>"], "x@x.example", Code.BOUNCE),
        (["From: mailer-daemon"], "", Code.AUTOMATIC_MAIL),
        ([ADA, "Content-Type: multipart/report; report-type=delivery-status; boundary=b"], "", Code.BOUNCE),
        ([ADA, "Content-Type: multipart/report; boundary=b"], "ada@x.example", Code.BOUNCE),
        ([ADA], "", Code.AUTOMATIC_MAIL),
        ([ADA, "Auto-Submitted: auto-replied (vacation)"], "ada@x.example", Code.AUTOMATIC_MAIL),
        ([ADA, "Auto-Submitted: auto-generated; x=y"], "ada@x.example", Code.AUTOMATIC_MAIL),
        ([ADA, "Precedence: auto_reply"], "ada@x.example", Code.AUTOMATIC_MAIL),
        ([ADA, "X-Autoreply: yes"], "ada@x.example", Code.AUTOMATIC_MAIL),
        ([ADA, "Precedence: Bulk"], "ada@x.example", Code.BULK_MAIL),
        ([ADA, "Precedence: list"], "ada@x.example", Code.BULK_MAIL),
        ([ADA, "List-Id: News <news.x.example>"], "ada@x.example", Code.BULK_MAIL),
        ([ADA, "List-Id: <support.shop.example>", "Precedence: list"], "ada@x.example", None),
        ([ADA, "List-Id: <support.notshop.example>"], "ada@x.example", Code.BULK_MAIL),
        (["From: form@shop.example", "Reply-To: ada@x.example", "Auto-Submitted: auto-generated"], "", None),
        (["From: form@shop.example", "Reply-To: ada@x.example", "Precedence: bulk"], "www@shop.example", None),
        (["From: form@shop.example", "Auto-Submitted: auto-generated"], "www@shop.example", Code.AUTOMATIC_MAIL),
    ],
)
def test_what_nobody_wrote_is_a_discard(headers: list[str], sender: str, code: Code | None) -> None:
    assert read(*headers, envelope=Envelope(sender, ["support@shop.example"])).code is code


# ---------------------------------------------------------------------------------------------------------- id and time


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("<abc@x>", "abc@x"),
        ("  <abc@x> (comment)", "abc@x"),
        ("abc@x", "abc@x"),
        ("<" + "a" * 100 + ">", "a" * 100),
        ("", None),
        ("<>", None),
        ("< >", None),
        ("<null>", None),
    ],
)
def test_the_id_is_the_message_id(value: str, expected: str | None) -> None:
    assert message_id(value) == expected


@pytest.mark.parametrize("value", ["<" + "a" * 101 + ">", "<a b@x>", "<ä@x>", "<a\x00@x>"])
def test_an_id_that_cannot_be_one_becomes_its_digest(value: str) -> None:
    found = message_id(value)
    assert found is not None
    assert found.startswith("mail-")
    assert len(found) == 45
    assert message_id(value) == found
    assert message_id(value[:-1] + "b>") != found


def test_without_one_the_same_bytes_are_the_same_mail() -> None:
    assert message_id_of(ADA) == message_id_of(ADA)
    assert message_id_of(ADA) != message_id_of(ADA, "Received: from elsewhere")
    assert message_id_of(ADA, "Message-ID: <1@x>") == message_id_of("From: eve@x", "Message-ID: <1@x>") == "1@x"


@pytest.mark.parametrize(
    ("value", "timestamp"),
    [
        ("Fri, 27 Nov 2026 10:00:00 +0100", "2026-11-27T10:00:00+01:00"),
        ("27 Nov 26 10:00 GMT", "2026-11-27T10:00:00+00:00"),
        ("Fri, 27 Nov 2026 10:00:00 -0000", "2026-11-27T10:00:00"),
        ("yesterday", None),
        ("Fri, 99 Nov 2026 10:00:00 +0100", None),
        ("Fri, 27 Nov 2026 10:00:00 +9999999", None),
        ("", None),
    ],
)
def test_its_time_is_its_date(value: str, timestamp: str | None) -> None:
    assert read(ADA, f"Date: {value}").activity.timestamp == timestamp


# ---------------------------------------------------------------------------------------------------------- as a record


def test_a_long_text_is_cut_and_says_so() -> None:
    found = read_mail(mail(ADA, body="ä" * 20_000), TO_US).activity
    assert (found.body, found.truncated) == ("ä" * (MAX_TEXT_BYTES // 2), True)
    fits = read_mail(mail(ADA, body="a" * MAX_TEXT_BYTES), TO_US).activity
    assert (len(fits.body or ""), fits.truncated) == (MAX_TEXT_BYTES, False)


@given(st.text(max_size=20), st.integers(0, 40))
def test_cut_cuts_whole_characters(text: str, longest: int) -> None:
    short = cut(text, longest)
    assert text.startswith(short)
    assert len(short.encode()) <= longest
    assert short == text or len((short + text[len(short)]).encode()) > longest


@given(
    st.builds(
        Activity,
        messageId=st.text(min_size=1, max_size=100),
        channel=st.just("email"),
        sender=st.builds(Sender, email=st.none() | st.text(max_size=320), name=st.none() | st.text(max_size=200)),
        subject=st.none() | st.text('a"\\\n\u20ac', max_size=998),
        body=st.none() | st.text('a"\\\n\u20ac', min_size=1_000, max_size=3_000),
        attachments=st.just([Attachment("a" * 255, "b" * 127, 1)] * 100),
    )
)
def test_a_discard_is_kept_whole(activity: Activity) -> None:
    written = discarded(activity)
    assert len(written) <= MAX_DISCARD_BYTES
    fields = msgspec.json.decode(written)
    assert (fields["messageId"], fields["type"], fields["event"]) == (activity.messageId, "channel", "email")
    assert fields["from"].get("email") == activity.sender.email
