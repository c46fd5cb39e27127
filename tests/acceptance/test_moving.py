"""`richpanel migrate-to` beside a server that is used: every call is there once afterwards, wherever it was stopped."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest

from tests.acceptance.cluster import Cluster, cluster
from tests.acceptance.test_serve import wait_until
from tests.acceptance.traffic import Senders, Told, check, sending_line
from tests.server import COMMAND, Server
from tests.sink import FINE, Sink

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("RICHPANEL_")}


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("engines")) as made:
        yield made


class Target:
    """A database and a stream of their own."""

    def __init__(self, engines: Cluster, name: str) -> None:
        self.engines = engines
        self.name = name
        self.database_url = engines.postgres.create(name)
        self.log_url = f"{engines.nats.url}?stream={name}&max_bytes={256 << 20}"

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def holds_half_a_copy(self) -> bool:
        return bool(self.query("SELECT 1 FROM pg_tables WHERE tablename = 'half_copy'"))


@pytest.fixture
def target(engines: Cluster, request: pytest.FixtureRequest) -> Target:
    return Target(engines, f"t{abs(hash(request.node.name)) % 10**9}")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Ends the commands of a test that failed: one may have been made to stand still."""
    yield
    while Moving.started:
        with Moving.started.pop().process as process:
            process.kill()


