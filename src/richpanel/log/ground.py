"""The stream that another log is carried to: what is there, and how it is made to begin above all of that log.

Places of bodies stay what they were in the other log, so that none may ever be given to another one.
"""

import asyncio
from time import monotonic
from typing import Final, NamedTuple

from richpanel.log.stream import (
    CONSUMER_MISSING,
    STREAM_MISSING,
    WORKERS,
    Link,
    Stream,
    StreamRefused,
    make_stream,
    sequence_at,
    start_of,
)

SECONDS: Final = 10.0
_LEAP: Final = 1 << 20
"""Sequences that are left out: the other log grows on while it is carried, by far less than their 2 TB."""
_OLDEST: Final = (2, 9)
_LOOKS, _LOOK_SECONDS = 10, 0.15
"""Workers ask for more at least once a second, and are seen while they wait."""


class GroundError(ValueError):
    """The stream cannot be used; the text says why."""


class Ground(NamedTuple):
    """What is there: since when (`made`, None where there is no stream yet), how much, and how much there may be."""

    version: str
    made: str | None
    records: int
    bytes: int
    max_bytes: int


async def survey(stream: Stream) -> Ground:
    """Look at the stream and its servers. Raises GroundError, ConnectionError."""
    link = await _link(stream)
    try:
        server = link.client.connected_server_version
        version = f"{server.major}.{server.minor}.{server.patch}"
        if (server.major, server.minor) < _OLDEST:
            raise GroundError(f"nats-server is {version}: 2.9 or later is needed")
        try:
            told = await link.call("STREAM.INFO")
        except StreamRefused as refused:
            if refused.code != STREAM_MISSING:
                raise GroundError(f"JetStream refuses: {refused}") from None
            return Ground(version, None, 0, 0, stream.max_bytes)
        state = told["state"]
        return Ground(version, told["created"], state["messages"], state["bytes"], told["config"]["max_bytes"])
    finally:
        await link.close()


async def make(stream: Stream) -> str:
    """Make the stream where there is none; give since when there is one. Raises GroundError, ConnectionError."""
    link = await _link(stream)
    try:
        await make_stream(link, stream)
        return str((await link.call("STREAM.INFO"))["created"])
    except StreamRefused as refused:
        raise GroundError(f"the stream {stream.name} cannot be made: {refused}") from None
    finally:
        await link.close()


async def clear(stream: Stream, floor: int) -> int:
    """Drop all that the stream holds; give where its next record begins, which lies far above `floor`, and above all
    that it ever held. Raises GroundError, ConnectionError.
    """
    link = await _link(stream)
    try:
        _, last = await link.state()
        wanted = max(sequence_at(floor), last + 1) + _LEAP
        await link.call("STREAM.PURGE", seq=wanted)
        await _step_down(link)
        deadline = monotonic() + SECONDS
        while (reached := (await link.state())[1]) != wanted - 1:
            if monotonic() > deadline:
                raise GroundError(f"the stream {stream.name} goes on at {reached + 1} instead of {wanted}")
            await asyncio.sleep(0.1)
        return start_of(wanted)
    except StreamRefused as refused:
        raise GroundError(f"the stream {stream.name} cannot be emptied: {refused}") from None
    finally:
        await link.close()


async def _step_down(link: Link) -> None:
    """Let another server lead, where there are several: this one counts from the old end, and would refuse records."""
    try:
        await link.call("STREAM.LEADER.STEPDOWN")
    except StreamRefused:
        return  # A server that is alone has no followers.


async def _link(stream: Stream) -> Link:
    """Connect. Raises ConnectionError."""
    link = Link(stream, SECONDS, lambda: None)
    try:
        async with asyncio.timeout(SECONDS):
            await link.open()
    except TimeoutError:
        await link.close()
        raise ConnectionError(f"the servers of the stream do not answer: {link.problem}") from None
    return link


async def hand_out_again(stream: Stream) -> None:
    """Let the workers that come next be handed all that the stream holds, from its first record on.

    They pass over what is applied. Raises GroundError, also where workers are there; ConnectionError.
    """
    link = await _link(stream)
    try:
        for _ in range(_LOOKS):
            told = await link.api(f"CONSUMER.INFO.{stream.name}.{WORKERS}", {})
            if told["num_waiting"] or told["num_ack_pending"]:
                raise GroundError(f"a server still processes what is in the stream {stream.name}: stop it first")
            await asyncio.sleep(_LOOK_SECONDS)
        await link.api(f"CONSUMER.DELETE.{stream.name}.{WORKERS}", {})
    except StreamRefused as refused:
        if refused.code not in (CONSUMER_MISSING, STREAM_MISSING):
            raise GroundError(f"the stream {stream.name} cannot be handed out again: {refused}") from None
    finally:
        await link.close()
