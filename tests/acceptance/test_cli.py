"""The verbs of `richpanel`, with and without a server, for people and (`--json`) for programs."""

import csv
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.installation import environment
from tests.server import COMMAND, Server, request


@pytest.fixture(scope="module")
def server(installation: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests here that need one."""
    with Server(tmp_path_factory.mktemp("cli") / "data") as running:
        yield running


def run(*args: str | Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """Runs the command in an environment without settings but the set-up's, whatever comes of it."""
    named: list[str | Path | None] = [args[n + 1] for n, word in enumerate(args[:-1]) if word == "--data"]
    named = named or [env.get("RICHPANEL_DATA")]
    settings = environment(Path(named[0]) if named[0] else None) | env
    return subprocess.run([COMMAND, *args], capture_output=True, text=True, timeout=120, env=settings, check=False)


def said(done: "subprocess.CompletedProcess[str]", code: int, text: str) -> None:
    """Asserts that a command failed with one line."""
    assert done.returncode == code, done
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def decoded(done: "subprocess.CompletedProcess[str]") -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ----------------------------------------------------------------------------------------------------------------- help


def test_help_lists_every_verb_and_names_the_data_directory() -> None:
    listed = run("--help").stdout
    for verb in ("serve", "source", "token", "import", "export", "status", "doctor", "backup", "restore", "migrate"):
        assert verb in listed
    assert run("--version").stdout.strip() == "0.1.0"
    assert "--port" in run("serve", "--help").stdout
    added = run("source", "add", "--help").stdout
    assert "--data" in added
    assert "--no-connect" in added


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["nonsense"], "nonsense"),
        (["source", "ad"], "add"),
        (["source", "add", "x", "--type", "tv"], "tv"),
        (["source", "add", "x"], "--type"),
        (["export", "visitors"], "visitors"),
    ],
)
def test_a_wrong_line_is_told_in_one(args: list[str], text: str) -> None:
    said(run(*args), 2, text)


@pytest.mark.parametrize("verb", ["source list", "token list", "status", "export customers", "source disable x"])
def test_without_a_data_directory_it_says_what_to_do(tmp_path: Path, verb: str) -> None:
    said(run(*verb.split(), "--data", tmp_path / "none"), 1, "richpanel serve")


# --------------------------------------------------------------------------------------------------- sources and tokens


