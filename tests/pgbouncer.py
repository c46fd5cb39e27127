"""Debian's PgBouncer in front of the suite's PostgreSQL: on a free loopback port, as nobody special."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg

from tests.postgres_server import PostgresServer
from tests.sdk.network import LOOPBACK, free_port

_START_SECONDS: Final = 60.0
_OWNER: Final = "postgres"
"""It refuses to run as root; PostgreSQL's package brings this user."""


@contextmanager
def pgbouncer(postgres: PostgresServer, mode: str, **settings: str) -> Iterator[str]:
    """Run one that pools by `mode`, and else as its package has it; give the URL of `postgres` behind it."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="richpanel-pgbouncer-") as folder:
        given = {
            "listen_addr": LOOPBACK,
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": mode,
            "default_pool_size": "60",
            **settings,
        }
        lines = [f"{name} = {value}" for name, value in given.items()]
        where = f"* = host={postgres.host} port={postgres.port} user=richpanel"
        rules = Path(folder, "pgbouncer.ini")
        rules.write_text("\n".join(["[databases]", where, "[pgbouncer]", *lines, ""]))
        command = [program, "-q", str(rules)]
        if os.geteuid() == 0:
            owner = pwd.getpwnam(_OWNER)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            command = ["setpriv", f"--reuid={_OWNER}", f"--regid={_OWNER}", "--clear-groups", *command]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as run:
            try:
                url = f"postgresql://richpanel@{LOOPBACK}:{port}/"
                deadline = time.monotonic() + _START_SECONDS
                while not _answers(f"{url}postgres"):
                    assert run.poll() is None, run.stdout and run.stdout.read()
                    assert time.monotonic() < deadline, "PgBouncer does not answer"
                    time.sleep(0.05)
                yield url
            finally:
                run.terminate()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
