"""Channel activity (semantics.md 3): whose it is, and following it when someone it names becomes known."""

from typing import Any

from richpanel.store.profiles import CustomerDetail, Moved, find_customer, find_visitor
from tests.process.account import Account, Arrived
from tests.process.calls import activity, identify, page, track
from tests.process.dump import customer, dump, ids, people


def wrote(account: Account, minutes: float = 50, **sender: Any) -> None:
    """A letter arrives."""
    account.send(activity(minutes, **sender), source="Channels", door="channel")


def owner(account: Account, minutes: float = 50) -> str:
    """Whose the letter is."""
    (found,) = (who[1] for who, one in dump(account).items() if f"activity-{minutes}" in ids(one))
    return found


def find(account: Account, uid: str) -> Any:
    return account.read(find_customer, account.settings, uid)


def test_a_letter_is_on_the_timeline_and_in_no_session(account: Account) -> None:
    account.send(identify(0, "u1", email="a@x"), page(1, "u1"))
    wrote(account, email="A@X ")
    shown = customer(account, "u1")
    assert ids(shown) == ["customer", "page-1-u1", "activity-50"]
    assert shown["timeline"][0] | {"source": "", "timestamp": ""} == {
        **{"id": "activity-50", "type": "channel", "event": "email", "sessionId": None},
        **{"source": "", "timestamp": ""},
    }
    assert [session["events"] for session in shown["sessions"]] == [1]


def test_a_stranger_becomes_a_provisional_customer(account: Account) -> None:
    wrote(account, email="New@X.example", name="Ada")
    found = find(account, "new@x.example")
    assert isinstance(found, CustomerDetail)
    assert (found.uid, found.email, found.name) == ("new@x.example", "new@x.example", "Ada")
    assert find(account, " NEW@x.example") == found


def test_a_provisional_customer_by_phone(account: Account) -> None:
    wrote(account, phone="(415) 555-0101")
    found = find(account, "415 555 0101")
    assert isinstance(found, CustomerDetail)
    assert (found.uid, found.phone, found.phone_e164) == ("+14155550101",) * 3


def test_it_ends_once_linked_and_says_where_it_went(account: Account) -> None:
    wrote(account, email="a@x", name="Ada")
    account.send(identify(60, "u1", email="a@x"))
    assert ids(customer(account, "u1")) == ["activity-50", "customer"]
    assert owner(account) == "u1"
    assert len(dump(account)) == 1
    assert find(account, "a@x") == Moved("u1")
    assert customer(account, "u1")["customerSince"] == "2025-10-09T09:43:20.000Z"


def test_the_first_that_resolves_of_uid_email_phone_and_device(account: Account) -> None:
    account.send(
        identify(0, "by-email", email="a@x"), identify(0, "by-phone", phone="4155550101"), identify(0, "by-device", "d")
    )
    everything = {"uid": "by-uid", "email": "a@x", "phone": "4155550101", "anonymousId": "d"}
    for minutes, (name, left) in enumerate(
        [
            ("by-uid", everything),
            ("by-email", {"uid": "null"}),
            ("by-phone", {"email": "no@x"}),
            ("by-device", {"phone": "1"}),
        ]
    ):
        everything = {**everything, **left}
        wrote(account, minutes, **everything)
        assert owner(account, minutes) == name


def test_of_several_people_with_an_address_the_latest_before_the_letter(account: Account) -> None:
    account.send(identify(40, "u1", email="a@x"), identify(60, "u2", email="a@x"))
    wrote(account, email="a@x")
    assert owner(account) == "u1"
    account.send(identify(45, "u3", email="a@x"))
    assert owner(account) == "u3"


def test_a_letter_to_a_known_visitor_makes_them_a_customer(account: Account) -> None:
    account.send(page(0, None, "a1"), track(1, "Order Completed", None, "a1", order_id="o1", total=5))
    wrote(account, anonymousId="a1")
    found = find(account, "a1")
    assert isinstance(found, CustomerDetail)
    assert (found.uid, found.anonymous_id, found.ltv) == ("a1", "a1", "5.00")
    assert account.read(find_visitor, account.settings, "a1") == Moved("a1")
    account.send(identify(60, "u1", "a1"))
    assert owner(account) == "u1"
    assert find(account, "a1") == Moved("u1")