class Moving:
    """The command, whose events are read as they come."""

    started: ClassVar[list["Moving"]] = []

    def __init__(self, server: Server, target: Target, *more: str) -> None:
        place = ("--database-url", target.database_url, "--log-url", target.log_url, "--data", str(server.data))
        self._errors = server.data.parent / "moving.err"
        self.events: list[dict[str, Any]] = []
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                (COMMAND, "migrate-to", *place, "--json", *more),
                stdout=subprocess.PIPE,
                stderr=errors,
                env=CLEAN,
                start_new_session=True,
            )
        Moving.started.append(self)

    def until(self, event: str, step: str | None = None) -> None:
        """Read events up to this one."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == event and step in (None, self.events[-1].get("step")):
                return
        raise AssertionError(f"no {event}: {self.events[-1:]}; {self.said}")

    def end(self) -> int:
        """Read the rest, and give the exit code."""
        assert self.process.stdout is not None
        with self.process.stdout as rest:
            self.events += [json.loads(line) for line in rest]
        return self.process.wait(60)

    @property
    def said(self) -> str:
        return self._errors.read_text()


@contextmanager
def used(path: Path, seed: int) -> Iterator[tuple[Server, Senders, Told, str]]:
    """A server that is used: calls come all the time."""
    server, told = Server(path / "data"), Told()
    server.start()
    source = server.add_source("Shop", "server")
    senders = Senders(source.write_key, told, seed, count=2, pause=0.05)
    try:
        senders.go(server.url)
        time.sleep(3)
        yield server, senders, told, source.id
    finally:
        senders.end()
        server.kill()


def gone(server: Server) -> None:
    """Sees that the server has ended in good order by itself."""
    process = server._process
    assert process is not None
    assert process.wait(30) == 0
    server.kill()


def test_every_call_before_meanwhile_and_afterwards_is_there_once(target: Target, tmp_path: Path) -> None:
    with used(tmp_path, 1) as (server, senders, told, source):
        token = server.token
        moving = Moving(server, target)
        assert moving.end() == 0, moving.said
        gone(server)
        moved = moving.events[-1]
        assert moved["event"] == "moved"
        print(moved)
        assert moved["rows"] > 500
        assert moved["records"] > 0, "calls came meanwhile"
        assert set(moved["digests"]) >= {"messages", "profiles", "bodies", "account", "log"}
        before = (server.data / "account.db").read_bytes()
        senders.go(server.start())
        time.sleep(2)
        senders.rest()
        assert server.token == token
        check(server, source, told)
        assert (server.data / "account.db").read_bytes() == before
        assert (server.data / "richpanel.toml").stat().st_mode & 0o777 == 0o600
        assert not (server.data / ".moving").exists()
        assert "migrate-to" not in server.command("doctor")


@pytest.mark.parametrize(
    ("event", "step", "number"),
    [
        pytest.param("checked", None, signal.SIGKILL, marks=pytest.mark.soak),
        pytest.param("done", "copy identities", signal.SIGKILL, marks=pytest.mark.soak),
        ("done", "copy messages", signal.SIGINT),
        pytest.param("copied", None, signal.SIGTERM, marks=pytest.mark.soak),
        pytest.param("verified", None, signal.SIGKILL, marks=pytest.mark.soak),
        pytest.param("stopping", None, signal.SIGKILL, marks=pytest.mark.soak),
    ],
)
def test_stopped_or_killed_anywhere_nothing_has_changed_and_it_begins_anew(
    target: Target, tmp_path: Path, event: str, step: str | None, number: signal.Signals
) -> None:
    with used(tmp_path, 2) as (server, senders, told, source):
        first = Moving(server, target)
        first.until(event, step)
        first.process.send_signal(number)
        code = first.end()
        if number != signal.SIGKILL:
            assert code == 130
            assert "nothing was switched" in first.said
        assert code != 0
        if event == "stopping":
            gone(server)
            senders.go(server.start())
        assert not (server.data / "moved.json").exists()
        if target.holds_half_a_copy():
            urls = {"RICHPANEL_DATABASE_URL": target.database_url, "RICHPANEL_LOG_URL": target.log_url}
            with pytest.raises(AssertionError, match="not whole yet"):
                Server(tmp_path / "other", urls).start()
        again = Moving(server, target)
        assert again.end() == 0, again.said
        gone(server)
        senders.go(server.start())
        time.sleep(1)
        senders.rest()
        check(server, source, told)


@contextmanager
def small(path: Path) -> Iterator[Server]:
    """A server with one customer."""
    with Server(path / "data") as server:
        source = server.add_source("Shop", "server")
        for number, kind in enumerate(("identify", "track", "page")):
            call(server, source.write_key, f"m{number}", type=kind, event="Seen", traits={"email": "ada@x"})
        server.wait_processed()
        yield server


def call(server: Server, key: str, message_id: str, uid: str = "ada", **more: object) -> None:
    message = {"type": "page", "name": "Home", "messageId": message_id, "userId": uid, **more}
    line = sending_line(server.url, key)
    body = json.dumps({"batch": [message]}).encode()
    status, _ = line.ask("POST", "/v1/batch", body, **{"Content-Type": "application/json"})
    line.close()
    assert status == 200


def refused(server: Server, target: Target, *more: str) -> str:
    """Asserts that the command refuses, and that the server still runs on its files; gives what it said."""
    moving = Moving(server, target, *more)
    assert moving.end() == 1
    assert not (server.data / "moved.json").exists()
    assert not (server.data / "richpanel.toml").exists()
    assert server.get("/status")["messages"] == 3
    return moving.said


def test_a_target_that_holds_something_else_is_refused(engines: Cluster, target: Target, tmp_path: Path) -> None:
    with small(tmp_path) as server:
        strange = Target(engines, f"{target.name}_strange")
        strange.query("CREATE SCHEMA state; CREATE TABLE state.things (id int)")
        assert "schema `state` of somebody else" in refused(server, strange)
        assert strange.query("SELECT count(*) FROM state.things") == [(0,)]

        urls = {"RICHPANEL_DATABASE_URL": target.database_url, "RICHPANEL_LOG_URL": target.log_url}
        with Server(tmp_path / "other", urls) as other:
            call(other, other.add_source("Shop", "server").write_key, "theirs")
            other.wait_processed()
        assert "holds another account" in refused(server, target)
        with Server(tmp_path / "other", urls) as other:
            assert other.get("/messages/theirs")["data"][0]["outcome"] == "kept"

        fresh = Target(engines, f"{target.name}_fresh")
        fresh.log_url = target.log_url
        assert "records that this command has not put there" in refused(server, fresh)

        fresh.log_url = "nats://127.0.0.1:1"
        assert "do not answer" in refused(server, fresh)
        fresh.log_url, fresh.database_url = target.log_url, "postgresql://richpanel@127.0.0.1:1/x"
        assert "nothing was switched" in refused(server, fresh)
        ascii_only = f"{target.name}_ascii"
        template = f"CREATE DATABASE {ascii_only} TEMPLATE template0 ENCODING SQL_ASCII LOCALE 'C'"
        target.query(template)
        fresh.database_url = engines.postgres.url(ascii_only)
        fresh.log_url = f"{engines.nats.url}?stream={ascii_only}"
        assert "UTF8" in refused(server, fresh)


def test_what_was_delivered_is_not_sent_again_and_what_waits_is_sent_from_there(target: Target, tmp_path: Path) -> None:
    """Some of it was delivered before the copy, some while it was made, some waits to be tried again."""
    sink = Sink(1)
    server = Server(tmp_path / "data", {"RICHPANEL_ALLOW_PRIVATE_ENDPOINTS": "true"})
    with server:
        source = server.add_source("Far", "server")
        wanted = {"name": "Far", "catalogId": "richpanel", "sources": [source.id], "settings": {"apiKey": "theirs"}}
        made = server.api("POST", "/destinations", {**wanted, "endpoint": sink.start()})
        assert made.status == 201, made.body
        time.sleep(1)  # A change of the definitions is seen within a second.
        tell(server, source.write_key, "before", 20)
        wait_until(lambda: len(sink.answered(200)) == 20, 30, "it is delivered")
        moving = Moving(server, target)
        moving.until("copied")
        moving.process.send_signal(signal.SIGSTOP)
        tell(server, source.write_key, "meanwhile", 20)
        wait_until(lambda: len(sink.answered(200)) == 40, 30, "it is delivered, too")
        sink.moods = {"unavailable": 1.0}
        tell(server, source.write_key, "waits", 20)
        server.wait_processed()
        wait_until(lambda: any("waits" in event for event in sink.by_event()), 30, "it is tried")
        moving.process.send_signal(signal.SIGCONT)
        assert moving.end() == 0, moving.said
        gone(server)
        digests = moving.events[-1]["digests"]
        assert digests["deliveries"].startswith("60:")
        assert digests["attempts"] > "4"
        sink.moods = FINE
        server.start()
        wait_until(lambda: len(sink.answered(200)) == 60, 60, "what waited has arrived")
        tell(server, source.write_key, "after", 5)
        wait_until(lambda: len(sink.answered(200)) == 65, 30, "what comes arrives")
        time.sleep(2)
        assert set(sink.answered(200).values()) == {1}
        listed = server.get("/deliveries", status="delivered", limit=500)["data"]
        assert len(listed) == 65
        (trace,) = server.traces("meanwhile-7")
        assert [each["status"] for each in trace["deliveries"]] == ["delivered"]
        asked = trace["deliveries"][0]["attempts"][0]["request"]
        assert asked["eventId"] == "meanwhile-7"
        ids = target.query("SELECT id FROM delivery.deliveries ORDER BY place")
        assert ids == sorted(ids)
        assert len(ids) == 65
    sink.stop()


def tell(server: Server, key: str, name: str, count: int) -> None:
    """Send calls of a few persons'."""
    for number in range(count):
        call(server, key, f"{name}-{number}", f"u{number % 4}", type="track", event="Seen")


