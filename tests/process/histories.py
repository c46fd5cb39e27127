"""Histories of a few people, as hypothesis makes them up: shared devices, late, repeated and simultaneous messages.

Some are of everything; the others are of few ids and kinds of messages, so that these meet.
"""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from tests.process.account import ARRIVAL, MINUTE, Arrived, at

UIDS = ("u1", "u2", "u3")
DEVICES = ("a1", "a2", "a3")
EMAILS = ("e1@x.example", " E2@X.example", "e3@x.example")
PHONES = ("+1 415 555 0101", "(415) 555-0102")
NAMES = ("Ada", "Bo")
SOURCES = ("Website", "App", "Backend", "Outlet")
ORDER_EVENTS = ("Order Completed", "Order Updated", "Order Refunded", "Order Cancelled", "Checkout Started")
BATCHES = (1, 1, 1, 2_000, 1 << 20)

Calls = st.SearchStrategy[dict[str, Any]]

NEXT_SECOND = st.just(0)
CLOCK_STEPS = st.sampled_from((ARRIVAL, ARRIVAL + 1, ARRIVAL + 60 * MINUTE))
"""When a record arrives: a second after the one before; or by a clock that stands still and goes back."""

times = st.builds(
    lambda quarters, ms: at(quarters * 15 + ms / MINUTE), st.integers(0, 12), st.sampled_from([0, 0, 0, -1, 1])
)
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
switches = st.sampled_from(({"All": False}, {"Richpanel": False}, {"All": False, "Richpanel": True}))
properties = {
    "richpanel_session_id": st.sampled_from(("s1", "s2", "null")),
    "email": st.sampled_from((*EMAILS, "none")),
    "url": st.sampled_from(("/c", "/d")),
}
traits = {
    "email": st.sampled_from((*EMAILS, None, "none")),
    "phone": st.sampled_from(PHONES),
    "firstName": st.sampled_from((*NAMES, None)),
    "plan": st.sampled_from((1, 2.50, None)),
}
of_an_order = {
    "total": st.sampled_from((10, 20.5, "30.00")),
    "revenue": st.sampled_from((5, 7)),
    "currency": st.sampled_from(("USD", "EUR")),
    "order_status": st.sampled_from(("paid", "cancelled", "On-Hold")),
    "products": st.sampled_from(([], [{"sku": "1"}])),
    "tracking_number": st.sampled_from(("t1", "t2")),
}


def some(fields: dict[str, st.SearchStrategy[Any]], **always: st.SearchStrategy[Any]) -> Calls:
    """An object with any of the fields."""
    return st.fixed_dictionaries(always, optional=fields)


def ids(uids: Sequence[str], devices: Sequence[str]) -> Calls:
    """A uid, a device or both."""
    given = some({"userId": st.sampled_from(uids), "anonymousId": st.sampled_from(devices)})
    return given.filter(lambda who: who.get("anonymousId") or who.get("userId", "null") != "null")


def message_ids(count: int) -> st.SearchStrategy[str]:
    """Message ids; the fewer there are, the more repeats."""
    return st.integers(0, count - 1).map("m{:02}".format)


class Pool:
    """The ids that a history is of."""

    def __init__(self, uids: Sequence[str], devices: Sequence[str], count: int) -> None:
        self.who = ids(uids, devices)
        self.uids, self.devices = uids, devices
        self.shared: dict[str, st.SearchStrategy[Any]] = {"messageId": message_ids(count), "timestamp": times}

    def call(self, kind: str, *extras: str, **fields: st.SearchStrategy[Any]) -> Calls:
        """Calls of a type; `extras` names what some of them carry besides."""
        optional = {"context": context, "integrations": switches}
        fixed = {**self.shared, **fields}
        return st.builds(
            lambda who, message: {"type": kind, **who, **message},
            self.who,
            st.fixed_dictionaries(fixed, optional={name: optional[name] for name in extras}),
        )

    def identify(self, *extras: str, given: dict[str, st.SearchStrategy[Any]] = traits) -> Calls:
        return self.call("identify", *extras, traits=some(given))

    def page(self, *extras: str, given: dict[str, st.SearchStrategy[Any]] = properties) -> Calls:
        return self.call("page", *extras, name=st.sampled_from(("Home", "Cart")), properties=some(given))

    def track(self, *extras: str) -> Calls:
        return self.call("track", *extras, event=st.sampled_from(("Added", "Seen")), properties=some(properties))

    def order(self, *extras: str, numbers: Sequence[str] = ("o1", "o2")) -> Calls:
        fields = some({**properties, **of_an_order}, order_id=st.sampled_from(numbers))
        return self.call("track", *extras, event=st.sampled_from(ORDER_EVENTS), properties=fields)

    def activity(self, *by: str) -> Calls:
        """Channel activity whose sender is known by some of these."""
        known = {
            "uid": st.sampled_from(self.uids),
            "email": st.sampled_from(EMAILS),
            "phone": st.sampled_from(PHONES),
            "anonymousId": st.sampled_from(self.devices),
        }
        sender = some({**{name: known[name] for name in by}, "name": st.sampled_from(NAMES)})
        named = sender.filter(lambda given: bool(given.keys() - {"name"}))
        return st.fixed_dictionaries({**self.shared, "channel": st.sampled_from(("email", "chat")), "from": named})

    def by_hand(self) -> Calls:
        """What a person does with whom a device is linked to; an undo may name anything, or nothing."""
        cut_or_link = st.fixed_dictionaries(
            {
                "type": st.sampled_from(("link", "unlink")),
                "uid": st.sampled_from(self.uids),
                "anonymousId": st.sampled_from(self.devices),
                **self.shared,
            }
        )
        undo = st.fixed_dictionaries({"type": st.just("undo"), "undoes": self.shared["messageId"], **self.shared})
        return cut_or_link | cut_or_link | undo


