"""Channel activity: a message that came by email, chat or telephone rather than by Segment (`semantics.md` 3, 5)."""

from typing import Final

import msgspec

CHANNELS: Final = ("email", "chat", "sms", "phone", "facebook", "instagram", "whatsapp")
CHANNEL_TYPE: Final = 6
"""Its number where a message's type is a number: the six Segment types come first."""


class Sender(msgspec.Struct, omit_defaults=True):
    """Who wrote or called, by whatever is known of them."""

    uid: str | None = None
    email: str | None = None
    phone: str | None = None
    anonymousId: str | None = None
    name: str | None = None


class Activity(msgspec.Struct, omit_defaults=True):
    """One message of a channel, as the log keeps it."""

    messageId: str
    channel: str
    sender: Sender = msgspec.field(name="from")
    subject: str | None = None
    body: str | None = None
    timestamp: str | int | float | None = None


encode_activity = msgspec.json.Encoder().encode
decode_activity = msgspec.json.Decoder(Activity).decode
