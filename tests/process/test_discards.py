"""Discards (semantics.md 2): what the door refused is kept, found and counted; what nobody can read stops nothing."""

import pytest

from richpanel.core.codes import Code
from richpanel.core.record import Discard
from richpanel.store.account import write_account
from richpanel.store.messages import MessageRow, list_messages
from tests.process.account import Account, Arrived
from tests.process.calls import activity, identify, page
from tests.process.dump import dump, ids, plain
from tests.process.test_repeats import traced

BAD = b'{"type":"page","messageId":"bad","anonymousId":7.5}'


def listed(account: Account, **filters: str) -> list[MessageRow]:
    wanted = {"source": None, "type": None, "uid": None, "outcome": None, **filters}
    args = (account.reader.slice, account.settings, account.sources)
    return list(account.read(list_messages, *args, cursor=None, limit=100, **wanted).data)


def test_a_discard_is_kept_with_its_code(account: Account) -> None:
    discard = Discard(Code.ID_NOT_STRING, len(BAD), "bad")
    account.write([Arrived([page(0, None, "a1")], discards=[(discard, BAD)])])
    assert account.step() is not None
    (found,) = traced(account, "bad")
    assert (found["outcome"], found["code"], found["timestamp"]) == ("discarded", "id_not_string", None)
    assert found["body"] == {"type": "page", "messageId": "bad", "anonymousId": 7.5}
    assert [(row.message_id, row.code) for row in listed(account, outcome="discarded")] == [("bad", "id_not_string")]
    assert {row.message_id for row in listed(account)} == {"bad", "page-0-a1"}
    assert ids(dump(account)[("anonymousId", "a1")]) == ["page-0-a1"]


def test_a_record_of_discards_alone(account: Account) -> None:
    account.write([Arrived([], discards=[(Discard(Code.INVALID_JSON, 1), b"{")])])
    applied = account.step()
    assert applied is not None
    assert (applied.messages, applied.discards, applied.position) == (0, 1, account.reader.durable())
    (row,) = listed(account)
    assert (row.message_id, row.type, row.outcome) == (None, None, "discarded")


def test_a_cut_payload_is_shown_as_text(account: Account) -> None:
    account.write([Arrived([], discards=[(Discard(Code.MESSAGE_TOO_LARGE, 40_000, "big"), b'{"messageId":"big","x')])])
    account.step()
    assert traced(account, "big")[0]["body"] == '{"messageId":"big","x'


def test_a_discard_and_a_message_may_share_an_id(account: Account) -> None:
    discard = Discard(Code.ID_NOT_STRING, len(BAD), "bad")
    account.write([Arrived([], discards=[(discard, BAD)]), Arrived([{**page(0, "u1"), "messageId": "bad"}])])
    account.process()
    assert sorted(found["outcome"] for found in traced(account, "bad")) == ["discarded", "kept"]


@pytest.mark.parametrize(
    "item",
    [b"{", b"\xff", b"[]", b'{"type":"page","messageId":"x","userId":{}}', b'{"type":"page","traits":' + b"[" * 5_000],
)
def test_an_item_that_nobody_can_read_is_a_discard(account: Account, item: bytes) -> None:
    """A log of an older version, or written by hand: it is seen, and what follows is applied."""
    account.write([Arrived([item, page(0, None, "a1")])])
    assert account.process() == 1
    assert [row.outcome for row in listed(account, outcome="discarded")] == ["discarded"]
    assert ids(dump(account)[("anonymousId", "a1")]) == ["page-0-a1"]


def test_a_message_of_nobody_is_a_discard(account: Account) -> None:
    """The account has blocked the id since it was let in."""
    with account.account_engine.begin() as connection:
        settings = account.settings
        write_account(connection, type(settings)(hash_key=settings.hash_key, blocked_ids=frozenset({"house"})))
    account.send(identify(0, "house"), page(1, "house", "a1"))
    account.send(activity(2, uid="house"), activity(3, phone="no"), source="Channels", door="channel")
    assert list(dump(account)) == [("anonymousId", "a1")]
    codes = {row.message_id: row.code for row in listed(account, outcome="discarded")}
    assert codes == dict.fromkeys(["identify-0-house", "activity-2", "activity-3"], "no_user_anon_id")
    assert traced(account, "identify-0-house")[0]["outcome"] == "discarded"


def test_a_batch_opened_ahead_is_opened_again_where_a_setting_has_changed(account: Account) -> None:
    account.write([Arrived([page(0, "house", "a1")]), Arrived([page(1, "house")])])
    assert account.step(max_bytes=1) is not None  # While the disk took it, the second record was opened.
    with account.account_engine.begin() as connection:
        settings = account.settings
        write_account(connection, type(settings)(hash_key=settings.hash_key, blocked_ids=frozenset({"house"})))
    account.process()
    assert {row.message_id: row.code for row in listed(account, outcome="discarded")} == {
        "page-1-house": "no_user_anon_id"
    }


def test_discards_are_counted_by_source_and_code(account: Account) -> None:
    discards = [(Discard(code, 1), b"x") for code in (Code.INVALID_JSON, Code.INVALID_JSON, Code.TYPE_UNKNOWN)]
    account.write([Arrived([page(0, "u1")], discards=discards), Arrived([], "App", discards=discards[:1])])
    account.process()
    counts = account.rows("SELECT source, what, count FROM counters ORDER BY source, what")
    web, app = account.source().number, account.source("App").number
    assert sorted(counts) == sorted(
        [
            (web, "discarded:invalid_json", 2),
            (web, "discarded:type_unknown", 1),
            (web, "kept", 1),
            (app, "discarded:invalid_json", 1),
        ]
    )


def test_list_of_one_source(account: Account) -> None:
    account.write(
        [Arrived([], source, discards=[(Discard(Code.INVALID_JSON, 1), b"x")]) for source in ("App", "Website")]
    )
    account.process()
    (row,) = listed(account, source=account.source("App").id)
    assert plain(row)["source"] == account.source("App").id
