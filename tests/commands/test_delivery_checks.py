"""What `richpanel doctor` says of deliveries: what waits in good order, and what fails for long."""

import time

from richpanel.commands.checks import Check
from richpanel.commands.delivery_checks import deliveries
from richpanel.store.bulk import run
from richpanel.store.deliveries import DEAD
from tests.deliver.conftest import account, template
from tests.deliver.test_books import Keeper, keeper
from tests.process.account import Account
from tests.process.calls import track

__all__ = ["account", "keeper", "template"]
HOUR = 3_600_000


def checks(account: Account) -> list[Check]:
    return list(deliveries(account.directory))


def test_without_a_destination_outside_nothing_is_said(account: Account) -> None:
    assert checks(account) == []


def test_what_fails_for_long_is_a_problem(keeper: Keeper) -> None:
    keeper.now = round(time.time() * 1000)
    keeper.account.send(*(track(number, "Event", f"u{number}") for number in range(3)))
    keeper.turn(live=0)
    (check,) = checks(keeper.account)
    assert (check.name, check.state, check.text) == ("deliveries to Richpanel", "ok", "3 wait")
    with keeper.delivery.begin() as connection:
        run(connection, "UPDATE deliveries SET created_at = created_at - ?", HOUR)
    (check,) = checks(keeper.account)
    assert check.state == "problem"
    assert "3 wait since " in check.text
    assert "nothing has arrived yet" in check.text
    (payload, *_) = keeper.turn().claimed
    keeper.turn(keeper.ended(payload), live=0)
    (check,) = checks(keeper.account)
    assert (check.state, check.text) == ("ok", "2 wait"), "something arrives: they wait for their turn"


def test_dead_letters_are_named(keeper: Keeper) -> None:
    keeper.account.send(track(0, "Event", "u"))
    (payload,) = keeper.turn().claimed
    keeper.turn(keeper.ended(payload, DEAD))
    (check,) = checks(keeper.account)
    assert (check.state, check.text) == ("note", "0 wait, 1 are dead letters: replay or drop them")