def records(*calls: Calls, letters: Calls | None = None) -> st.SearchStrategy[list[Arrived]]:
    """Records of some of these calls each, and now and then a letter."""
    items = st.lists(st.one_of(*calls), min_size=1, max_size=6)
    one: st.SearchStrategy[Arrived] = st.builds(Arrived, items, st.sampled_from(SOURCES))
    if letters is not None:
        one |= st.builds(lambda item: Arrived([item], "Channels", door="channel"), letters)
    return st.lists(one, min_size=1, max_size=12)


def one_by_one(
    *calls: Calls,
    letters: Calls | None = None,
    by_hand: Calls | None = None,
    sources: Sequence[str] = SOURCES[:1],
    arrivals: st.SearchStrategy[int] = NEXT_SECOND,
) -> st.SearchStrategy[list[Arrived]]:
    """A good many records of one call each."""
    made = [st.builds(Arrived, call.map(lambda item: [item]), st.sampled_from(sources), arrivals) for call in calls]
    if letters is not None:
        made.append(st.builds(lambda item, at: Arrived([item], "Channels", at, door="channel"), letters, arrivals))
    if by_hand is not None:
        made.append(st.builds(lambda item, at: Arrived([item], "Channels", at, door="people"), by_hand, arrivals))
    one = st.one_of(*made)
    return st.lists(one, min_size=6, max_size=18)


def everything() -> st.SearchStrategy[list[Arrived]]:
    """A bit of all there is."""
    pool, extras = Pool((*UIDS, "null"), DEVICES, 60), ("context", "integrations")
    calls = (pool.identify(*extras), pool.page(*extras), pool.track(*extras), pool.order(*extras), pool.order(*extras))
    others = pool.call("screen", *extras, name=st.just("Start"))
    letters = Pool(UIDS, DEVICES, 60).activity("uid", "email", "phone", "anonymousId")
    return records(*calls, others, letters=letters)


def shared_devices() -> st.SearchStrategy[list[Arrived]]:
    """Two people log in and out on one device; orders move with the links."""
    pool = Pool(UIDS[:2], DEVICES[:1], 99)
    return one_by_one(pool.identify(given={}), pool.page(given={}), pool.order(numbers=("o1",)))


def orders() -> st.SearchStrategy[list[Arrived]]:
    """One order that several people speak of, who become customers at some time."""
    pool = Pool(UIDS[:2], DEVICES[:1], 99)
    return one_by_one(pool.identify(given={}), pool.order(numbers=("o1",)))


def letters() -> st.SearchStrategy[list[Arrived]]:
    """Addresses come and go, and letters with them."""
    pool = Pool(UIDS[:2], DEVICES[:1], 99)
    email = {"email": st.sampled_from((*EMAILS[:2], None))}
    calls = (pool.identify(given=email), pool.page(given={"email": st.sampled_from(EMAILS[:2])}), pool.order())
    return one_by_one(*calls, letters=pool.activity("email", "anonymousId"))


def repeated() -> st.SearchStrategy[list[Arrived]]:
    """Few ids of messages and a clock that goes back: what counts is taken out again, with all that it did."""
    pool = Pool(UIDS[:2], DEVICES[:2], 5)
    pool.shared["timestamp"] |= st.none()
    fields = {**traits, "email": st.sampled_from((*EMAILS[:2], None))}
    calls = (pool.identify("integrations", given=fields), pool.page(), pool.order(), pool.order(numbers=("o1",)))
    letters = pool.activity("email", "phone", "anonymousId")
    return one_by_one(*calls, letters=letters, sources=("Website", "Outlet"), arrivals=CLOCK_STEPS)


