"""`richpanel rebuild` as an operator runs it: under load, killed anywhere, without a server, and on a damaged state."""

import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import msgspec
import psycopg
import pytest

from richpanel.core.ids import BLOCKED_IDS
from richpanel.store.account import read_account, write_account
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from tests.acceptance.test_serve import note, roles, wait_until
from tests.server import COMMAND, Server, Source, request

SHOP = 4_000
"""Messages that are there before anything is rebuilt: enough for a rebuild that takes a moment."""
PATIENCE = 180.0
"""Seconds for a rebuild, which runs at low priority, on a busy machine."""


@dataclass
class Shop:
    """A server whose account has customers, and what was sent to it."""

    server: Server
    source: Source
    accepted: int = 0

    @property
    def data(self) -> Path:
        return self.server.data

    @property
    def database(self) -> str | None:
        """Where it is, on a cluster."""
        return self.server._environment().get("RICHPANEL_DATABASE_URL")

    def states(self) -> set[str]:
        """The files of the state, the link aside; on a cluster the schemas."""
        if self.database is not None:
            return {row[0] for row in self.ask("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'state%'")}
        return {path.name for path in self.data.glob("state-*.db")}

    def in_force(self) -> str:
        """What changes whenever another state is in force."""
        if self.database is not None:
            return str(self.ask("SELECT 'state'::regnamespace::oid")[0][0])
        return os.path.realpath(self.data / "state.db")

    def ask(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        """Ask the database of a cluster."""
        with psycopg.connect(self.database or "") as connection:
            return connection.execute(statement).fetchall()

    def lose_an_order(self) -> None:
        """Damage the state, which nobody has open."""
        statement: LiteralString = "DELETE FROM orders WHERE order_id = 'o1'"
        if self.database is not None:
            with psycopg.connect(self.database, options="-c search_path=state") as cluster:
                cluster.execute(statement)
            return
        with sqlite3.connect(self.data / "state.db") as connection:
            connection.execute(statement)
        connection.close()

    def link(self) -> str:
        return os.readlink(self.data / "state.db")

    def send(self, first: int, count: int) -> None:
        items = [call(number) for number in range(first, first + count)]
        body = json.dumps({"writeKey": self.source.write_key, "batch": items}).encode()
        answer = request("POST", f"{self.server.url}/v1/batch", body, {"Content-Type": "application/json"})
        assert answer.status == 200, answer.body
        self.accepted += count

    def counts(self) -> dict[str, int]:
        """What became of the messages of the source."""
        return dict(json.loads(self.server.command("status", "--json"))["outcomes"][self.source.id])


def call(number: int) -> dict[str, Any]:
    """One of the calls of a few hundred people who log in, look around and order."""
    who = {"userId": f"u{number % 300}", "anonymousId": f"a{number % 450}", "messageId": f"m{number}"}
    match number % 4:
        case 0:
            return {"type": "identify", **who, "traits": {"email": f"u{number % 300}@shop.example", "step": number}}
        case 1:
            order = {"order_id": f"o{number % 900}", "total": number % 70, "currency": "USD"}
            return {"type": "track", **who, "event": "Order Completed", "properties": order}
        case 2:
            return {"type": "page", "anonymousId": f"a{number % 450}", "messageId": f"m{number}", "name": "Home"}
    return {"type": "page", **who, "integrations": {"Richpanel": bool(number % 8 == 3)}}


@pytest.fixture(scope="module")
def filled(installation: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A running shop; each test leaves it whole."""
    with Server(tmp_path_factory.mktemp(f"rebuild-{installation}") / "data") as server:
        shop = Shop(server, server.add_source("Shop"))
        for first in range(0, SHOP, 400):
            shop.send(first, 400)
        server.wait_processed()
        yield shop


@pytest.fixture
def shop(filled: Shop) -> Iterator[Shop]:
    """The shop, with what it was sent counted once before and after; a rebuilt state has no other opinion."""
    yield filled
    filled.server.wait_processed()
    assert sum(filled.counts().values()) == filled.accepted
    code, result = rebuild(filled, "--dry-run")
    assert (code, result["equal"], result["switched"]) == (0, True, False), result
    assert "duplicate" not in filled.counts()
    wait_until(lambda: len(filled.states()) <= 1, 30, "nothing is left over")


def start(shop: Shop, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(COMMAND), "rebuild", "--json", "--data", str(shop.data), *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=shop.server._environment(),
    )


def finish(running: subprocess.Popen[str]) -> tuple[int, Any]:
    """The exit code, and what was printed: decoded, or the error."""
    out, error = running.communicate(timeout=PATIENCE)
    return running.returncode, json.loads(out) if out else error


def rebuild(shop: Shop, *args: str) -> tuple[int, Any]:
    return finish(start(shop, *args))


def process_role(shop: Shop) -> int:
    return roles(note(shop.server)["pid"])["process"]


@dataclass
class Load:
    """Traffic and people at their pages while something happens."""

    shop: Shop
    looks: int = 0
    failures: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def send(self) -> None:
        while not self.ended.is_set():
            try:
                self.shop.send(self.shop.accepted, 20)
            except (OSError, AssertionError) as error:
                self.failures.append(f"send: {error!r}")
            self.ended.wait(0.1)

    def look(self) -> None:
        processed = 0
        while not self.ended.is_set():
            try:
                status = self.shop.server.get("/status")
                if status["processed"] < processed:
                    self.failures.append(f"went back from {processed} to {status['processed']}")
                processed = status["processed"]
                assert self.shop.server.customer("u4")["email"] == "u4@shop.example"
                assert self.shop.server.timeline("u4")
                self.looks += 1
            except (OSError, AssertionError) as error:
                self.failures.append(f"look: {error!r}")
            self.ended.wait(0.05)


@contextmanager
def load(shop: Shop) -> Iterator[Load]:
    """Keeps a shop busy; everything must have been answered, and the processing must never have gone back."""
    assert shop.server.token
    busy = Load(shop)
    threads = [threading.Thread(target=busy.send), threading.Thread(target=busy.look)]
    for thread in threads:
        thread.start()
    try:
        yield busy
    finally:
        busy.ended.set()
        for thread in threads:
            thread.join(60)
    assert busy.failures == []
    assert busy.looks > 10


def test_under_load_nothing_is_lost_doubled_or_unanswered(shop: Shop) -> None:
    with load(shop):
        for _ in range(2):
            before = shop.accepted
            code, result = rebuild(shop)
            assert (code, result["equal"], result["switched"]) == (0, True, True), result
            assert {tally["kind"] for tally in result["comparison"]} == {
                *("profiles", "sessions", "links", "orders", "memberships", "messages", "history", "outcomes")
            }
            assert shop.accepted > before
            assert shop.database or {shop.link()} <= shop.states()
    shop.server.wait_processed()
    status = shop.server.get("/status")
    assert status["processed"] >= status["log"]["last"]
    assert not list(shop.data.glob("state.next*"))
    assert not list(shop.data.glob("state.db-*"))


def block(shop: Shop, *ids: str) -> None:
    """Change which ids stand for nobody, as the settings of the shop do."""
    engine = open_engine(DataDirectory(shop.data, shop.database).account_url)
    with engine.begin() as connection:
        write_account(connection, msgspec.structs.replace(read_account(connection), blocked_ids=BLOCKED_IDS | {*ids}))
    engine.dispose()


def told_of_rebuild(shop: Shop) -> dict[str, Any]:
    """What `richpanel status` says of it."""
    return dict(json.loads(shop.server.command("status", "--json"))["rebuild"])


def test_a_changed_setting_has_all_counted_anew_whatever_is_killed(shop: Shop) -> None:
    """It ends with the process that started it, and the next one begins it again."""
    assert shop.server.customer("u8")
    before, earlier = shop.in_force(), told_of_rebuild(shop).get("startedAt")
    block(shop, "u8")
    wait_until(lambda: told_of_rebuild(shop).get("startedAt") != earlier, PATIENCE, "it begins by itself")
    os.kill(roles(shop.server.pid)["process"], signal.SIGKILL)
    shop.send(shop.accepted, 20)
    wait_until(lambda: not told_of_rebuild(shop)["due"], PATIENCE, "it is begun again, and put in force")
    assert shop.in_force() != before
    assert shop.server.api("GET", "/customers/u8").status == 404
    wait_until(lambda: not told_of_rebuild(shop)["running"], PATIENCE, "it ends")
    assert told_of_rebuild(shop)["problem"] is None


def test_a_killed_command_leaves_the_state_as_it_is_and_the_next_one_cleans_up(shop: Shop) -> None:
    with load(shop):
        began = time.monotonic()
        assert rebuild(shop)[0] == 0
        whole = min(time.monotonic() - began, 8.0)  # On a machine that is busy with others this one was slow.
        for part in (0.3, 0.6, 0.8, 0.9, 1.0):
            running = start(shop)
            time.sleep(whole * part)
            running.kill()
            running.communicate(timeout=60)
        wait_until(lambda: not (shop.data / "state.next").exists(), 30, "what was handed over is taken over")
        code, result = rebuild(shop)
        assert (code, result["switched"]) == (0, True), result


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_told_to_stop_removes_its_file(shop: Shop, number: signal.Signals) -> None:
    before = shop.states()
    running = start(shop)
    wait_until(lambda: shop.states() > before, 30, "it has begun")
    running.send_signal(number)
    assert finish(running)[0] in (130, -number)
    assert shop.states() == before


@pytest.mark.files
def test_a_killed_process_role_makes_the_switch_when_it_is_back(shop: Shop) -> None:
    with load(shop):
        for delay in (0.0, 0.5, 1.0):
            running = start(shop)
            wait_until((shop.data / "state.next").exists, PATIENCE, "the new state is handed over")
            time.sleep(delay)
            os.kill(process_role(shop), signal.SIGKILL)
            code, result = finish(running)
            assert (code, result["equal"], result["switched"]) == (0, True, True), result
            wait_until(lambda: "process" in roles(note(shop.server)["pid"]), 30, "the role is back")


def handed_over(shop: Shop) -> tuple[subprocess.Popen[str], int]:
    """A rebuild that waits for a process role that does not answer."""
    role = process_role(shop)
    os.kill(role, signal.SIGSTOP)
    running = start(shop)
    try:
        wait_until((shop.data / "state.next").exists, PATIENCE, "the new state is handed over")
    except AssertionError:
        running.kill()
        os.kill(role, signal.SIGCONT)
        raise
    return running, role


@pytest.mark.files
def test_what_was_handed_over_is_taken_up_after_everything_was_killed(shop: Shop) -> None:
    running, _ = handed_over(shop)
    named = json.loads((shop.data / "state.next").read_text())["file"]
    running.kill()
    running.communicate(timeout=60)
    shop.server.kill()
    shop.server.start()
    wait_until(lambda: shop.link() == named, 30, "the start makes the switch")
    wait_until(lambda: not (shop.data / "state.next").exists(), 30, "the hand-over is ended")
    shop.send(shop.accepted, 100)


@pytest.mark.files
def test_the_command_makes_the_switch_when_the_server_has_gone(shop: Shop) -> None:
    running, _ = handed_over(shop)
    shop.server.kill()
    code, result = finish(running)
    assert (code, result["switched"]) == (0, True), result
    shop.server.start()


@pytest.mark.files
def test_a_new_state_that_cannot_be_used_is_refused_and_the_old_one_goes_on(shop: Shop) -> None:
    running, role = handed_over(shop)
    before = os.path.realpath(shop.data / "state.db")
    named = json.loads((shop.data / "state.next").read_text())["file"]
    (shop.data / named).write_bytes(b"no database at all" * 1_000)
    os.kill(role, signal.SIGCONT)
    code, said = finish(running)
    assert code == 1
    assert "could not be put in force: file is not a database" in said
    assert os.path.realpath(shop.data / "state.db") == before
    assert not (shop.data / "state.next").exists()
    shop.send(shop.accepted, 100)


@pytest.mark.files
def test_two_at_a_time_are_refused(shop: Shop) -> None:
    running, role = handed_over(shop)
    code, said = rebuild(shop)
    assert (code, said.count("\n")) == (1, 1)
    assert "another rebuild runs" in said
    os.kill(role, signal.SIGCONT)
    assert finish(running)[0] == 0


def test_without_a_server_differences_are_named_and_only_switched_when_wanted(shop: Shop) -> None:
    shop.server.stop()
    shop.lose_an_order()
    before = shop.in_force()
    code, result = rebuild(shop)
    assert (code, result["equal"], result["switched"]) == (3, False, False)
    (orders,) = [tally for tally in result["comparison"] if tally["kind"] == "orders"]
    assert orders["examples"] == [{"difference": "onlyNew", "who": orders["examples"][0]["who"], "detail": ""}]
    assert orders["examples"][0]["who"].endswith(": o1")
    assert shop.in_force() == before
    line = [str(COMMAND), "rebuild", "--data", str(shop.data), "--yes"]
    done = subprocess.run(
        line, capture_output=True, text=True, timeout=PATIENCE, check=False, env=shop.server._environment()
    )
    assert done.returncode == 3
    assert "The new state differs from the old one; the new one is in force." in done.stdout
    assert ": o1" in done.stdout
    code, result = rebuild(shop)
    assert (code, result["equal"], result["switched"]) == (0, True, True)
    shop.server.start()
    assert shop.in_force() != before
    assert shop.states() == {"state" if shop.database else shop.link()}
