"""What browsers fetch: settings, Segment's own SDK, the pixel."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from richpanel.source.asgi import DoorOptions
from richpanel.source.browser import GIF, Library, public_place
from tests.source.running import Running, running, track

PACKAGE = Path(__file__).parents[2] / "node_modules" / "@segment" / "analytics-next"


@pytest.fixture(scope="module")
def options() -> DoorOptions:
    return DoorOptions(browser_package=PACKAGE, trusted_proxies=("127.0.0.1",))


async def test_settings(door: Running) -> None:
    source = door.add()
    for slash in ("", "/"):
        answer = await door.request("GET", f"/v1/projects/{source.write_keys[0]}/settings{slash}")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        segment = {"apiKey": source.write_keys[0], "apiHost": "track.example/v1", "protocol": "http"}
        assert answer.json()["integrations"] == {"Segment.io": segment}


async def test_settings_behind_a_proxy(door: Running) -> None:
    source = door.add()
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example"}
    answer = await door.request("GET", f"/v1/projects/{source.write_keys[0]}/settings", headers=headers)
    segment = answer.json()["integrations"]["Segment.io"]
    assert (segment["apiHost"], segment["protocol"]) == ("shop.example/v1", "https")


@pytest.mark.parametrize("key", ["unknown", "0" * 32, "%00", "..%2F.."])
async def test_settings_of_nobody(door: Running, key: str) -> None:
    answer = await door.request("GET", f"/v1/projects/{key}/settings")
    assert answer.status == 404
    assert answer.code == "invalid_write_key" or "%2F" in key


async def test_a_connectors_key_has_no_settings(door: Running) -> None:
    answer = await door.request("GET", f"/v1/projects/{door.add('segment').write_keys[0]}/settings")
    assert answer.status == 404


async def test_settings_with_a_public_url(tmp_path: Path) -> None:
    async with running(tmp_path, DoorOptions(public_url="https://t.example/segment/")) as door:
        answer = await door.request("GET", f"/v1/projects/{door.add().write_keys[0]}/settings")
    segment = answer.json()["integrations"]["Segment.io"]
    assert (segment["apiHost"], segment["protocol"]) == ("t.example/segment/v1", "https")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://t.example", ("https", "t.example")),
        ("http://127.0.0.1:8000/", ("http", "127.0.0.1:8000")),
        ("https://t.example/a/b/", ("https", "t.example/a/b")),
    ],
)
def test_public_places(url: str, place: tuple[str, str]) -> None:
    assert public_place(url) == place


async def test_head_is_answered_without_a_body(door: Running) -> None:
    path = f"/v1/projects/{door.add().write_keys[0]}/settings"
    async with door.connection() as connection:
        await connection.write(f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        said = await connection.reader.read()
    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.endswith(b"\r\n\r\n")


# -------------------------------------------------------------------------------------------------------- the SDK


@pytest.mark.parametrize("encoding", ["", "gzip, deflate, br"])
async def test_the_sdk_with_its_key(door: Running, encoding: str) -> None:
    key = door.add().write_keys[0]
    headers = {"Accept-Encoding": encoding}
    answer = await door.request("GET", f"/analytics.js/v1/{key}/analytics.min.js", headers=headers)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers.get("content-encoding") == ("gzip" if encoding else None)
    script = gzip.decompress(answer.body) if encoding else answer.body
    installed = (PACKAGE / "dist" / "umd" / "standalone.js").read_bytes()
    assert script.endswith(installed.replace(b'"__WRITE_KEY__"', f'"{key}"'.encode()))
    assert b'"__WRITE_KEY__"' not in script


async def test_the_sdk_of_nobody(door: Running) -> None:
    answer = await door.request("GET", "/analytics.js/v1/unknown/analytics.min.js")
    assert (answer.status, answer.code) == (404, "invalid_write_key")


@pytest.mark.parametrize("package", [None, Path("/nowhere")])
async def test_the_sdk_is_not_installed(tmp_path: Path, package: Path | None) -> None:
    async with running(tmp_path, DoorOptions(browser_package=package)) as door:
        answer = await door.request("GET", f"/analytics.js/v1/{door.add().write_keys[0]}/analytics.min.js")
        assert (answer.status, answer.code) == (404, "not_found")
        assert "npm package @segment/analytics-next is not installed" in answer.json()["message"]
        assert (await door.request("GET", "/analytics-next/bundles/x.js")).status == 404


@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_the_files_that_the_sdk_loads(door: Running, encoding: str) -> None:
    names = [path.name for path in (PACKAGE / "dist" / "umd").glob("*.bundle.*.js")]
    assert names
    for name in names:
        headers = {"Accept-Encoding": encoding}
        answer = await door.request("GET", f"/analytics-next/bundles/{name}", headers=headers)
        body = gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body
        assert (answer.status, body) == (200, (PACKAGE / "dist" / "umd" / name).read_bytes())
        assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "nothing.js",
        "../standalone.js",
        "..%2f..%2f..%2fpackage.json",
        "%2e%2e/package.json",
        "standalone.js.map",
        "a%00.js",
    ],
)
async def test_no_other_files(door: Running, name: str) -> None:
    answer = await door.request("GET", f"/analytics-next/bundles/{name}")
    assert (answer.status, answer.code) == (404, "not_found")


def test_a_library_reads_nothing_before_it_is_asked(tmp_path: Path) -> None:
    assert Library(tmp_path / "missing").missing


# -------------------------------------------------------------------------------------------------------- the pixel


def pixel(content: object, *, plain: bool = True) -> str:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return quote(base64.b64encode(body).decode()) if plain else base64.urlsafe_b64encode(body).decode().rstrip("=")


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("kind", ["identify", "track", "page", "screen", "group", "alias"])
async def test_a_pixel_is_a_call(door: Running, kind: str, plain: bool) -> None:
    source = door.add()
    call = {
        "writeKey": source.write_keys[0],
        "event": "Email Opened ~~~???",
        "userId": "u",
        "previousId": "a",
        "groupId": "g",
    }
    answer = await door.request("GET", f"/v1/pixel/{kind}?data={pixel(call, plain=plain)}")
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "image/gif", GIF)
    assert door.bodies(source) == [call]
    kept = door.record(source).meta
    assert (kept.type, kept.ip, list(kept.ids)) == (kind, "127.0.0.1", [0])


PIXELS: list[Any] = [
    "",
    "data=",
    "data=%%%",
    "data=***",
    f"data={pixel(b'{')}",
    f"data={pixel({})}",
    "x=1",
    "data=" + "A" * 50_000,
]
PIXELS += [f"data={pixel({'writeKey': 'unknown', **track()})}", "data=a&data=b", "&" * 100]


@pytest.mark.parametrize("query", PIXELS)
async def test_a_pixel_is_shown_whatever_is_in_it(door: Running, query: str) -> None:
    before = len(door.records())
    answer = await door.request("GET", f"/v1/pixel/track?{query}")
    assert (answer.status, answer.body) == (200, GIF)
    assert len(door.records()) == before


async def test_a_bad_call_in_a_pixel_is_a_discard(door: Running) -> None:
    source = door.add()
    await door.request("GET", f"/v1/pixel/track?data={pixel({'writeKey': source.write_keys[0]})}")
    assert [code for code, _ in door.discards(source)] == ["event_not_defined"]


def test_the_pixel_is_a_gif_of_one_by_one() -> None:
    assert GIF[:6] == b"GIF89a"
    assert GIF[6:10] == bytes([1, 0, 1, 0])
    assert GIF[-1:] == b";"
