"""REST: sources, tokens, connectors, destinations and the catalog (contract.md, "Bodies")."""

import pytest

from tests.web.running import TOKEN, Site

AS_GIVEN = {"signatureMode": "none", "batchSize": 1, "rate": None}
"""How a destination is sent to, where nobody has said."""


def test_a_source_lives(site: Site) -> None:
    made = site.api("POST", "/sources", {"name": "Backend", "type": "server", "rateLimit": 50})
    assert made.status == 201
    source = made.json()
    assert {key: source[key] for key in ("name", "type", "enabled", "rateLimit", "identityVerification")} == {
        "name": "Backend",
        "type": "server",
        "enabled": True,
        "rateLimit": 50,
        "identityVerification": False,
    }
    assert len(source["writeKey"]) == 32
    path = f"/sources/{source['id']}"
    assert site.get(path) == source
    assert source in site.get("/sources")["data"]
    changed = site.api("PATCH", path, {"name": "Server", "enabled": False, "rateLimit": None}).json()
    assert changed == source | {"name": "Server", "enabled": False, "rateLimit": None}
    assert site.api("DELETE", path).status == 204
    assert site.api("GET", path).status == 404
    assert site.api("DELETE", path).status == 404
    assert site.api("PATCH", path, {}).status == 404


def test_the_identity_secret_is_answered_when_verification_is_turned_on(site: Site) -> None:
    source = site.api("POST", "/sources", {"name": "Shop", "type": "web", "identityVerification": True}).json()
    assert source["identityVerification"] is True
    assert len(source["identitySecret"]) >= 32
    path = f"/sources/{source['id']}"
    assert "identitySecret" not in site.get(path)
    assert "identitySecret" not in site.api("PATCH", path, {"name": "Store"}).json()
    again = site.api("PATCH", path, {"identityVerification": True}).json()
    assert again["identitySecret"] == source["identitySecret"]


def test_the_accounts_own_sources_stay(site: Site) -> None:
    for name in ("Segment", "Channels"):
        path = f"/sources/{site.source(name).id}"
        assert site.api("DELETE", path).status == 409
        assert site.api("PATCH", path, {"enabled": False}).json()["enabled"] is False


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "type": "channel"},
        {"name": "", "type": "web"},
        {"name": "  ", "type": "web"},
        {"name": "x" * 101, "type": "web"},
        {"name": "x"},
        {"name": "x", "type": "web", "rateLimit": 0},
        {"name": "x", "type": "web", "writeKey": "mine"},
        [],
    ],
)
def test_a_bad_source_is_refused(shop: Site, body: object) -> None:
    assert shop.api("POST", "/sources", body).status == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/sources", {"name": "x", "type": "web", "mode": "device"}),
        ("/destinations", {"name": "x", "settings": {"apiKey": "k"}, "mode": "device"}),
    ],
)
def test_device_mode_is_refused_with_the_reason(shop: Site, path: str, body: object) -> None:
    answer = shop.api("POST", path, body)
    assert answer.status == 400
    assert "Device-mode is refused" in answer.json()["detail"]
    assert answer.json()["errors"][0]["field"] == "mode"


def test_a_token_is_shown_once_and_ends(site: Site) -> None:
    made = site.api("POST", "/tokens", {"name": "robot"})
    assert made.status == 201
    token = made.json()
    assert site.api("GET", "/status", token=token["token"]).status == 200
    listed = site.get("/tokens")["data"]
    assert {each["name"] for each in listed} == {"tests", "robot"}
    assert all("token" not in each for each in listed)
    assert site.api("DELETE", f"/tokens/{token['id']}").status == 204
    assert site.api("GET", "/status", token=token["token"]).status == 401
    assert site.api("DELETE", f"/tokens/{token['id']}").status == 404
    assert site.api("DELETE", "/tokens/tests").status == 404, "by its id, not by its name"
    assert site.api("GET", "/status", token=TOKEN).status == 200


def test_a_connector_is_added_and_rotated(site: Site) -> None:
    (first,) = site.get("/connectors")["data"]
    assert "apiSecret" not in first
    added = site.api("POST", "/connectors", {"name": "Second shop"})
    assert added.status == 201
    connector = added.json()
    assert len(connector["apiSecret"]) >= 32
    rotated = site.api("POST", f"/connectors/{connector['id']}/rotate")
    assert rotated.status == 200
    assert rotated.json()["apiKey"] != connector["apiKey"]
    assert rotated.json()["apiSecret"] != connector["apiSecret"]
    assert site.api("POST", "/connectors/con_unknown/rotate").status == 404
    assert site.get("/connectors")["data"][1]["retired"] == []
    kept = site.api("POST", f"/connectors/{connector['id']}/rotate", overlap=3_600)
    (old,) = kept.json()["retired"]
    assert old == {"apiKey": rotated.json()["apiKey"], "endsAt": "2025-11-24T17:00:00.000Z"}
    site.clock.ms += 3_600_000
    assert site.get("/connectors")["data"][1]["retired"] == []
    assert site.api("POST", f"/connectors/{connector['id']}/rotate", overlap=31 * 86_400).status == 400
    names = [destination["name"] for destination in site.get("/destinations")["data"]]
    assert names == ["Richpanel", "Richpanel (Second shop)"]


def test_a_connector_is_uninstalled_with_its_source(site: Site) -> None:
    connector = site.api("POST", "/connectors", {"name": "Second shop"}).json()
    assert site.api("DELETE", f"/connectors/{connector['id']}").status == 204
    assert site.api("DELETE", f"/connectors/{connector['id']}").status == 404
    assert connector["id"] not in {each["id"] for each in site.get("/connectors")["data"]}
    assert site.api("GET", f"/sources/{connector['source']}").status == 404