def test_who_was_erased_meanwhile_is_erased_there(target: Target, tmp_path: Path) -> None:
    with small(tmp_path) as server:
        key = server.add_source("Other", "server").write_key
        call(server, key, "b1", "bob", type="identify", traits={"email": "bob@x"})
        server.wait_processed()
        moving = Moving(server, target)
        moving.until("copied")
        moving.process.send_signal(signal.SIGSTOP)
        call(server, key, "a9", "ada", type="page", name="Late")
        server.command("erase", "ada")
        call(server, key, "b2", "bob", type="page", name="After")
        moving.process.send_signal(signal.SIGCONT)
        ended = moving.end()
        if ended and "connection timeout expired" in moving.said:  # It was stopped while it connected.
            moving = Moving(server, target)
            ended = moving.end()
        assert ended == 0, moving.said
        gone(server)
        server.start()
        server.wait_processed()
        assert server.api("GET", "/customers/ada").status == 404
        assert [entry["id"] for entry in server.timeline("bob") if entry["type"] == "page"] == ["b2"]
        assert {server.api("GET", f"/messages/{each}").status for each in ("m0", "m1", "a9")} == {404}
        assert [each["status"] for each in server.get("/regulations")["data"]] == ["FINISHED"]
        for table in ("bodies", "messages", "profiles"):
            rows = target.query(f"SELECT * FROM state.{table}")
            assert not any(b"ada@x" in bytes(value) for row in rows for value in row if isinstance(value, bytes))
        call(server, key, "late", "ada", type="page", name="Again", timestamp="2020-01-01T00:00:00Z")
        server.wait_processed()
        assert server.api("GET", "/messages/late").status == 404


def test_the_old_files_are_not_used_by_mistake(target: Target, tmp_path: Path) -> None:
    with small(tmp_path) as server:
        (server.data / "richpanel.toml").write_text("# ours\nsession_days = 7\n")
        moving = Moving(server, target, "--no-stop")
        moving.until("waiting")
        call(server, server.add_source("Last", "server").write_key, "last", type="page", name="Last")
        server.stop()
        assert moving.end() == 0, moving.said
        written = (server.data / "richpanel.toml").read_text()
        assert written.endswith("# ours\nsession_days = 7\n")
        again = Moving(server, target)
        assert again.end() == 0, again.said
        assert again.events[-1]["event"] == "finished"

        (server.data / "richpanel.toml").write_text("")
        with pytest.raises(AssertionError, match="has moved to"):
            server.start()
        done = subprocess.run(
            (COMMAND, "import", "-", "--data", server.data), input=b"{}", capture_output=True, env=CLEAN, check=False
        )
        assert b"has moved to" in done.stderr
        (server.data / "richpanel.toml").write_text(written)
        server.start()
        server.wait_processed()
        assert {entry["id"] for entry in server.timeline("ada") if entry["type"] == "page"} == {"m2", "last"}
        server.stop()
        (server.data / "richpanel.toml").write_text("")
        server.args = ("--really",)
        server.start()
        assert not (server.data / "moved.json").exists()


def test_a_switch_that_was_decided_is_finished(target: Target, tmp_path: Path) -> None:
    with small(tmp_path) as server:
        moving = Moving(server, target)
        moving.until("copied")
        with psycopg.connect(target.database_url) as reading:  # The mark cannot be taken away while this one looks.
            reading.execute("LOCK TABLE account.half_copy IN ACCESS SHARE MODE")
            deadline = time.monotonic() + 60
            while not (server.data / "moved.json").exists():
                assert moving.process.poll() is None, moving.said
                assert time.monotonic() < deadline
            time.sleep(0.5)
            moving.process.kill()
            moving.end()
        gone(server)
        assert target.holds_half_a_copy()
        with pytest.raises(AssertionError, match="not whole yet"):
            server.start()
        again = Moving(server, target)
        assert again.end() == 0, again.said
        assert again.events[-1]["event"] == "finished"
        server.start()
        assert len(server.timeline("ada")) == 3
