"""S7 by mail: a real mail server takes a customer's letter and hands it over; nothing is lost and nothing doubled."""

import json
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.opensmtpd import MailServer, opensmtpd
from tests.installation import environment
from tests.lmtp import Client, letter
from tests.sdk.network import free_port
from tests.server import COMMAND, Server, request, segment

ADA = "ada@x.example"


@pytest.fixture
def server(installation: str, tmp_path: Path) -> Iterator[Server]:
    """The real command, listening for mail."""
    with Server(tmp_path / "data", args=("--lmtp", f"127.0.0.1:{free_port()}")) as running:
        yield running


@pytest.fixture
def post(server: Server, tmp_path: Path) -> Iterator[MailServer]:
    """A real mail server in front of it."""
    with opensmtpd(tmp_path / "smtpd", lmtp_port(server)) as running:
        yield running


def lmtp_port(server: Server) -> int:
    """Where the server listens for mail."""
    return int(str(server.args[1]).rpartition(":")[2])


def letters(server: Server, uid: str) -> list[tuple[str, str]]:
    """The letters on a customer's timeline, oldest first: id and subject."""
    entries = [each for each in server.timeline(uid) if each["type"] == "channel"]
    return [(each["id"], each["properties"]["subject"]) for each in reversed(entries)]


def identify(server: Server, uid: str, email: str) -> None:
    """The shop learns who has this address."""
    source = server.add_source("Shop", "server")
    call = {"writeKey": source.write_key, "userId": uid, "traits": {"email": email}}
    answer = request("POST", f"{server.url}/v1/identify", json.dumps(call).encode())
    assert (answer.status, answer.json()) == (200, {"success": True})
    server.wait_processed()


def test_S7_a_mail_makes_a_customer_until_it_is_known_whose_it_is(server: Server, post: MailServer) -> None:
    headers = ("Date: Mon, 05 Oct 2026 09:30:00 +0200", "Content-Type: multipart/mixed; boundary=b")
    raw = letter(
        "s7", *headers, sender=f"Ada <{ADA}>",
        body="--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        "Gr=C3=BC=C3=9Fe\r\n.\r\n--b\r\nContent-Type: image/png; name=a.png\r\n\r\n12345\r\n--b--",
    )  # fmt: skip
    post.send(raw, ADA)
    post.wait_handed_over(1)
    server.wait_processed()
    customer = server.customer(ADA)
    assert (customer["uid"], customer["name"], customer["email"]) == (ADA, "Ada", ADA)
    (entry,) = [each for each in server.timeline(ADA) if each["type"] == "channel"]
    assert (entry["id"], entry["channel"], entry["timestamp"]) == ("s7@x.example", "email", "2026-10-05T07:30:00.000Z")
    assert entry["properties"] == {
        "subject": "Where is my order?",
        "body": "Grüße\n.",
        "attachments": [{"name": "a.png", "contentType": "image/png", "size": 5}],
    }

    identify(server, "u-ada", ADA)
    moved = server.api("GET", f"/customers/{segment(ADA)}")
    assert (moved.status, moved.headers["location"]) == (308, "/api/v1/customers/u-ada")
    assert letters(server, "u-ada") == [("s7@x.example", "Where is my order?")]


@pytest.mark.files
def test_a_full_log_leaves_mail_in_the_queue_until_there_is_room(server: Server, post: MailServer) -> None:
    """As on a full disk: no file of the log's owner may grow."""
    owner = int((server.data / "log" / "lock").read_text())
    unlimited = resource.prlimit(owner, resource.RLIMIT_FSIZE)
    resource.prlimit(owner, resource.RLIMIT_FSIZE, (0, unlimited[1]))
    try:
        post.send(letter("full"), ADA, "support@shop.example", "sales@shop.example")
        post.wait_queued(2, "452 4.3.1")
    finally:
        resource.prlimit(owner, resource.RLIMIT_FSIZE, unlimited)
    assert server.get("/status")["log"]["last"] == 0
    post.retry()
    post.wait_handed_over(2)
    server.wait_processed()
    assert letters(server, ADA) == [("full@x.example", "Where is my order?")]
    (trace,) = server.traces("full@x.example")
    assert trace["duplicates"] == [], "one mail to two of our addresses is handed over once"


