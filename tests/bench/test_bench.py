"""Every benchmark, run tiny: that each measures what it says, never how fast."""

import json
import re
import subprocess
import sys
from base64 import b64decode
from collections import Counter
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from bench import calls, report
from bench.archives import archives
from bench.cluster import Plan, check, cluster, wait
from bench.clustered import engage_clustered
from bench.layouts import layouts
from bench.load import Load, Recipe
from bench.logs import logs
from bench.membership import AUDIENCES, membership
from bench.nodes import Cluster, Meter
from bench.options import Bench, Options
from bench.profiling import profile
from bench.whole import Lost
from bench.workload import Mix, Shop
from richpanel.core.message import decode_message
from tests.contract.nats_server import NatsServer

ROOT = Path(__file__).resolve().parents[2]
SIZES = (
    *("--seconds", "0.6", "--events", "1500", "--growth", "1200", "--customers", "300"),
    *("--deliveries", "300", "--backlog", "300"),
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """All rows, against the real server."""
    folder = tmp_path_factory.mktemp("bench")
    line = [sys.executable, "-m", "bench", *SIZES, "--data", folder / "data", "--json", folder / "found.json"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list((folder / "data").iterdir()), "a data directory was left behind"
    return json.loads((folder / "found.json").read_text()), done.stdout


def test_every_row_is_measured(table):
    found, printed = table
    rows = Counter(figure["row"] for figure in found["figures"])
    assert rows == {1: 1, 2: 1, 3: 2, 4: 1, 5: 1, 6: 1, 7: 1, 8: 5, 9: 2, 10: 1, 11: 2, 12: 2, 13: 2}
    for figure in found["figures"]:
        # So short a run may idle, and of a rate that counts what went before it nothing may be left.
        assert figure["measured"] > 0 or figure["name"] == "idle CPU" or figure["row"] == 10, figure
        assert figure["targets"]
        assert f" {figure['row']} " in printed


def test_references_come_from_the_same_run(table):
    found, _ = table
    compared = [figure for figure in found["figures"] if figure["reference"] is not None]
    assert {figure["row"] for figure in compared} == {1, 2, 5, 6, 7, 9, 11, 13}
    for figure in compared:
        measured = figure["details"].get("seconds until it is live", figure["measured"])
        assert figure["ratio"] == pytest.approx(measured / figure["reference"])


def test_nothing_is_refused(table):
    found, _ = table
    details = {figure["name"]: figure["details"] for figure in found["figures"]}
    for name, seen in details.items():
        assert seen.get("refused", "none") == "none", name
        for key in seen.keys() & {"answers", "answers to all"}:
            assert re.fullmatch(r"\{200: \d+\}", seen[key]), (name, seen[key])


def test_of_the_backlog_nothing_is_lost_or_out_of_order(table):
    found, _ = table
    (figure,) = [each for each in found["figures"] if each["row"] == 10]
    assert figure["met"]
    assert figure["details"]["lost"] == figure["details"]["out of order"] == 0
    assert figure["details"]["answered 503"] > 0


def test_the_workload_is_as_the_targets_say():
    items = [json.loads(item) for item in Shop(1, people=2_000).messages(20_000)]
    kinds = Counter(item["type"] for item in items)
    orders = sum(item.get("event", "").startswith("Order ") for item in items)
    assert 0.02 < kinds["identify"] / len(items) < 0.04
    assert 0.04 < orders / len(items) < 0.06
    assert len({item["messageId"] for item in items}) == len(items)
    assert all(one["timestamp"] < other["timestamp"] for one, other in pairwise(items))
    assert 0.2 < sum("richpanel_session_id" in item.get("properties", ()) for item in items) / len(items) < 0.5
    firsts: dict[str, list[bool]] = {}
    for item in items:
        firsts.setdefault(item["anonymousId"], []).append(item["userId"] is None)
    unnamed = [flags for flags in firsts.values() if flags[0]]
    assert 0.5 < len(unnamed) / len(firsts) < 0.7
    assert all(not any(flags[2:]) for flags in unnamed)


def test_the_workload_is_about_a_kilobyte_an_event():
    items = Shop(1).messages(5_000)
    assert 900 < sum(map(len, items)) / len(items) < 1_150
    for item in items[:500]:
        decode_message(item)


def test_late_and_repeated_messages_have_their_shares():
    items = [json.loads(item) for item in Shop(2, Mix(late=0.05, duplicates=0.05)).messages(60_000)]
    repeats = len(items) - len({item["messageId"] for item in items})
    assert 0.02 < repeats / len(items) < 0.06
    seen, late = "", 0
    for item in {item["messageId"]: item for item in items}.values():
        late += item["timestamp"] < seen
        seen = max(seen, item["timestamp"])
    assert 0.03 < late / len(items) < 0.07


@pytest.mark.parametrize("size", [1, 3])
def test_a_call_is_another_call_on_the_next_lap(size):
    items = Shop(3).messages(size)
    call = calls.batch(items, "KEY", calls.sent_at()) if size > 1 else calls.single(items[0], "KEY", calls.sent_at())
    first = read(call)
    calls.stamp(call, 1, 60_000)
    second = read(call)
    assert first["sentAt"] > second["sentAt"]
    before, after = ids(first), ids(second)
    assert len(after) == size
    assert not set(before) & set(after)
    assert [message_id[-27:] for message_id in before] == [message_id[-27:] for message_id in after]


def read(call):
    head, _, body = bytes(call.wire).partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    user = re.search(rb"authorization: Basic (\S+)", head)
    assert length is not None
    assert int(length[1]) == len(body)
    assert user is not None
    assert b64decode(user[1]) == b"KEY:"
    return json.loads(body)


def ids(body):
    return [item["messageId"] for item in body.get("batch", [body])]


def test_both_layouts_store_the_same(tmp_path):
    found = layouts(Bench(Options(), Console(), tmp_path), 40_000)
    assert [len(steps) for steps in found.values()] == [1, 1]
    for steps in found.values():
        assert steps[0].messages == pytest.approx(40_000, abs=1_000)
        assert steps[0].wal_mib > 0


def test_audiences_are_fed_and_the_definition_is_asked(tmp_path, capsys):
    membership(Bench(Options(), Console(width=150), tmp_path), 6_000, 300)
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert [row[1].strip() for row in rows] == ["none", *AUDIENCES, "(computed trait) spent"]
    for row in rows[1:-1]:
        assert all(float(figure) > 0 for figure in row[2:-1])


def test_a_segment_is_archived_and_read(tmp_path, capsys):
    archives(Bench(Options(), Console(width=150), tmp_path), 1)
    printed = capsys.readouterr().out
    assert printed.count("zstd 3") == 10
    assert printed.count("archived in") == 2
    assert printed.count("erasing, ") == 2
    assert not list(tmp_path.iterdir())


def test_the_engines_of_the_log_are_compared(tmp_path, capsys):
    server = NatsServer(tmp_path / "nats")
    logs(Bench(Options(), Console(width=150), tmp_path / "data"), server.url, 0.3)
    server.stop()
    printed = capsys.readouterr().out
    for engine in ("segments", "stream"):
        assert printed.count(engine) == 8
    assert not list((tmp_path / "data").iterdir())


def test_the_cluster_applies_every_event_once(tmp_path, capsys):
    plan = Plan(events=3_000, workers=(1, 2), ingest=(2,), seconds=0.5)
    bench = Bench(Options(), Console(width=150), tmp_path / "data")
    found = {
        each.name: each for each in cluster(bench, plan, tmp_path / "found.json", tmp_path / "found.svg")
    }  # Raises Lost otherwise.
    assert len(found) == 4
    for name in ("cluster, 1 process node", "cluster, 2 process nodes"):
        assert found[name].ratio == pytest.approx(found[name].rate / found["embedded"].rate)
        assert all(found[name].cost[role] > 0 for role in ("ingest", "process", "PostgreSQL"))
    assert found["accepting alone, 2 ingest nodes"].events % 100 == 0
    told = json.loads((tmp_path / "found.json").read_text())
    assert [each["name"] for each in told["found"]] == list(found)
    titles = ElementTree.parse(tmp_path / "found.svg").getroot().iter("{http://www.w3.org/2000/svg}title")
    assert {"ingest", "process", "PostgreSQL"} <= {(title.text or "").split(":")[0] for title in titles}
    assert "us an event" in capsys.readouterr().out
    assert not list((tmp_path / "data").iterdir())


def test_a_cluster_tells_of_audiences(tmp_path):
    options = Options(rows=(11, 12), growth=600, customers=300, seconds=0.6)
    bench = Bench(options, Console(width=150), tmp_path)
    with Load() as load:
        engage_clustered(bench, load, 1)  # Raises NotTold where anybody is missing.
    assert [figure.row for figure in bench.figures] == [11, 11, 12, 12]
    assert bench.figures[0].details["members"] > 0
    assert bench.figures[1].details["members"] >= 300


def test_an_event_that_is_missing_is_noticed(tmp_path):
    with Cluster(tmp_path) as servers, Load() as load:
        (ingest, *_) = servers.add("ingest", "web", "process")
        load.tell("fill", Recipe("some", servers.key, 200, seed=5))
        load.tell("once", "some", ingest.port, 2)
        wait(servers, 200, Meter(servers), lambda _applied: None)
        check(servers, 200)
        with pytest.raises(Lost, match="201 events were sent"):
            check(servers, 201)


def test_the_profile_names_functions(tmp_path, capsys):
    profile(Bench(Options(), Console(width=150), tmp_path), 500, 10, mixed=True)
    printed = capsys.readouterr().out
    assert "tottime" in printed
    assert "events without the profiler" in printed


def test_percentiles_and_voids():
    values = [number / 1000 for number in range(1, 101)]
    assert report.milliseconds(values)["p50 ms"] == 51
    assert report.percentile([], 0.99) == 0
    assert report.voided(report.CEILINGS["append"] * 0.71, "append") == ""
    assert "69%" in report.voided(report.CEILINGS["append"] * 0.69, "append")
