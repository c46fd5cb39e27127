"""People on the wire: traits and context, both ways (facts of Richpanel 2, 3.1)."""

from typing import Any

import pytest

from richpanel.core.wire_people import context_read, context_sent, own_traits, traits_read, traits_sent

ADDRESS = {"street": "Hafenstr. 1", "city": "Hamburg", "state": "HH", "postalCode": "20359", "country": "DE"}
BILLING = {"address1": "Hafenstr. 1", "city": "Hamburg", "state": "HH", "postcode": "20359", "country": "DE"}


@pytest.mark.parametrize(
    ("given", "own"),
    [
        ({"first_name": "Ada", "Last Name": "L"}, {"firstName": "Ada", "lastName": "L"}),
        ({"firstName": "Ada", "first_name": "other"}, {"firstName": "Ada"}),
        ({"email": "none"}, {}),
        ({"email": None}, {"email": None}),
        ({"email": " A@b.c "}, {"email": " A@b.c "}),
        ({"richpanel_session_id": "s", "plan": None}, {"plan": None}),
    ],
)
def test_own_traits(given: dict[str, Any], own: dict[str, Any]) -> None:
    assert own_traits(given) == own


def test_an_address() -> None:
    sent = traits_sent({"address": ADDRESS})
    assert sent == {"billingAddress": BILLING, "city": "Hamburg", "state": "HH", "country": "DE"}
    assert traits_read({"uid": "u", **sent}) == {"address": ADDRESS}


@pytest.mark.parametrize(
    ("traits", "sent"),
    [
        ({"address": "Hafenstr. 1"}, {"address": "Hafenstr. 1"}),
        ({"address": {"city": "Rome"}, "city": "Bonn"}, {"billingAddress": {"city": "Rome"}, "city": "Bonn"}),
        ({"address": {"city": "", "zip": 5}}, {"billingAddress": {"zip": 5}}),
        ({"a": None, "b": "", "c": False, "d": 0, "e": [], "uid": "x"}, {"c": False, "d": 0, "e": []}),
        ({"plan": {"name": "gold"}}, {"plan": {"name": "gold"}}),
    ],
)
def test_traits_going_out(traits: dict[str, Any], sent: dict[str, Any]) -> None:
    assert traits_sent(traits) == sent


def test_a_plugins_billing_address_stays_what_it_is() -> None:
    user = {"uid": "u", "billingAddress": {**BILLING, "firstName": "Ada", "phone": 5}, "city": "Hamburg"}
    assert traits_read(user) == {key: value for key, value in user.items() if key != "uid"}


def test_context() -> None:
    context = {
        **{"ip": "203.0.113.9", "userAgent": "UA", "locale": "de", "timezone": "Europe/Berlin"},
        **{"page": {"url": "u", "search": "?q", "referrer": "", "x": 1}, "os": {"name": "iOS", "version": 26, "x": 1}},
        **{
            "campaign": {"name": "n", "medium": ""},
            "traits": {"email": "a@b.c", "plan": "gold"},
            "library": {"name": "l"},
        },
        **{"screen": {"width": 1}, "device": {"type": "ios", "model": "m"}},
    }
    sent = context_sent(context, "mobile")
    assert sent == {
        **{"ip": {"networkIP": "203.0.113.9"}, "userAgent": "UA", "browser": {"lang": "de"}},
        **{"timezone": "Europe/Berlin", "page": {"url": "u", "qs": "?q"}, "os": {"name": "iOS", "version": 26}},
        **{"campaign": {"name": "n"}, "traits": {"email": "a@b.c"}, "screen": {"width": 1}},
        "device": {"type": "Mobile", "isMobile": 1},
    }
    assert context_read(sent) == {
        **{"ip": "203.0.113.9", "userAgent": "UA", "locale": "de", "timezone": "Europe/Berlin"},
        **{"page": {"url": "u", "search": "?q"}, "os": {"name": "iOS", "version": 26}, "campaign": {"name": "n"}},
        **{"traits": {"email": "a@b.c"}, "screen": {"width": 1}, "device": {"type": "Mobile", "isMobile": 1}},
    }


@pytest.mark.parametrize(
    ("context", "source_type", "device"),
    [
        ({}, "web", "Desktop"),
        ({}, "mobile", "Mobile"),
        ({}, "server", "Server"),
        ({}, None, None),
        ({"userAgent": "Mozilla/5.0 (iPad)"}, "web", "Tablet"),
        ({"device": {"type": "android"}, "userAgent": "Mozilla/5.0 (X11)"}, "server", "Mobile"),
        ({"device": "phone", "userAgent": 5}, None, None),
    ],
)
def test_devices(context: dict[str, Any], source_type: str | None, device: str | None) -> None:
    assert context_sent(context, source_type).get("device", {}).get("type") == device


@pytest.mark.parametrize(
    "context",
    [{"ip": 5}, {"ip": {"systemIP": "x"}}, {"page": "p"}, {"browser": [1]}, {"browser": {"lang": 5}}, {"location": {}}],
)
def test_a_strange_context_does_no_harm(context: dict[str, Any]) -> None:
    read = context_read(context)
    assert read == {key: value for key, value in context.items() if not (key == "ip" and isinstance(value, dict))}
    assert isinstance(context_sent(context, None), dict)
