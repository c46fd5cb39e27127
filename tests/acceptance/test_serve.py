"""`richpanel serve` as processes: ready, stopped, killed, restarted, and refused with one clear line."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.installation import environment
from tests.server import COMMAND, Server, request

AGAIN_SECONDS = 3.0
"""targets.md: ready again after a kill."""


@pytest.fixture
def server(installation: str, tmp_path: Path) -> Iterator[Server]:
    """A server in an empty data directory."""
    with Server(tmp_path / "data") as running:
        yield running


def note(server: Server) -> dict[str, Any]:
    """What the server notes about itself for other commands."""
    return dict(json.loads((server.data / "server.json").read_text()))


def roles(parent: int) -> dict[str, int]:
    """The processes of a server by role."""
    listed = subprocess.run(
        ["ps", "--ppid", str(parent), "-o", "pid=,args="], capture_output=True, text=True, check=False
    )
    return {row.split()[-1]: int(row.split()[0]) for row in listed.stdout.splitlines() if "richpanel.app" in row}


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def none_alive(pids: Iterable[int]) -> bool:
    return not any(map(is_alive, pids))


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> float:
    """Waits for a condition; gives the seconds that it took."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return time.monotonic() - started


@pytest.fixture
def key(server: Server) -> str:
    """The write key of the source that the first start made."""
    listed = json.loads(server.command("source", "list", "--json"))["data"]
    return str(next(source["writeKey"] for source in listed if source["name"] == "Website"))


def identify(server: Server, key: str, uid: str = "u-1") -> int:
    """Sends a customer; gives the status of the answer."""
    traits = {"email": "ada@example.com"}
    body = json.dumps({"userId": uid, "traits": traits, "messageId": f"m-{uid}", "writeKey": key})
    return request("POST", f"{server.url}/v1/identify", body.encode(), {"Content-Type": "application/json"}).status


def test_first_start_makes_an_account_and_says_once_how_to_get_in(server: Server) -> None:
    printed = server.printed()
    assert printed.count("listening on ") == 1
    assert f"listening on {server.url}\n" in printed
    wait_until(lambda: "password: " in server.printed(), 30, "the login is printed")
    assert "login: admin\n" in server.printed()
    sources = {
        source["name"]: source["type"] for source in json.loads(server.command("source", "list", "--json"))["data"]
    }
    assert sources == {"Segment": "segment", "Website": "web", "Channels": "channel"}
    server.stop()
    server.start()
    assert server.printed().count("password: ") == 1, "a second start makes no second login"


def test_a_given_admin_password_is_not_printed(installation: str, tmp_path: Path) -> None:
    with Server(tmp_path / "data", env={"RICHPANEL_ADMIN_PASSWORD": "open sesame street"}) as server:
        wait_until(lambda: "login: admin" in server.printed(), 30, "the login is printed")
        assert "sesame" not in server.printed()


@pytest.mark.files
def test_secrets_and_databases_are_for_their_owner_alone(server: Server) -> None:
    assert server.data.stat().st_mode & 0o777 == 0o700
    for name in ("secret.key", "account.db", "state.db", "delivery.db"):
        assert (server.data / name).stat().st_mode & 0o077 == 0, name


def test_health_ready_and_metrics(server: Server, key: str) -> None:
    assert request("GET", f"{server.url}/health").json() == {"status": "live"}
    assert request("POST", f"{server.url}/health", b"").status == 405
    assert identify(server, key) == 200
    server.wait_processed()
    ready = request("GET", f"{server.url}/ready")
    assert (ready.status, ready.json()["status"]) == (200, "ready")
    assert ready.json()["processed"] == ready.json()["log"]["last"] > 0

    def figures() -> list[str]:
        return request("GET", f"{server.url}/metrics").body.decode().splitlines()

    assert any(line.startswith("richpanel_accepted_messages_total{") and line.endswith(" 1.0") for line in figures())
    assert "richpanel_process_up 1.0" in figures()
    wait_until(lambda: "richpanel_batches_total 1.0" in figures(), 30, "the process role's figures reach the front")
    names = {line.split()[2] for line in figures() if line.startswith("# TYPE")}
    assert all(name.startswith("richpanel_") for name in names)


