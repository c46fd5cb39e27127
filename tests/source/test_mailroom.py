"""What becomes of a mail: kept, a discard, refused for good or for now, and answered only when it is safe."""

import asyncio
import errno
import os
from pathlib import Path

import msgspec
import pytest

from richpanel import telemetry
from richpanel.core.codes import Code
from richpanel.log.segments import SegmentWriter
from richpanel.source.mailroom import refused
from tests.lmtp import letter
from tests.source.mailing import CHANNELS, FORM, running
from tests.source.test_asgi import Held

KEPT = "250 2.0.0 Kept as a discard"


async def test_it_is_answered_only_when_the_log_has_it(tmp_path: Path) -> None:
    held: list[Held] = []

    def wrap(writer: SegmentWriter) -> Held:
        held.append(Held(writer))
        return held[0]

    async with running(tmp_path, wrap=wrap) as room:
        delivered = asyncio.create_task(room.deliver(letter()))
        await held[0].appended.wait()
        await asyncio.sleep(0.05)
        assert not delivered.done()
        held[0].gate.set()
        assert (await delivered)[0][0] == 250


@pytest.mark.parametrize(
    ("raw", "sender", "reply", "code"),
    [
        (letter(sender="MAILER-DAEMON@x.example"), "", f"{KEPT}: bounce", "bounce"),
        (letter(1, "Auto-Submitted: auto-replied"), "a@x", f"{KEPT}: automatic_mail", "automatic_mail"),
        (letter(1, "Precedence: bulk"), "a@x", f"{KEPT}: bulk_mail", "bulk_mail"),
        (letter(sender="nobody"), "a@x", "554 5.6.0 A mail needs an address in From.", "no_sender"),
        (letter(1, "X: y\r\n" * 60_000), "a@x", f"554 5.6.0 {Code.MAIL_UNREADABLE.text}", "mail_unreadable"),
    ],
)  # fmt: skip
async def test_what_is_nobodys_message_is_a_discard(
    tmp_path: Path, raw: bytes, sender: str, reply: str, code: str
) -> None:
    async with running(tmp_path) as room:
        ((status, text),) = await room.deliver(raw, sender=sender)
        assert f"{status} {text}" == reply
        assert room.kept() == []
        ((kept_code, payload),) = room.discards()
        assert (kept_code, payload["type"], payload["event"]) == (code, "channel", "email")
        (written,) = room.records()
        ((discard, _),) = written.discarded
        assert discard.size >= len(raw)
        if code != "mail_unreadable":
            assert (payload["subject"], discard.messageId) == ("Where is my order?", "1@x.example")


async def test_a_contact_forms_mail_is_its_reply_tos(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        await room.deliver(letter(1, "Reply-To: Ada <ada@x.example>", sender=f"Shop <{FORM}>"))
        assert [each["from"] for each in room.kept()] == [{"email": "ada@x.example", "name": "Ada"}]


async def test_a_full_disk_leaves_it_with_the_mail_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with running(tmp_path) as room:
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwritev", full)
            assert (
                await room.deliver(letter(), to=["a@x", "b@x"])
                == [(452, "4.3.1 The log cannot take more now; try again later")] * 2
            )
        await asyncio.sleep(0.3)  # The log refuses at once for a moment, so that a full disk costs no CPU.
        assert (await room.deliver(letter()))[0][0] == 250
        assert len(room.records()) == 1


async def test_an_end_and_a_fault_leave_it_with_the_mail_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as room:
        with monkeypatch.context() as patched:
            patched.setattr("richpanel.source.mailroom.read_mail", lambda *_: 1 / 0)
            assert (await room.deliver(letter()))[0] == (451, "4.3.0 The mail could not be kept; try again later")
        assert (await room.deliver(letter()))[0][0] == 250
        await room.writer.close()
        assert (await room.deliver(letter()))[0] == (451, "4.3.2 The server is stopping; try again later")
        assert len(room.records()) == 1


async def test_a_disabled_source_leaves_it_with_the_mail_server(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        for sources in ([msgspec.structs.replace(CHANNELS, enabled=False)], []):
            room.keys.replace(sources)
            ((status, text),) = await room.deliver(letter())
            assert (status, text.partition(" ")[0]) == (451, "4.3.2")
        room.keys.replace([CHANNELS])
        assert (await room.deliver(letter()))[0][0] == 250


async def test_what_happens_is_counted(tmp_path: Path) -> None:
    def counts() -> list[float]:
        return [
            telemetry.ACCEPTED.values.get((CHANNELS.id, "channel"), 0),
            telemetry.DISCARDED.values.get((CHANNELS.id, "bulk_mail"), 0),
            telemetry.REFUSED.values.get(("source_disabled",), 0),
        ]

    async with running(tmp_path) as room:
        before = counts()
        await room.deliver(letter())
        await room.deliver(letter(1, "Precedence: list"))
        room.keys.replace([])
        await room.deliver(letter())
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 1, 1]
    assert refused(Code.MAIL_TOO_LARGE).startswith("552 5.3.4 ")
