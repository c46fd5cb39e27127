"""A mail as channel activity: who wrote it, when and what, and which mails nobody wrote (`semantics.md` 3).

Whose it is: the author in `From`. `Reply-To` counts instead only in mail of the shop's own contact forms: those whose
`From` is of a recipient's own domain, or is named in the setting `contact_forms`. In any other mail it would get round
the one check that a mail server can make, DMARC, which vouches for `From`: who owns a domain could write as anybody.

Mail that no person wrote makes no customer and is on no timeline: a bounce, a machine's answer or note, a newsletter.
It is accepted, so that the mail server is rid of it, and becomes a discard that says which of those it was.
"""

import re
from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from richpanel.core.channel import MAX_ATTACHMENTS, MAX_TEXT_BYTES, Activity, Attachment, Sender
from richpanel.core.codes import Code
from richpanel.core.ids import clean_id
from richpanel.core.message import MAX_MESSAGE_ID
from richpanel.core.mime import Head, Mail, Unreadable, one_line
from richpanel.core.record import MAX_DISCARD_BYTES

_ADDRESS: Final = re.compile(r"[^\s@<>]{1,256}@[^\s@<>]{1,255}")
_IN_BRACKETS: Final = re.compile(rf"<({_ADDRESS.pattern})>")
_MESSAGE_ID: Final = re.compile(rf"[!-~]{{1,{MAX_MESSAGE_ID}}}")
_BULK: Final = frozenset({"bulk", "list", "junk"})
_AUTOMATIC: Final = ("X-Autoreply", "X-Autorespond", "X-Autoresponder")


class Envelope(NamedTuple):
    """What the mail server says beside the mail: the address that bounces go to, "" for none, and the recipients."""

    sender: str
    recipients: Sequence[str]


class Read(NamedTuple):
    """A mail as read: what it says, and the code that makes it a discard."""

    activity: Activity
    code: Code | None = None


def read_mail(raw: bytes | bytearray, envelope: Envelope, contact_forms: Collection[str] = ()) -> Read:
    """Read a mail; whatever it holds, at a bounded cost. `contact_forms` are addresses in lower case."""
    try:
        mail = Mail(raw)
    except Unreadable:
        return Read(Activity(_digest(raw), "email", Sender()), Code.MAIL_UNREADABLE)
    sender, code = _judge(mail, envelope, contact_forms)
    text = mail.text()
    body = cut(text, MAX_TEXT_BYTES)
    attachments = [Attachment(*each) for each in mail.attachments()]
    activity = Activity(
        message_id(mail.head.text("Message-ID")) or _digest(raw),
        "email",
        sender or Sender(),
        subject=one_line(str(mail.head.parsed("Subject") or ""), 998) or None,
        body=body or None,
        timestamp=_date(mail.head),
        attachments=attachments[:MAX_ATTACHMENTS],
        truncated=mail.cut or len(body) < len(text),
    )
    return Read(activity, code)


def message_id(value: str) -> str | None:
    """Give the id of a message from a Message-ID, without its angle brackets; None where that names nothing.

    One that is longer than ids may be, or holds more than printable ASCII, becomes its digest.
    """
    named = value.partition("<")[2].partition(">")[0].strip() if "<" in value else value
    if clean_id(named) is None:
        return None
    return named if _MESSAGE_ID.fullmatch(named) else _digest(named.encode("utf-8", "replace"))


def _digest(content: bytes | bytearray) -> str:
    return f"mail-{sha256(content).hexdigest()[:40]}"


def _date(head: Head) -> str | None:
    try:
        moment = getattr(head.parsed("Date"), "datetime", None)
        return None if moment is None else str(moment.isoformat())
    except (ValueError, OverflowError):
        return None


# ------------------------------------------------------------------------------------------------------ who and whether


def _judge(mail: Mail, envelope: Envelope, contact_forms: Collection[str]) -> tuple[Sender | None, Code | None]:
    """Tell who wrote a mail, and why it is nobody's message where it is not."""
    own = {recipient.rpartition("@")[2].lower() for recipient in envelope.recipients}
    author = _first(mail.head, "From")
    local, _, domain = (author.email or "").lower().rpartition("@") if author else ("", "", "")
    if _is_report(mail.head) or _is_mailer(local, envelope):
        return author, Code.BOUNCE
    if author is not None and (domain in own or (author.email or "").lower() in contact_forms):
        reply = _first(mail.head, "Reply-To")
        if reply is not None and (reply.email or "").rpartition("@")[2].lower() not in own:
            return reply, None  # A person filled in the form, whatever the form's mail says of itself.
    if not envelope.sender or _is_automatic(mail.head):
        return author, Code.AUTOMATIC_MAIL
    if _is_bulk(mail.head, own):
        return author, Code.BULK_MAIL
    return author, Code.NO_SENDER if author is None else None


def _first(head: Head, field: str) -> Sender | None:
    """Give the first usable address of a header, with its name."""
    try:
        addresses = [(each.addr_spec, each.display_name) for each in head.parsed(field).addresses]
    except Exception:  # noqa: BLE001  # no such header, or one that the standard library's parser gives up on
        addresses = [(each, "") for each in _IN_BRACKETS.findall(head.text(field))]
    for address, name in addresses:
        if _ADDRESS.fullmatch(address):
            shown = one_line(name or "", 200)
            return Sender(email=address, name=shown if shown and shown.lower() != address.lower() else None)
    return None


def _is_report(head: Head) -> bool:
    """Tell of a bounce or a receipt (RFC 6522)."""
    return head.text("Content-Type").lower().startswith("multipart/report")


def _is_mailer(local: str, envelope: Envelope) -> bool:
    return local.startswith("mailer-daemon") or (local == "postmaster" and not envelope.sender)


def _is_automatic(head: Head) -> bool:
    """Tell whether a machine says that it wrote this (RFC 3834, and what was written before it)."""
    given = head.text("Auto-Submitted").partition(";")[0].strip().lower()
    precedence = head.text("Precedence").lower()
    return given not in ("", "no") or precedence == "auto_reply" or any(head.text(name) for name in _AUTOMATIC)


def _is_bulk(head: Head, own: Collection[str]) -> bool:
    """Tell whether this went to many. A list of the shop's own, such as a group behind its address, is its mailbox."""
    precedence, listed = head.text("Precedence").lower(), head.text("List-Id").lower()
    name = listed.rpartition("<")[2].partition(">")[0].strip()
    if name and any(name == domain or name.endswith(f".{domain}") for domain in own):
        return False
    return precedence in _BULK or bool(listed)


# ---------------------------------------------------------------------------------------------------------- as a record


def cut(text: str, longest: int) -> str:
    """Cut a text to so many bytes of UTF-8."""
    if len(text) * 4 <= longest:
        return text
    return text.encode()[:longest].decode("utf-8", "ignore")


def discarded(activity: Activity) -> bytes:
    """Write a mail that is a discard, short enough to be kept whole: JSON that is cut could not be read."""
    written = b""
    for longest in (1_500, 300, 0):
        short = msgspec.structs.replace(
            activity,
            subject=cut(activity.subject or "", 300) or None,
            body=cut(activity.body or "", longest) or None,
            attachments=[],
        )
        fields: dict[str, Any] = msgspec.to_builtins(short)
        written = msgspec.json.encode({"type": "channel", "event": activity.channel, **fields})
        if len(written) <= MAX_DISCARD_BYTES:
            break
    return written
