"""What `richpanel restore` refuses: every kind of damage, and what does not fit together. Nothing is left behind."""

import io
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
import zstandard

from richpanel.commands.bundle import ABOUT, MANIFEST, About, BundleWriter, Manifest, Member, read_bundle
from richpanel.log.files import rearranging
from richpanel.log.frames import header
from tests.acceptance.test_cli import decoded, lines, run, said, write
from tests.server import Server

Files = dict[str, bytes]
ENV = {"RICHPANEL_LOG_SEGMENT_BYTES": str(1 << 20), "RICHPANEL_LOG_ARCHIVE_AFTER": "1"}
ZST, LOG = "log/{:020d}.zst", "log/{:020d}.log"


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup with an archived and a raw segment."""
    folder = tmp_path_factory.mktemp("restore")
    messages = [{**message, "properties": {"note": message["messageId"] * 20}} for message in lines(12_000)]
    with Server(folder / "data", env=ENV) as server:
        server.command("import", str(write(folder / "f.jsonl", messages)))
        server.wait_processed()
        while not [*(server.data / "log").glob("*.zst")]:
            pass
    decoded(run("backup", folder / "b.tar.zst", "--json", "--data", folder / "data"))
    return folder / "b.tar.zst"


class _Held(io.BytesIO):
    """A file in memory whose content outlives its closing."""

    content = b""

    def close(self) -> None:
        if not self.closed:
            self.content = self.getvalue()
        super().close()


def unpack(file: Path) -> tuple[Manifest, Files]:
    """A backup's manifest and files."""
    held: dict[str, _Held] = {}

    def put(member: Member) -> io.BytesIO:
        held[member.name] = _Held()
        return held[member.name]

    with file.open("rb") as source:
        manifest = read_bundle(source, "999.0", put)
    return manifest, {name: each.content for name, each in held.items()}


def pack(file: Path, manifest: Manifest, files: Files, *, members: list[Member] | None = None) -> Path:
    """Write a backup whose checksums are right for what is in it, unless `members` are given."""
    with file.open("wb") as target:
        writer = BundleWriter(target, manifest.about, modified=0)
        for name, content in files.items():
            writer.add(name, len(content), io.BytesIO(content))
        writer.finish(msgspec.structs.replace(manifest, members=members or list(writer.members)))
    return file


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def refused(file: Path, text: str) -> None:
    """Assert that a backup is refused, and leaves nothing."""
    before = sorted(os.listdir(file.parent))
    said(run("restore", file, "--data", file.parent / "target"), 1, text)
    assert sorted(os.listdir(file.parent)) == before


def segments(files: Files, suffix: str) -> list[str]:
    return sorted(name for name in files if name.endswith(suffix))


# -------------------------------------------------------------------------------------------------------------- damage


def test_what_was_packed_is_unpacked(backup: Path, tmp_path: Path) -> None:
    manifest, files = unpack(backup)
    assert {name for name in files if "/" not in name} == {"account.db", "delivery.db", "secret.key", "state.db"}
    assert [member.name for member in manifest.members][:3] == [ABOUT, "account.db", "state.db"]
    assert segments(files, ".zst")
    assert len(segments(files, ".log")) >= 1
    again = pack(tmp_path / "again", manifest, files)
    shown = decoded(run("restore", again, "--json", "--data", tmp_path / "data"))
    assert (shown["messages"], shown["customers"], len(shown["notes"])) == (12_000, 1, 1)
    assert "is not known to this backup: --ledger tells it" in shown["notes"][0]


def test_a_changed_bit_in_any_file_is_found_and_named(backup: Path, tmp_path: Path) -> None:
    manifest, files = unpack(backup)
    for name, content in files.items():
        for place in {0, len(content) - 1}:
            changed = files | {name: flipped(content, place)}
            refused(
                pack(tmp_path / "b", manifest, changed, members=manifest.members), f"is damaged: {name} does not match"
            )


