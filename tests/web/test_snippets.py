"""The snippets that a source's page gives work as they are: pasted into a shop's page, into a program, into a shell."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from richpanel.web.snippets import channel_call, snippets
from tests.server import Server
from tests.server import Source as Added
from tests.web.browser import ARGUMENTS

pytestmark = pytest.mark.sdk


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The whole server."""
    with Server(tmp_path_factory.mktemp("snippets") / "data") as running:
        yield running


def code(server: Server, source: Added, key: str) -> str:
    """The text of a snippet."""
    return next(snippet.code for snippet in snippets(server.url, source.write_key, source.type) if snippet.key == key)


@contextmanager
def shop_page(html: str) -> Iterator[str]:
    """A page of another origin."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(html.encode() if self.path == "/" else b"")

        def log_message(self, *_: object) -> None:
            pass

    shop = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=shop.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{shop.server_port}/"
    finally:
        shop.shutdown()
        thread.join()
        shop.server_close()


@pytest.mark.browser
def test_the_browser_snippet_queues_loads_and_sends(server: Server) -> None:
    source = server.add_source("Pasted")
    html = f"<!doctype html><title>Mugs</title><head>{code(server, source, 'browser')}</head><h1>Mugs</h1>"
    later = "<script>analytics.identify('pasted-1', {email: 'p@example.com'}); analytics.track('Mug Seen')</script>"
    chromium = shutil.which("chromium")
    assert chromium is not None
    with shop_page(html + later) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        page = browser.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(url)
        page.wait_for_function("window.analytics.initialized === true")
        page.wait_for_load_state("networkidle")
        browser.close()
    assert not faults
    server.wait_processed()
    assert server.customer("pasted-1")["email"] == "p@example.com"
    assert {item["type"] for item in server.timeline("pasted-1")} == {"page", "became_customer", "track"}


def test_the_python_snippet_runs(server: Server, tmp_path: Path) -> None:
    source = server.add_source("Program", "server")
    program = tmp_path / "program.py"
    program.write_text(code(server, source, "python") + "\nanalytics.flush()\n")
    subprocess.run([sys.executable, program], check=True, timeout=60)
    server.wait_processed()
    (order,) = server.get("/visitors/userId123/timeline")["data"]
    assert (order["event"], order["properties"]) == ("Order Completed", {"order_id": "1001", "total": 45.5})


@pytest.mark.parametrize("kind", ["web", "mobile", "server"])
def test_every_snippet_carries_host_and_key(kind: str) -> None:
    for snippet in snippets("https://calls.shop.example:8443", "k$'\\ey", kind):
        assert "calls.shop.example" in snippet.code, snippet.key
        assert "8443" in snippet.code, snippet.key
        assert "%(" not in snippet.code, snippet.key
    codes = {each.key: each.code for each in snippets("https://calls.shop.example:8443", "k$'\\ey", kind)}
    if kind == "server":
        assert r"""Segment::init('k$\'\\ey', ["host" => 'calls.shop.example:8443', "ssl" => true]);""" in codes["php"]
        assert 'host: "calls.shop.example",\n  port: 8443\n' in codes["ruby"]
        assert set(codes) == {"node", "python", "php", "ruby", "go", "java", "curl"}


def test_the_shell_snippets_run(server: Server) -> None:
    source = server.add_source("Shell", "mobile")
    done = subprocess.run(["sh", "-c", code(server, source, "curl")], capture_output=True, timeout=60, check=True)
    assert done.stdout == b'{"success":true}'
    letter = channel_call(server.url).replace("YOUR_API_TOKEN", server.token)
    accepted = subprocess.run(["sh", "-c", letter], capture_output=True, timeout=60, check=True)
    assert b'"accepted":true' in accepted.stdout
    server.wait_processed()
    timeline = server.timeline("userId123")
    assert [item["type"] for item in timeline] == ["channel", "became_customer", "track"]
