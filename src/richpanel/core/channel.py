"""Channel activity: a message that came by email, chat or telephone rather than by Segment (`semantics.md` 3, 5)."""

from typing import Final

import msgspec

CHANNELS: Final = ("email", "chat", "sms", "phone", "facebook", "instagram", "whatsapp")
CHANNEL_TYPE: Final = 6
"""Its number where a message's type is a number: the six Segment types come first."""
HANDLED: Final = ("facebook", "instagram")
"""Channels that know people by a handle: Richpanel's social ids (facts 3.1). The others have an address or a phone."""
MAX_TEXT_BYTES: Final = 32_768
"""Bytes of a message's text; of a mail what is longer is cut."""
MAX_ATTACHMENTS: Final = 100


class Sender(msgspec.Struct, omit_defaults=True):
    """Who wrote or called, by whatever is known of them."""

    uid: str | None = None
    email: str | None = None
    phone: str | None = None
    anonymousId: str | None = None
    name: str | None = None


class Attachment(msgspec.Struct, omit_defaults=True, rename="camel"):
    """A file that came with a message. It is listed, never stored: `size` is in bytes, as far as it is known."""

    name: str | None = None
    content_type: str | None = None
    size: int | None = None


class Activity(msgspec.Struct, omit_defaults=True):
    """One message of a channel, as the log keeps it. `truncated`: there was more of it than is kept."""

    messageId: str
    channel: str
    sender: Sender = msgspec.field(name="from")
    subject: str | None = None
    body: str | None = None
    timestamp: str | int | float | None = None
    attachments: list[Attachment] = []
    truncated: bool = False


def handle_id(channel: str, handle: str) -> str:
    """Give the anonymousId that a handle stands for: each channel has people of its own, and case tells none apart."""
    return f"{channel}:{handle.lower()}"


def wa_number(phone: str) -> str:
    """Give a WhatsApp id as the phone number that it is: international, and written without a plus."""
    return f"+{phone}" if phone.isascii() and phone.isdigit() and not phone.startswith("0") else phone


encode_activity = msgspec.json.Encoder().encode
decode_activity = msgspec.json.Decoder(Activity).decode
