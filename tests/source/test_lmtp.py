"""The listener for mail, spoken to as a mail server does: what it answers, what it keeps, and what it never does."""

import asyncio
import random
import socket
import stat
from pathlib import Path

import pytest

from richpanel.source.lmtp import MAX_MAIL_BYTES, MAX_RECIPIENTS, Bounds, bind
from tests.lmtp import Client, letter, wire
from tests.source.mailing import CHANNELS, eventually, running

# ------------------------------------------------------------------------------------------------------------- a mail


async def test_a_mail_is_kept_once_and_answered_for_each_recipient(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        replies = await room.deliver(letter(body="Hello\r\n.\r\n..dots\r\n"), to=["a@shop.example", "b@shop.example"])
        assert replies == [(250, "2.0.0 Kept as 1@x.example")] * 2
        (kept,) = room.kept()
        assert kept == {
            "messageId": "1@x.example",
            "channel": "email",
            "from": {"email": "ada@x.example", "name": "Ada"},
            "subject": "Where is my order?",
            "body": "Hello\n.\n..dots",
        }
        (written,) = room.records()
        assert (written.meta.source, written.meta.door, written.meta.channel) == (CHANNELS.id, "channel", "email")


async def test_on_a_port_too_and_many_on_one_connection(tmp_path: Path) -> None:
    async with running(tmp_path, place=("127.0.0.1", 0)) as room:

        def talk(client: Client) -> list[tuple[int, str]]:
            return [client.deliver(letter(n))[0] for n in range(20)]

        replies = await room.with_client(talk)
        assert replies == [(250, f"2.0.0 Kept as {n}@x.example") for n in range(20)]
        assert len(room.kept()) == 20


async def test_the_extensions_and_other_commands(tmp_path: Path) -> None:
    async with running(tmp_path) as room:

        def talk(client: Client) -> list[tuple[int, str]]:
            assert {"size", "8bitmime", "smtputf8", "pipelining", "enhancedstatuscodes"} <= client.esmtp_features.keys()
            assert client.esmtp_features["size"] == str(MAX_MAIL_BYTES)
            lines = ["NOOP", "VRFY ada", "RSET", "HELO x", "EHLO x", "DATA", "MAIL", "BLA", "RCPT TO:<a@b>", "QUIT"]
            return [client.command(line) for line in lines]

        said = await room.with_client(talk)
        assert [code for code, _ in said] == [250, 252, 250, 500, 500, 503, 501, 500, 503, 221]
        assert all(text[:2] == f"{code // 100}." for code, text in said), said


async def test_pipelined_with_the_mail(tmp_path: Path) -> None:
    """What follows the lone dot in the same packet are commands again (RFC 2920, 3.1)."""
    async with running(tmp_path) as room:

        def talk(client: Client) -> list[int]:
            client.begin()
            client.send(wire(letter(1)) + b"MAIL FROM:<x@x.example>\r\nRCPT TO:<y@shop.example>\r\nDATA\r\n")
            codes = [client.reply()[0] for _ in range(4)]
            client.send(wire(letter(2)) + b"QUIT\r\n")
            return codes + [client.reply()[0] for _ in range(2)]

        assert await room.with_client(talk) == [250, 250, 250, 354, 250, 221]
        assert [each["messageId"] for each in room.kept()] == ["1@x.example", "2@x.example"]


async def test_bytes_as_they_come(tmp_path: Path) -> None:
    """Eight bits, NULs, and lines of any length; and no mail within a mail."""
    async with running(tmp_path) as room:
        body = "é" * 100_000 + "\r\n\x00\n.\nMAIL FROM:<eve@x.example>\r\nend"
        assert (await room.deliver(letter(body=body)))[0][0] == 250
        (kept,) = room.kept()
        assert kept["body"] == "é" * 16_384
        assert kept["truncated"] is True


# ------------------------------------------------------------------------------------------------------ what is refused


async def test_too_large(tmp_path: Path) -> None:
    async with running(tmp_path) as room:

        def talk(client: Client) -> list[tuple[int, str]]:
            announced = client.command(f"MAIL FROM:<a@x.example> SIZE={MAX_MAIL_BYTES + 1}")
            client.begin(to=["a@shop.example", "b@shop.example"])
            client.send(wire(letter(body="a" * MAX_MAIL_BYTES)))
            return [announced, client.reply(), client.reply(), client.deliver(letter())[0]]

        announced, *refused, next_one = await room.with_client(talk)
        assert announced[0] == 552
        assert refused == [(552, "5.3.4 A mail may hold 33,554,432 bytes at the most.")] * 2
        assert next_one[0] == 250
        assert len(room.records()) == 1


async def test_too_many_recipients(tmp_path: Path) -> None:
    async with running(tmp_path) as room:

        def talk(client: Client) -> list[int]:
            client.command("MAIL FROM:<>")
            codes = [client.command(f"RCPT TO:<r{n}@shop.example>")[0] for n in range(MAX_RECIPIENTS + 1)]
            client.command("DATA")
            client.send(wire(letter(sender="mailer-daemon@x.example")))
            return codes[-2:] + [client.reply()[0] for _ in range(MAX_RECIPIENTS)]

        assert await room.with_client(talk) == [250, 452] + [250] * MAX_RECIPIENTS
        assert [code for code, _ in room.discards()] == ["bounce"]


async def test_too_many_connections(tmp_path: Path) -> None:
    async with running(tmp_path, bounds=Bounds(connections=2)) as room:
        assert isinstance(room.place, Path)
        open_ones = [await asyncio.open_unix_connection(room.place) for _ in range(2)]
        for reader, _ in open_ones:
            assert (await reader.readline()).startswith(b"220 ")
        reader, writer = await asyncio.open_unix_connection(room.place)
        assert (await reader.read()).startswith(b"421 4.3.2 ")
        for each in (writer, *(writer for _, writer in open_ones)):
            each.close()
        await eventually(lambda: not room.listener.sessions)
        assert (await room.deliver(letter()))[0][0] == 250


async def test_mails_on_their_way_are_bounded_together(tmp_path: Path) -> None:
    async with running(tmp_path, bounds=Bounds(unfinished_bytes=100_000)) as room:

        def talk(client: Client) -> list[tuple[int, str]]:
            return [client.deliver(letter(n, body="a" * size))[0] for n, size in enumerate([90_000, 110_000, 90_000])]

        codes = [code for code, _ in await room.with_client(talk)]
        assert codes == [250, 452, 250]
        assert room.listener.allowance.left == 100_000


@pytest.mark.parametrize("bounds", [Bounds(command_seconds=0.2), Bounds(session_seconds=0.2)])
@pytest.mark.parametrize("within", ["commands", "a mail"])
async def test_who_takes_too_long_is_dropped(tmp_path: Path, bounds: Bounds, within: str) -> None:
    async with running(tmp_path, bounds=bounds) as room:

        def talk(client: Client) -> bytes:
            if within == "a mail":
                client.begin()
                client.send(b"Subject: never ends\r\n")
            assert client.sock is not None
            try:
                return client.sock.recv(100)
            except ConnectionResetError:
                return b""

        assert await room.with_client(talk) == b""
        assert (room.records(), room.listener.allowance.left) == ([], bounds.unfinished_bytes)


async def test_a_connection_lost_within_a_mail_keeps_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as room:

        def talk(client: Client) -> None:
            client.begin()
            client.send(b"Subject: x\r\n\r\n" + b"a" * 100_000)

        await room.with_client(talk)
        await eventually(lambda: not room.listener.sessions)
        assert room.records() == []
        await eventually(lambda: room.listener.allowance.left == Bounds().unfinished_bytes)


@pytest.mark.parametrize("seed", range(5))
async def test_noise_ends_at_most_its_own_connection(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    words = [
        *(b"LHLO x", b"MAIL FROM:", b"MAIL FROM:<a@b>", b"RCPT TO:", b"RCPT TO:<c@d>", b"DATA", b"RSET", b"HELP", b"<"),
        *(b"\r\n", b"\r\n", b"\r\n", b".\r\n", b"\n", b"\x00", b"\xff", b"VRFY \xff", b"AUTH PLAIN x", b"STARTTLS"),
        *(b" SIZE=1", b" SIZE=x", b" BODY=9", b"@", b"(" * 1_500, b"a" * 3_000, b"From: ada@x.example\r\n"),
    ]
    async with running(tmp_path) as room:
        assert isinstance(room.place, Path)
        for _ in range(20):
            _, writer = await asyncio.open_unix_connection(room.place)
            writer.write(b"LHLO x\r\n" + b"".join(dice.choices(words, k=60)))
            writer.close()
        assert (await room.deliver(letter("after")))[0] == (250, "2.0.0 Kept as after@x.example")
        await eventually(lambda: not room.listener.sessions)
        assert room.listener.allowance.left == Bounds().unfinished_bytes


# -------------------------------------------------------------------------------------------------------- begin and end


async def test_the_end_lets_a_mail_under_way_be_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        assert isinstance(room.place, Path)
        idle, idle_writer = await asyncio.open_unix_connection(room.place)
        await idle.readline()
        client = await asyncio.to_thread(Client, room.place)
        await asyncio.to_thread(client.begin)
        ending = asyncio.create_task(room.listener.close(10))
        assert (await idle.read()).startswith(b"421 4.3.2 ")
        with pytest.raises(FileNotFoundError):
            await asyncio.open_unix_connection(room.place)

        def finish() -> list[tuple[int, str]]:
            client.send(wire(letter()))
            return [client.reply(), client.reply()]

        kept, bye = await asyncio.to_thread(finish)
        assert (kept[0], bye[0]) == (250, 421)
        await asyncio.wait_for(ending, 5)
        client.close()
        idle_writer.close()
        assert len(room.kept()) == 1


async def test_the_end_does_not_wait_for_ever(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        client = await asyncio.to_thread(Client, room.place)
        await asyncio.to_thread(client.begin)
        await asyncio.wait_for(room.listener.close(0.1), 5)
        client.close()
        assert room.records() == []


def test_a_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "lmtp.sock"
    bind(path).close()
    assert path.is_socket()
    with bind(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        with pytest.raises(OSError, match="another process listens"):
            bind(path)
    path.unlink()
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        bind(path)
    assert path.read_text() == "precious"


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        bind(taken.getsockname())
    with bind(("localhost", 0)) as made:
        assert made.getsockname()[1] > 0