def test_a_letter_that_moves_away_leaves_a_visitor_behind(account: Account) -> None:
    """Who was a customer only by that letter is none any more; orders follow."""
    account.send(page(0, None, "a1"), track(1, "Order Completed", None, "a1", order_id="o1", total=5))
    account.send(identify(2, "u2"), track(0.5, "Order Updated", "u2", order_id="o1"))
    assert customer(account, "u2")["ordersCount"] == 1
    wrote(account, email="a@x", anonymousId="a1")
    assert owner(account) == "a1"
    assert customer(account, "u2")["ordersCount"] == 0
    account.send(identify(60, "u1", email="a@x"))
    assert owner(account) == "u1"
    everyone = dump(account)
    assert everyone[("anonymousId", "a1")]["customerSince"] is None
    assert [everyone[("uid", uid)]["ordersCount"] for uid in ("u1", "u2")] == [0, 1]


def test_an_unknown_device_is_a_customer_by_its_id_until_it_is_seen(account: Account) -> None:
    wrote(account, email="a@x", anonymousId="a1")
    assert owner(account) == "a@x"
    account.send(page(0, None, "a1"))
    assert owner(account) == "a1"
    account.send(identify(1, "u1", "a1"))
    assert owner(account) == "u1"


def test_a_device_and_a_letter_in_one_batch(account: Account) -> None:
    letter = Arrived([activity(50, email="a@x", anonymousId="a1")], "Channels", door="channel")
    account.write([letter, Arrived([page(0, None, "a1")])])
    assert account.process() == 1
    assert owner(account) == "a1"


# ------------------------------------------------------------------------------ emails of page and track calls link too


def test_an_email_of_a_call_links_where_it_took_effect(account: Account) -> None:
    account.send(identify(0, "u1", email="a@x"), page(1, "u1", email="b@x"))
    wrote(account, email="b@x")
    assert owner(account) == "u1"


def test_an_email_of_a_call_links_nothing_where_it_took_no_effect(account: Account) -> None:
    account.send(identify(0, "u1"), page(1, "u1", email="b@x"))
    wrote(account, email="b@x")
    assert owner(account) == "b@x"
    assert ("email", "b@x") not in [each[:2] for each in customer(account, "u1")["identities"]]
    account.send(identify(0.5, "u1", email="a@x"))
    assert owner(account) == "u1"


def test_an_email_of_a_call_links_after_an_anonymous_identify_gave_one(account: Account) -> None:
    """The newsletter form comes first, the login later: the profile has an email that the call replaces."""
    wrote(account, email="b@x")
    account.send(identify(0, None, "a1", email="a@x"))
    account.send(page(2, "u1", email="b@x"))
    assert owner(account) == "b@x"
    account.send(identify(1, "u1", "a1"))
    assert customer(account, "u1")["email"] == "b@x"
    assert owner(account) == "u1"


def test_removing_the_email_ends_what_later_calls_link(account: Account) -> None:
    account.send(identify(0, "u1", email="a@x"), identify(1, "u1", email=None), page(2, "u1", email="b@x"))
    wrote(account, email="b@x")
    assert owner(account) == "b@x"


# ----------------------------------------------------------------------------------------------------------- the search


def test_a_new_name_is_found(account: Account) -> None:
    wrote(account, 1, uid="u1", name="Ada")
    wrote(account, 2, uid="u1", name="Grace")
    assert [one.uid for one in people(account, customers=True, q="grace")] == ["u1"]
    assert people(account, customers=True, q="ada") == []


def test_nobody_is_found_by_what_has_ended(account: Account) -> None:
    wrote(account, email="a@x.example", name="Ada")
    account.send(identify(60, "u1", email="a@x.example", name="Ada"))
    assert [one.uid for one in people(account, customers=True, q="ada")] == ["u1"]
