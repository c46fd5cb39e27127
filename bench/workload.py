"""The workload of every benchmark: a shop's calls as Segment's browser SDK sends them, about 1 KB each.

A million people, Zipf-distributed (s = 1); 60 % of them come without a name first and are linked later; 5 % order
events; 3 % identifies; a third of the people have a `richpanel_session_id`, the others' sessions are generated. Ids are
random UUIDs. The shop's clock runs at 50 events a second, so that sessions end: a million events are five and a half
hours. Arrival order is event order, but for the share that is told to be late.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from time import gmtime, strftime
from typing import Final

import numpy as np

PEOPLE: Final = 1_000_000
FIRST_MS: Final = 1_780_000_000_000
"""The shop's clock at its first event; the door corrects it by `sentAt`, so any time will do."""
STEP_MS: Final = 20
ORDERS: Final = 0.05
IDENTIFIES: Final = 0.03
_CHUNK: Final = 20_000
_PRODUCTS: Final = 500
_REMEMBERED: Final = 50_000
_LATE_MS: Final = 3 * 3_600_000
"""How late a late event is in the mean; the distribution is exponential."""
_FIRST_NAMES: Final = [head + tail for head in ("Ad", "Bel", "Car", "Dor", "El", "Fay", "Gin", "Hel", "Is", "Jul",
    "Kat", "Lin", "Mar", "Nor", "Ol", "Pet", "Ros", "Sof", "Tam", "Ver") for tail in ("a", "ina", "an", "ette", "i",
    "ope", "us", "bert", "win", "o")]  # fmt: skip
_LAST_NAMES: Final = [head + middle + tail for head in ("Ash", "Black", "Carl", "Dun", "East", "Fair", "Gold", "Hart",
    "King", "Love") for middle in ("", "ing", "er", "en", "ers", "ly", "y", "o", "a", "is") for tail in ("ton", "field",
    "man", "son", "wood", "ford", "ley", "berg", "ham", "well")]  # fmt: skip
_BROWSERS: Final = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0",
)
_VIEWED: Final = ("Product Viewed", "Product Added", "Product Clicked", "Cart Viewed", "Product Removed")
_ID_HEAD: Final = '{"messageId":"ajs-next-'
STAMP_AT: Final = len(_ID_HEAD) + 14
"""Where the UUID of a message's id begins in its body."""


@dataclass(frozen=True)
class Mix:
    """What is out of order: the shares of messages that are late, and that are sent a second time."""

    late: float = 0.0
    duplicates: float = 0.0


IN_ORDER: Final = Mix()


def _page(product: int) -> str:
    """What a page call says of a page, and `context.page` of any call."""
    path = f"/products/stoneware-mug-{product:03d}"
    return (
        f'"path":"{path}","referrer":"https://www.google.com/","search":"?utm_source=newsletter&utm_medium=email",'
        f'"title":"Stoneware mug no. {product} - The Sample Shop","url":"https://shop.example{path}"'
    )


def _context(product: int) -> str:
    return (
        '"context":{"page":{' + _page(product) + f'}},"userAgent":"{_BROWSERS[product % len(_BROWSERS)]}",'
        '"locale":"en-US","library":{"name":"analytics.js","version":"npm:next-1.84.3"},"timezone":"Europe/Berlin",'
        '"campaign":{"name":"autumn","source":"newsletter","medium":"email"}},'
        '"integrations":{},"_metadata":{"bundled":["Segment.io"],"unbundled":[],"bundledIds":[]}}'
    )


def _item(product: int) -> str:
    return (
        f'"product_id":"p-{product}","sku":"MUG-{product:03d}","category":"Kitchen",'
        f'"name":"Stoneware mug no. {product}","brand":"Sample","variant":"blue",'
        f'"price":{10 + product % 40}.50,"quantity":1,'
        f'"image_url":"https://cdn.shop.example/mugs/{product:03d}.webp"'
    )


_PAGES: Final = [_page(product) for product in range(_PRODUCTS)]
_CONTEXTS: Final = [_context(product) for product in range(_PRODUCTS)]
_ITEMS: Final = [_item(product) for product in range(_PRODUCTS)]


