"""Tokens and write keys in the app: made, shown once, kept to a role, and revoked."""

from tests.server import Answer
from tests.web.running import Site, csrf_of
from tests.web.test_people import shown

TOKENS = "/settings/tokens"


def post(site: Site, path: str, **form: str) -> Answer:
    return site.submit(path, {"csrf": csrf_of(site.page(TOKENS)), **form})


def test_a_token_is_made_used_within_its_role_and_revoked(site: Site) -> None:
    site.sign_in()
    token = shown(post(site, TOKENS, name="Sidebar <b>", role="agent"), "issued-token")
    assert token not in site.page(TOKENS).body.decode()
    assert site.api("GET", "/customers", token=token).status == 200
    refused = site.api("GET", "/tokens", token=token)
    assert (refused.status, "role agent may not" in refused.json()["detail"]) == (403, True)
    assert site.api("POST", "/sources", {"name": "x", "type": "web"}, token=token).status == 403
    [row] = [row for row in site.get("/tokens")["data"] if row["name"] == "Sidebar <b>"]
    assert row["role"] == "agent"
    assert post(site, f"{TOKENS}/{row['id']}", action="revoke").status == 303
    assert site.api("GET", "/customers", token=token).status == 401
    assert post(site, f"{TOKENS}/{row['id']}", action="revoke").status == 404
    full = shown(post(site, TOKENS, name="Backend"), "issued-token")
    assert site.api("GET", "/audit", token=full).status == 200, "without a role it may do everything"
    assert post(site, TOKENS, name=" ").status == 400
    assert site.api("POST", "/tokens", {"name": "x", "role": "nobody"}).status == 400
    engineer = site.api("POST", "/tokens", {"name": "x", "role": "engineer"}).json()["token"]
    assert site.api("POST", "/tokens", {"name": "x", "role": "agent"}, token=engineer).status == 201
    assert site.api("POST", "/tokens", {"name": "x"}, token=engineer).status == 403, "no more than it may itself"


def test_a_write_key_is_rotated_without_a_gap(site: Site) -> None:
    site.sign_in()
    source = site.source()
    [old], path = source.write_keys, f"/settings/keys/{source.id}"
    assert post(site, path, action="revoke", key=old).status == 400, "the last one stays"
    assert post(site, path, action="add").status == 303
    assert old in site.source().write_keys
    assert len(site.source().write_keys) == 2
    assert post(site, path, action="revoke", key=old).status == 303
    assert old not in site.source().write_keys
    assert post(site, path, action="revoke", key=old).status == 404
    assert post(site, f"/settings/keys/{site.source('Channels').id}", action="add").status == 404
