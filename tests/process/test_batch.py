"""A batch: what records say of their items, how far the log is applied, and what is written once."""

from typing import Any

import msgspec
import pytest

from richpanel.core.codes import Code
from richpanel.core.record import Discard
from richpanel.core.timestamps import iso
from richpanel.process.batch import Applied
from richpanel.process.definitions import Watch
from richpanel.process.worker import Worker
from richpanel.store import status
from richpanel.store.timeline import list_timeline
from tests.process.account import ARRIVAL, MINUTE, T0, Account, Arrived, at
from tests.process.calls import activity, call, identify, page, track
from tests.process.dump import customer, dump, ids
from tests.process.test_repeats import traced


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def without(message: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key not in keys}


# ------------------------------------------------------------------------------------------------------------- progress


def test_an_empty_log(account: Account) -> None:
    assert account.step() is None
    account.write([])
    assert account.step() is None
    progress = account.read(status.processed)
    assert (progress.position, progress.messages) == (0, 0)


def test_what_a_batch_was(account: Account) -> None:
    bad = (Discard(Code.INVALID_JSON, 1), b"{")
    account.write([Arrived([page(0, "u1"), page(1, "u1")], discards=[bad]), Arrived([page(0, "u1"), page(2, "u1")])])
    end = account.reader.durable()
    assert account.step() == Applied(end, messages=3, repeats=1, discards=1, received_at=ARRIVAL + 1_000)
    progress = account.read(status.processed)
    assert (progress.position, progress.messages, progress.received_at) == (end, 3, ARRIVAL + 1_000)
    assert account.step() is None


def test_progress_goes_record_by_record(account: Account) -> None:
    account.write([Arrived([page(minutes, "u1")]) for minutes in range(3)])
    ends = [entry.end for entry in account.reader.read(0)]
    for end in ends:
        applied = account.step(max_bytes=1)
        assert applied is not None
        assert applied.position == account.read(status.processed).position == end
    assert ends[-1] == account.reader.durable()


def test_a_record_that_says_nothing_new_is_progress_too(account: Account) -> None:
    account.send(page(0, "u1"))
    before = dump(account)
    account.send(page(0, "u1"))
    assert account.read(status.processed).position == account.reader.durable()
    assert dump(account) == before


def test_whoever_listens_is_told_of_each_batch(account: Account) -> None:
    heard: list[tuple[int, float]] = []

    def hear(applied: Applied, seconds: float) -> None:
        heard.append((applied.messages, seconds))

    worker = Worker(account.reader, account.state_engine, Watch(account.account_engine), hear)
    account.write([Arrived([page(0, "u1")]), Arrived([page(1, "u1"), page(2, "u1")])])
    while worker.step(max_bytes=1) is not None:
        pass
    assert [messages for messages, _ in heard] == [1, 2]
    assert all(seconds > 0 for _, seconds in heard)


def test_counts(account: Account) -> None:
    account.send(page(0, "u1"), page(0, "u1"), {**page(1, "u1"), "integrations": {"All": False}})
    account.send({"type": "screen", "messageId": "s", "userId": "u1"}, source="App")
    web, app = account.source().number, account.source("App").number
    assert account.read(status.source_counts) == {
        web: {"kept": 1, "duplicate": 1, "filtered": 1},
        app: {"unsupported": 1},
    }


# -------------------------------------------------------------------------------------- what a record says of its items


def test_ids_given_at_the_door(account: Account) -> None:
    items = [without(page(0, "u1"), "messageId"), page(1, "u1"), {**page(2, "u1"), "messageId": ""}]
    account.write([Arrived(items, meta={"ids": {0: "given-0", 2: "given-2"}})])
    account.process()
    assert ids(dump(account)[("uid", "u1")]) == ["given-0", "page-1-u1", "given-2"]
    (found,) = traced(account, "given-2")
    assert (found["outcome"], found["timestamp"]) == ("kept", at(2))


