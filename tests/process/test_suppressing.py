"""Suppression in the processing (semantics.md 10): by its place in the log, what is older stays."""

from dataclasses import replace
from typing import Any

import pytest

from richpanel.core.conditions import Named, Performed
from richpanel.core.membership import Audience
from richpanel.core.regulation import RegulationType
from richpanel.core.windows import Span, Window
from richpanel.store import erasing, suppressed
from tests.process.account import MINUTE, T0, Account, Arrived
from tests.process.audiences import add, found, tell, tend
from tests.process.calls import activity, identify, page, track
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


def test_nothing_is_told_of_who_is_kept_out_until_that_ends(account: Account) -> None:
    """What would be told would be refused, and told again for ever."""
    hour = Window(within=Span(1, "hours"))
    plan = add(account, "lately", Audience(Performed(Named("Order Completed"), window=hour)), now=T0)

    def told() -> dict[str, tuple[bool, int]]:
        return {who: (row.value, row.told) for (_, who), row in found(account, plan).items()}

    def ordered(minutes: int) -> None:
        calls = [call for uid in ("u1", "u2") for call in _order(minutes, uid)]
        account.write([Arrived(calls, at=T0 + minutes * MINUTE)])
        account.process()

    def rule(kind: RegulationType, minutes: int) -> None:
        given = regulation(account, kind, {"uid": "u1"}, name=f"reg_{minutes}")
        account.write([replace(given, at=T0 + minutes * MINUTE)])
        account.process()

    ordered(1)
    assert told() == {"u1": (True, 0), "u2": (True, 0)}
    rule("SUPPRESS", 2)
    assert told() == {"u1": (True, 2), "u2": (True, 0)}
    assert tell(account, T0 + 3 * MINUTE) == 1
    tend(account, T0 + 61 * MINUTE)
    assert told() == {"u1": (False, 1), "u2": (False, 0)}
    rule("UNSUPPRESS", 61)
    ordered(62)
    assert told() == {"u1": (True, 0), "u2": (True, 1)}
    rule("SUPPRESS", 63)
    rule("UNSUPPRESS", 64)
    assert told() == {"u1": (True, 0), "u2": (True, 1)}
    assert tell(account, T0 + 65 * MINUTE) == 1


def _order(minutes: int, uid: str) -> list[dict[str, Any]]:
    return [identify(minutes, uid), track(minutes, "Order Completed", uid)]
