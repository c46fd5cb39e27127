"""A cart on its way to the door of a house: checkout, payment, the order, and what becomes of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from richpanel.demo.catalogue import CARRIERS, COUPONS, Product, described, money

MINUTE = 60_000
HOUR = 60 * MINUTE


@dataclass(frozen=True)
class Event:
    """A track call to be: when, in ms after the visit's own clock, its name and properties."""

    after: int
    name: str
    properties: dict[str, object]


@dataclass(frozen=True)
class Cart:
    """What somebody is about to buy."""

    number: str
    lines: tuple[tuple[Product, int], ...]
    currency: str
    coupon: str | None

    @property
    def items(self) -> list[dict[str, object]]:
        """The lines as Segment's spec describes products."""
        return [described(product, quantity, place) for place, (product, quantity) in enumerate(self.lines, 1)]

    @property
    def full(self) -> int:
        """What the lines cost, in cents."""
        return sum(product.price * quantity for product, quantity in self.lines)

    @property
    def discount(self) -> int:
        """What the coupon takes off, in cents."""
        return self.full * COUPONS[self.coupon] // 100 if self.coupon else 0

    @property
    def shipping(self) -> int:
        """Free from 75 on, in cents."""
        return 0 if self.full >= 7_500 else 690

    @property
    def tax(self) -> int:
        """In cents."""
        return (self.full - self.discount) * 8 // 100

    @property
    def total(self) -> int:
        """What is paid, in cents."""
        return self.full - self.discount + self.shipping + self.tax

    def figures(self) -> dict[str, object]:
        """The amounts as Segment's spec names them."""
        subtotal = self.full - self.discount
        fields: dict[str, object] = {
            "order_id": self.number,
            "affiliation": "Web shop",
            "subtotal": money(subtotal),
            "total": money(self.total),
            "revenue": money(subtotal),
            "shipping": money(self.shipping),
            "tax": money(self.tax),
            "currency": self.currency,
            "products": self.items,
        }
        if self.coupon:
            fields |= {"discount": money(self.discount), "coupon": self.coupon}
        return fields


def checkout(cart: Cart, random: Random, *, gives_up: bool) -> Iterator[Event]:
    """From the cart to the order, seconds apart; who gives up does so before paying."""
    after = 0

    def step(name: str, properties: dict[str, object]) -> Event:
        nonlocal after
        after += random.randrange(8_000, 75_000)
        return Event(after, name, properties)

    checkout_id = f"ch-{cart.number}"
    yield step("Cart Viewed", {"cart_id": f"cart-{cart.number}", "products": cart.items})
    figures = cart.figures()
    yield step("Checkout Started", {**figures, "value": figures["total"]})
    yield step("Checkout Step Viewed", {"checkout_id": checkout_id, "step": 1})
    if cart.coupon:
        coupon: dict[str, object] = {
            "order_id": cart.number,
            "cart_id": f"cart-{cart.number}",
            "coupon_id": cart.coupon,
        }
        yield step("Coupon Entered", coupon)
        yield step("Coupon Applied", {**coupon, "coupon_name": cart.coupon.title(), "discount": money(cart.discount)})
    if gives_up:
        return
    shipping = random.choice(("Standard", "Standard", "Express"))
    payment = random.choice(("Card", "Card", "PayPal", "Apple Pay"))
    chosen = {"checkout_id": checkout_id, "shipping_method": shipping, "payment_method": payment}
    yield step("Checkout Step Completed", {**chosen, "step": 1})
    yield step("Payment Info Entered", {**chosen, "step": 2, "order_id": cart.number})
    yield step("Order Completed", {**figures, "checkout_id": checkout_id, "order_status": "paid", **chosen})


def afterwards(cart: Cart, random: Random) -> Iterator[Event]:
    """What the shop's back end says of the order in the days that follow; times count from the order."""
    fate = random.random()
    packed = random.randrange(HOUR // 2, 4 * HOUR)
    if fate < 0.07:
        reason = random.choice(("changed my mind", "ordered twice", "out of stock"))
        yield Event(packed // 2, "Order Cancelled", {**cart.figures(), "order_status": "cancelled", "reason": reason})
        return
    yield Event(packed, "Order Updated", {**cart.figures(), "order_status": "processing"})
    carrier, address = random.choice(CARRIERS)
    tracking = f"{carrier[:2].upper()}{random.randrange(10**9, 10**10)}"
    sent: dict[str, object] = {
        "order_id": cart.number,
        "tracking_company": carrier,
        "tracking_number": tracking,
        "tracking_url": f"{address}{tracking}",
    }
    shipped = packed + random.randrange(1 * HOUR, 7 * HOUR)
    yield Event(shipped, "Order Updated", {**sent, "order_status": "shipped", "delivery_status": "in_transit"})
    delivered = shipped + random.randrange(9 * HOUR, 26 * HOUR)
    yield Event(delivered, "Order Updated", {**sent, "order_status": "delivered", "delivery_status": "delivered"})
    if fate < 0.2:
        product, quantity = random.choice(cart.lines)
        whole = len(cart.lines) == 1
        refund = cart.total if whole else product.price * quantity
        yield Event(
            delivered + random.randrange(HOUR // 2, 8 * HOUR),
            "Order Refunded",
            {
                "order_id": cart.number,
                "total": money(refund),
                "currency": cart.currency,
                "products": [described(product, quantity)],
                "order_status": "refunded" if whole else "partially refunded",
            },
        )
