"""Erasing deliveries: nothing of what was sent stands in any file afterwards, and old copies are swept."""

from pathlib import Path

from richpanel.store import delivery_erasing
from richpanel.store.deliveries import DELIVERED, Attempt, Result
from tests.store.test_deliveries import ANN, BOB, NOW, Both, both, run_in

__all__ = ["both"]
SECRET = b'{"email":"xylophonist@example.com"}'


def sent(both: Both) -> None:
    both.sent((100, ANN, 0), (200, BOB, 0))
    both.take_over()
    ann, bob = both.due()
    both.record(Result(ann, DELIVERED, NOW, Attempt(NOW, 5, 200, None, SECRET, SECRET)))
    both.record(Result(bob, DELIVERED, NOW, Attempt(NOW, 5, 200, None, b"{}", b"ok")))


def test_who_is_erased_is_in_no_file(both: Both, tmp_path: Path) -> None:
    sent(both)
    files = list(tmp_path.glob("delivery.db*"))
    assert any(SECRET in path.read_bytes() for path in files) == bool(files)
    assert delivery_erasing.named(both.delivery, [100, 900]) == ["3:100:"]
    assert delivery_erasing.erase(both.delivery, [100, 900])
    assert delivery_erasing.erase(both.delivery, [100, 900])
    assert both.rows("SELECT place FROM deliveries") == [(200,)]
    assert both.rows("SELECT count(*) FROM attempts") == [(1,)]
    assert not any(b"xylophonist" in path.read_bytes() for path in tmp_path.glob("delivery.db*"))


def test_an_older_copy_loses_what_the_state_has_lost(both: Both) -> None:
    sent(both)
    run_in(both.state, "DELETE FROM outbox WHERE place = 100")
    with both.delivery.begin() as connection, both.state.connect() as state:
        assert delivery_erasing.sweep(connection, state) == 1
    assert both.rows("SELECT place FROM deliveries") == [(200,)]
