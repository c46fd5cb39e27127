"""Channel activity: what the log keeps of it is what is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.channel import (
    CHANNEL_TYPE,
    CHANNELS,
    HANDLED,
    Activity,
    Attachment,
    Sender,
    decode_activity,
    encode_activity,
    handle_id,
    wa_number,
)
from richpanel.core.message import TYPES

TEXTS = st.none() | st.text(max_size=20)


@given(
    st.builds(
        Activity,
        messageId=st.text(min_size=1, max_size=20),
        channel=st.sampled_from(CHANNELS),
        sender=st.builds(Sender, uid=TEXTS, email=TEXTS, phone=TEXTS, anonymousId=TEXTS, name=TEXTS),
        subject=TEXTS,
        body=TEXTS,
        timestamp=st.none() | st.text(max_size=20) | st.integers(0, 2**53) | st.floats(0, 2**40),
        attachments=st.lists(
            st.builds(Attachment, name=TEXTS, content_type=TEXTS, size=st.none() | st.integers(0, 2**53)), max_size=3
        ),
        truncated=st.booleans(),
    )
)
def test_what_is_written_is_read(activity: Activity) -> None:
    assert decode_activity(encode_activity(activity)) == activity


def test_it_reads_as_people_write_it() -> None:
    activity = decode_activity(b'{"messageId":"1","channel":"email","from":{"email":"a@x","name":"Ada"},"body":"Hi"}')
    assert activity == Activity("1", "email", Sender(email="a@x", name="Ada"), body="Hi")
    assert encode_activity(Activity("1", "chat", Sender(uid="u1"))) == (
        b'{"messageId":"1","channel":"chat","from":{"uid":"u1"}}'
    )


def test_an_attachment_reads_as_in_the_api() -> None:
    activity = Activity("1", "email", Sender(email="a@x"), attachments=[Attachment("a.png", "image/png", 5)])
    assert b'"attachments":[{"name":"a.png","contentType":"image/png","size":5}]' in encode_activity(activity)


def test_the_seven_channels() -> None:
    assert CHANNELS == ("email", "chat", "sms", "phone", "facebook", "instagram", "whatsapp")
    assert set(HANDLED) < set(CHANNELS)


def test_a_handle_is_a_persons_on_its_channel() -> None:
    assert handle_id("instagram", "Ada.L") == "instagram:ada.l" != handle_id("facebook", "Ada.L")


@pytest.mark.parametrize(
    ("phone", "number"),
    [
        ("14155550101", "+14155550101"),
        ("4915112345678", "+4915112345678"),
        ("+14155550101", "+14155550101"),
        ("(415) 555-0101", "(415) 555-0101"),
        ("0151 12345678", "0151 12345678"),
        ("015112345678", "015112345678"),
    ],
)
def test_whatsapp_writes_numbers_without_their_plus(phone: str, number: str) -> None:
    assert wa_number(phone) == number


def test_its_number_is_no_call_types() -> None:
    assert len(TYPES) == CHANNEL_TYPE