def test_sources_before_the_first_start(installation: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    made = decoded(run("source", "add", "Shop", "--type", "server", "--json", RICHPANEL_DATA=str(data)))
    assert set(made) == {"id", "name", "type", "writeKey"}
    assert (made["name"], made["type"], len(made["writeKey"])) == ("Shop", "server", 32)
    listed = decoded(run("source", "list", "--json", "--data", data))["data"]
    assert [source["name"] for source in listed] == ["Segment", "Website", "Channels", "Shop"]
    table = run("source", "list", "--data", data).stdout
    assert made["writeKey"] in table
    assert made["id"] in table
    rotated = decoded(run("source", "rotate", "Shop", "--overlap", "60", "--json", "--data", data))
    assert (rotated["oldKey"], len(rotated["writeKey"])) == (made["writeKey"], 32)
    assert run("source", "rotate", "Shop", "--key", made["writeKey"], "--data", data).returncode == 1
    with Server(data) as server:
        for key in (made["writeKey"], rotated["writeKey"]):
            assert request("GET", f"{server.url}/v1/projects/{key}/settings").status == 200


def test_a_source_works_and_stops_within_a_second(server: Server) -> None:
    source = server.add_source("Quick", "web")
    body = json.dumps({"userId": "u", "writeKey": source.write_key}).encode()

    def status() -> int:
        return request("POST", f"{server.url}/v1/identify", body).status

    assert status() == 200
    server.command("source", "disable", "Quick")
    time.sleep(1)
    assert status() == 403
    assert '"enabled":true' in server.command("source", "enable", source.id, "--json")
    time.sleep(1)
    assert status() == 200


def test_sources_that_cannot_be_meant(server: Server) -> None:
    for _ in range(2):
        server.command("source", "add", "Twin", "--type", "web")
    said(run("source", "disable", "Twin", "--data", server.data), 1, "2 sources are called 'Twin'")
    said(run("source", "disable", "Nobody", "--data", server.data), 1, "there is no source 'Nobody'")
    said(run("source", "add", "  ", "--type", "web", "--data", server.data), 2, "needs a name")


def test_tokens(server: Server) -> None:
    made = json.loads(server.command("token", "add", "ci", "--json"))
    assert made["name"] == "ci"
    url, headers = f"{server.url}/api/v1/status", {"Authorization": f"Bearer {made['token']}"}
    assert request("GET", url, headers=headers).status == 200
    listed = json.loads(server.command("token", "list", "--json"))["data"]
    assert {"id": made["id"], "name": "ci"}.items() <= next(t for t in listed if t["id"] == made["id"]).items()
    assert made["token"] not in server.command("token", "list")
    assert json.loads(server.command("token", "revoke", made["id"], "--json")) == {"revoked": 1}
    assert request("GET", url, headers=headers).status == 401
    said(run("token", "revoke", made["id"], "--data", server.data), 1, "there is no token")


def test_users(server: Server) -> None:
    made = json.loads(server.command("user", "add", "ada", "--json"))
    assert made["login"] == "ada"
    assert len(made["password"]) >= 16
    said(run("user", "add", "ada", "--data", server.data), 1, "richpanel user password ada")
    assert json.loads(server.command("user", "role", "ada", "agent", "--json")) == {"login": "ada", "role": "agent"}
    assert {"login": "ada", "role": "agent"} in json.loads(server.command("user", "list", "--json"))["data"]
    said(run("user", "role", "admin", "agent", "--data", server.data), 1, "an account needs an owner")
    assert json.loads(server.command("user", "password", "ada", "--json"))["password"] != made["password"]
    said(run("user", "password", "eve", "--data", server.data), 1, "there is no login 'eve'")
    command = [str(COMMAND), "user", "password", "ada", "--password-stdin", "--data", str(server.data)]
    env = environment(server.data)
    done = subprocess.run(command, input="short\n", capture_output=True, text=True, timeout=60, env=env, check=False)
    said(done, 2, "8 characters")
    given = "long enough\n"
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, env=env, check=False)
    assert (done.returncode, "long enough" in done.stdout) == (0, False)


# --------------------------------------------------------------------------------------------------------------- import


def lines(count: int, *, ids: bool = True, uid: str = "imp") -> list[dict[str, Any]]:
    """Messages of one person: an identify, then track calls a minute apart."""
    first = {"type": "identify", "traits": {"email": f"{uid}@example.com"}, "timestamp": "2026-03-01T00:00:00Z"}
    made: list[dict[str, Any]] = [{"userId": uid, **first}]
    made += [
        {"type": "track", "userId": uid, "event": "Visit", "timestamp": f"2026-03-01T{n // 60:02}:{n % 60:02}:00Z"}
        for n in range(1, count)
    ]
    return [{**line, "messageId": f"{uid}-{n}"} for n, line in enumerate(made)] if ids else made


def write(path: Path, messages: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(message) + "\n" for message in messages))
    return path


def test_import_through_a_running_server(server: Server, tmp_path: Path) -> None:
    file = write(tmp_path / "history.jsonl", lines(1_200))
    source = server.add_source("History", "server")
    done = json.loads(server.command("import", str(file), "--source", "History", "--json"))
    assert done == {
        "file": str(file),
        "source": source.id,
        "lines": 1_200,
        "accepted": 1_200,
        "discarded": 0,
        "resumedAt": 0,
    }
    server.wait_processed()
    entries = server.timeline("imp")
    assert entries[0]["timestamp"] == "2026-03-01T19:59:00.000Z", "timestamps count as given"
    assert "Nothing new" in server.command("import", str(file), "--source", source.id)
    assert (
        json.loads(server.command("import", str(file), "--source", "History", "--restart", "--json"))["lines"] == 1_200
    )
    server.wait_processed()
    assert len(server.timeline("imp")) == len(entries), "loaded again, nothing is doubled"


