"""Debian's nginx with docs/howto/nginx.conf, for the length of a block."""

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.sdk.network import LOOPBACK, free_port

DOCUMENTED = Path(__file__).parents[2] / "docs" / "howto" / "nginx.conf"
START_SECONDS = 60.0

# What the distribution's own nginx.conf is to the file in conf.d; the folders are the test's.
AROUND = """
user {user};
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/richpanel.conf;
}}
"""


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for localhost."""

    certificate: Path
    key: Path


def self_signed(folder: Path) -> Certificate:
    """A certificate for localhost that no one vouches for, made by openssl."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    files = ("-keyout", str(made.key), "-out", str(made.certificate))
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files)
    subprocess.run(command, check=True, capture_output=True)
    return made


def site(upstream: str, https: int, plain: int, made: Certificate) -> str:
    """The documented configuration with the name, the paths and the ports of the test, all else untouched."""
    text = DOCUMENTED.read_text(encoding="utf-8")
    replaced = {
        "/etc/ssl/certs/collect.example.com.pem": str(made.certificate),
        "/etc/ssl/private/collect.example.com.key": str(made.key),
        "server_name collect.example.com;": "server_name localhost;",
        "listen 443 ssl": f"listen {LOOPBACK}:{https} ssl",
        "listen 80;": f"listen {LOOPBACK}:{plain};",
        "server 127.0.0.1:8000;": f"server {upstream};",
    }
    for documented, ours in replaced.items():
        assert documented in text, f"docs/howto/nginx.conf no longer says: {documented}"
        text = text.replace(documented, ours)
    return text


@contextmanager
def nginx(folder: Path, upstream: str, made: Certificate, https: int = 0) -> Iterator[tuple[int, int]]:
    """Runs nginx in front of `upstream` (host:port); gives its https port (`https` where given) and its http port."""
    https, plain = https or free_port(), free_port()
    folder.mkdir()
    (folder / "richpanel.conf").write_text(site(upstream, https, plain, made))
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, user=getpass.getuser()))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    command = (program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf"))
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_listening(process, https)
        yield https, plain
    finally:
        process.terminate()
        _, said = process.communicate(timeout=10)
    assert said == b"", said.decode()


def wait_listening(process: subprocess.Popen[bytes], port: int) -> None:
    """Waits until the port takes connections."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"nginx does not listen on port {port}")
