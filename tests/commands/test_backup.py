"""What `richpanel backup` refuses: damage must not look like a backup, and nothing is left of what failed."""

import os
import struct
from pathlib import Path

import pytest

from richpanel.commands.draft import Draft
from tests.acceptance.test_cli import decoded, lines, run, said, write


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a log that no server has seen."""
    decoded(run("import", write(tmp_path / "f.jsonl", lines(300)), "--data", tmp_path / "data", "--json"))
    return tmp_path / "data"


def segment(data: Path) -> Path:
    (found,) = (data / "log").glob("*.log")
    return found


def test_a_damaged_record_is_named(data: Path, tmp_path: Path) -> None:
    decoded(run("import", write(tmp_path / "g.jsonl", lines(3, uid="g")), "--data", data, "--json"))
    path = segment(data)
    content = path.read_bytes()
    path.write_bytes(content[:500] + b"!" + content[501:])
    said(run("backup", tmp_path / "b", "--data", data), 1, "does not match its CRC; nothing was written")
    assert not [name for name in os.listdir(tmp_path) if name.startswith("b")]


def test_after_a_power_cut_the_end_of_the_log_is_found_first(data: Path, tmp_path: Path) -> None:
    path, mark = segment(data), data / "log" / "durable"
    end = path.stat().st_size
    for turn, left in enumerate((struct.pack("<Q", 0), b"", None)):
        if left is None:
            mark.unlink()
        else:
            mark.write_bytes(left)
        made = decoded(run("backup", tmp_path / f"b{turn}", "--json", "--data", data))
        assert made["log"] == {"first": 0, "end": end}
    with path.open("ab") as file:
        file.write(b"torn")
    assert decoded(run("backup", tmp_path / "torn", "--json", "--data", data))["log"] == {"first": 0, "end": end}


def test_a_log_that_lost_its_end(data: Path, tmp_path: Path) -> None:
    path = segment(data)
    end = path.stat().st_size
    os.truncate(path, end - 10)
    made = decoded(run("backup", tmp_path / "b", "--json", "--data", data))
    assert made["log"]["end"] == end, "a position is never given out twice"
    assert decoded(run("restore", tmp_path / "b", "--verify", "--json"))["log"] == made["log"]


def test_a_database_that_cannot_be_read(data: Path, tmp_path: Path) -> None:
    (data / "state.db").write_bytes(b"no database" * 1_000)
    said(run("backup", tmp_path / "b", "--data", data), 1, "nothing was written")
    said(run("backup", tmp_path / "none" / "b", "--data", data), 1, "No such file or directory")


def test_a_draft_becomes_the_file_at_once_or_never(tmp_path: Path) -> None:
    file = tmp_path / "f"
    with Draft(file, overwrite=False) as draft:
        draft.write(b"one " * 10_000_000)
        assert not file.exists()
        with pytest.raises(OSError, match="somebody else"):
            Draft(file, overwrite=False)
        draft.complete()
    assert (file.stat().st_size, os.listdir(tmp_path)) == (40_000_000, ["f"])
    with Draft(file, overwrite=True) as draft:
        draft.write(b"two")
    assert (file.stat().st_size, os.listdir(tmp_path)) == (40_000_000, ["f"])
    (tmp_path / "f.partial").write_bytes(b"left by one that was killed")
    with Draft(file, overwrite=True) as draft:
        draft.write(b"two")
        draft.complete()
    assert file.read_bytes() == b"two"
    with pytest.raises(OSError, match="--overwrite"):
        Draft(file, overwrite=False)