def test_import_without_a_server_is_processed_at_the_next_start(installation: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    messages = lines(700, ids=False, uid="later")
    file = write(tmp_path / "history.jsonl", messages)
    done = decoded(run("import", file, "--data", data, "--json"))
    assert (done["accepted"], done["discarded"]) == (700, 0)
    write(file, [*messages, {"type": "track", "userId": "later", "event": "One more"}])
    more = decoded(run("import", file, "--data", data, "--json"))
    assert (more["lines"], more["accepted"], more["resumedAt"] > 0) == (701, 701, True)
    assert decoded(run("import", file, "--data", data, "--restart", "--json"))["lines"] == 701
    with Server(data) as server:
        server.wait_processed()
        assert server.customer("later")["email"] == "later@example.com"
        outcomes = next(iter(server.get("/status")["outcomes"].values()))
        assert (outcomes["kept"], outcomes["duplicate"]) == (701, 701), "ids made of source, file, number and text"
        assert {source["name"] for source in json.loads(server.command("source", "list", "--json"))["data"]} > {
            "Import"
        }


def test_bad_lines_become_discards(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "mixed.jsonl"
    good = {"type": "identify", "userId": "mixed", "messageId": "mixed-1"}
    huge = {"type": "track", "event": "x", "userId": "mixed", "properties": {"filler": "x" * 40_000}}
    endless = {**huge, "properties": {"filler": "x" * 900_000}}
    bad = [b"not json", b'{"type":"track","userId":"mixed"}', b"\xff\xfe", b"[1]", b'{"type":"identify"}']
    bad += [json.dumps(huge).encode(), json.dumps(endless).encode()]
    file.write_bytes(
        b"\n".join([json.dumps(good).encode(), b"", *bad, json.dumps({**good, "messageId": "m2"}).encode()])
    )
    source = server.add_source("Mixed", "server")
    done = json.loads(server.command("import", str(file), "--source", "Mixed", "--json"))
    assert (done["lines"], done["accepted"], done["discarded"]) == (10, 2, 7)
    server.wait_processed()
    outcomes = server.get("/status")["outcomes"][source.id]
    discarded = {name: count for name, count in outcomes.items() if name.startswith("discarded")}
    assert sum(discarded.values()) == 7
    assert discarded["discarded:message_too_large"] == 2
    assert outcomes["kept"] == 2
    assert "7 bad lines are discards" in server.command("import", str(file), "--source", "Mixed", "--restart")


def test_import_from_standard_input(server: Server) -> None:
    text = "".join(json.dumps(message) + "\n" for message in lines(3, uid="piped"))
    command = [str(COMMAND), "import", "-", "--data", str(server.data), "--json"]
    env = environment(server.data)
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, env=env, check=True)
    assert json.loads(done.stdout)["accepted"] == 3
    server.wait_processed()
    assert server.customer("piped")["uid"] == "piped"


def test_import_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    data, count = tmp_path / "data", 60_000
    file = write(tmp_path / "long.jsonl", lines(count, uid="long"))
    decoded(run("migrate", "--json", "--data", data))
    with subprocess.Popen([COMMAND, "import", file, "--data", data], stderr=subprocess.PIPE, text=True) as stopped:
        log = data / "log"
        while not any(path.stat().st_size > 0 for path in log.glob("*.log")):
            time.sleep(0.001)
        stopped.send_signal(signal.SIGINT)
        assert stopped.stderr is not None
        told = stopped.stderr.read()
    if stopped.returncode == 0:
        pytest.skip("it was through before it could be stopped")
    assert (stopped.returncode, "the same command goes on from there" in told) == (130, True)
    done = decoded(run("import", file, "--data", data, "--json"))
    assert 0 < done["resumedAt"] < file.stat().st_size
    assert (done["lines"], done["accepted"]) == (count, count)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["/no/such/file.jsonl"], "No such file"),
        (["FILE", "--source", "Nobody"], "there is no source 'Nobody'"),
        (["FILE", "--source", "Channels"], "has no write key"),
    ],
)
def test_imports_that_cannot_be(server: Server, tmp_path: Path, args: list[str], text: str) -> None:
    file = write(tmp_path / "f.jsonl", lines(1))
    given = [str(file) if arg == "FILE" else arg for arg in args]
    said(run("import", *given, "--data", server.data), 1, text)


def test_import_into_a_disabled_source(server: Server, tmp_path: Path) -> None:
    server.command("source", "add", "Closed", "--type", "server")
    server.command("source", "disable", "Closed")
    file = write(tmp_path / "f.jsonl", lines(1))
    said(run("import", file, "--source", "Closed", "--data", server.data), 1, "source enable")


# ------------------------------------------------------------------------------------------------------- export, status


