"""Manual links (semantics.md 3): a person links, cuts and takes back; each holds by its place in the order."""

from typing import Any

import pytest

from tests.process.account import Account, Arrived, at
from tests.process.calls import identify, page
from tests.process.dump import customer, dump, ids
from tests.process.tables import leftovers
from tests.process.test_repeats import traced


def by_hand(minutes: float, kind: str, uid: str = "u1", device: str = "a1", **more: Any) -> Arrived:
    record = {
        "messageId": f"{kind}-{minutes}",
        "type": kind,
        "uid": uid,
        "anonymousId": device,
        "timestamp": at(minutes),
    }
    return Arrived([{**record, **more}], "Channels", door="people")


def undo(message_id: str, own: str = "undo") -> Arrived:
    return Arrived([{"messageId": own, "type": "undo", "undoes": message_id}], "Channels", door="people")


def apply(account: Account, *records: Arrived, max_bytes: int = 1) -> None:
    account.write(records)
    account.process(max_bytes)


PAST = Arrived([identify(0, "u1"), identify(0, "u2"), page(1, None, "a1"), page(9, None, "a1")])


@pytest.mark.parametrize("max_bytes", [1, 1 << 20])
def test_a_link_brings_all_of_a_visitors_past(account: Account, max_bytes: int) -> None:
    apply(account, PAST, by_hand(5, "link"), max_bytes=max_bytes)
    assert ids(customer(account, "u1")) == ["customer", "page-1-a1", "page-9-a1"]
    assert ("anonymousId", "a1", at(5)) in customer(account, "u1")["identities"]
    assert leftovers(account) == {}


def test_what_was_somebodys_before_stays_theirs(account: Account) -> None:
    apply(account, PAST, Arrived([identify(2, "u2", "a1")]), by_hand(5, "link"))
    assert ids(customer(account, "u2")) == ["customer", "page-1-a1"]
    assert ids(customer(account, "u1")) == ["customer", "page-9-a1"]


def test_a_cut_ends_links_before_it_and_a_later_login_links_again(account: Account) -> None:
    apply(account, PAST, Arrived([page(2, "u1", "a1")]), by_hand(5, "unlink"))
    assert ids(customer(account, "u1")) == ["customer", "page-2-u1-a1"]
    assert ids(dump(account)["anonymousId", "a1"]) == ["page-1-a1", "page-9-a1"]
    account.send(identify(3, "u1", "a1"))  # Late, and before the cut.
    assert ("anonymousId", "a1") in dump(account)
    account.send(identify(7, "u1", "a1"))
    assert ids(customer(account, "u1")) == ["customer", "page-1-a1", "page-2-u1-a1", "page-9-a1"]


def test_a_wrong_link_is_corrected_by_a_cut_and_a_link(account: Account) -> None:
    apply(account, PAST, Arrived([identify(2, "u2", "a1")]), by_hand(20, "unlink", "u2"), by_hand(21, "link", "u1"))
    assert ids(customer(account, "u1")) == ["customer", "page-1-a1", "page-9-a1"]
    assert ids(customer(account, "u2")) == ["customer"]


@pytest.mark.parametrize("kind", ["link", "unlink"])
@pytest.mark.parametrize("first", [True, False])
def test_an_undo_takes_it_back_whichever_is_processed_first(account: Account, kind: str, first: bool) -> None:
    before = [PAST, Arrived([page(2, "u2", "a1")])]
    apply(account, *before)
    expected = dump(account)
    records = [undo(f"{kind}-5"), by_hand(5, kind, "u2" if kind == "unlink" else "u1")]
    apply(account, *(records if first else records[::-1]))
    assert dump(account) == expected
    assert traced(account, f"{kind}-5")[0]["outcome"] == "kept"
    assert leftovers(account) == {}


def test_an_undo_of_anything_else_changes_nothing(account: Account) -> None:
    apply(account, PAST, by_hand(5, "link"), undo("link-5"), undo("undo", "redo"), undo("page-1-a1", "other"))
    assert ids(dump(account)["anonymousId", "a1"]) == ["page-1-a1", "page-9-a1"]


def test_a_link_makes_nobody(account: Account) -> None:
    """Who has no messages is no person yet."""
    apply(account, by_hand(5, "link"))
    assert dump(account) == {}
    account.send(page(6, None, "a1"))
    assert list(dump(account)) == [("uid", "u1")]


def test_a_link_without_an_id_that_can_be_used_is_a_discard(account: Account) -> None:
    apply(account, by_hand(5, "link", "null"))
    assert account.rows("SELECT code FROM discards") == [("no_user_anon_id",)]
