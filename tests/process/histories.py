"""Histories of a few people, as hypothesis makes them up: shared devices, late, repeated and simultaneous messages."""

from typing import Any

from hypothesis import strategies as st

from tests.process.account import MINUTE, Arrived, at

UIDS = ("u1", "u2", "u3")
DEVICES = ("a1", "a2", "a3")
EMAILS = ("e1@x.example", " E2@X.example", "e3@x.example")
PHONES = ("+1 415 555 0101", "(415) 555-0102")
NAMES = ("Ada", "Bo")
SOURCES = ("Website", "App", "Backend", "Outlet")
ORDER_EVENTS = ("Order Completed", "Order Updated", "Order Refunded", "Order Cancelled", "Checkout Started")
BATCHES = (1, 2_000, 1 << 20)


times = st.builds(
    lambda quarters, ms: at(quarters * 15 + ms / MINUTE), st.integers(0, 12), st.sampled_from([0, 0, 0, -1, 1])
)
ids = st.fixed_dictionaries(
    {}, optional={"userId": st.sampled_from((*UIDS, "null")), "anonymousId": st.sampled_from(DEVICES)}
).filter(lambda given: given.get("anonymousId") or given.get("userId", "null") != "null")
context = st.fixed_dictionaries(
    {},
    optional={
        "page": st.fixed_dictionaries(
            {}, optional={"url": st.sampled_from(("/a", "/b")), "referrer": st.sampled_from(("/r", "/s"))}
        ),
        "campaign": st.builds(lambda name: {"name": name, "source": "news", "medium": "email"}, st.sampled_from("xy")),
        "traits": st.fixed_dictionaries({"email": st.sampled_from((*EMAILS, "none"))}),
        "userAgent": st.sampled_from(("Mozilla/5.0 (X11; Linux)", "Mozilla/5.0 (iPhone)")),
    },
)
properties = {
    "richpanel_session_id": st.sampled_from(("s1", "s2", "null")),
    "email": st.sampled_from((*EMAILS, "none")),
    "url": st.sampled_from(("/c", "/d")),
}
shared = {
    "messageId": st.integers(0, 60).map("m{:02}".format),
    "timestamp": times,
    "context": context,
}
switches = {"integrations": st.sampled_from(({"All": False}, {"Richpanel": False}, {"All": False, "Richpanel": True}))}


def call(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Calls of a type, mostly with a timestamp, now and then turned off for Richpanel."""
    return st.builds(
        lambda who, message: {"type": kind, **who, **message},
        ids,
        st.fixed_dictionaries({**shared, **fields}, optional=switches),
    )


identifies = call(
    "identify",
    traits=st.fixed_dictionaries(
        {},
        optional={
            "email": st.sampled_from((*EMAILS, None, "none")),
            "phone": st.sampled_from(PHONES),
            "firstName": st.sampled_from((*NAMES, None)),
            "plan": st.sampled_from((1, 2.50, None)),
        },
    ),
)
pages = call("page", name=st.sampled_from(("Home", "Cart")), properties=st.fixed_dictionaries({}, optional=properties))
tracks = call(
    "track", event=st.sampled_from(("Added", "Seen")), properties=st.fixed_dictionaries({}, optional=properties)
)
orders = call(
    "track",
    event=st.sampled_from(ORDER_EVENTS),
    properties=st.fixed_dictionaries(
        {"order_id": st.sampled_from(("o1", "o2"))},
        optional={
            **properties,
            "total": st.sampled_from((10, 20.5, "30.00")),
            "revenue": st.sampled_from((5, 7)),
            "currency": st.sampled_from(("USD", "EUR")),
            "order_status": st.sampled_from(("paid", "cancelled", "On-Hold")),
            "products": st.sampled_from(([], [{"sku": "1"}])),
            "tracking_number": st.sampled_from(("t1", "t2")),
        },
    ),
)
others = call("screen", name=st.just("Start"))
activities = st.fixed_dictionaries(
    {
        "messageId": shared["messageId"],
        "timestamp": times,
        "channel": st.sampled_from(("email", "chat")),
        "from": st.fixed_dictionaries(
            {},
            optional={
                "uid": st.sampled_from(UIDS),
                "email": st.sampled_from(EMAILS),
                "phone": st.sampled_from(PHONES),
                "anonymousId": st.sampled_from(DEVICES),
                "name": st.sampled_from(NAMES),
            },
        ).filter(lambda sender: sender.keys() - {"name"}),
    }
)
records: st.SearchStrategy[Arrived] = st.one_of(
    st.builds(
        lambda source, items: Arrived(items, source),
        st.sampled_from(SOURCES),
        st.lists(st.one_of(identifies, pages, tracks, orders, orders, others), min_size=1, max_size=6),
    ),
    st.builds(lambda item: Arrived([item], "Channels", door="channel"), activities),
)
histories = st.lists(records, min_size=1, max_size=12)
plans = st.lists(st.tuples(st.sampled_from(BATCHES), st.booleans()), min_size=1, max_size=6)
"""How the log is applied: the bytes of each batch, and whether the worker starts anew after it."""
