"""The archived form of a segment: read back exactly, by others too, and no changed bit goes unseen (log/archive.py)."""

import io
import random
import tempfile
import time
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from richpanel.log.archive import BLOCK_BYTES, Archive, write_archive
from richpanel.log.contract import LogDamaged
from richpanel.log.opened import OpenSegments

CHUNK = 2 * BLOCK_BYTES


def archive(directory: Path, content: bytes, base: int = 4242) -> Path:
    """Write an archive as if `content` were a segment."""
    path = directory / f"{base:020d}.zst"
    chunks = (content[start : start + CHUNK] for start in range(0, len(content), CHUNK))
    with path.open("wb") as file:
        assert write_archive(file, chunks, base, 17).size == len(content)
    return path


def some(size: int, seed: int = 1) -> bytes:
    """Bytes that compress, and differ from place to place."""
    return b" ".join(str(n * n * seed).encode() for n in range(size // 8))[:size]


@settings(max_examples=40, deadline=None)
@given(size=st.one_of(st.integers(1, 300), st.integers(BLOCK_BYTES - 2, 5 * BLOCK_BYTES)), data=st.data())
def test_any_place_is_read_as_it_was(size, data) -> None:
    content = random.Random(size).randbytes(size) if size % 2 else some(size)
    with tempfile.TemporaryDirectory() as name:
        archive(Path(name), content)
        opened = OpenSegments(Path(name))
        for _ in range(20):
            offset = data.draw(st.integers(0, size + 5))
            wanted = data.draw(st.integers(1, size + 5))
            assert opened.read(4242, offset, wanted) == content[offset : offset + wanted]
        assert b"".join(Archive(archive(Path(name), content)).blocks()) == content


def test_it_says_what_it_is_of(tmp_path) -> None:
    content = some(3 * BLOCK_BYTES + 1)
    made = Archive(archive(tmp_path, content))
    assert (made.about.base, made.about.size, made.about.sealed_ns) == (4242, len(content), 17)
    assert made.file_bytes < len(content) / 2
    made.check_file()
    made.check_content()


def test_any_zstd_decompressor_makes_the_segment_of_it(tmp_path) -> None:
    content = some(3 * BLOCK_BYTES + 1)
    file = archive(tmp_path, content).read_bytes()
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(file), read_across_frames=True)
    assert reader.read() == content


def damaged(path: Path, changed: bytes) -> str:
    """Tell how a changed archive is refused."""
    path.write_bytes(changed)
    with pytest.raises(LogDamaged) as caught:
        Archive(path).check_file()
    return caught.value.reason


def test_no_changed_bit_goes_unseen(tmp_path) -> None:
    path = archive(tmp_path, some(2 * BLOCK_BYTES + 99))
    whole = path.read_bytes()
    tail = range(len(whole) - 200, len(whole))
    for place in [*range(0, len(whole), 397), *tail]:
        reason = damaged(path, whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        assert path.name in reason
    for size in [*range(0, len(whole), 2997), *tail]:
        damaged(path, whole[:size])
    damaged(path, whole + b"\0")


def test_a_damaged_block_is_named_and_the_others_are_read(tmp_path) -> None:
    content = some(3 * BLOCK_BYTES)
    path = archive(tmp_path, content)
    whole = path.read_bytes()
    path.write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])  # In the first block.
    opened = OpenSegments(tmp_path)
    with pytest.raises(LogDamaged, match="checksum") as caught:
        opened.read(4242, 100, 5)
    assert caught.value.position == 4242
    assert opened.read(4242, BLOCK_BYTES, 5) == content[BLOCK_BYTES : BLOCK_BYTES + 5]


def test_an_archive_under_another_name_is_refused(tmp_path) -> None:
    path = archive(tmp_path, some(100))
    other = path.with_name(f"{4243:020d}.zst")
    path.rename(other)
    with pytest.raises(LogDamaged, match="its name"):
        Archive(other)


def test_an_archive_written_anew_is_not_read_from_memory(tmp_path) -> None:
    archive(tmp_path, b"before" * 100)
    opened = OpenSegments(tmp_path)
    assert opened.read(4242, 0, 6) == b"before"
    draft = tmp_path / "draft"
    draft.mkdir()
    archive(draft, b"behind" * 100).replace(tmp_path / f"{4242:020d}.zst")
    assert opened.read(4242, 0, 6) == b"behind"


def test_a_slice_is_quick(tmp_path) -> None:
    content = some(8 << 20)
    archive(tmp_path, content)
    opened = OpenSegments(tmp_path)
    places = [random.Random(7).randrange(len(content) - 1000) for _ in range(2000)]
    began = time.process_time()
    for place in places:
        opened.read(4242, place, 1000)
    assert (time.process_time() - began) / len(places) < 1e-3  # 0.05 ms; a busy machine is forgiven.
