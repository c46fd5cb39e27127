"""Deciding (semantics.md 7): each destination decides once, and the account keeps what one of its own keeps."""

from typing import Any

import msgspec
import pytest

from richpanel.store.connectors import rotate_connector
from richpanel.store.destinations import DestinationChanges, list_destinations, update_destination
from richpanel.store.secrets import open_secrets
from tests.process.account import ARRIVAL, Account, Arrived
from tests.process.calls import activity, call, identify, page, track
from tests.process.dump import customer, dump, ids
from tests.process.test_repeats import traced


def decided(account: Account, message: dict[str, Any], source: str = "Website") -> tuple[str, str | None]:
    """What became of a message: outcome and code."""
    account.send(message, source=source)
    (found,) = traced(account, message["messageId"])
    return found["outcome"], found.get("code")


def change(account: Account, number: int, **changes: Any) -> None:
    """Change the destination with this number (1 is the first start's)."""
    box = open_secrets(account.directory.path)
    with account.account_engine.begin() as connection:
        row = list_destinations(connection)[number - 1]
        update_destination(connection, box, row.id, DestinationChanges(**changes))


@pytest.mark.parametrize("kind", ["screen", "group", "alias"])
def test_three_types_are_kept_in_the_log_and_not_for_the_destination(account: Account, kind: str) -> None:
    message = call(kind, 0, "u1", "a1", previousId="p", groupId="g", name="n")
    assert decided(account, message) == ("unsupported", "unsupported_event_type")
    assert dump(account) == {}


def test_what_is_not_kept_links_nobody(account: Account) -> None:
    account.send(page(0, None, "a1"), call("group", 1, "u1", "a1", groupId="g"))
    account.send({**identify(2, "u1", "a1", email="a@x"), "integrations": {"Richpanel": False}})
    assert list(dump(account)) == [("anonymousId", "a1")]
    account.send(activity(3, email="a@x"), source="Channels", door="channel")
    assert ("email", "a@x") in dump(account)


@pytest.mark.parametrize(
    ("integrations", "outcome"),
    [
        ({"All": False}, "filtered"),
        ({"Richpanel": False}, "filtered"),
        ({"All": False, "Richpanel": True}, "kept"),
        ({"All": False, "Richpanel": {"key": 1}}, "kept"),
        ({"richpanel": False}, "kept"),
        ({}, "kept"),
    ],
)
def test_the_integrations_object(account: Account, integrations: object, outcome: str) -> None:
    message = {**page(0, "u1"), "integrations": integrations}
    code = "filtered_by_integrations_object" if outcome == "filtered" else None
    assert decided(account, message) == (outcome, code)


def test_every_destination_decides_for_itself(account: Account) -> None:
    change(account, 2, sources=[account.source("Outlet").id, account.source().id], api_key="wrong")
    account.send(page(0, "u1"))
    (found,) = traced(account, "page-0-u1")
    assert found["outcome"] == "kept"
    assert [(each["outcome"], each.get("code")) for each in found["decisions"]] == [
        ("kept", None),
        ("failed", "invalid_settings"),
    ]


def test_a_wrong_key_fails_and_nothing_is_applied(account: Account) -> None:
    change(account, 1, api_key="wrong")
    assert decided(account, identify(0, "u1")) == ("failed", "invalid_settings")
    assert dump(account) == {}


def test_a_new_key_of_the_connector_makes_the_old_one_wrong(account: Account) -> None:
    assert decided(account, page(0, "u1")) == ("kept", None)
    box = open_secrets(account.directory.path)
    with account.account_engine.begin() as connection:
        connector = connection.exec_driver_sql("SELECT id FROM connectors ORDER BY number LIMIT 1").scalar_one()
        rotated = rotate_connector(connection, box, connector)
    assert rotated is not None
    assert decided(account, page(1, "u1")) == ("failed", "invalid_settings")
    change(account, 1, api_key=rotated[0].api_key)
    assert decided(account, page(2, "u1")) == ("kept", None)
    assert ids(dump(account)[("uid", "u1")]) == ["page-0-u1", "page-2-u1"]


def test_an_old_key_is_right_for_what_was_received_before_its_end(account: Account) -> None:
    """Whenever that is processed: the end is in the message's time at the door."""
    box = open_secrets(account.directory.path)
    with account.account_engine.begin() as connection:
        connector = connection.exec_driver_sql("SELECT id FROM connectors ORDER BY number LIMIT 1").scalar_one()
        rotate_connector(connection, box, connector, keep_until=ARRIVAL + 1)
    account.write([Arrived([page(1, "u1")], at=ARRIVAL), Arrived([page(2, "u1")], at=ARRIVAL + 1)])
    account.process()
    made = [traced(account, name)[0] for name in ("page-1-u1", "page-2-u1")]
    assert [(each["outcome"], each.get("code")) for each in made] == [("kept", None), ("failed", "invalid_settings")]


def test_a_destination_elsewhere_keeps_nothing_for_the_account(account: Account) -> None:
    change(account, 1, endpoint="https://api.example/", api_key="theirs")
    outcome, _ = decided(account, identify(0, "u1"))
    assert outcome == "kept"
    (found,) = traced(account, "identify-0-u1")
    assert [each["outcome"] for each in found["decisions"]] == ["kept"]
    assert dump(account) == {}


@pytest.mark.parametrize("changes", [{"enabled": False}, {"sources": []}])
def test_without_a_destination_nothing_is_kept_for_the_account(account: Account, changes: dict[str, Any]) -> None:
    change(account, 1, **changes)
    assert decided(account, identify(0, "u1")) == ("filtered", "not_connected")
    assert dump(account) == {}


def test_a_decision_stays_what_it_was(account: Account) -> None:
    account.send(identify(0, "u1", "a1"), page(10, None, "a1"))
    change(account, 1, enabled=False)
    account.send(page(20, None, "a1"))
    change(account, 1, enabled=True)
    account.send(identify(5, "u2", "a1"))  # Folds both afresh.
    assert ids(customer(account, "u2")) == ["customer", "page-10-a1"]
    assert traced(account, "page-20-a1")[0]["outcome"] == "filtered"


def test_channel_activity_needs_no_destination(account: Account) -> None:
    change(account, 1, enabled=False)
    account.send(activity(0, uid="u1"), source="Channels", door="channel")
    assert ids(customer(account, "u1")) == ["activity-0", "customer"]


def test_what_a_batch_says_holds_for_its_items(account: Account) -> None:
    account.write(
        [
            Arrived(
                [page(0, "u1"), {**page(1, "u1"), "integrations": {"Richpanel": True}}],
                meta={"integrations": msgspec.Raw(b'{"Richpanel": false}')},
            )
        ]
    )
    account.process()
    assert ids(dump(account)[("uid", "u1")]) == ["page-1-u1"]


def test_orders_of_different_shops(account: Account) -> None:
    """The connector is that of the destination which kept the message."""
    account.send(identify(0, "u1"), track(1, "Order Completed", "u1", order_id="o1", total=1))
    account.send(track(2, "Order Completed", "u1", order_id="o1", total=2), source="Outlet")
    assert len(account.rows("SELECT DISTINCT connector FROM orders")) == 2