def test_a_changed_bit_anywhere_in_the_file_is_found(backup: Path, tmp_path: Path) -> None:
    whole = backup.read_bytes()
    file = tmp_path / "b"
    for place in [*range(0, len(whole), len(whole) // 4), len(whole) - 1]:
        file.write_bytes(flipped(whole, place))
        done = run("restore", file, "--verify", "--data", tmp_path / "target")
        assert done.returncode == 1, place
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_file_that_ends_too_early_is_no_backup(backup: Path, tmp_path: Path) -> None:
    whole = backup.read_bytes()
    file = tmp_path / "b"
    for size in (0, 1, 3, 10, 100, len(whole) // 3, len(whole) - 700, len(whole) - 300):
        file.write_bytes(whole[:size])
        refused(file, f"{file} ")
    file.write_bytes(whole[:-1])  # Behind the manifest there is nothing but the end of a tar.
    assert run("restore", file, "--verify").returncode == 0


def test_checking_alone_puts_nothing_anywhere(backup: Path, tmp_path: Path) -> None:
    file = tmp_path / "b"
    for content, code in ((backup.read_bytes(), 0), (flipped(backup.read_bytes(), 70_000), 1)):
        file.write_bytes(content)
        assert run("restore", file, "--verify", "--data", tmp_path / "target").returncode == code
        assert os.listdir(tmp_path) == ["b"]
    assert run("restore", backup, "--verify", "--data", backup.parent / "data").returncode == 0, "beside a full one"


def test_what_is_no_backup_at_all(tmp_path: Path) -> None:
    file = tmp_path / "b"
    file.write_bytes(b"hello, world " * 100)
    refused(file, "is no backup")
    file.write_bytes(zstandard.compress(b"hello, world " * 1000))
    refused(file, "is no backup")
    said(run("restore", tmp_path / "none", "--data", tmp_path / "target"), 1, "No such file")
    assert not (tmp_path / "target").exists()
    subprocess.run(["tar", "--zstd", "-cf", file, "-C", "/", "etc/hostname"], check=True, capture_output=True)
    refused(file, "it begins with 'etc/hostname'")


def test_a_missing_or_foreign_file_is_named(backup: Path, tmp_path: Path) -> None:
    manifest, files = unpack(backup)
    for name in ("state.db", "account.db", segments(files, ".zst")[0]):
        less = {other: content for other, content in files.items() if other != name}
        refused(pack(tmp_path / "b", manifest, less, members=manifest.members), f"is damaged: {name} is missing")
    more = files | {LOG.format(1 << 60): b""}
    refused(pack(tmp_path / "b", manifest, more, members=manifest.members), "does not belong to it")
    for name in ("../outside", "/etc/passwd", "log/../../outside", "log/torn/x", "serve"):
        refused(pack(tmp_path / "b", manifest, {name: b"x"} | files), f"has no {name!r}")
    assert not (tmp_path / "outside").exists()


# ------------------------------------------------------------------------------------------------------ other versions


@pytest.mark.parametrize(
    ("about", "text"),
    [
        ({"format": 2}, "format 2"),
        ({"product": "0.10.0"}, "version 0.10.0"),
        ({"product": "1.0"}, "install that one"),
    ],
)
def test_a_newer_versions_backup_is_refused(backup: Path, tmp_path: Path, about: dict[str, object], text: str) -> None:
    manifest, files = unpack(backup)
    newer: About = msgspec.structs.replace(manifest.about, **about)
    refused(pack(tmp_path / "b", msgspec.structs.replace(manifest, about=newer), files), text)


def test_an_older_versions_backup_is_taken(backup: Path, tmp_path: Path) -> None:
    manifest, files = unpack(backup)
    older = msgspec.structs.replace(manifest.about, product="0.0.9")
    file = pack(tmp_path / "b", msgspec.structs.replace(manifest, about=older), files)
    assert "by version 0.0.9" in run("restore", file, "--data", tmp_path / "data").stdout


@pytest.fixture
def edit(tmp_path: Path) -> Callable[[bytes, str], bytes]:
    """Run a statement on a database in memory."""

    def run_on(content: bytes, statement: str) -> bytes:
        path = tmp_path / "edited.db"
        path.write_bytes(content)
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(statement)
        connection.commit()
        connection.close()
        found = path.read_bytes()
        path.unlink()
        return found

    return run_on


@pytest.mark.parametrize("name", ["account", "state", "delivery"])
def test_tables_that_this_version_does_not_know(backup: Path, tmp_path: Path, name: str, edit) -> None:
    manifest, files = unpack(backup)
    changed = edit(files[f"{name}.db"], f"UPDATE alembic_version SET version_num = '{name}_9999'")
    refused(pack(tmp_path / "b", manifest, files | {f"{name}.db": changed}), f"{name}_9999")


# ----------------------------------------------------------------------------------------- whole files that do not fit


def test_a_database_that_was_damaged_before_it_was_backed_up(backup: Path, tmp_path: Path, edit) -> None:
    manifest, files = unpack(backup)
    for broken in (b"no database" * 1000, files["state.db"][: len(files["state.db"]) // 2]):
        refused(pack(tmp_path / "b", manifest, files | {"state.db": broken}), "nothing was restored")
    pages = bytearray(files["state.db"])
    for page in range(8, len(pages) // 4096):
        pages[page * 4096 : page * 4096 + 32] = os.urandom(32)
    refused(pack(tmp_path / "b", manifest, files | {"state.db": bytes(pages)}), "damaged")
    missing = edit(files["state.db"], "DELETE FROM alembic_version")
    refused(pack(tmp_path / "b", manifest, files | {"state.db": missing}), "nothing was restored")


def test_records_that_were_damaged_before_they_were_backed_up(backup: Path, tmp_path: Path) -> None:
    manifest, files = unpack(backup)
    for name in (segments(files, ".zst")[0], segments(files, ".log")[-1]):
        changed = flipped(files[name], len(files[name]) // 2)
        refused(pack(tmp_path / "b", manifest, files | {name: changed}), f"position {int(Path(name).stem)}"[:10])
    last = segments(files, ".log")[-1]
    refused(pack(tmp_path / "b", manifest, files | {last: files[last][:-5]}), "is damaged")


def test_a_hole_in_the_log(backup: Path, tmp_path: Path) -> None:
    manifest, files = unpack(backup)
    names = sorted(name for name in files if name.startswith("log/"))
    less = {name: content for name, content in files.items() if name != names[-1]}
    refused(pack(tmp_path / "b", manifest, less), "instead of")
    none = {name: content for name, content in files.items() if name not in names}
    refused(pack(tmp_path / "b", manifest, none), "its log ends at 0 instead of")
    assert len(names) > 2
    less = {name: content for name, content in files.items() if name != names[0]}
    refused(pack(tmp_path / "b", manifest, less), "instead of 0")
    first = msgspec.structs.replace(manifest, log_first=int(Path(names[1]).stem))
    file = pack(tmp_path / "b", first, less)
    assert run("restore", file, "--verify").returncode == 0, "what retention has dropped is no hole"


def test_a_state_that_is_not_of_this_log(backup: Path, tmp_path: Path, edit) -> None:
    manifest, files = unpack(backup)
    for position in (manifest.log_end + 1, 5):
        state = edit(files["state.db"], f"UPDATE progress SET position = {position}")
        refused(pack(tmp_path / "b", manifest, files | {"state.db": state}), f"its state is at {position:,}")
    ahead = msgspec.structs.replace(manifest, processed=manifest.log_end + 1)
    state = edit(files["state.db"], f"UPDATE progress SET position = {manifest.log_end + 1}")
    refused(pack(tmp_path / "b", ahead, files | {"state.db": state}), "its log goes from 0 to")


def test_a_log_that_goes_further_than_it_says(backup: Path, tmp_path: Path) -> None:
    manifest, files = unpack(backup)
    last = segments(files, ".log")[-1]
    more = files | {last: files[last] + header([b"more"], 4) + b"more"}
    refused(pack(tmp_path / "b", manifest, more), "its log ends at")


# ---------------------------------------------------------------------------------------------------------- the place


def test_only_an_empty_directory_is_restored_into(backup: Path, tmp_path: Path) -> None:
    target = tmp_path / "data"
    target.mkdir()
    (target / "something").touch()
    said(run("restore", backup, "--data", target), 1, "is not empty: restore into one that is empty")
    assert os.listdir(target) == ["something"]
    (target / "something").unlink()
    (target / "lost+found").mkdir()
    (target / ".restoring").mkdir()  # One that was killed.
    (target / ".restoring" / "state.db").touch()
    with rearranging(target):
        said(run("restore", backup, "--data", target), 1, "somebody else is restoring")
    assert run("restore", backup, "--data", target).returncode == 0
    assert sorted(os.listdir(target)) == ["account.db", "delivery.db", "log", "lost+found", "secret.key", "state.db"]
    said(run("restore", backup, "--data", target), 1, "is not empty")
    shutil.rmtree(target)
    target.touch()
    said(run("restore", backup, "--data", target), 1, "nothing was restored")


def test_root_gives_what_it_restores_to_the_directorys_owner(backup: Path, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    target = tmp_path / "data"
    target.mkdir()
    os.chown(target, 1234, 1235)
    assert run("restore", backup, "--data", target).returncode == 0
    for folder, folders, files in os.walk(target):
        for name in (*folders, *files):
            found = Path(folder, name).stat()
            assert (found.st_uid, found.st_gid) == (1234, 1235), name


def test_the_manifest_is_for_people_too(backup: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "--zstd", "-xf", backup, "-C", tmp_path], check=True)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    assert json.loads((tmp_path / ABOUT).read_text()) == manifest["about"]
    for member in manifest["members"]:
        content = (tmp_path / member["name"]).read_bytes()
        assert (len(content), sha256(content).hexdigest()) == (member["size"], member["sha256"])
    assert manifest["revisions"].keys() == {"account", "state", "delivery"}
    assert (manifest["messages"], manifest["customers"], manifest["secretKey"]) == (12_000, 1, True)