def person_name(rank: int) -> tuple[str, str]:
    """Give the first and last name of the person at a rank (1 is the busiest)."""
    return _FIRST_NAMES[rank * 7 % len(_FIRST_NAMES)], _LAST_NAMES[rank * 31 % len(_LAST_NAMES)]


def person_uid(rank: int) -> str:
    """Give the userId of the person at a rank."""
    return f"user-{rank}"


def person_email(rank: int) -> str:
    """Give the email of the person at a rank."""
    first, last = person_name(rank)
    return f"{first}.{last}{rank}@example.com".lower()


def traits(rank: int) -> str:
    """Give the traits of the person at a rank, as JSON."""
    first, last = person_name(rank)
    return (
        f'{{"email":"{person_email(rank)}","firstName":"{first}","lastName":"{last}","plan":"gold","newsletter":true,'
        f'"phone":"+1415{2_000_000 + rank % 7_000_000}"}}'
    )


def zipf(generator: np.random.Generator, count: int, people: int = PEOPLE) -> list[int]:
    """Draw ranks from 1 to `people`, the chance of each in inverse proportion to it."""
    drawn: list[int] = (people ** generator.random(count)).astype(np.int64).tolist()
    return drawn


def scrambled(ranks: list[int], salt: int) -> bytes:
    """Give eight bytes for each rank that look random and are always the same: a person's anonymousId."""
    mixed = np.array(ranks, np.uint64) + np.uint64(salt)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return (mixed ^ (mixed >> np.uint64(31))).astype(">u8").tobytes()


def _uuid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


class Clock:
    """Writes times in ms UTC as the browser does; a second that was just written costs little."""

    def __init__(self) -> None:
        self._seconds: dict[int, str] = {}

    def iso(self, ms: int) -> str:
        """Write a time."""
        second, rest = divmod(ms, 1000)
        text = self._seconds.get(second)
        if text is None:
            if len(self._seconds) > 100_000:
                self._seconds.clear()
            text = self._seconds[second] = strftime("%Y-%m-%dT%H:%M:%S.", gmtime(second))
        return f"{text}{rest:03d}Z"


