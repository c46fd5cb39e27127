"""How values are shown: money, times, lengths, JSON and links; and what an entry of the timeline says."""

import msgspec
import pytest
from markupsafe import escape

from richpanel.store.timeline import TimelineItem
from richpanel.web.activity import entry, fields_of, grouped
from richpanel.web.rendering import duration, initials, moment, money, pretty, short_url, web_link


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("1234.50", "USD", "$1,234.50"),
        ("0.00", "EUR", "€0.00"),
        ("-5", "usd", "-$5.00"),
        ("1200", "JPY", "¥1,200"),
        ("12.5", None, "12.50"),
        ("12.5", "<b>", "12.50 <b>"),
        ("12.5", "XXQ", "XXQ12.50"),
        (None, "USD", "–"),
        ("free", "USD", "free"),
        ("NaN", "USD", "NaN USD"),
        ("1e999999", "USD", "1e999999 USD"),
    ],
)
def test_money(amount: str | None, currency: str | None, shown: str) -> None:
    assert money(amount, currency).replace("\xa0", "") == shown


def test_times_have_a_fallback_in_utc() -> None:
    assert moment("2025-11-23T16:05:00.000Z", "clock") == (
        '<time datetime="2025-11-23T16:05:00.000Z" data-as="clock">16:05 UTC</time>'
    )
    assert ">23 Nov 2025<" in moment("2025-11-23T16:05:00.000Z", "day")
    assert ">1 Jan 2026 00:00 UTC<" in moment(1_767_225_600_000)
    assert moment(None) == "–"
    assert moment("no time") == "no time"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (0.4, "0 s"), (61, "1 min 1 s"), (3_600, "1 h"), (90_061, "1 d 1 h"), (None, "–")],
)
def test_lengths(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "//x", "http://", "https:x", "http://[", "x"],
)
def test_only_web_addresses_are_links(url: str) -> None:
    assert web_link(url) == url
    assert "<a" not in escape(web_link(url))


def test_a_link_is_escaped_and_tells_nothing() -> None:
    assert web_link('https://x.example/?a="><script>') == (
        '<a href="https://x.example/?a=&#34;&gt;&lt;script&gt;" rel="noreferrer noopener nofollow" target="_blank">'
        "https://x.example/?a=&#34;&gt;&lt;script&gt;</a>"
    )
    assert short_url("https://x.example/a/?b=c") == "x.example/a"
    assert short_url("javascript:x") == "javascript:x"


def test_json_keeps_its_digits() -> None:
    raw = msgspec.Raw(b'{"a":1.500,"b":123456789012345678901234567890,"c":{"d":"e"},"f":[1.0]}')
    assert "1.500" in pretty(raw)
    assert fields_of(raw) == [("a", "1.500"), ("b", "123456789012345678901234567890"), ("c.d", "e"), ("f", "[1.0]")]
    assert fields_of(msgspec.Raw(b"[1]")) == []
    assert pretty(b"\xff{") == "�{"


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Ada Lovelace", "AL"),
        ("ada.lovelace@example.com", "AL"),
        ("Ada", "A"),
        ("<script>", "·"),
        ("", "·"),
        (None, "·"),
    ],
)
def test_initials(name: str | None, letters: str) -> None:
    assert initials(name) == letters


def item(kind: str, event: str | None, session: str | None = None, **properties: object) -> TimelineItem:
    """An item of a timeline."""
    return TimelineItem(
        id="m",
        type=kind,
        event=event,
        timestamp="2025-11-23T16:05:00.000Z",
        session_id=session,
        properties=msgspec.Raw(msgspec.json.encode(properties)),
        source="src",
        channel="email" if kind == "channel" else None,
    )


@pytest.mark.parametrize(
    ("shown", "icon", "name", "detail"),
    [
        (item("page", "Pricing", path="/pricing"), "page", "Viewed Pricing", "/pricing"),
        (item("page", None, url="https://x"), "page", "Viewed a page", "https://x"),
        (
            item("track", "Order Completed", order_id="7", total=9, currency="EUR"),
            "bag",
            "Order Completed",
            "7 · €9.00",
        ),
        (item("track", "Order Refunded", order_id="7"), "back", "Order Refunded", "7"),
        (item("track", "Order Shipped", order_id="7"), "truck", "Order Shipped", "7"),
        (item("track", "Product Added", name="Mug", price=22.0), "cart", "Product Added", "Mug · 22.00"),
        (item("track", "Clicked"), "bolt", "Clicked", ""),
        (item("channel", "email", subject="Where?"), "mail", "Email message", "Where?"),
        (item("became_customer", "Became a customer"), "person", "Became a customer", ""),
    ],
)
def test_an_entry_says_what_happened(shown: TimelineItem, icon: str, name: str, detail: str) -> None:
    made = entry(shown)
    assert (made.icon, made.name, made.detail) == (icon, name, detail)


def test_entries_are_grouped_by_their_session() -> None:
    items = [item("channel", "email"), item("page", "A", "s2"), item("page", "B", "s2"), item("page", "C", "s1")]
    groups = grouped([*items, item("became_customer", None)], {})
    assert [(group.title, len(group.entries)) for group in groups] == [
        ("Conversation", 1),
        ("Session", 2),
        ("Session", 1),
        ("Profile", 1),
    ]