def test_export_gives_customers_and_their_events(server: Server, tmp_path: Path) -> None:
    people = [{"type": "identify", "userId": f"exp-{n}", "traits": {"name": f"=N {n}, O"}} for n in range(3)]
    visits = [{"type": "page", "userId": "exp-1", "name": "Home", "properties": {"amount": 1.10}}]
    visitor = [{"type": "track", "anonymousId": "exp-nobody", "event": "Looked"}]
    server.command("import", str(write(tmp_path / "f.jsonl", [*people, *visits, *visitor])))
    server.wait_processed()
    customers = [json.loads(line) for line in server.command("export", "customers").splitlines()]
    assert {c["name"] for c in customers if c["uid"].startswith("exp-")} == {"=N 0, O", "=N 1, O", "=N 2, O"}
    assert not any("nobody" in json.dumps(customer) for customer in customers), "visitors are no customers"
    rows = list(csv.DictReader(server.command("export", "customers", "--format", "csv").splitlines()))
    assert len(rows) == len(customers)
    assert json.loads(next(row for row in rows if row["uid"] == "exp-0")["traits"])["name"] == "=N 0, O"
    events = [json.loads(line) for line in server.command("export", "events").splitlines()]
    [page] = [event for event in events if event["uid"] == "exp-1" and event["type"] == "page"]
    assert (page["event"], page["properties"]) == ("Home", {"amount": 1.1})
    assert "nobody" not in json.dumps(events)
    by_csv = list(csv.DictReader(server.command("export", "events", "--format", "csv").splitlines()))
    assert len(by_csv) == len(events)


def test_export_into_a_reader_that_stops(server: Server) -> None:
    done = subprocess.run(
        f"'{COMMAND}' export customers --data '{server.data}' | head -c 10",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(server.data),
        check=False,
    )
    assert done.stderr == ""


@pytest.mark.files
def test_status_with_and_without_a_server(server: Server, tmp_path: Path) -> None:
    server.wait_processed()
    shown = json.loads(server.command("status", "--json"))
    there = server.get("/status")
    assert shown["server"] == server.url
    assert (shown["log"], shown["processed"], shown["outcomes"]) == (
        there["log"],
        there["processed"],
        there["outcomes"],
    )
    assert server.url in server.command("status")
    decoded(run("migrate", "--json", "--data", tmp_path / "data"))
    empty = decoded(run("status", "--json", "--data", tmp_path / "data"))
    assert (empty["server"], empty["log"], empty["processed"]) == (None, {"last": 0}, 0)
    assert "not running" in run("status", "--data", tmp_path / "data").stdout


# --------------------------------------------------------------------------------------------------------------- doctor


def checks(done: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    return {check["name"]: check["state"] for check in json.loads(done.stdout)["checks"]}


@pytest.mark.files
def test_doctor_finds_a_healthy_server_healthy(server: Server) -> None:
    done = run("doctor", "--deep", "--json", "--data", server.data)
    found = checks(done)
    assert "problem" not in found.values(), done.stdout
    assert {"SQLite", "disk", "migrations", "server", "log", "processing", "records", "state.db"} <= found.keys()
    assert done.returncode == 0
    table = run("doctor", "--data", server.data).stdout
    assert "No problems." in table
    assert f"runs at {server.url}" in table


def test_doctor_finds_what_is_wrong(tmp_path: Path) -> None:
    data = tmp_path / "data"
    decoded(run("import", write(tmp_path / "f.jsonl", lines(50)), "--data", data, "--json"))
    assert run("doctor", "--deep", "--data", data).returncode == 0
    [segment] = (data / "log").glob("*.log")
    kept = segment.read_bytes()
    segment.write_bytes(kept[:200] + bytes([kept[200] ^ 1]) + kept[201:])
    (data / "secret.key").chmod(0o644)
    (data / "state.db").write_bytes(b"no database" * 1_000)
    env = {"RICHPANEL_SECRET_KEY": "another key that is long enough 0123", "RICHPANEL_PROT": "1"}
    done = run("doctor", "--deep", "--json", "--data", data, **env)
    found = checks(done)
    assert done.returncode == 1
    assert {name for name, state in found.items() if state == "problem"} == {
        "permissions",
        "secret key",
        "state.db",
        "processing",
        "records",
    }
    assert found["environment"] == "note"
    assert "0123" not in done.stdout
    assert run("doctor", "--data", data, **env).stdout.strip().endswith("problems.")
