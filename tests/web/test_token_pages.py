"""Tokens and write keys in the app: made, shown once, kept to a role, and revoked."""

from richpanel.core.timestamps import iso
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


def test_a_write_key_is_rotated_with_an_overlap_that_ends_by_itself(site: Site) -> None:
    site.sign_in()
    source = site.source()
    [old], path = source.write_keys, f"/settings/keys/{source.id}"
    assert post(site, path, action="rotate", key=old, overlap="3600").status == 303
    [new] = site.source().write_keys
    assert new != old
    page = site.page(TOKENS).body.decode()
    assert "works until" in page
    assert page.count(old) > 0
    assert post(site, path, action="rotate", key=old).status == 404, "it is on its way out already"
    ends = [{"key": old, "endsAt": iso(site.clock.ms + 3_600_000)}]
    shown_by_api = site.get(f"/sources/{source.id}")
    assert (shown_by_api["writeKey"], shown_by_api["retired"]) == (new, ends)
    [row] = [row for row in site.get("/audit")["data"] if row["noun"] == "write key"]
    assert (row["verb"], row["noun"], row["details"]) == ("rotated", "write key", {"overlap": "3600"})
    site.clock.ms += 3_600_000
    assert old not in site.page(TOKENS).body.decode()
    assert site.get(f"/sources/{source.id}")["retired"] == []
    assert post(site, path, action="rotate", key=new, overlap="7").status == 400


def test_a_write_key_is_rotated_by_the_api(site: Site) -> None:
    source = site.source()
    [old] = source.write_keys
    rotated = site.api("POST", f"/sources/{source.id}/rotate", {"key": old, "overlap": 60})
    assert rotated.status == 200
    assert rotated.json()["writeKeys"] == list(site.source().write_keys)
    assert [each["key"] for each in rotated.json()["retired"]] == [old]
    assert site.api("POST", f"/sources/{source.id}/rotate", {"key": old}).status == 404
    assert site.api("POST", "/sources/none/rotate", {"key": old}).status == 404
    [new] = site.source().write_keys
    assert site.api("POST", f"/sources/{source.id}/rotate", {"key": new, "overlap": -1}).status == 400
    assert site.api("POST", f"/sources/{source.id}/rotate", {"key": new, "overlap": 0}).json()["writeKeys"] != [new]
    told = [row for row in site.get("/audit")["data"] if row["noun"] == "write key"]
    assert [(row["verb"], row["object"]) for row in told] == [("rotate", source.id)] * 2
    agent = site.api("POST", "/tokens", {"name": "x", "role": "marketer"}).json()["token"]
    assert site.api("POST", f"/sources/{source.id}/rotate", {"key": new}, token=agent).status == 403