def test_a_repeat_of_an_id_given_at_the_door(account: Account) -> None:
    item = without(page(0, "u1"), "messageId")
    for _ in range(2):
        account.write([Arrived([item], meta={"ids": {0: "given"}})])
    account.process()
    assert ids(dump(account)[("uid", "u1")]) == ["given"]


def test_the_type_that_the_path_named(account: Account) -> None:
    account.write([Arrived([without(identify(0, "u1"), "type")], meta={"type": "identify"})])
    account.write([Arrived([{**page(1, "u1"), "type": "track", "event": "X"}], meta={"type": "page"})])
    account.process()
    assert [entry["type"] for entry in customer(account, "u1")["timeline"]] == ["page", "became_customer"]


@pytest.mark.parametrize(
    ("door", "fields", "minutes"),
    [
        ("tracking", {}, 0),  # Nobody said when it was sent.
        ("tracking", {"sentAt": at(10)}, -10),  # Ten minutes before it was sent.
        ("tracking", {"sentAt": at(-10)}, None),  # After it was sent: it counts as its arrival.
        ("tracking", {"timestamp": None}, None),
        ("tracking", {"timestamp": "yesterday"}, None),
        ("segment", {"sentAt": at(10)}, 0),
        ("import", {"sentAt": at(10)}, 0),
        ("import", {"timestamp": None, "originalTimestamp": at(5)}, 5),
    ],
)
def test_event_time(account: Account, door: str, fields: dict[str, Any], minutes: float | None) -> None:
    account.write([Arrived([{**page(0, "u1"), **fields}], door=door)])
    account.process()
    (entry,) = dump(account)[("uid", "u1")]["timeline"]
    arrived_or_given = "sentAt" in fields and door == "tracking" and minutes is not None
    expected = ARRIVAL if minutes is None or arrived_or_given else T0
    assert entry["timestamp"] == iso(round(expected + (minutes or 0) * MINUTE))


def test_when_a_batch_was_sent_holds_for_its_items(account: Account) -> None:
    account.write([Arrived([page(0, "u1"), page(1, "u1")], meta={"sentAt": at(10)})])
    account.process()
    times = [entry["timestamp"] for entry in dump(account)[("uid", "u1")]["timeline"]]
    assert times == [iso(ARRIVAL - 9 * MINUTE), iso(ARRIVAL - 10 * MINUTE)]


def test_the_clock_of_a_client_may_begin_in_1970(account: Account) -> None:
    """And its times are the same when its messages are folded afresh."""
    early = {**page(20, None, "a1"), "timestamp": "1970-01-01T00:00:10Z"}
    account.write([Arrived([early], meta={"sentAt": "1970-01-01T00:05:00Z"}), Arrived([identify(0, "u1", "a1")])])
    account.process()
    account.send(identify(10, "u2", "a1"))
    (entry,) = [entry for entry in customer(account, "u2")["timeline"] if entry["type"] == "page"]
    assert entry["timestamp"] == iso(ARRIVAL - 290_000)
    assert customer(account, "u2")["lastSeen"] == iso(ARRIVAL - 290_000)


def test_keys_may_be_written_with_escapes(account: Account) -> None:
    """As some encoders do with every underscore: JSON allows it."""
    fields = {**track(0, "Product Viewed", "u1", richpanel_session_id="s", order_id="o"), "messageId": "m"}
    escaped = (
        bytes(raw(fields)).replace(b"session_id", rb"\u0073ession\u005fid").replace(b"order_id", rb"o\u0072der_id")
    )
    account.write([Arrived([escaped, identify(1, "u1"), track(2, "Order Completed", "u1", order_id="o")])])
    account.process()
    shown = customer(account, "u1")
    assert [(entry["id"], entry["sessionId"]) for entry in shown["timeline"]][-1] == ("m", "s")
    assert [entry["messageId"] for entry in shown["orders"][0]["events"]] == ["m", "track-2-u1"]
    ((profile,),) = account.rows("SELECT id FROM profiles")
    where = (account.reader.slice, account.settings, account.sources, profile)
    listed = account.read(list_timeline, *where, cursor=None, limit=9)
    assert msgspec.json.decode(listed.data[-1].properties) == {"order_id": "o"}


