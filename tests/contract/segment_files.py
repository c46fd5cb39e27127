"""What the tests of the segment engine do to its files, and with them."""

from pathlib import Path

from richpanel.log.recovery import Recovery
from richpanel.log.segments import SegmentReader, SegmentWriter


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.log"))


def read_all(directory: Path, position: int = 0) -> list[bytes]:
    reader = SegmentReader(directory)
    found = []
    while entries := reader.read(position):
        found += [entry.payload for entry in entries]
        position = entries[-1].end
    reader.close()
    return found


async def write_all(directory: Path, payloads: list[bytes], segment_bytes: int = 1 << 20) -> list[int]:
    """Append one by one; return where each record ends."""
    writer = SegmentWriter.open(directory, segment_bytes=segment_bytes)
    ends = [await writer.append(payload) for payload in payloads]
    await writer.close()
    return ends


async def reopen(directory: Path, floor: int = 0) -> Recovery:
    writer = SegmentWriter.open(directory, floor=floor)
    await writer.close()
    return writer.recovered


def publish(directory: Path, position: int) -> None:
    (directory / "durable").write_bytes(position.to_bytes(8, "little"))


def change(path: Path, offset: int, data: bytes) -> None:
    path.chmod(0o640)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
