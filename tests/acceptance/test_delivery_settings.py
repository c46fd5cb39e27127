"""A destination that people change while things wait for it: switched off, deleted, pointed elsewhere."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_delivery import connected, rows, send, statuses, story, wait_settled
from tests.acceptance.test_serve import wait_until
from tests.server import COMMAND, Server, request
from tests.sink import FINE, Sink

pytestmark = pytest.mark.usefixtures("installation")
SEEN_SECONDS = 1.5
"""A change of the definitions is seen within a second; on a machine that does other things, too, by then."""
DOWN = {"unavailable": 1.0}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data", env={"RICHPANEL_ALLOW_PRIVATE_ENDPOINTS": "true"}) as running:
        yield running


@pytest.fixture
def sinks() -> Iterator[tuple[Sink, Sink]]:
    made = (Sink(1), Sink(2))
    yield made
    for sink in made:
        sink.stop()


def ours(server: Server) -> dict[str, Any]:
    """The destination outside."""
    (found,) = [each for each in server.get("/destinations")["data"] if each["endpoint"] != "account"]
    return dict(found)


def change(server: Server, **changes: object) -> None:
    """Change it, and wait until that is seen."""
    answer = server.api("PATCH", f"/destinations/{ours(server)['id']}", changes)
    assert answer.status == 200, answer.body
    time.sleep(SEEN_SECONDS)


def test_switching_a_destination_off_stops_what_comes_and_not_what_waits(
    server: Server, sinks: tuple[Sink, Sink]
) -> None:
    sink = sinks[0]
    source = connected(server, sink.start())
    sink.moods = DOWN
    messages = story(people=3, calls=2)
    send(server, source, messages)
    wait_until(lambda: statuses(server).total() == len(messages) and bool(sink.arrivals), 20, "they wait")
    change(server, enabled=False)
    send(server, source, [{**each, "messageId": each["messageId"] + "-late"} for each in messages])
    server.wait_processed()
    sink.moods = FINE
    assert wait_settled(server, len(messages)) == Counter(delivered=len(messages))
    assert set(sink.answered(200)) == {each["messageId"] for each in messages}
    change(server, enabled=True)
    send(server, source, [{**each, "messageId": each["messageId"] + "-again"} for each in messages])
    assert wait_settled(server, 2 * len(messages)) == Counter(delivered=2 * len(messages))


def test_what_waits_for_a_destination_that_is_deleted_says_so(server: Server, sinks: tuple[Sink, Sink]) -> None:
    sink = sinks[0]
    source = connected(server, sink.start())
    sink.moods = DOWN
    messages = story(people=3, calls=2)
    send(server, source, messages)
    wait_until(lambda: statuses(server).total() == len(messages) and bool(sink.arrivals), 20, "they wait")
    assert server.api("DELETE", f"/destinations/{ours(server)['id']}").status == 204
    assert wait_settled(server, len(messages), 15) == Counter(failed=len(messages))
    assert rows(server, "SELECT DISTINCT code FROM deliveries") == [("destination_deleted",)]
    listed = server.get("/deliveries", status="failed")["data"]
    assert {each["code"] for each in listed} == {"destination_deleted"}
    (trace,) = server.traces(messages[0]["messageId"])
    assert [(each["status"], each["code"]) for each in trace["deliveries"]] == [("failed", "destination_deleted")]
    sent = sink.requests
    send(server, source, [{**each, "messageId": each["messageId"] + "-late"} for each in messages])
    server.wait_processed()
    time.sleep(3)
    assert (sink.requests, statuses(server)) == (sent, Counter(failed=len(messages)))
    assert "courier_failed" not in server.printed()


def test_changed_settings_are_used_from_the_next_try_on(server: Server, sinks: tuple[Sink, Sink]) -> None:
    """Whoever only failed is left alone for a while; whoever is there now is another one."""
    down, well = sinks
    source = connected(server, down.start())
    down.moods = DOWN
    messages = story(people=20, calls=1)
    send(server, source, messages)
    wait_until(lambda: resting(down), 60, "it is left alone")
    change(server, endpoint=well.start(), settings={"apiKey": "new-key", "signatureMode": "md5"})
    send(server, source, [{"messageId": "first", "type": "track", "event": "Seen", "userId": "somebody-else"}])
    wait_until(lambda: "first" in well.by_event(), 30, "it is sent to where it is to go by now")
    asked = down.requests
    assert wait_settled(server, len(messages) + 1) == Counter(delivered=len(messages) + 1)
    assert down.requests == asked
    assert {each.event["appClientId"] for each in well.arrivals} == {"new-key"}
    assert {each.event["appClientId"] for each in down.arrivals} == {"key-of-theirs"}


def resting(sink: Sink) -> bool:
    """Whether nothing has come for some seconds."""
    return bool(sink.arrivals) and time.monotonic() - sink.arrivals[-1].at > 4


def doctor(server: Server) -> str:
    """What the doctor says; of a database that does not sync, as the suite's, it says that it is a problem."""
    line = [str(COMMAND), "doctor", "--data", str(server.data)]
    return subprocess.run(line, capture_output=True, text=True, env=server._environment(), check=False).stdout


def test_figures_tell_what_waits_and_what_became_of_tries(server: Server, sinks: tuple[Sink, Sink]) -> None:
    sink = sinks[0]
    source = connected(server, sink.start())
    name = ours(server)["id"]
    send(server, source, story(people=3, calls=2))
    assert wait_settled(server, 6) == Counter(delivered=6)
    assert server.get("/status")["deliveries"] == {"queued": 0, "retrying": 0, "dead": 0, "oldestWaitingSeconds": 0}
    sink.moods = DOWN
    send(
        server,
        source,
        [{"messageId": f"w-{n}", "type": "track", "event": "Seen", "userId": f"w{n}"} for n in range(12)],
    )
    wait_until(lambda: statuses(server)["retrying"] >= 10, 30, "they are tried again")
    text = request("GET", f"{server.url}/metrics").body.decode()
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("richpanel_deliver_"))
    kinds = ("queued", "retrying", "dead")
    counts = {
        kind: float(figures[f'richpanel_deliver_deliveries{{destination="{name}",status="{kind}"}}']) for kind in kinds
    }
    assert sum(counts.values()) == 12
    assert counts["retrying"] >= 10
    assert figures[f'richpanel_deliver_attempts_total{{code="",destination="{name}",status="delivered"}}'] == "6.0"
    again = f'richpanel_deliver_attempts_total{{code="answered_5xx",destination="{name}",status="retrying"}}'
    assert float(figures[again]) >= 10
    assert figures[f'richpanel_deliver_seconds_count{{destination="{name}"}}'] == "6.0"
    assert float(figures[f'richpanel_deliver_oldest_waiting_seconds{{destination="{name}"}}']) > 0
    rests = f'richpanel_deliver_breaker_open{{destination="{name}"}} 1.0'
    wait_until(lambda: rests in request("GET", f"{server.url}/metrics").body.decode(), 20, "it is left alone")
    shown = server.get("/status")["deliveries"]
    assert (shown["queued"] + shown["retrying"], shown["dead"]) == (12, 0)
    assert shown["oldestWaitingSeconds"] > 0
    told = json.loads(server.command("status", "--json"))["deliveries"]
    assert told["queued"] + told["retrying"] == 12
    assert "12 wait, the oldest for" in server.command("status")
    assert "deliveries to Stranger" in doctor(server)
    sink.moods = FINE