class Shop:
    """Makes the calls of a shop, some 100,000 to 200,000 a second; the same ones for the same seed."""

    def __init__(self, seed: int, mix: Mix = IN_ORDER, people: int = PEOPLE) -> None:
        """Open the shop; two with different seeds have the same people and different ids of messages and orders."""
        self.now = FIRST_MS
        self._seed = seed
        self._mix = mix
        self._people = people
        self._random = np.random.default_rng(seed)
        self._clock = Clock()
        self._seen = array("I", bytes(4 * (people + 1)))
        self._ordered = array("I", bytes(4 * (people + 1)))
        self._orders = 0
        self._owed = [0, 0]
        self._sent: list[bytes] = []

    def messages(self, count: int) -> list[bytes]:
        """Make the next `count` calls, each as JSON without `sentAt`; repeats are among them."""
        made: list[bytes] = []
        while len(made) < count:
            made += self._chunk(min(_CHUNK, count - len(made)))
        return made

    def everybody(self, first: int, last: int) -> Iterator[bytes]:
        """Make an identify for each person from rank `first` to `last`: the shop's customer list, from its back end."""
        for start in range(first, last + 1, _CHUNK):
            ranks = range(start, min(start + _CHUNK, last + 1))
            digits = self._random.bytes(16 * len(ranks)).hex()
            for index, rank in enumerate(ranks):
                head = self._head(digits[32 * index : 32 * index + 32], self.now, "identify")
                text = f'{head},"userId":"{person_uid(rank)}","traits":{traits(rank)},{_CONTEXTS[rank % _PRODUCTS]}'
                yield text.encode()

    def _chunk(self, count: int) -> list[bytes]:
        ranks = zipf(self._random, count, self._people)
        dice = self._random.random((3, count)).tolist()
        products = self._random.integers(_PRODUCTS, size=count).tolist()
        digits = self._random.bytes(16 * count).hex()
        visitors = [scrambled(ranks, salt) for salt in (1, 1 << 40)]
        late = self._lateness(count)
        made: list[bytes] = []
        for index, rank in enumerate(ranks):
            if self._sent and dice[1][index] < self._mix.duplicates:
                made.append(self._sent[int(dice[2][index] * len(self._sent))])
                continue
            self.now += STEP_MS
            place = slice(8 * index, 8 * index + 8)
            anonymous = visitors[0][place] + visitors[1][place]
            head = self._head(digits[32 * index : 32 * index + 32], self.now - late[index], "")
            made.append(self._message(head, rank, anonymous, dice[0][index], products[index]).encode())
        if self._mix.duplicates:
            self._sent = (self._sent + made)[-_REMEMBERED:]
        return made

    def _lateness(self, count: int) -> list[int]:
        late = self._random.random(count) < self._mix.late
        lateness: list[int] = (late * self._random.exponential(_LATE_MS, count)).astype(np.int64).tolist()
        return lateness

    def _head(self, digits: str, t: int, kind: str) -> str:
        head = f'{_ID_HEAD}{t}-{_uuid(digits)}","timestamp":"{self._clock.iso(t)}"'
        return f'{head},"type":"{kind}"' if kind else head

    def _message(self, head: str, rank: int, anonymous: bytes, dice: float, product: int) -> str:
        seen = self._seen[rank]
        self._seen[rank] = seen + 1
        known = anonymous[15] % 10 >= 6 or seen >= 2
        uid = f'"userId":"{person_uid(rank)}"' if known else '"userId":null'
        ids = f'"anonymousId":"{_uuid(anonymous.hex())}",{uid}'
        kind = self._kind(dice, known)
        if kind == "identify":
            return f'{head},"type":"identify",{ids},"traits":{traits(rank)},{_CONTEXTS[product]}'
        session = f',"richpanel_session_id":"rp-{rank}-{seen // 8}"' if anonymous[14] % 3 == 0 else ""
        if kind == "order":
            return f'{head},"type":"track",{ids},{self._order(rank, product)}{session}}},{_CONTEXTS[product]}'
        if dice < 0.5:
            seen_page = f'"name":"Product","properties":{{{_PAGES[product]}{session}}}'
            return f'{head},"type":"page",{ids},{seen_page},{_CONTEXTS[product]}'
        event = _VIEWED[int(dice * 100) % len(_VIEWED)]
        return (
            f'{head},"type":"track",{ids},"event":"{event}","properties":{{{_ITEMS[product]}{session}}},'
            f"{_CONTEXTS[product]}"
        )

    def _kind(self, dice: float, known: bool) -> str:
        """Choose what a call is; what somebody without a name cannot do is made up for by the next who can."""
        wanted = 0 if dice < IDENTIFIES else 1 if dice < IDENTIFIES + ORDERS else None
        if wanted is not None:
            self._owed[wanted] += 1
        if known:
            for index, kind in enumerate(("identify", "order")):
                if self._owed[index]:
                    self._owed[index] -= 1
                    return kind
        return ""

    def _order(self, rank: int, product: int) -> str:
        """Write an order event up to the end of its properties: four of five new orders, else one about the last."""
        last = self._ordered[rank]
        if last and product % 5 == 0:
            event = ("Order Updated", "Order Updated", "Order Refunded", "Order Cancelled")[product // 5 % 4]
            tracking = f'"tracking_company":"DHL","tracking_number":"{rank}{product}","delivery_status":"in transit"'
            return f'"event":"{event}","properties":{{"order_id":"o-{self._seed}-{last}","total":45.50,{tracking}'
        self._orders += 1
        self._ordered[rank] = self._orders
        items = f"{{{_ITEMS[product]}}},{{{_ITEMS[product - 1]}}}"
        return (
            f'"event":"Order Completed","properties":{{"order_id":"o-{self._seed}-{self._orders}","total":45.50,'
            f'"revenue":40.00,"tax":3.20,"shipping":2.30,"currency":"USD","products":[{items}]'
        )
