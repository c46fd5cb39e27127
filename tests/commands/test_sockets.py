"""The sockets that a server's parent holds: private, short, and gone afterwards."""

import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from richpanel.commands.sockets import listen, listening


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The system's temporary directory of this test."""
    folder = Path("/tmp", f"rp-{os.getpid()}")
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


def test_they_are_for_this_user_alone_and_go_at_the_end(temporary: Path) -> None:
    with listening(listen("127.0.0.1", 0)) as sockets:
        told = sockets.told()
        path = Path(str(told["web_path"]))
        assert path.parent.parent == temporary
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert {"port", "web", "log", "web_path", "log_path"} == set(told)
        for name in ("web", "log"):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(told[f"{name}_path"]))
                accepted, _ = sockets.private[name].accept()
                accepted.close()
    assert list(temporary.iterdir()) == []


def test_each_role_inherits_what_it_accepts_on(temporary: Path) -> None:
    with listening(listen("127.0.0.1", 0)) as sockets:
        told = sockets.told()
        assert sockets.descriptors == {"front": (told["port"], told["log"]), "web": (told["web"],)}
    with listening(None) as none:
        assert (none.descriptors, none.told()) == ({}, {"port": None})
        assert list(temporary.iterdir()) == []


def test_a_long_temporary_directory_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with listening(listen("127.0.0.1", 0)) as sockets:
        path = str(sockets.told()["web_path"])
        assert len(path.encode()) < 100
        assert Path(path).is_socket()
    assert not Path(path).parent.exists()


def test_what_a_killed_server_left_is_swept(temporary: Path) -> None:
    dead, young, other = (temporary / f"richpanel-{name}" for name in ("dead", "young", "other"))
    for folder in (dead, young, other):
        folder.mkdir()
    for folder in (dead, young):
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(folder / "log"))
        left.close()
    (other / "log").write_text("not ours")
    hour_ago = time.time() - 3600
    with listening(listen("127.0.0.1", 0)) as living:
        lives = Path(str(living.told()["web_path"])).parent
        for folder in (dead, other, lives):
            os.utime(folder, (hour_ago, hour_ago))
        with listening(listen("127.0.0.1", 0)):
            assert not dead.exists()
            assert young.exists(), "it may be about to be locked"
            assert other.exists(), "it only has a name like ours"
            assert lives.exists(), "its server lives"
