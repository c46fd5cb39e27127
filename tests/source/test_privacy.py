"""Suppression at the door (semantics.md 10): answered 200, counted by source and hour, and nothing of it is kept."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from richpanel.core.identity import ANONYMOUS, UID
from richpanel.core.regulation import hashed
from richpanel.source.privacy import HOUR_MS, KeptOut
from tests.source.running import NOW, Running, track

KEY = b"k" * 32
KEPT_OUT = KeptOut(KEY, frozenset({hashed(KEY, UID, "ada"), hashed(KEY, UID, "42"), hashed(KEY, ANONYMOUS, "a1")}))
ADAS = (
    {"userId": "ada"},
    {"userId": 42},
    {"userId": "ada", "anonymousId": "a2"},
    {"userId": None, "anonymousId": "a1"},
    {"userId": "null", "anonymousId": "a1"},
)


@pytest.fixture(autouse=True)
def kept_out(door: Running) -> Iterator[None]:
    """The door is every test's: nobody is kept out afterwards."""
    door.keys.kept_out = KEPT_OUT
    door.keys.refusals.take()
    yield
    door.keys.kept_out = KeptOut()


OTHERS = ({"userId": "bo"}, {"userId": "bo", "anonymousId": "a1"}, {"userId": None, "anonymousId": "a2"})


@pytest.mark.parametrize("who", ADAS)
@pytest.mark.parametrize("batch", [False, True])
async def test_calls_of_who_is_kept_out_leave_nothing_but_a_count(
    door: Running, who: dict[str, Any], batch: bool
) -> None:
    source = door.add()
    content = {"batch": [track(**who)]} if batch else track(**who)
    answer = await door.post("/v1/batch" if batch else "/v1/track", content, source)
    assert (answer.status, answer.code) == (200, None)
    assert door.records(source) == []
    assert door.keys.refusals.take() == {(source.id, NOW - NOW % HOUR_MS): 1}


@pytest.mark.parametrize("who", OTHERS)
async def test_calls_of_others_are_kept(door: Running, who: dict[str, Any]) -> None:
    source = door.add()
    assert (await door.post("/v1/track", track(**who), source)).status == 200
    assert door.bodies(source) == [track(**who)]
    assert door.keys.refusals.take() == {}


@pytest.mark.parametrize("count", [4, 40])
async def test_of_a_batch_the_others_are_kept_good_and_bad(door: Running, count: int) -> None:
    """Whichever way the items are read, few or many; ids given at the door stay with their calls."""
    source = door.add()
    deep = '{"type":"track","event":"E","userId":"%s","properties":' + "[" * 600 + "]" * 600 + "}"
    items = [
        *([track(userId="ada")] * count),
        {**track(userId="bo"), "messageId": None},
        track(userId="ada", event=7),
        track(userId="bo", event=7),
    ]
    text = [json.dumps(item) for item in items] + [deep % "ada", deep % "bo"]
    answer = await door.post("/v1/batch", ('{"batch":[' + ",".join(text) + "]}").encode(), source)
    assert (answer.status, answer.code) == (200, None)
    kept = door.record(source)
    assert [list(kept.meta.ids), len(kept.items)] == [[0], 1]
    assert [code for code, _ in door.discards(source)] == ["event_not_string", "too_deep"]
    assert all(b'"ada"' not in payload for _, payload in door.discards(source))
    assert door.keys.refusals.take() == {(source.id, NOW - NOW % HOUR_MS): count + 2}


@pytest.mark.parametrize("call", [{"userId": "ada"}, {"anonymousId": "a1", "event": 7}])
async def test_a_bad_single_call_of_theirs_is_no_discard(door: Running, call: dict[str, Any]) -> None:
    source = door.add()
    assert (await door.post("/v1/track", call, source)).status == 200
    assert door.records(source) == []


async def test_segment_itself_is_refused_them_too(door: Running) -> None:
    source = door.add("segment")
    assert (await door.post("/segment", {"type": "track", "event": "E", "user_id": "ada"}, source)).status == 200
    assert door.records(source) == []


def test_counts_that_could_not_be_kept_are_counted_once_more(door: Running) -> None:
    door.keys.refusals.add("s", NOW, 2)
    door.keys.refusals.put_back(door.keys.refusals.take())
    door.keys.refusals.add("s", NOW, 1)
    assert door.keys.refusals.take() == {("s", NOW - NOW % HOUR_MS): 3}
