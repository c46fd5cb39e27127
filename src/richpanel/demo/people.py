"""The people who visit the sample shop: names, addresses, devices, how they found it. Nobody of them is real.

E-mail addresses are at example.com, phone numbers and IP addresses from the ranges kept for examples.
"""

from dataclasses import dataclass
from random import Random
from typing import Final
from uuid import UUID

FIRST_NAMES: Final = (
    *("Ada", "Aisha", "Amara", "Anders", "Anna", "Arjun", "Beatriz", "Ben", "Carla", "Carlos", "Chloe", "Daniel"),
    *("Diego", "Elena", "Emil", "Emma", "Ethan", "Fatima", "Felix", "Grace", "Hana", "Hugo", "Ines", "Ivan", "Jack"),
    *("James", "Jasmine", "Jonas", "Julia", "Kenji", "Lara", "Leo", "Lena", "Liam", "Lucía", "Maya", "Marco", "Mei"),
    *("Mia", "Mohamed", "Nadia", "Niamh", "Noah", "Nora", "Oliver", "Olivia", "Owen", "Paula", "Priya", "Rafael"),
    *("Rosa", "Ruth", "Sam", "Sofia", "Søren", "Tariq", "Theo", "Valentina", "Victor", "Yara", "Zoë", "Zofia"),
)
LAST_NAMES: Final = (
    *("Abbott", "Adeyemi", "Andersson", "Bauer", "Becker", "Brown", "Carter", "Castillo", "Chen", "Clarke", "Costa"),
    *("Davies", "Diaz", "Dubois", "Evans", "Fischer", "Foster", "García", "Green", "Haddad", "Hansen", "Hughes"),
    *("Ito", "Jansen", "Johnson", "Kaur", "Keller", "Khan", "Kim", "Kowalski", "Lambert", "Larsen", "Lopez", "Martin"),
    *("Mbeki", "Meyer", "Moore", "Murphy", "Nakamura", "Nguyen", "Novak", "O'Brien", "Okafor", "Olsen", "Patel"),
    *(
        "Pereira",
        "Rossi",
        "Russo",
        "Sato",
        "Schmidt",
        "Silva",
        "Singh",
        "Smith",
        "Suzuki",
        "Taylor",
        "Torres",
        "Walker",
    ),
    *("Weber", "Williams", "Wright", "Yilmaz", "Zhang"),
)


@dataclass(frozen=True)
class Place:
    """Where somebody lives, and what a shop knows from it. `phone` has its last digits left open."""

    city: str
    state: str
    country: str
    phone: str
    locale: str
    timezone: str
    currency: str


PLACES: Final = (
    Place("Austin", "TX", "US", "+1 512 555 01{:02}", "en-US", "America/Chicago", "USD"),
    Place("Portland", "OR", "US", "(503) 555-01{:02}", "en-US", "America/Los_Angeles", "USD"),
    Place("Brooklyn", "NY", "US", "+1 718 555 01{:02}", "en-US", "America/New_York", "USD"),
    Place("Chicago", "IL", "US", "312-555-01{:02}", "en-US", "America/Chicago", "USD"),
    Place("Toronto", "ON", "CA", "+1 416 555 01{:02}", "en-CA", "America/Toronto", "USD"),
    Place("Bristol", "England", "GB", "+44 7700 9001{:02}", "en-GB", "Europe/London", "USD"),
    Place("Berlin", "BE", "DE", "+49 30 231251{:02}", "de-DE", "Europe/Berlin", "EUR"),
    Place("Lyon", "ARA", "FR", "+33 1 99 00 12 {:02}", "fr-FR", "Europe/Paris", "EUR"),
)


@dataclass(frozen=True)
class Device:
    """What somebody browses with."""

    agent: str
    width: int
    height: int
    mobile: bool


DEVICES: Final = (
    Device(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 "
        "Safari/537.36",
        1920,
        1080,
        False,
    ),
    Device(
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "
        "Safari/605.1.15",
        1512,
        982,
        False,
    ),
    Device("Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", 1680, 1050, False),
    Device(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 "
        "Safari/537.36 Edg/141.0.0.0",
        1536,
        864,
        False,
    ),
    Device(
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "
        "Mobile/15E148 Safari/604.1",
        393,
        852,
        True,
    ),
    Device(
        "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile "
        "Safari/537.36",
        412,
        915,
        True,
    ),
    Device(
        "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "
        "Mobile/15E148 Safari/604.1",
        820,
        1180,
        True,
    ),
)


@dataclass(frozen=True)
class Way:
    """How somebody found the shop: the referring page, and the campaign it belongs to, if any."""

    referrer: str
    campaign: tuple[str, str, str] | None = None
    """Source, medium and name."""


WAYS: Final = (
    Way(""),
    Way("https://www.google.com/"),
    Way("https://duckduckgo.com/"),
    Way("https://www.google.com/", ("google", "cpc", "autumn_mugs")),
    Way("https://l.instagram.com/", ("instagram", "social", "studio_stories")),
    Way("https://www.pinterest.com/", ("pinterest", "social", "slow_mornings")),
    Way("", ("newsletter", "email", "november_letter")),
    Way("https://pottery-review.example/best-mugs", None),
)


@dataclass(frozen=True)
class Shopper:
    """One of them. `uid` is what the shop calls them once they have signed in or ordered."""

    number: int
    uid: str
    anonymous_id: str
    first_name: str
    last_name: str
    email: str
    phone: str | None
    place: Place
    device: Device
    second_device: Device | None
    way: Way
    ip: str


def shoppers(random: Random, count: int) -> list[Shopper]:
    """Make up so many people, no two with one e-mail address."""
    people: list[Shopper] = []
    taken: set[str] = set()
    for number in range(count):
        first, last = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
        email = f"{_ascii(first)}.{_ascii(last)}@example.com"
        if email in taken:
            email = f"{_ascii(first)}.{_ascii(last)}{number}@example.com"
        taken.add(email)
        place, device = random.choice(PLACES), random.choice(DEVICES)
        others = [other for other in DEVICES if other.mobile != device.mobile]
        people.append(
            Shopper(
                number=number,
                # Shops that run on Shopify use its ids, slashes and all.
                uid=f"gid://shopify/Customer/{7000 + number}" if number % 20 == 7 else str(41_000 + 7 * number),
                anonymous_id=str(UUID(int=random.getrandbits(128), version=4)),
                first_name=first,
                last_name=last,
                email=email,
                phone=place.phone.format(number % 100) if random.random() < 0.7 else None,
                place=place,
                device=device,
                second_device=random.choice(others) if random.random() < 0.2 else None,
                way=random.choice(WAYS),
                ip=f"{random.choice(('192.0.2', '198.51.100', '203.0.113'))}.{random.randrange(1, 255)}",
            )
        )
    return people


_PLAIN: Final = str.maketrans({"í": "i", "ø": "oe", "ë": "e", "'": None})


def _ascii(name: str) -> str:
    return name.lower().translate(_PLAIN)
