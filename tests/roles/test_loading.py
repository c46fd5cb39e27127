"""What a role loads: its memory is mostly that, so what it does not use it does without."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from richpanel.config import Settings, as_options

_STREAM = {"nats"}
_SQL = {"sqlalchemy", "psycopg", "alembic"}


def _loaded(told: str) -> set[str]:
    """Read the packages out of what `-X importtime` tells."""
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in told.splitlines() if "import time:" in line}


@pytest.mark.parametrize(
    ("role", "without"),
    [
        ("front", _STREAM | _SQL | {"litestar", "prometheus_client"}),
        ("web", _STREAM | {"psycopg", "alembic", "numpy", "aiohttp", "prometheus_client"}),
        ("process", _STREAM | {"psycopg", "alembic", "aiohttp", "litestar", "prometheus_client"}),
    ],
)
def test_role_loads_what_it_uses(role: str, without: set[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-c", f"import richpanel.roles.{role}"]
    loaded = _loaded(subprocess.run(command, capture_output=True, text=True, check=True).stderr)
    assert "richpanel" in loaded
    assert loaded & without == set()


@pytest.mark.parametrize("role", ["deliver", "engage"])
def test_role_that_waits_for_work_loads_hardly_anything(role: str, tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-P", "-m", "richpanel.app", role]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as waiting:
        assert waiting.stdin is not None
        assert waiting.stdout is not None
        start = {"settings": as_options(Settings(data=tmp_path)), "sockets": {}}
        waiting.stdin.write(json.dumps(start) + "\n")
        waiting.stdin.flush()
        assert json.loads(waiting.stdout.readline()) == {"ready": True}
        loaded = _loaded(waiting.communicate(timeout=30)[1])  # The parent is gone: so is the role.
    assert "richpanel" in loaded
    assert loaded & (_STREAM | _SQL | {"asyncio", "structlog", "aiohttp", "numpy"}) == set()
