"""Channel activity: what the log keeps of it is what is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.channel import CHANNEL_TYPE, CHANNELS, Activity, Sender, decode_activity, encode_activity
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


@pytest.mark.parametrize("channel", ["email", "chat", "sms", "phone"])
def test_the_channels_that_people_expect(channel: str) -> None:
    assert channel in CHANNELS


def test_its_number_is_no_call_types() -> None:
    assert len(TYPES) == CHANNEL_TYPE
