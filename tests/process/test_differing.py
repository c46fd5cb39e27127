"""Differing: what is kept is held to the stored messages, and nothing is mended by that."""

import json
from typing import Any

from richpanel.core.comparing import Test
from richpanel.core.computed import Computation
from richpanel.core.conditions import Count, Named, Performed, Trait
from richpanel.core.membership import Audience
from richpanel.core.windows import Span, Window
from richpanel.process.definitions import Watch
from richpanel.process.differing import Differs, Looked, differing
from richpanel.process.refold import Reader
from tests.acceptance.test_cli import run, said
from tests.process.account import ARRIVAL, Account, on_sqlite
from tests.process.audiences import add, found, tend
from tests.process.calls import identify, track
from tests.process.test_checking import DAY, NEXT, prepared, spoil

MEMBER = "WHERE plan = ? AND profile = (SELECT id FROM identities WHERE value = ?)"


def looked(account: Account, *plans: int, now: int = NEXT) -> dict[int, Looked]:
    """What comes of looking at everybody."""
    known = Watch(account.account_engine).current()
    with account.state() as connection:
        reader = Reader(connection, known, account.reader.slice)
        *_, last = differing(reader, known.ready, plans, now, sample=10)
    return last


def numbers(account: Account) -> dict[str, int]:
    return dict(account.rows("SELECT value, id FROM identities"))


def test_who_differs_is_told_and_stays_as_it_is(account: Account) -> None:
    twice, orders = prepared(account)
    gold = add(account, "gold", Audience(Trait("plan", Test("not_exists"))))
    viewed = add(account, "viewed", Audience(Performed(Named("Page Viewed"))))
    tend(account, ARRIVAL)
    agreed = looked(account, twice, orders, gold, viewed)
    assert {plan: (each.looked, each.differing) for plan, each in agreed.items()} == {
        **{twice: (2, 0), orders: (2, 0), gold: (4, 0), viewed: (0, 0)},
    }
    spoil(account, f"UPDATE memberships SET value = 'false' {MEMBER}", twice, "u2")
    spoil(account, f"DELETE FROM memberships {MEMBER}", orders, "u1")
    spoil(account, f"UPDATE memberships SET since = since - 1 {MEMBER}", orders, "u2")
    other = account.rows(f"SELECT state FROM memberships {MEMBER}", twice, "u2")[0][0]
    spoil(account, f"UPDATE memberships SET state = ? {MEMBER}", other, twice, "u1")
    before = [found(account, plan) for plan in (twice, orders)]
    after, ids = looked(account, twice, orders), numbers(account)
    assert after[twice].sample == [
        Differs(ids["u1"], "events", "false", "false"),
        Differs(ids["u2"], "value", "false", "true"),
    ]
    assert (after[twice].differing, after[orders].differing) == (2, 1)
    assert after[orders].sample == [Differs(ids["u1"], "value", "0", "1")]
    assert [found(account, plan) for plan in (twice, orders)] == before


def test_a_window_that_closes_before_anybody_tends_it_is_no_difference(account: Account) -> None:
    account.send(identify(0, "ann"), track(1, "Order Completed", "ann"), track(2, "Order Completed", "ann"))
    window = Window(within=Span(40, "days"))
    plan = add(account, "lately", Audience(Performed(Named("Order Completed"), Count(">=", 2), window=window)))
    spent = add(account, "orders", Computation("count", Named("Order Completed"), None, window))
    tend(account, ARRIVAL)
    assert [each.value for each in found(account, plan).values()] == [True]
    for now in (ARRIVAL, ARRIVAL + 100 * DAY):
        assert {each.differing for each in looked(account, plan, spent, now=now).values()} == {0}


@on_sqlite
def test_the_verb_says_who_and_why(account: Account) -> None:
    twice, _ = prepared(account)

    def check(*args: str) -> Any:
        return run("audiences", "check", *args, "--data", account.directory.path)

    done = check("--json")
    assert done.returncode == 0, done.stderr
    assert {each["key"]: (each["looked"], each["differing"]) for each in json.loads(done.stdout)["data"]} == {
        **{"twice": (2, 0), "orders": (2, 0)},
    }
    spoil(account, f"UPDATE memberships SET value = 'false' {MEMBER}", twice, "u2")
    shown = check("twice")
    assert shown.returncode == 1
    assert "u2" in shown.stdout
    assert "the messages say another value" in shown.stdout
    done = check("twice", "--json")
    (one,) = json.loads(done.stdout)["data"]
    assert one["sample"] == [{"uid": "u2", "anonymousId": None, "kept": False, "counted": True, "what": "value"}]
    assert check("orders").returncode == 0
    said(check("nobody"), 1, "no audience or computed trait 'nobody'")
