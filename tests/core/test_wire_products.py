"""Products on the wire: the plugins' and the tracker's spellings (facts of Richpanel 3.3)."""

from typing import Any

import pytest

from richpanel.core.wire_products import item_read, item_sent, product_read, product_sent


def test_a_shop_events_product() -> None:
    given = {"product_id": "p", "variant": "Blue", "image_url": "i", "category": "Cups", "price": 9.5, "coupon": ""}
    sent = product_sent(given)
    assert sent == {"id": "p", "option_id": "Blue", "image_url": ["i"], "categories": [{"name": "Cups"}], "price": 9.5}
    assert product_read(sent) == {key: value for key, value in given.items() if key != "coupon"}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"id": 1, "image_url": ["i", "j"]}, {"product_id": 1, "image_url": ["i", "j"]}),
        ({"productName": "Mug", "imageUrl": "i", "url": "u"}, {"name": "Mug", "image_url": "i", "url": "u"}),
        ({"categories": [{"id": 3, "name": "C"}]}, {"category": "C", "categories": [{"id": 3, "name": "C"}]}),
        ({"categories": [{"name": "C"}], "category": "own"}, {"category": "own", "categories": [{"name": "C"}]}),
        ({"categories": [5]}, {"categories": [5]}),
        ({"categories": [{"name": 5}]}, {"categories": [{"name": 5}]}),
        ({"id": 1, "product_id": 2}, {"id": 1, "product_id": 2}),
        ({"id": 1, "option_id": 2}, {"product_id": 1, "variant": 2}),
    ],
)
def test_the_plugins_products(given: dict[str, Any], read: dict[str, Any]) -> None:
    assert product_read(given) == read


@pytest.mark.parametrize("item", [5, None, "Mug", ["Mug"]])
def test_an_item_that_is_none_is_passed_on(item: object) -> None:
    assert item_sent(item) == item_read(item) == item


def test_an_item() -> None:
    item = {"product_id": "p", "variant": "Blue", "image_url": "i", "category": "Cups"}
    assert item_sent(item) == {"id": "p", "optionId": "Blue", "imageURL": ["i"], "category": "Cups"}
    assert item_read(item_sent(item)) == item
