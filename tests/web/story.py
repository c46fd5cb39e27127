"""A small shop's story: a visitor who becomes a customer, orders, a refund, a letter, and calls that went wrong."""

from typing import Any

from richpanel.core.codes import Code
from richpanel.core.record import Discard
from richpanel.core.timestamps import iso
from tests.web.running import NOW, Site

UID = "gid://shopify/Customer/42"
DEVICE = "5b1c9f0e-a7d2-4c01-b0c1-0123456789ab"
LURKER = "visitor/with slash?"
HOSTILE = '<script>alert("x")</script>\'"><img src=x onerror=alert(1)>'
MINUTE = 60_000
AGENT = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36"
)
PERSON = {"userId": UID, "anonymousId": DEVICE}
CONTEXT = {
    "userAgent": AGENT,
    "page": {"url": "https://shop.example/mugs", "referrer": "https://search.example/"},
    "campaign": {"name": "autumn", "source": "search", "medium": "cpc"},
}
ORDER = {
    "order_id": "1001",
    "total": 45.5,
    "currency": "USD",
    "order_status": "completed",
    "products": [{"name": "Mug, blue", "price": 20, "quantity": 2}],
}
REFUND = {"order_id": "1001", "total": 5.5, "order_status": "partly refunded"}
TRAITS = {"email": "ada@example.com", "name": "Ada Lovelace", "points": 12.50, "plan": None}
LETTER = {
    "from": {"email": "ada@example.com"},
    "subject": "Where is my order?",
    "body": f"Hello,\n\nmy mug has not come:\nhttps://track.example/{'0123456789' * 20}",
    "id": "letter-1",
    "attachments": [
        {"name": f"{'a-long-name-' * 9}.png", "contentType": "image/png", "size": 482_113},
        {"contentType": "application/pdf", "size": 18_234_567},
    ],
}


def call(kind: str, number: str, minutes: int, **fields: Any) -> dict[str, Any]:
    """A call of Segment's, `minutes` after the story's beginning (a day ago)."""
    t = iso(NOW - 1_440 * MINUTE + minutes * MINUTE)
    return {"type": kind, "messageId": number, "timestamp": t, **fields}


def tell(site: Site) -> None:
    """Put the story into the log and apply it."""
    mug = {"name": "Mug, blue", "price": 20}
    session = {"richpanel_session_id": "abc123"}
    order = call("track", "m-order", 5, **PERSON, event="Order Completed", properties=ORDER)
    site.send(
        [
            call("page", "m-page", 0, anonymousId=DEVICE, name="Mugs", properties={"path": "/mugs"}, context=CONTEXT),
            call("track", "m/added", 2, anonymousId=DEVICE, event="Product Added", properties=mug, context=CONTEXT),
            call("identify", "m-identify", 3, **PERSON, traits=TRAITS),
            order,
            call("page", "m-pricing", 9, **PERSON, name="Pricing", properties=session),
            call("track", "m-refund", 600, **PERSON, event="Order Refunded", properties=REFUND),
            call("page", "m-lurker", 30, anonymousId=LURKER, name="Home"),
            call("screen", "m-screen", 31, anonymousId=LURKER, name="Start"),
            call("track", "m-off", 32, anonymousId=LURKER, event="Off", integrations={"Richpanel": False}),
        ],
        discards=[(Discard(Code.NO_USER_ANON_ID, 34, "m-bad"), b'{"type":"page","messageId":"m-bad"}')],
    )
    site.send([order])
    assert site.api("POST", "/channels/email/messages", LETTER).status == 202
    site.process()
