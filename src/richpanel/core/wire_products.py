"""Products on the wire: Segment's product fields as Richpanel's plugins send them, and back (facts 3.3, 3.4).

The items of an order are spelled in one way (`optionId`, `imageURL`), the product of a shop event in another
(`option_id`, `image_url`); both are read everywhere.
"""

from collections.abc import Mapping
from typing import Any, Final

Fields = Mapping[str, Any]

_ITEM: Final = {"product_id": "id", "variant": "optionId", "image_url": "imageURL"}
_PRODUCT: Final = {"product_id": "id", "variant": "option_id"}
_READ: Final = {
    "id": "product_id",
    "optionId": "variant",
    "option_id": "variant",
    "imageURL": "image_url",
    "imageUrl": "image_url",
    "productName": "name",
}


def is_empty(value: object) -> bool:
    """Tell whether a value says nothing; Richpanel wants no such values sent."""
    return value is None or value == ""


def renamed(given: Fields, names: Mapping[str, str]) -> dict[str, Any]:
    """Give what says something, under other names where there are; a new name wins over one that was given."""
    kept = {key: value for key, value in given.items() if not is_empty(value)}
    plain = {key: value for key, value in kept.items() if key not in names}
    return plain | {names[key]: value for key, value in kept.items() if key in names}


def read_names(given: Fields, names: Mapping[str, str]) -> dict[str, Any]:
    """Give fields under Segment's names; one that is there already wins, and the other keeps its own."""
    read: dict[str, Any] = {}
    for key, value in given.items():
        name = names.get(key, key)
        read[key if name in given or name in read else name] = value
    return read


def item_sent(item: Any) -> Any:
    """Give a product among several (an order's items) as the wire has it."""
    if not isinstance(item, Mapping):
        return item
    sent = renamed(item, _ITEM)
    if isinstance(sent.get("imageURL"), str):
        sent["imageURL"] = [sent["imageURL"]]
    return sent


def item_read(item: Any) -> Any:
    """Give back a product among several."""
    return _image(read_names(item, _READ)) if isinstance(item, Mapping) else item


def product_sent(given: Fields) -> dict[str, Any]:
    """Give the properties of a shop event that is about one product as the plugins send them."""
    sent = renamed(given, _PRODUCT)
    if isinstance(sent.get("image_url"), str):
        sent["image_url"] = [sent["image_url"]]
    if isinstance(sent.get("category"), str):
        sent["categories"] = [{"name": sent.pop("category")}]
    return sent


def product_read(given: Fields) -> dict[str, Any]:
    """Give back the properties of a shop event that is about one product."""
    read = _image(read_names(given, _READ))
    categories = read.get("categories")
    if isinstance(categories, list) and categories and isinstance(categories[0], Mapping) and "category" not in read:
        name = categories[0].get("name")
        if isinstance(name, str):
            read["category"] = name
            if categories == [{"name": name}]:
                del read["categories"]
    return read


def _image(read: dict[str, Any]) -> dict[str, Any]:
    image = read.get("image_url")
    if isinstance(image, list) and len(image) == 1:
        read["image_url"] = image[0]
    return read