def test_sigterm_answers_what_is_under_way_and_frees_everything(server: Server, key: str) -> None:
    address = ("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
    body = json.dumps({"userId": "slow", "writeKey": key}).encode()
    with socket.create_connection(address, timeout=10) as slow:
        slow.sendall(
            f"POST /v1/identify HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:10]
        )
        time.sleep(0.3)
        parent = server.pid
        os.kill(parent, signal.SIGTERM)
        time.sleep(0.5)
        with pytest.raises(OSError, match=r"refused|reset"):
            socket.create_connection(address, timeout=2).recv(1)
        slow.sendall(body[10:])
        assert slow.recv(65_536).startswith(b"HTTP/1.1 200")
    server.stop()
    assert not (server.data / "server.json").exists()
    server.start()
    assert server.customer("slow")["uid"] == "slow"


def test_kill_of_the_parent_frees_port_and_lock_and_the_next_start_goes_on(server: Server, key: str) -> None:
    for number in range(3):
        assert identify(server, key, f"u-{number}") == 200
        parent = server.pid
        processes = roles(parent)
        assert set(processes) == {"front", "web", "process", "deliver", "engage"}
        os.kill(parent, signal.SIGKILL)
        wait_until(partial(none_alive, processes.values()), 30, "the roles end with their parent")
        server.kill()
        server.start()
        parent = server.pid
        # Processor time: how long it takes on a machine that does nothing else.
        assert processor_seconds(parent) + processor_seconds(roles(parent)["front"]) < AGAIN_SECONDS
    server.wait_processed()
    assert [server.customer(f"u-{number}")["uid"] for number in range(3)] == ["u-0", "u-1", "u-2"]


@pytest.mark.parametrize("role", ["front", "web", "process", "deliver", "engage"])
def test_a_role_that_dies_is_started_again(server: Server, key: str, role: str) -> None:
    before = roles(server.pid)
    os.kill(before[role], signal.SIGKILL)
    if role != "front":
        wait_until(
            lambda: request("GET", f"{server.url}/ready").status == 503, 2, "it is told that the role is missing"
        )
    wait_until(lambda: role in roles(server.pid), 30, "it runs again")
    wait_until(lambda: request("GET", f"{server.url}/ready").status == 200, 30, "it is ready again")
    after = roles(server.pid)
    assert after[role] != before[role]
    assert {**after, role: 0} == {**before, role: 0}, "the other roles are left alone"
    assert '"ended": "' + role in server.printed()
    assert identify(server, key) == 200
    server.wait_processed()
    assert server.customer("u-1")["email"] == "ada@example.com"


def serve(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a server that is expected to end by itself."""
    command = [COMMAND, "serve", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(), check=False)


@pytest.mark.files
def test_a_second_server_on_the_same_directory_says_so(server: Server, key: str) -> None:
    second = serve("--data", server.data, "--port", "0")
    assert second.returncode == 1
    assert "stop that one first" in second.stderr
    assert "Traceback" not in second.stderr
    assert second.stdout == ""
    assert identify(server, key) == 200, "the first one goes on"
    assert note(server)["url"] == server.url


def test_a_port_that_is_taken_says_so(server: Server, tmp_path: Path) -> None:
    port = server.url.rsplit(":", 1)[1]
    second = serve("--data", tmp_path / "other", "--port", port)
    assert second.returncode == 1
    assert (
        second.stderr == f"richpanel: cannot listen on 127.0.0.1 port {port}: it is taken; --port 0 picks a free one\n"
    )


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--port", "http"], 2, "--port: must be a whole number from 0 to 65535"),
        (["--host", "no.such.host.example"], 1, "there is no address 'no.such.host.example' to listen on"),
        (["--role", "boss"], 2, "--role: must be one of all, ingest, process, deliver, web"),
        (["--tls-cert", "cert.pem"], 2, "tls_cert and tls_key go together"),
        (["--database-url", "mysql://db/x"], 2, "--database-url: must begin with postgresql://"),
        (["--log-url", "kafka://x"], 2, "--log-url: must be nats://HOST:PORT"),
        (["--log-url", "nats://x"], 2, "database_url and log_url go together, and database_url is not set"),
        (
            ["--tls-cert", "/nowhere/c.pem", "--tls-key", "/nowhere/k.pem", "--port", "0"],
            1,
            "the certificate /nowhere/c.pem with",
        ),
        (["--prot", "1"], 2, "--prot"),
    ],
)
def test_wrong_options_are_one_line(tmp_path: Path, args: list[str], code: int, said: str) -> None:
    done = serve("--data", tmp_path / "data", *args)
    assert done.returncode == code
    assert said in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_directory_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = serve("--data", tmp_path / "file", "--port", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"richpanel: cannot write to the data directory {tmp_path / 'file'}")


@pytest.mark.files
def test_a_directory_of_a_newer_version_says_so(server: Server) -> None:
    server.stop()
    with closing(sqlite3.connect(server.data / "state.db", isolation_level=None)) as connection:
        ((revision,),) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        connection.execute("UPDATE alembic_version SET version_num = 'state_9999'")
    done = serve("--data", server.data, "--port", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("richpanel: state.db is not of this version or an older one: ")
    assert len(done.stderr.splitlines()) == 1
    with closing(sqlite3.connect(server.data / "state.db", isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    server.start()


def test_settings_come_from_option_environment_and_file_in_this_order(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "richpanel.toml").write_text('port = 1\npublic_url = "https://shop.example/"\nsession_days = 3\n')
    env = {**environment(), "RICHPANEL_PORT": "2", "RICHPANEL_SECRET_KEY": "s" * 32}
    done = subprocess.run(
        [COMMAND, "doctor", "--json", "--data", data], capture_output=True, text=True, timeout=60, env=env, check=False
    )
    shown = json.loads(done.stdout)["settings"]
    assert shown["port"] == {"value": "2", "from": "environment"}
    assert shown["public_url"] == {"value": "https://shop.example", "from": "richpanel.toml"}
    assert shown["session_days"]["value"] == "3"
    assert shown["secret_key"] == {"value": "(hidden)", "from": "environment"}
    assert shown["data"]["from"] == "option"
    assert shown["host"] == {"value": "127.0.0.1", "from": "default"}
    (data / "richpanel.toml").write_text("prot = 1\n")
    done = serve("--data", data)
    assert (done.returncode, "there is no setting 'prot'" in done.stderr) == (2, True)


def test_roles_can_be_servers_of_their_own(installation: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with (
        Server(data, args=["--role", "ingest"]) as ingest,
        Server(data, args=["--role", "web"]) as web,
    ):
        ingest.add_source("Shop")
        folding = subprocess.Popen(
            [COMMAND, "serve", "--role", "process", "--data", data],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(data),
        )
        assert folding.stdout is not None
        assert folding.stdout.readline() == "processing\n"
        key = json.loads(web.command("source", "list", "--json"))["data"][-1]["writeKey"]
        assert identify(ingest, key) == 200
        web.wait_processed()
        assert web.customer("u-1")["email"] == "ada@example.com"
        assert request("GET", f"{ingest.url}/api/v1/status").status == 404
        assert request("POST", f"{web.url}/v1/identify", b"{}").status == 404
        assert request("GET", f"{web.url}/ready").status == 200
        folding.terminate()
        assert folding.wait(30) == 0
        folding.stdout.close()


def test_heads_that_never_end_are_cut_off(server: Server) -> None:
    address = ("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
    with socket.create_connection(address, timeout=10) as endless:
        endless.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        with pytest.raises(OSError, match=r"reset|pipe"):  # noqa: PT012
            while True:
                endless.sendall(b"x-filler: " + b"x" * 8_000 + b"\r\n")
                time.sleep(0.01)


def test_tls(tmp_path: Path) -> None:
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    files = ["-keyout", key, "-out", cert, "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made, *files], check=True, capture_output=True)
    args = ["--tls-cert", cert, "--tls-key", key]
    with Server(tmp_path / "data", args=args) as server:
        assert server.url.startswith("https://127.0.0.1:")
        asked = ["curl", "--silent", "--cacert", cert, f"{server.url}/health"]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
        assert json.loads(answer.stdout) == {"status": "live"}
        lines = tmp_path / "one.jsonl"
        lines.write_text(json.dumps({"type": "identify", "userId": "tls", "messageId": "m"}) + "\n")
        assert json.loads(server.command("import", str(lines), "--json"))["accepted"] == 1
