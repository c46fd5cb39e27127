"""Suppression in the processing (semantics.md 10): by its place in the log, what is older stays."""

from typing import Any

import pytest

from richpanel.store import erasing, suppressed
from tests.process.account import Account
from tests.process.calls import activity, identify, page
from tests.process.dump import customer, dump, ids
from tests.process.regulations import regulation
from tests.process.test_erasure import left, refused


def regulate(account: Account, kind: Any, uid: str) -> None:
    account.write([regulation(account, kind, {"uid": uid}, name=f"reg_{account.arrivals}")])
    account.process()


def test_what_is_older_stays_and_what_comes_is_refused(account: Account) -> None:
    account.send(identify(0, "u1", "a1"), page(1, None, "a1"))
    regulate(account, "SUPPRESS", "u1")
    account.send(page(2, "u1"), page(3, None, "a1"), page(4, "u2"))
    account.send(activity(5, uid="u1"), source="Channels", door="channel")
    assert ids(customer(account, "u1")) == ["customer", "page-1-a1"]
    assert refused(account) == {"suppressed": 3}
    with account.state() as connection:
        assert len([each for each in erasing.owed(connection) if each.size]) == 3
    regulate(account, "UNSUPPRESS", "u1")
    account.send(page(6, "u1"), page(7, None, "a1"))
    assert ids(customer(account, "u1")) == ["customer", "page-1-a1", "page-6-u1", "page-7-a1"]


@pytest.mark.parametrize("kind", ["SUPPRESS", "SUPPRESS_WITH_DELETE"])
def test_a_device_is_free_again_once_somebody_else_logs_in(account: Account, kind: str) -> None:
    account.send(identify(0, "u1", "a1"))
    regulate(account, kind, "u1")
    later = 60 * 24 * 40
    account.send(page(later, None, "a1"), identify(later + 1, "u2", "a1"), page(later + 2, None, "a1"))
    assert refused(account) == {"suppressed": 1}
    assert len(ids(customer(account, "u2"))) == 2


def test_with_delete_nothing_stays_nor_comes_back(account: Account) -> None:
    account.send(identify(0, "u1", "a1"), page(1, None, "a1"))
    regulate(account, "SUPPRESS_WITH_DELETE", "u1")
    later = 60 * 24 * 40
    account.send(page(later, "u1"), page(later, None, "a1"), page(2, "u1"))
    assert left(account) == {}
    with account.state() as connection:
        assert {row.kind for row in suppressed.load(connection).values()} == {0, 1}


def test_an_earlier_login_of_somebody_else_frees_no_device(account: Account) -> None:
    account.send(identify(10, "u1", "a1"))
    regulate(account, "SUPPRESS", "u1")
    account.send(identify(5, "u2", "a1"), page(11, None, "a1"))
    assert refused(account) == {"suppressed": 1}


def test_a_state_that_is_made_anew_refuses_the_same(account: Account) -> None:
    """Also before their bytes are erased: the place in the log decides."""
    account.send(page(0, "u1"))
    regulate(account, "SUPPRESS", "u1")
    account.send(page(1, "u1"))
    regulate(account, "UNSUPPRESS", "u1")
    account.send(page(2, "u1"))
    expected = dump(account)
    account.empty()
    account.restart()
    account.process()
    assert dump(account) == expected
    assert ids(dump(account)["uid", "u1"]) == ["page-0-u1", "page-2-u1"]
