"""The mark of an account that has moved, and files that are written at once."""

import os
from pathlib import Path

import pytest

from richpanel.store.moved import MARK, Moved, forget, moved, put, refusal, say_moved

GONE = Moved("postgresql://db/x", "the stream RICHPANEL at a:1", "2026-11-28T01:02:03Z", "id")


def test_a_mark_is_read_as_it_was_set_and_says_where_the_account_is(tmp_path: Path) -> None:
    assert moved(tmp_path) is None
    assert refusal(tmp_path) is None
    say_moved(tmp_path, GONE)
    assert moved(tmp_path) == GONE
    said = refusal(tmp_path) or ""
    assert all(part in said for part in ("postgresql://db/x", "RICHPANEL at a:1", "--really", "2026-11-28"))
    forget(tmp_path)
    forget(tmp_path)
    assert moved(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"database": 1, "more": 2}', "\0"])
def test_a_mark_that_cannot_be_read_is_an_error_and_no_permission(tmp_path: Path, content: str) -> None:
    (tmp_path / MARK).write_text(content)
    with pytest.raises(ValueError, match=r"."):
        refusal(tmp_path)


def test_a_file_is_its_owners_alone_and_takes_anothers_place(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    path.write_text("old")
    path.chmod(0o644)
    path.with_name("settings.new").write_text("left over by a crash")
    if os.geteuid() == 0:
        os.chown(tmp_path, 1, 1)
    put(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_uid == tmp_path.stat().st_uid
    assert list(tmp_path.iterdir()) == [path]
