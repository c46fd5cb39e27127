"""What the shoppers do in three days, as calls for Segment's SDK. The same seed gives the same story, call by call."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Literal
from uuid import UUID

from richpanel.demo.catalogue import CATEGORIES, COUPONS, PRODUCTS, SHOP, Product, described
from richpanel.demo.orders import HOUR, MINUTE, Cart, Event, afterwards, checkout
from richpanel.demo.people import Shopper, shoppers

DAY: Final = 24 * HOUR
DAYS: Final = 3
SHOPPERS: Final = 200
_WHO: Final = (("buyer", 45), ("abandoner", 20), ("looker", 17), ("anonymous", 18))
"""Of a hundred: those who order, who leave a full cart behind, who sign in and look, and who never say who they are."""


@dataclass(frozen=True)
class Call:
    """One call. `at` is ms UTC; `body` is the properties, or the traits of an identify."""

    at: int
    kind: Literal["identify", "page", "track", "screen", "group"]
    name: str
    user_id: str | None
    anonymous_id: str
    body: dict[str, Any]
    context: dict[str, Any]
    message_id: str
    integrations: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Visit:
    """A visit under way: who, on which device, at what time, and what they have told of themselves."""

    who: Shopper
    now: int
    random: Random
    known: bool
    on_second: bool
    session: str | None
    first: bool
    page: str = "/"

    def wait(self, shortest: int = 4_000, longest: int = 95_000) -> None:
        """Let some time pass."""
        self.now += self.random.randrange(shortest, longest)

    def call(self, kind: Any, name: str, body: dict[str, Any], at: int | None = None) -> Call:
        """Make a call of what happens now."""
        if self.session and kind in ("page", "track"):
            body = {**body, "richpanel_session_id": self.session}
        return Call(
            at=self.now if at is None else at,
            kind=kind,
            name=name,
            user_id=self.who.uid if self.known else None,
            anonymous_id=self.who.anonymous_id,
            body=body,
            context=self._context(),
            message_id=f"demo-{UUID(int=self.random.getrandbits(128), version=4)}",
        )

    def look(self, path: str, title: str) -> Call:
        """Open a page."""
        self.page = path
        url = f"{SHOP}{path}"
        body = {
            "path": path,
            "title": f"{title} – Harbour & Pine",
            "url": url,
            "referrer": self._referrer(),
            "search": "",
        }
        return self.call("page", title, body)

    def _referrer(self) -> str:
        return self.who.way.referrer if self.first else f"{SHOP}/"

    def _context(self) -> dict[str, Any]:
        who = self.who
        device = who.second_device if self.on_second and who.second_device else who.device
        context: dict[str, Any] = {
            "ip": who.ip,
            "locale": who.place.locale,
            "timezone": who.place.timezone,
            "userAgent": device.agent,
            "screen": {"width": device.width, "height": device.height},
            "page": {"path": self.page, "url": f"{SHOP}{self.page}", "referrer": self._referrer(), "search": ""},
        }
        if self.first and who.way.campaign:
            source, medium, name = who.way.campaign
            context["campaign"] = {"source": source, "medium": medium, "name": name}
        return context


def story(seed: int, end: int) -> list[Call]:
    """Tell three days that end at `end` (ms UTC), in the order in which the calls are to be sent.

    Most come in the order of what happened; some come late, a few come twice.
    """
    random = Random(seed)  # noqa: S311  # a story that can be told again, not a secret
    begin = end - DAYS * DAY
    calls: list[Call] = []
    for who in shoppers(random, SHOPPERS):
        calls.extend(call for call in _life(who, random, begin) if call.at < end - MINUTE)
    calls.sort(key=lambda call: (call.at, call.message_id))
    return _as_sent(calls, random)


def _as_sent(calls: list[Call], random: Random) -> list[Call]:
    """Let some calls come late, as from a phone without a network, and some twice, as after a lost answer."""
    late: list[Call] = []
    sent: list[Call] = []
    for call in calls:
        (late if random.random() < 0.03 else sent).append(call)
    twice = random.sample(sent, len(sent) // 50)
    return [*sent, *late, *twice]


def _life(who: Shopper, random: Random, begin: int) -> Iterator[Call]:
    """What one shopper does in the three days."""
    kind = random.choices([name for name, _ in _WHO], [weight for _, weight in _WHO])[0]
    visits = random.choice((1, 2, 2, 3, 3, 4)) if kind != "anonymous" else random.choice((1, 1, 2, 3))
    says_who = 0 if visits == 1 else random.randrange(visits - 1)
    decides = random.randrange(says_who, visits)
    explicit = random.random() < 0.5  # Half the shoppers' browsers send session ids of their own.
    known = kind != "anonymous" and random.random() < 0.25  # Signed in since before our three days.
    starts = sorted(begin + _time_of_day(random) + random.randrange(DAYS) * DAY for _ in range(visits))
    for number, start in enumerate(starts):
        session = f"{who.number:04x}-{number}-{random.getrandbits(32):08x}" if explicit else None
        visit = _Visit(who, start, random, known, random.random() < 0.3, session, first=number == 0)
        yield from _arrive(visit)
        basket = list(_browse(visit))
        yield from (call for call in basket if isinstance(call, Call))
        wanted = [product for product in basket if isinstance(product, Product)]
        if kind != "anonymous" and number >= says_who:
            yield from _say_who(visit, new=not known)
            known = True
        if number == decides:
            yield from _finish(visit, kind, wanted)


def _time_of_day(random: Random) -> int:
    """Most people shop in the evening, few at night; ms after midnight."""
    return int(random.choices((random.gauss(20, 2), random.gauss(12.5, 2), random.uniform(0, 24)), (6, 4, 1))[0] * HOUR)


def _arrive(visit: _Visit) -> Iterator[Call]:
    yield visit.look("/", "Home") if visit.random.random() < 0.6 else visit.look("/collections/new", "New in")
    if visit.random.random() < 0.25:
        visit.wait()
        promotion = {"promotion_id": "autumn", "name": "Autumn table", "creative": "hero", "position": "home_top"}
        yield visit.call("track", "Promotion Viewed", promotion)


def _browse(visit: _Visit) -> Iterator[Call | Product]:
    """Look at some products; what goes into the cart is given beside the calls."""
    random = visit.random
    if random.random() < 0.2:
        visit.wait()
        yield visit.call("track", "Products Searched", {"query": random.choice(("mug", "gift", "teapot", "linen"))})
    category = random.choice(CATEGORIES)
    shelf = [product for product in PRODUCTS if product.category == category]
    visit.wait()
    yield visit.look(f"/collections/{category.lower()}", category)
    listed = [described(product, position=place) for place, product in enumerate(shelf, 1)]
    yield visit.call(
        "track", "Product List Viewed", {"list_id": category.lower(), "category": category, "products": listed}
    )
    for _ in range(random.choice((1, 2, 2, 3))):
        product = random.choice(shelf if random.random() < 0.7 else PRODUCTS)
        visit.wait()
        yield visit.call("track", "Product Clicked", described(product))
        visit.wait(500, 2_500)
        yield visit.look(f"/products/{product.slug}", product.name)
        yield visit.call("track", "Product Viewed", {**described(product), "currency": visit.who.place.currency})
        if random.random() < 0.45:
            visit.wait()
            yield visit.call("track", "Product Added", {**described(product), "cart_id": f"cart-{visit.who.number}"})
            yield product
        elif random.random() < 0.15:
            visit.wait()
            yield visit.call("track", "Product Added to Wishlist", {**described(product), "wishlist_name": "Someday"})


def _say_who(visit: _Visit, *, new: bool) -> Iterator[Call]:
    """Sign up, or sign in."""
    who = visit.who
    visit.wait()
    yield visit.look("/account/register" if new else "/account/login", "Create account" if new else "Sign in")
    visit.wait(9_000, 60_000)
    visit.known = True
    traits: dict[str, Any] = {"email": who.email, "firstName": who.first_name, "lastName": who.last_name}
    if who.phone:
        traits["phone"] = who.phone
    place = who.place
    traits["address"] = {"city": place.city, "state": place.state, "country": place.country}
    traits["newsletter"] = visit.random.random() < 0.4
    yield visit.call("identify", "", traits)
    yield visit.call("track", "Signed Up" if new else "Signed In", {"method": "email"})


def _finish(visit: _Visit, kind: str, wanted: list[Product]) -> Iterator[Call]:
    """The visit on which they decide ends as their kind does."""
    random, who = visit.random, visit.who
    if kind == "looker" and random.random() < 0.3:
        yield from _elsewhere(visit)
    if kind not in ("buyer", "abandoner"):
        return
    chosen = {product.sku: product for product in wanted or [random.choice(PRODUCTS)]}
    lines = tuple((product, random.choice((1, 1, 1, 2, 4))) for product in chosen.values())
    coupon = random.choice(list(COUPONS)) if random.random() < 0.25 else None
    cart = Cart(f"HP-{10_000 + who.number}", lines, who.place.currency, coupon)
    visit.wait()
    yield visit.look("/cart", "Cart")
    start = visit.now
    for event in checkout(cart, random, gives_up=kind == "abandoner"):
        visit.now, visit.page = start + event.after, "/checkout"
        yield visit.call("track", event.name, event.properties)
    if kind == "buyer":
        yield visit.look(f"/orders/{cart.number}", "Thank you")
        visit.session = None  # What follows comes from the shop's back end.
        ordered = visit.now
        yield from (_later(visit, event, ordered) for event in afterwards(cart, random))


def _later(visit: _Visit, event: Event, ordered: int) -> Call:
    call = visit.call("track", event.name, event.properties, at=ordered + event.after)
    return Call(**{**call.__dict__, "context": {}})


def _elsewhere(visit: _Visit) -> Iterator[Call]:
    """Calls that are kept and shown, but are not for Richpanel: other types, and one that turns it off."""
    visit.wait()
    yield visit.call("screen", "Wishlist", {"items": 3})
    yield visit.call("group", "studio-club", {"name": "Studio Club", "plan": "member"})
    private = visit.call("track", "Survey Answered", {"score": visit.random.randrange(6, 11)})
    yield Call(**{**private.__dict__, "integrations": {"Richpanel": False}})