def test_a_trace_says_what_was_not_taken_as_given(account: Account) -> None:
    bad = track(0, "Order Completed", "u1", order_id="o", total="ten", email="none")
    account.send({**bad, "timestamp": "soon", "messageId": "m", "anonymousId": "undefined"})
    (found,) = traced(account, "m")
    assert [(note["code"], note["fields"]) for note in found["notes"]] == [
        ("timestamp_replaced", ["timestamp"]),
        ("id_blocked", ["anonymousId"]),
        ("email_ignored", ["properties.email"]),
        ("amount_ignored", ["properties.total"]),
    ]
    account.send({**activity(1, uid="u1", email="none"), "messageId": "n"}, source="Channels", door="channel")
    assert [note["code"] for note in traced(account, "n")[0]["notes"]] == ["email_ignored"]
    account.send({**call("screen", 1, "u1", None), "messageId": "s", "timestamp": "soon"})
    assert traced(account, "s")[0]["notes"] == []  # It is kept for nobody.


def test_a_batchs_context_holds_for_its_items(account: Account) -> None:
    shared = {"page": {"url": "/shared"}, "campaign": {"name": "autumn"}, "traits": {"email": "b@x"}}
    own = {**page(2, "u1"), "context": {"page": {"url": "/own"}}}
    account.write([Arrived([identify(0, "u1", email="a@x"), page(1, "u1"), own], meta={"context": raw(shared)})])
    account.process()
    shown = customer(account, "u1")
    assert (shown["landingPageUrl"], shown["lastPageUrl"]) == ("/shared", "/own")
    assert (shown["campaign"], shown["email"]) == ("autumn", "b@x")
    (found,) = traced(account, "page-2-u1")
    assert found["body"]["context"] == {**shared, "page": {"url": "/own"}}


def test_it_holds_where_the_profile_is_folded_afresh(account: Account) -> None:
    shared = raw({"page": {"url": "/shared"}})
    account.write([Arrived([identify(0, "u1", "a1"), page(20, None, "a1")], meta={"context": shared})])
    account.process()
    account.send(identify(10, "u2", "a1"))
    assert customer(account, "u2")["landingPageUrl"] == "/shared"
    assert customer(account, "u1")["landingPageUrl"] is None


# --------------------------------------------------------------------------------------------------------- written once


def test_many_messages_of_one_person_write_one_profile(account: Account) -> None:
    account.send(identify(0, "u1"), *(track(minutes, "X", "u1") for minutes in range(50)))
    assert account.rows("SELECT count(*) FROM profiles") == [(1,)]
    assert account.rows("SELECT count(*) FROM sessions") == [(0,)]  # The newest stands in the profile's own row.
    assert [session["events"] for session in customer(account, "u1")["sessions"]] == [50]


def test_only_the_newest_sessions_stand_in_the_profile(account: Account) -> None:
    given = [{"richpanel_session_id": f"s{hour}"} if hour % 2 else {} for hour in range(10)]
    account.send(identify(0, "u1"), *(track(hour * 60, "X", "u1", **each) for hour, each in enumerate(given)))
    assert account.rows("SELECT count(*) FROM sessions") == [(8,)]
    assert len(customer(account, "u1")["sessions"]) == 10


def test_event_names_are_written_once(account: Account) -> None:
    account.send(*(track(minutes, "Product Viewed", "u1") for minutes in range(5)))
    account.restart()
    account.send(track(9, "Product Viewed", "u1"))
    assert account.rows("SELECT count(*) FROM names WHERE value = 'Product Viewed'") == [(1,)]


def test_a_very_long_event_name_is_whole_on_the_timeline(account: Account) -> None:
    name = "x" * 5_000
    account.send(track(0, name, "u1"), track(1, name + "y", "u1"))
    assert [entry["event"] for entry in dump(account)[("uid", "u1")]["timeline"]] == [name + "y", name]