def test_a_server_that_is_down_gets_its_mail_when_it_is_back(server: Server, post: MailServer) -> None:
    """And what it said 250 to outlives `kill -9`."""
    post.send(letter("before"), ADA)
    post.wait_handed_over(1)
    server.kill()
    post.send(letter("down"), ADA)
    post.wait_queued(1, "Connection ")  # refused, or closed where it was still open
    server.start()
    post.retry()
    post.wait_handed_over(2)
    server.wait_processed()
    assert {number for number, _ in letters(server, ADA)} == {"before@x.example", "down@x.example"}


def test_a_mail_that_comes_twice_counts_once(server: Server, post: MailServer) -> None:
    post.send(letter("twice"), ADA, "support@shop.example")
    post.send(letter("twice"), ADA, "sales@shop.example")
    post.wait_handed_over(2)
    server.wait_processed()
    assert letters(server, ADA) == [("twice@x.example", "Where is my order?")]
    (trace,) = server.traces("twice@x.example")
    assert (trace["outcome"], len(trace["duplicates"]), trace["conflict"]) == ("kept", 1, False)


def test_a_bounce_makes_no_customer_and_can_be_found(server: Server) -> None:
    report = letter("bounce", "Content-Type: multipart/report; boundary=b", sender="MAILER-DAEMON@x.example")
    client = Client(lmtp_port(server))
    assert client.deliver(report, sender="")[0][0] == 250
    assert client.deliver(letter("news", "List-Id: <news.x.example>"))[0][0] == 250
    assert client.deliver(letter("nobody", sender="nobody"))[0][0] == 554
    client.close()
    server.wait_processed()
    assert server.get("/customers")["data"] == []
    assert server.get("/visitors")["data"] == []
    listed = server.get("/messages", outcome="discarded")["data"]
    assert {(each["messageId"], each["type"], each["code"]) for each in listed} == {
        ("bounce@x.example", "channel", "bounce"),
        ("news@x.example", "channel", "bulk_mail"),
        ("nobody@x.example", "channel", "no_sender"),
    }
    (trace,) = server.traces("bounce@x.example")
    assert (trace["outcome"], trace["code"]) == ("discarded", "bounce")
    assert trace["body"]["from"] == {"email": "MAILER-DAEMON@x.example"}
    assert trace["body"]["subject"] == "Where is my order?"


def mail_check(server: Server) -> tuple[str, str] | None:
    """What `doctor` says of the listener: exit code 1 where that is a problem."""
    line = [str(COMMAND), "doctor", "--json", "--data", str(server.data)]
    done = subprocess.run(
        line, capture_output=True, text=True, timeout=60, env=environment(server.data) | dict(server.env), check=False
    )
    found = next((each for each in json.loads(done.stdout)["checks"] if each["name"] == "mail"), None)
    if found is None:
        return None
    assert done.returncode == (1 if found["state"] == "problem" else 0)
    return found["state"], found["text"]


@pytest.mark.files
def test_status_and_doctor_know_the_listener(installation: str, tmp_path: Path) -> None:
    place = tmp_path / "run" / "lmtp.sock"
    place.parent.mkdir()
    with Server(tmp_path / "data", env={"RICHPANEL_LMTP": f"unix:{place}"}) as server:
        assert json.loads(server.command("status", "--json"))["lmtp"] == f"unix:{place}"
        assert f"taken by LMTP at unix:{place}" in " ".join(server.command("status").split())
        assert mail_check(server) == ("ok", f"taken by LMTP at unix:{place}")
        client = Client(place)
        assert client.deliver(letter("unix"))[0][0] == 250
        client.close()
        place.unlink()
        assert mail_check(server) == (
            "problem",
            f"the listener at unix:{place} does not greet: No such file or directory",
        )
    assert mail_check(server) == ("ok", f"will be taken by LMTP at unix:{place}")
    with Server(tmp_path / "data") as server:
        assert json.loads(server.command("status", "--json"))["lmtp"] is None
        assert mail_check(server) is None
        (server.data / "richpanel.toml").write_text('lmtp = "127.0.0.1:2424"')
        assert mail_check(server) == ("note", "lmtp is set, and the running server takes no mail: restart it")
        server.wait_processed()
        assert letters(server, ADA) == [("unix@x.example", "Where is my order?")]


def test_a_place_that_is_taken_is_told(tmp_path: Path) -> None:
    place = f"127.0.0.1:{free_port()}"
    with Server(tmp_path / "first", args=("--lmtp", place)):
        second = Server(tmp_path / "second", args=("--lmtp", place))
        with pytest.raises(AssertionError, match=f"richpanel: cannot listen for mail at {place}"):
            second.start()