def test_a_destination_lives_and_keeps_its_secret(site: Site) -> None:
    website = site.source().id
    body = {
        "name": "Hosted",
        "catalogId": "richpanel",
        "sources": [website],
        "settings": {"apiKey": "key", "apiSecret": "very secret"},
        "endpoint": "https://api.richpanel.example/v2",
        "enabled": False,
        "filters": [],
    }
    made = site.api("POST", "/destinations", body)
    assert made.status == 201
    assert b"very secret" not in made.body
    destination = made.json()
    assert destination["settings"] == {"apiKey": "key", "hasApiSecret": True, **AS_GIVEN}
    path = f"/destinations/{destination['id']}"
    patch = {"settings": {"apiSecret": None}, "sources": [], "enabled": True}
    changed = site.api("PATCH", path, patch).json()
    assert changed["settings"] == {"apiKey": "key", "hasApiSecret": False, **AS_GIVEN}
    assert (changed["sources"], changed["enabled"], changed["endpoint"]) == ([], True, body["endpoint"])
    assert site.get(path) == changed
    assert site.api("DELETE", path).status == 204
    assert site.api("GET", path).status == 404
    assert site.api("PATCH", path, {}).status == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"settings": {}}, "settings.apiKey"),
        ({"sources": ["src_unknown"]}, "sources"),
        ({"endpoint": "ftp://x"}, "endpoint"),
        ({"endpoint": "https:// x"}, "endpoint"),
        ({"filters": [{"title": "x", "if": "x =", "actions": [{"type": "DROP"}]}]}, "filters[0].if"),
        ({"catalogId": "other"}, "catalogId"),
    ],
)
def test_a_bad_destination_is_refused(shop: Site, change: dict[str, object], field: str) -> None:
    answer = shop.api("POST", "/destinations", {"name": "x", "settings": {"apiKey": "k"}, **change})
    assert answer.status == 400
    assert answer.json()["errors"][0]["field"] == field


def test_the_catalog_is_searched(shop: Site) -> None:
    (entry,) = shop.get("/catalog", q="richpanel")["data"]
    assert entry["owner"] == "partner"
    assert entry["modes"]["web"] == {"cloud": True, "device": False}
    assert [name for name, taken in entry["calls"].items() if taken] == ["identify", "track", "page"]
    assert [(setting["name"], setting["required"]) for setting in entry["settings"]] == [
        ("apiKey", True),
        ("apiSecret", False),
    ]
    assert shop.get("/catalog", q="mixpanel")["data"] == []


def outside(site: Site, **fields: object) -> dict[str, object]:
    """A destination outside, added."""
    body = {"name": "Hosted", "settings": {"apiKey": "k"}, "endpoint": "https://api.richpanel.com", **fields}
    made = site.api("POST", "/destinations", body)
    assert made.status == 201, made.json()
    return dict(made.json())


def test_a_destination_outside_says_how_it_is_sent_to(site: Site) -> None:
    made = outside(site)
    assert made["settings"] == {
        "apiKey": "k",
        "hasApiSecret": False,
        **AS_GIVEN,
    }
    path = f"/destinations/{made['id']}"
    given = {"apiSecret": "s", "signatureMode": "sha256", "batchSize": 25, "rate": 900}
    changed = site.api("PATCH", path, {"settings": given}).json()["settings"]
    assert changed == {"apiKey": "k", "hasApiSecret": True, "signatureMode": "sha256", "batchSize": 25, "rate": 900}
    assert site.api("PATCH", path, {"settings": {"rate": None}}).json()["settings"] == changed | {"rate": None}
    assert site.get(path)["settings"] == changed | {"rate": None}


def test_what_signs_needs_a_secret(site: Site) -> None:
    made = outside(site)
    path = f"/destinations/{made['id']}"
    refused = site.api("PATCH", path, {"settings": {"signatureMode": "md5"}})
    assert (refused.status, refused.json()["errors"][0]["field"]) == (400, "settings.signatureMode")
    assert site.api("PATCH", path, {"settings": {"signatureMode": "md5", "apiSecret": "s"}}).status == 200
    refused = site.api("PATCH", path, {"settings": {"apiSecret": None}})
    assert "API Secret" in refused.json()["detail"]
    assert site.get(path)["settings"]["hasApiSecret"]


@pytest.mark.parametrize(
    "settings",
    [
        {"batchSize": 0},
        {"batchSize": 26},
        {"rate": 0},
        {"rate": "fast"},
        {"signatureMode": "sha1"},
        {"batchSize": None},
    ],
)
def test_settings_that_mean_nothing_are_refused(site: Site, settings: dict[str, object]) -> None:
    body = {"name": "x", "settings": {"apiKey": "k", **settings}, "endpoint": "https://api.richpanel.com"}
    assert site.api("POST", "/destinations", body).status == 400


@pytest.mark.parametrize("endpoint", ["http://api.richpanel.com", "https://10.0.0.5", "https://localhost:8000"])
def test_an_endpoint_is_of_the_internet_and_has_tls(site: Site, endpoint: str) -> None:
    path = f"/destinations/{outside(site)['id']}"
    for refused in (
        site.api("PATCH", path, {"endpoint": endpoint}),
        site.api("POST", "/destinations", {"name": "x", "settings": {"apiKey": "k"}, "endpoint": endpoint}),
    ):
        assert (refused.status, refused.json()["errors"][0]["field"]) == (400, "endpoint")
        assert "allow_private_endpoints" in refused.json()["detail"]
    assert site.get(path)["endpoint"] == "https://api.richpanel.com"
