"""A stranger's https page with Segment's own snippet, behind Debian's nginx as docs/howto/deploy.md sets it up."""

import http.client
import json
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.sdk.conftest import OpenShop
from tests.sdk.network import LOOPBACK, free_port, relay, shop_origin
from tests.sdk.nginx import Certificate, nginx, self_signed
from tests.sdk.test_browser_sdk import BATCHING, assert_clean, shop_folder
from tests.server import Answer, Server, Source, request

HERE = Path(__file__).parent
# Where the shopper seems to be: nginx sees the connections come from this address of the loopback.
SHOPPER = "127.0.0.7"
SOMEBODY = "203.0.113.9"
ANY_CERTIFICATE = "--ignore-certificate-errors"


@dataclass(frozen=True)
class Deployment:
    """The server behind nginx."""

    server: Server
    website: Source
    backend: Source
    certificate: Certificate
    public: str  # as shoppers reach it, from SHOPPER's address
    plain: str  # the same without TLS


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The server, nginx with the documented configuration, and a way to it that has the shopper's address."""
    folder = tmp_path_factory.mktemp("deployment")
    made = self_signed(folder)
    with ExitStack() as stack:
        # The public URL is needed before the server starts, and nginx needs the server's port: hence this order.
        behind = free_port()
        public = f"https://localhost:{stack.enter_context(relay(SHOPPER, behind))}"
        env = {"RICHPANEL_PUBLIC_URL": public, "RICHPANEL_TRUSTED_PROXIES": LOOPBACK}
        server = stack.enter_context(Server(folder / "data", env))
        _, plain = stack.enter_context(nginx(folder / "nginx", urlsplit(server.url).netloc, made, https=behind))
        website, backend = server.add_source("Shop", "web"), server.add_source("Back end", "server")
        yield Deployment(server, website, backend, made, public, f"http://{LOOPBACK}:{plain}")