def replaced_links() -> st.SearchStrategy[list[Arrived]]:
    """Links, orders and letters on two devices, most of which are replaced."""
    pool = Pool(UIDS[:2], DEVICES[:2], 10)
    calls = (pool.identify(given={}), pool.page(given={}), pool.order(numbers=("o1",)))
    return one_by_one(*calls, letters=pool.activity("anonymousId"), arrivals=CLOCK_STEPS)


def late_links() -> st.SearchStrategy[list[Arrived]]:
    """Two people log in on one device again and again, at few instants; their links arrive in any order."""
    pool, anonymous = Pool(UIDS[:2], DEVICES[:1], 99), Pool(UIDS[:2], DEVICES[:1], 99)
    pool.shared["timestamp"] = anonymous.shared["timestamp"] = st.integers(0, 5).map(lambda steps: at(steps * 10))
    anonymous.who = st.just({"anonymousId": DEVICES[0]})
    pool.who = st.sampled_from(UIDS[:2]).map(lambda uid: {"userId": uid, "anonymousId": DEVICES[0]})
    logins = pool.identify(given={"email": st.just(EMAILS[0])})
    calls = (logins, logins, logins, anonymous.page(given={}), anonymous.order(numbers=("o1",)), anonymous.identify())
    return one_by_one(*calls, letters=pool.activity("email", "anonymousId"))


def refunds() -> st.SearchStrategy[list[Arrived]]:
    """Two shops that number their orders alike; orders are placed, corrected and refunded by several people."""
    pool = Pool(UIDS[:2], DEVICES[:1], 40)
    fields = some(of_an_order, order_id=st.just("o1"))
    events = st.sampled_from(("Order Completed", "Order Updated", "Order Refunded"))
    calls = (pool.call("track", event=events, properties=fields), pool.identify(given={}))
    return one_by_one(*calls, sources=("Website", "Outlet"), arrivals=CLOCK_STEPS)


def visits() -> st.SearchStrategy[list[Arrived]]:
    """One visitor's sessions, given and generated, that late events join; an identify may make them somebody's."""
    pool = Pool(UIDS[:1], DEVICES[:1], 99)
    session = {"richpanel_session_id": st.sampled_from(("s1", "s2"))}
    return one_by_one(pool.page("context", given=session), pool.track("context"), pool.identify(), sources=SOURCES[:3])


def letters_of_known() -> st.SearchStrategy[list[Arrived]]:
    """Letters whose senders become known, change their addresses, and are somebody else's after a correction."""
    pool = Pool(UIDS[:2], DEVICES[:2], 12)
    given = {"email": st.sampled_from((*EMAILS[:2], None)), "phone": st.sampled_from(PHONES)}
    calls = (pool.identify(given=given), pool.page(given={"email": st.sampled_from(EMAILS[:2])}))
    return one_by_one(*calls, letters=pool.activity("email", "phone", "anonymousId"), arrivals=CLOCK_STEPS)


def linked_by_hand() -> st.SearchStrategy[list[Arrived]]:
    """People link, cut and take it back, before and after the logins that it is about; ids are few."""
    pool, anonymous = Pool(UIDS[:2], DEVICES[:1], 12), Pool(UIDS[:2], DEVICES[:1], 99)
    pool.who = st.sampled_from(UIDS[:2]).map(lambda uid: {"userId": uid, "anonymousId": DEVICES[0]})
    anonymous.who = st.just({"anonymousId": DEVICES[0]})
    calls = (pool.identify(given={}), pool.order(numbers=("o1",)), anonymous.page(given={}), anonymous.page(given={}))
    letters, by_hand = pool.activity("anonymousId", "email"), pool.by_hand()
    return one_by_one(*calls, letters=letters, by_hand=by_hand, arrivals=NEXT_SECOND | CLOCK_STEPS)


replacing = st.one_of(repeated(), replaced_links(), refunds(), letters_of_known())
"""Those in which a clock goes back."""
moving = st.one_of(shared_devices(), orders(), letters(), late_links(), visits())
histories = st.one_of(everything(), moving, replacing, linked_by_hand())
plans = st.lists(st.tuples(st.sampled_from(BATCHES), st.booleans()), min_size=1, max_size=6)
"""How the log is applied: the bytes of each batch, and whether the worker starts anew after it."""
