"""`docs/reference/ingest.md` names the door's paths, its codes and its limits as they are."""

import re
from pathlib import Path

import pytest

from richpanel.core.codes import Code
from richpanel.core.message import (
    MAX_BATCH_ITEMS,
    MAX_INFLATED_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_MESSAGE_ID,
    MAX_REQUEST_BYTES,
    TYPES,
)
from richpanel.core.record import MAX_DISCARD_BYTES
from richpanel.roles.serving import HEAD_SECONDS, MAX_CONNECTIONS, MAX_HEAD_BYTES
from richpanel.source.asgi import DoorOptions
from richpanel.source.partner import MAX_SETTINGS_HEADER
from richpanel.source.scan import MAX_DEPTH
from tests.source.running import running

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "ingest.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (\d+) \| (.+) \|$", re.MULTILINE)
PATH = re.compile(r"`(GET|POST) (/[^`]+)`")
NOT_THE_DOORS = {Code.INVALID_SETTINGS, Code.NO_SENDER, Code.MAIL_UNREADABLE, Code.MAIL_TOO_LARGE}


def test_every_code_is_named() -> None:
    named = {code: (int(status), text) for code, status, text in ROW.findall(PAGE)}
    known = {code.value: (code.status, code.text) for code in Code if code.status >= 400 and code not in NOT_THE_DOORS}
    assert named == known


@pytest.mark.parametrize(
    "limit",
    [
        f"| one call | {MAX_MESSAGE_BYTES:,} bytes",
        f"| a request | {MAX_REQUEST_BYTES:,} bytes",
        f"| {MAX_INFLATED_BYTES >> 20} MiB |",
        f"| {MAX_BATCH_ITEMS:,} calls |",
        f"| {MAX_DEPTH} levels in a call |",
        f"| {MAX_MESSAGE_ID} characters |",
        f"| {DoorOptions().body_seconds:.0f} seconds |",
        f"| {HEAD_SECONDS:.0f} seconds, {MAX_HEAD_BYTES >> 10} KiB |",
        f"| {MAX_CONNECTIONS:,}, fewer",
        f"| {DoorOptions().wait_seconds:.0f} second, {DoorOptions().unfinished_bytes >> 20} MiB |",
        f"up to {MAX_DISCARD_BYTES:,} bytes",
        f"it may have {MAX_SETTINGS_HEADER >> 10} KiB",
    ],
)
def test_every_limit_is_as_it_is(limit: str) -> None:
    assert limit in PAGE


async def test_every_path_is_there(tmp_path: Path) -> None:
    paths = PATH.findall(PAGE.partition("## Paths")[2].partition("## Credentials")[0])
    assert len(paths) == 24
    assert {path.removeprefix("/v1/") for _, path in paths} >= {*TYPES, *"itpsga"}
    async with running(tmp_path) as door:
        key = door.add().write_keys[0]
        for method, path in paths:
            exact = path.replace("{writeKey}", key).replace("{type}", "track").replace("{file}", "x.js")
            for slash in ("", "/"):
                asked = await door.request("OPTIONS", exact + slash)
                assert method in asked.headers["allow"].split(", ")
                assert ("POST" in asked.headers["allow"]) != ("GET" in asked.headers["allow"]), exact