def https(method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    """One request by TLS, whoever signed the certificate."""
    parts = urlsplit(url)
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(parts.netloc, timeout=30, context=anyone)
    try:
        connection.request(method, parts.path, body, dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def a_call(source: Source, message_id: str) -> bytes:
    """A track call as any HTTP client would write it."""
    call = {"writeKey": source.write_key, "messageId": message_id, "userId": "address", "event": "Seen"}
    return json.dumps(call).encode()


def address_of(server: Server, message_id: str) -> Any:
    """The `context.ip` that was kept with a message, None where none was."""
    server.wait_processed()
    (trace,) = server.traces(message_id)
    return trace["body"].get("context", {}).get("ip")


@pytest.fixture
def strangers_shop(deployment: Deployment, tmp_path: Path) -> Iterator[str]:
    """The origin of somebody's https page with Segment's own snippet on it, of which only the host is changed."""
    order = {"host": urlsplit(deployment.public).netloc, "apiKey": deployment.website.write_key}
    program = ("node", str(HERE / "render_snippet.cjs"))
    page = subprocess.run(program, input=json.dumps(order).encode(), check=True, capture_output=True).stdout
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "index.html").write_bytes(page)
    with shop_origin(tmp_path / "shop", tls(deployment)) as origin:
        yield origin


def test_segments_own_snippet_with_only_the_host_changed(
    deployment: Deployment, open_shop: OpenShop, strangers_shop: str
) -> None:
    with open_shop(ANY_CERTIFICATE) as someone:
        someone.page.goto(f"{strangers_shop}/index.html")
        someone.page.evaluate("analytics.identify('stranger', {email: 'stranger@shop.example'})")
        someone.page.evaluate("analytics.track('Signed Up', {plan: 'free'})")
        calls = {call["type"]: call for call in someone.wait_posts(3)}
        assert_clean(someone, "new")
        assert all(post.url.startswith(f"{deployment.public}/v1/") for post in someone.posts)

    deployment.server.wait_processed()
    assert deployment.server.customer("stranger")["email"] == "stranger@shop.example"
    timeline = {entry["type"]: entry for entry in deployment.server.timeline("stranger")}
    assert timeline["page"]["id"] == calls["page"]["messageId"]
    assert timeline["track"]["properties"]["plan"] == "free"
    for call in calls.values():
        assert address_of(deployment.server, call["messageId"]) == SHOPPER


def test_the_snippets_further_parts_come_from_the_same_host(
    deployment: Deployment, open_shop: OpenShop, strangers_shop: str
) -> None:
    """A link in an email may carry a call in its query: the SDK loads the part that reads it when it is needed."""
    with open_shop(ANY_CERTIFICATE) as someone, someone.page.expect_response("**/analytics-next/bundles/*.js") as part:
        someone.page.goto(f"{strangers_shop}/index.html?ajs_event=Email%20Opened&ajs_prop_campaign=spring")
        calls = {call["type"]: call for call in someone.wait_posts(2)}
        assert_clean(someone, "new")
    assert part.value.status == 200
    assert part.value.url.startswith(deployment.public)
    assert (calls["track"]["event"], calls["track"]["properties"]) == ("Email Opened", {"campaign": "spring"})


def test_older_browser_sdk_batches_by_tls(deployment: Deployment, open_shop: OpenShop, tmp_path: Path) -> None:
    """Up to 1.83 the batching of the browser SDK knows https alone, whatever `protocol` says."""
    folder = shop_folder(tmp_path / "shop", "older")
    segment_io = {"apiHost": f"{urlsplit(deployment.public).netloc}/v1", "deliveryStrategy": BATCHING}
    settings = {"writeKey": deployment.website.write_key, "cdnURL": deployment.public}
    loading = [settings, {"integrations": {"Segment.io": segment_io}}]
    (folder / "loading.js").write_text(f"window.loading = {json.dumps(loading)}")
    with shop_origin(folder, tls(deployment)) as origin, open_shop(ANY_CERTIFICATE) as someone:
        someone.page.goto(f"{origin}/shop.html")
        someone.page.add_script_tag(path=HERE / "seed_calls.js")
        calls = someone.wait_calls(3)
        assert_clean(someone, "older")
        assert [urlsplit(post.url).path for post in someone.posts] == ["/v1/b"]

    deployment.server.wait_processed()
    assert deployment.server.customer("userId123")["email"] == "john.doe@segment.com"
    kept = {entry["id"] for entry in deployment.server.timeline("userId123")}
    assert kept >= {call["messageId"] for call in calls if call["type"] != "identify"}


def tls(deployment: Deployment) -> ssl.SSLContext:
    """The stranger's own web server speaks TLS too: a page on https may not call a host on http."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(deployment.certificate.certificate, deployment.certificate.key)
    return context


def test_a_client_cannot_choose_its_address_through_nginx(deployment: Deployment) -> None:
    call = a_call(deployment.website, "spoofed-through-nginx")
    answer = https("POST", f"{deployment.public}/v1/track", call, {"X-Forwarded-For": SOMEBODY})
    assert (answer.status, answer.json()) == (200, {"success": True})
    assert address_of(deployment.server, "spoofed-through-nginx") == SHOPPER


def test_an_untrusted_peer_is_not_believed(deployment: Deployment) -> None:
    url = f"{deployment.server.url}/v1/track"
    for peer, believed in ((SHOPPER, SHOPPER), (LOOPBACK, SOMEBODY)):
        message_id = f"direct-from-{peer}"
        call = a_call(deployment.website, message_id)
        assert request("POST", url, call, {"X-Forwarded-For": SOMEBODY}, source_address=peer).status == 200
        assert address_of(deployment.server, message_id) == believed


def test_a_back_end_has_no_shoppers_address(deployment: Deployment) -> None:
    assert https("POST", f"{deployment.public}/v1/track", a_call(deployment.backend, "from-the-back-end")).status == 200
    assert address_of(deployment.server, "from-the-back-end") is None


def test_calls_without_tls_are_refused_and_pages_redirected(deployment: Deployment) -> None:
    for path in ("/v1/track", "/v1/batch", "/segment"):
        answer = request("POST", f"{deployment.plain}{path}", a_call(deployment.website, "in-the-open"))
        assert (answer.status, answer.json()["code"]) == (403, "https_required")
    answer = request("GET", f"{deployment.plain}/customers")
    assert (answer.status, answer.headers["location"]) == (301, f"https://{LOOPBACK}/customers")


def test_metrics_are_not_public(deployment: Deployment) -> None:
    assert https("GET", f"{deployment.public}/metrics").status == 403
    assert https("GET", f"{deployment.public}/health").status == 200


def test_while_the_server_is_away_clients_are_told_to_come_back(tmp_path: Path) -> None:
    with nginx(tmp_path / "nginx", f"{LOOPBACK}:{free_port()}", self_signed(tmp_path)) as (port, _):
        answer = https("POST", f"https://localhost:{port}/v1/batch", b"{}")
    assert (answer.status, answer.json()["success"]) == (503, False)
    assert answer.headers["access-control-allow-origin"] == "*"
