"""The live debugger: what arrives of a source, over a stream of events that nobody can make heavy."""

import http.client
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from richpanel.core.codes import Code
from richpanel.core.record import Discard
from richpanel.web import following
from richpanel.web.following import Follower, look_at
from richpanel.web.stores import SharedLog
from tests.web.browser import reading
from tests.web.running import Site
from tests.web.story import HOSTILE
from tests.web.test_connections import text
from tests.web.test_pages import axe

BAD = (Discard(Code.EVENT_NOT_DEFINED, 40, "m-bad"), b'{"type":"track","userId":"ann","messageId":"m-bad"}')
UNREADABLE = (Discard(Code.INVALID_JSON, 2), b"{x")


@pytest.fixture
def signed(site: Site) -> Site:
    site.sign_in()
    return site


def call(number: int, **fields: Any) -> dict[str, Any]:
    return {"type": "track", "userId": "ann", "event": "Mug Dropped", "messageId": f"m{number}", **fields}


@dataclass
class Events:
    """A stream as a browser reads it."""

    answer: http.client.HTTPResponse
    last_id: str = ""
    beats: int = 0
    skipped: bool = False
    seen: list[dict[str, Any]] = field(default_factory=list)

    def read(self, count: int) -> list[dict[str, Any]]:
        """Read on until so many messages have come."""
        until = time.monotonic() + 60
        while len(self.seen) < count:
            assert time.monotonic() < until, f"{len(self.seen)} came"
            self.line()
        return self.seen

    def line(self) -> None:
        line = self.answer.readline().decode()
        assert line, "the stream has ended"
        if line.startswith("id: "):
            self.last_id = line[4:].strip()
        elif line.startswith(":"):
            self.beats += 1
        elif line.startswith("data: "):
            told = json.loads(line[6:])
            self.seen += told["messages"]
            self.skipped |= told["skipped"]


