"""What an answered append is said to survive (log/promise.py)."""

import pytest

from richpanel.log.promise import can_sync, promise


@pytest.mark.parametrize(
    ("version", "can"),
    [("2.9.10", False), ("2.10.0", True), ("2.11.4-RC.1", True), ("v2.10", True), ("3.0.0", True), ("", False)],
)
def test_the_version_says_whether_each_record_can_be_synced(version: str, can: bool) -> None:
    assert can_sync(version) is can


@pytest.mark.parametrize(
    ("replicas", "version", "said"),
    [
        (1, "2.9.10", ["one server has it", "end of that server's process", "2 minutes", "2.9.10 cannot sync"]),
        (1, "2.10.1", ["one server has it", "unless the server has `sync_interval: always`"]),
        (3, "2.9.10", ["2 of 3 servers", "any one of their machines", "all lose power at once"]),
        (5, "2.11.0", ["3 of 5 servers", "any 2 of their machines"]),
    ],
)
def test_the_promise_names_what_is_survived_and_what_is_not(replicas: int, version: str, said: list[str]) -> None:
    for words in said:
        assert words in promise(replicas, version)
