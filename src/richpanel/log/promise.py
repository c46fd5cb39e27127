"""What an answered append is worth on a stream: its servers' promise, not ours (docs/decisions/0015-jetstream.md)."""

from typing import Final, NamedTuple

ON_DISK: Final = "a call is answered once it is synced to this machine's disk: it survives the machine's power cut"
"""The promise of segments, in words."""
_SYNCS: Final = (2, 10)
"""The first nats-server that can sync each record before it answers (`sync_interval: always`)."""


class StreamStatus(NamedTuple):
    """How a stream stands."""

    name: str
    messages: int
    bytes: int
    max_bytes: int
    replicas: int
    leader: str | None
    """The server that leads; None where there is one server only, or nobody leads just now."""
    version: str
    """Of the server that was asked."""
    pending: int
    """Records that no worker has acknowledged."""

    @property
    def promise(self) -> str:
        """What an answered call survives, in words."""
        return promise(self.replicas, self.version)


def promise(replicas: int, version: str) -> str:
    """Tell what an answered append survives: `replicas` servers keep it, of this version."""
    if can_sync(version):
        unless = "unless the server has `sync_interval: always`, which cannot be seen from here"
    else:
        unless = f"nats-server {version} cannot sync each record; 2.10 and later can, with `sync_interval: always`"
    if replicas < 3:
        return (
            "a call is answered once one server has it: it survives the end of that server's process; where its "
            f"machine loses power the last 2 minutes may be lost ({unless})"
        )
    most = (replicas - 1) // 2
    return (
        f"a call is answered once {replicas - most} of {replicas} servers have it: it survives the loss of any "
        f"{most if most > 1 else 'one'} of their machines; where all lose power at once the last 2 minutes may be lost "
        f"({unless})"
    )


def can_sync(version: str) -> bool:
    """Whether a server of this version can sync each record before it answers."""
    numbers = version.lstrip("v").split(".")[:2]
    return all(number.isdecimal() for number in numbers) and tuple(map(int, numbers)) >= _SYNCS
