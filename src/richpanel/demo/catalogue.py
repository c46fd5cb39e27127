"""What the sample shop sells: Harbour & Pine, things for the table."""

from dataclasses import dataclass
from typing import Final

SHOP: Final = "https://harbour-and-pine.example"


@dataclass(frozen=True)
class Product:
    """A thing on sale. Prices are in cents, so that sums are exact."""

    sku: str
    name: str
    category: str
    price: int
    variant: str | None = None

    @property
    def slug(self) -> str:
        """Its last part of the address."""
        return self.name.lower().replace(" ", "-")

    @property
    def url(self) -> str:
        """Its page."""
        return f"{SHOP}/products/{self.slug}"


PRODUCTS: Final = (
    Product("MUG-01", "Speckled Mug", "Mugs", 2400, "Oat"),
    Product("MUG-02", "Tall Latte Mug", "Mugs", 2800, "Slate"),
    Product("MUG-03", "Espresso Cup Set", "Mugs", 3950, "Set of four"),
    Product("MUG-04", "Camp Mug", "Mugs", 1850, "Pine"),
    Product("BOW-01", "Ramen Bowl", "Bowls", 3200, "Ink"),
    Product("BOW-02", "Breakfast Bowl", "Bowls", 2200, "Oat"),
    Product("BOW-03", "Serving Bowl", "Bowls", 5800, "Sea"),
    Product("PLA-01", "Dinner Plate", "Plates", 2600, "Oat"),
    Product("PLA-02", "Side Plate", "Plates", 1900, "Slate"),
    Product("PLA-03", "Cake Stand", "Plates", 6400),
    Product("TEA-01", "Cast Teapot", "Tea", 7900, "Black"),
    Product("TEA-02", "Glass Infuser", "Tea", 3400),
    Product("TEA-03", "Sencha Tin", "Tea", 1650, "100 g"),
    Product("COF-01", "Pour-Over Dripper", "Coffee", 3600, "Copper"),
    Product("COF-02", "Hand Grinder", "Coffee", 8900),
    Product("COF-03", "House Blend", "Coffee", 1700, "250 g"),
    Product("LIN-01", "Linen Napkins", "Linen", 3800, "Set of four"),
    Product("LIN-02", "Table Runner", "Linen", 5200, "Flax"),
    Product("LIN-03", "Waffle Tea Towel", "Linen", 1600, "Sage"),
    Product("WOO-01", "Olive Wood Board", "Wood", 6200, "Large"),
    Product("WOO-02", "Beech Spoon", "Wood", 1200),
    Product("WOO-03", "Acacia Tray", "Wood", 4800),
    Product("CAN-01", "Beeswax Candle", "Candles", 2100),
    Product("CAN-02", "Cedar Candle", "Candles", 2900, "200 g"),
)

CATEGORIES: Final = tuple(dict.fromkeys(product.category for product in PRODUCTS))
COUPONS: Final = {"WELCOME10": 10, "SLOWMORNING": 15}
"""What each takes off, in percent."""
CARRIERS: Final = (
    ("UPS", "https://www.ups.com/track?tracknum="),
    ("DHL", "https://www.dhl.com/track?id="),
    ("Royal Mail", "https://www.royalmail.com/track/"),
)


def money(cents: int) -> float:
    """Give cents as the number that a shop's code sends."""
    return round(cents / 100, 2)


def described(product: Product, quantity: int = 1, position: int | None = None) -> dict[str, object]:
    """Describe a product as Segment's spec says."""
    fields: dict[str, object] = {
        "product_id": product.sku.lower(),
        "sku": product.sku,
        "name": product.name,
        "category": product.category,
        "brand": "Harbour & Pine",
        "variant": product.variant,
        "price": money(product.price),
        "quantity": quantity,
        "url": product.url,
        "image_url": f"{SHOP}/images/{product.slug}.jpg",
        "position": position,
    }
    return {name: value for name, value in fields.items() if value is not None}