@contextmanager
def following_source(site: Site, source: str = "Website", after: int | str = "", **headers: str) -> Iterator[Events]:
    parts = urlsplit(site.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    cookies = "; ".join(f"{name}={value}" for name, value in site.cookies.items())
    path = f"/sources/{site.source(source).id}/debugger/events?after={after}"
    connection.request("GET", path, headers={"Cookie": cookies, **headers})
    answer = connection.getresponse()
    try:
        yield Events(answer)
    finally:
        answer.close()
        connection.close()


def after_of(site: Site) -> str:
    return text(site.page(f"/sources/{site.source().id}/debugger")).partition('data-after="')[2].partition('"')[0]


# ------------------------------------------------------------------------------------------------------------ the page


def test_the_page_begins_with_what_came_last(signed: Site) -> None:
    signed.send([call(1), call(2, properties={"x": 1.50})], discards=[BAD, UNREADABLE])
    signed.send([{"type": "page", "userId": "bob", "name": "Elsewhere", "messageId": "m-other"}], source="Segment")
    signed.process()
    page = text(signed.page(f"/sources/{signed.source().id}/debugger"))
    order = [page.index(each) for each in ("invalid_json", "event_not_defined", ">m2<", ">m1<")]
    assert order == sorted(order), "newest first"
    assert "&#34;x&#34;: 1.5" in page
    assert f'/messages/m-bad?source={signed.source().id}"' in page
    assert "Elsewhere" not in page
    assert "<script>" not in page
    assert signed.page("/sources/src_unknown/debugger").status == 404
    assert signed.page("/sources/src_unknown/debugger/events").status == 404
    signed.cookies.clear()
    assert signed.page(f"/sources/{signed.source().id}/debugger/events").status == 303


# ---------------------------------------------------------------------------------------------------------- the stream


def test_what_arrives_comes_as_it_was_sent_with_what_was_refused(signed: Site) -> None:
    with following_source(signed, after=after_of(signed)) as events:
        assert events.answer.status == 200
        headers = {key.lower(): value for key, value in events.answer.getheaders()}
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["cache-control"] == "no-store"
        assert "script-src 'self'" in headers["content-security-policy"]
        signed.send([call(1, writeKey="wk", properties={"x": 0.10})], discards=[BAD, UNREADABLE])
        signed.send([call(9)], source="Segment")
        signed.send([{"type": "identify", "anonymousId": "a1", "traits": {"n": HOSTILE}}])
        good, bad, unreadable, identify = events.read(4)
    assert (good["messageId"], good["event"], good["person"], good["code"]) == ("m1", "Mug Dropped", "ann", None)
    assert "wk" not in good["body"]
    assert '"x": 0.1' in good["body"]
    assert (bad["messageId"], bad["code"], bad["reason"]) == ("m-bad", "event_not_defined", Code.EVENT_NOT_DEFINED.text)
    assert (unreadable["code"], unreadable["body"], unreadable["messageId"]) == ("invalid_json", "{x", None)
    assert (identify["type"], identify["person"]) == ("identify", "a1")


def test_a_stream_goes_on_where_it_broke_off(signed: Site) -> None:
    with following_source(signed, after=after_of(signed)) as events:
        signed.send([call(1)])
        events.read(1)
        last = events.last_id
    signed.send([call(2)])
    signed.send([call(3)])
    with following_source(signed, after="0", **{"Last-Event-ID": last}) as events:
        assert [each["messageId"] for each in events.read(2)] == ["m2", "m3"]
        assert not events.skipped


def test_what_is_on_the_page_has_the_same_place_in_the_stream(signed: Site) -> None:
    signed.send([call(1), call(2)], discards=[BAD])
    signed.process()
    page = text(signed.page(f"/sources/{signed.source().id}/debugger"))
    with following_source(signed, after="0") as events:
        for each in events.read(3):
            assert f'data-place="{each["place"]}"' in page


@pytest.mark.parametrize("after", ["", "x", "-1", "3", "9" * 19, "9" * 30])
def test_a_position_that_is_none_goes_on_at_the_end(signed: Site, after: str) -> None:
    signed.send([call(1)])
    with following_source(signed, after=after) as events:
        until = time.monotonic() + 60
        while not events.last_id and time.monotonic() < until:
            events.line()
        signed.send([call(2)])
        assert [each["messageId"] for each in events.read(1)] == ["m2"]


def test_a_quiet_stream_beats_and_so_many_may_be_open(signed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "STREAMS", 1)
    with following_source(signed, after=after_of(signed)) as events:
        while not events.beats:
            events.line()
        with following_source(signed) as second:
            assert second.answer.status == 429
        assert events.last_id.isdigit()
    until = time.monotonic() + 60
    while True:  # It is given back once its client is seen to be gone.
        with following_source(signed) as next_one:
            if next_one.answer.status == 200:
                break
        assert time.monotonic() < until
        time.sleep(0.2)


def test_a_flood_is_looked_at_in_bounded_pieces(signed: Site) -> None:
    padding = {"text": "x" * 10_000}
    signed.send([call(number, properties=padding) for number in range(300)])
    look = look_at(SharedLog(signed.reader), signed.source().id, 0)
    assert look.skipped
    assert 0 < len(look.seen) <= 100
    assert sum(len(each.body) for each in look.seen) <= (512 << 10)
    assert look.seen[-1].message_id == "m299", "the newest of a piece"


def test_one_who_is_far_behind_goes_on_at_the_end(signed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_READ_BYTES", 100)
    for number in range(20):
        signed.send([call(number)])
    with following_source(signed, after="0") as events:
        assert [each["messageId"] for each in events.read(3)] == ["m0", "m1", "m2"]
        assert events.skipped
        signed.send([call(99)])
        assert events.read(4)[3]["messageId"] == "m99"


def test_a_client_that_reads_nothing_holds_up_nobody(signed: Site) -> None:
    with following_source(signed, after="0"):  # It never reads.
        padding = {"text": "x" * 20_000}
        for start in range(0, 1_000, 20):
            signed.send([call(start + each, properties=padding) for each in range(20)])
        time.sleep(3)
        with following_source(signed, after=str(signed.reader.durable())) as events:
            signed.send([call(5_000)])
            assert events.read(1)[0]["messageId"] == "m5000"
        assert signed.page("/sources").status == 200


async def test_a_follower_that_nobody_asks_costs_nothing(signed: Site) -> None:
    follower = Follower(SharedLog(signed.reader))
    stream = follower.stream(signed.source().id, 0)
    assert not follower.is_full
    assert await anext(stream) == b"retry: 2000\n\n"
    await stream.aclose()
    assert follower._streams == 0
    follower.close()


# -------------------------------------------------------------------------------------------------------- in a browser


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_somebody_watches_a_source(site: Site, width: int, dark: bool) -> None:
    site.send([call(1)], discards=[UNREADABLE])
    site.process()
    with reading(site, width=width, dark=dark) as reader:
        page = reader.sign_in()
        reader.go(f"/sources/{site.source().id}")
        page.get_by_role("link", name="Debugger").click()
        rows = page.locator("#feed > li:visible")
        expect(page.locator("#feed-status")).to_have_text("Live")
        expect(rows).to_have_count(2)
        expect(page.locator("#feed-empty")).not_to_be_visible()
        expect(page.locator("#feed-skipped")).not_to_be_visible()
        site.send([call(2, event=HOSTILE, properties={"price": 12.50, "big": 12345678901234567890})])
        expect(rows).to_have_count(3, timeout=10_000)
        expect(rows.first).to_contain_text(HOSTILE)
        rows.first.locator("summary").click()
        expect(rows.first.locator("pre")).to_contain_text('"big": 12345678901234567890')
        expect(rows.first.locator("pre")).to_have_text(re.compile(r"\n    "))
        page.get_by_role("button", name="Raw").click()
        assert "\n" not in rows.first.locator("pre").inner_text()
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#feed-status")).to_have_text("Paused")
        site.send([call(3, event="Kettle Boiled")], discards=[BAD])
        page.wait_for_timeout(1_500)
        expect(rows).to_have_count(3)
        page.get_by_role("button", name="Go on").click()
        expect(rows).to_have_count(5, timeout=10_000)
        page.get_by_placeholder("Search in what is shown").fill("kettle")
        expect(rows).to_have_count(1)
        site.process()
        rows.first.locator("summary").click()
        rows.first.get_by_role("link", name="Trace").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Kettle Boiled")


@pytest.mark.browser
def test_five_hundred_are_kept_and_a_broken_stream_comes_back(site: Site) -> None:
    with reading(site) as reader:
        page = reader.sign_in()
        reader.go(f"/sources/{site.source().id}/debugger")
        expect(page.locator("#feed-status")).to_have_text("Live")
        rows = page.locator("#feed > li")
        for start in range(0, 600, 60):
            site.send([call(start + each) for each in range(60)])
            expect(rows.first).to_contain_text("Mug Dropped", timeout=10_000)
            expect(page.locator(f'#feed code:text-is("m{start + 59}")')).to_have_count(1, timeout=10_000)
        expect(rows).to_have_count(500)
        page.context.set_offline(True)
        page.wait_for_timeout(500)
        page.context.set_offline(False)
        site.send([call(9_999)])
        expect(page.locator('#feed code:text-is("m9999")')).to_have_count(1, timeout=15_000)
        reader.faults[:] = [each for each in reader.faults if "ERR_INTERNET_DISCONNECTED" not in each]
