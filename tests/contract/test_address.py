"""How the setting `log_url` is read (log/address.py, log/opening.py)."""

from pathlib import Path

import pytest

from richpanel.log.opening import open_reader, stream_of
from richpanel.log.segments import SegmentReader
from richpanel.log.stream import Stream
from richpanel.log.stream_reader import JetStreamReader


@pytest.mark.parametrize(
    ("log_url", "stream"),
    [
        ("nats://h", Stream(("nats://h",))),
        ("nats://h:4222/", Stream(("nats://h:4222",))),
        ("nats://a:1,nats://b:2", Stream(("nats://a:1", "nats://b:2"))),
        ("tls://me:secret@a:1, b", Stream(("tls://me:secret@a:1", "tls://b"))),
        ("nats://[::1]:4222?stream=SHOP-1", Stream(("nats://[::1]:4222",), name="SHOP-1")),
        ("nats://h?max_bytes=1048576&replicas=3", Stream(("nats://h",), max_bytes=1 << 20, replicas=3)),
    ],
)
def test_a_url_names_a_stream(log_url: str, stream: Stream) -> None:
    assert stream_of(log_url) == stream


@pytest.mark.parametrize(
    ("log_url", "reason"),
    [
        ("h:4222", "must be nats://HOST:PORT"),
        ("http://h", "must be nats://HOST:PORT"),
        ("nats://", "must be nats://HOST:PORT"),
        ("nats://h:port", "must be nats://HOST:PORT"),
        ("nats://h:99999", "must be nats://HOST:PORT"),
        ("nats://h,", "must be nats://HOST:PORT"),
        ("nats://h,http://b", "must be nats://HOST:PORT"),
        ("nats://h/SHOP", "must be nats://HOST:PORT"),
        ("nats://h?stream=", "letters"),
        ("nats://h?stream=a.b", "letters"),
        ("nats://h?max_bytes=10GB", "max_bytes must be a whole number"),
        ("nats://h?max_bytes=1024", "from 1048576"),
        ("nats://h?replicas=0", "from 1 to 5"),
        ("nats://h?replica=3", "no parameter replica:"),
    ],
)
def test_what_is_wrong_is_said(log_url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        stream_of(log_url)


def test_the_engine_is_the_settings_choice(tmp_path: Path) -> None:
    segments, stream = open_reader(tmp_path, None), open_reader(tmp_path, "nats://127.0.0.1:4222")
    assert isinstance(segments, SegmentReader)
    assert isinstance(stream, JetStreamReader)
    for reader in (segments, stream):
        reader.close()
