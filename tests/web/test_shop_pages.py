"""The shop's settings: they are saved, hold for what arrives, and what came before is said to be counted anew."""

import msgspec
import pytest

from richpanel.store import rebuilds
from richpanel.store.account import made_anew, read_account, write_account
from richpanel.store.database import open_engine
from tests.web.running import NOW, Site, csrf_of

STILL = b"What was processed before is being counted anew."
FORM = {
    "currency": "EUR",
    "country": "DE",
    "gap": "45",
    "blocked": "Nobody\n\n test \nnobody",
    "void": "Cancelled\nnot_paid\nNOT-PAID",
}


def save(site: Site, **changes: str) -> tuple[int, str]:
    """Post the form."""
    answer = site.submit("/settings/shop", {"csrf": csrf_of(site.page("/settings/shop")), **FORM, **changes})
    return answer.status, answer.headers.get("location", answer.body.decode())


def test_they_are_saved_and_hold(site: Site) -> None:
    site.sign_in()
    page = site.page("/settings/shop").body.decode()
    assert '<option value="USD" selected>' in page
    assert save(site) == (303, "/settings/shop?saved=true")
    assert b"Saved: what arrives from now on" in site.page("/settings/shop?saved=true").body
    assert save(site) == (303, "/settings/shop")  # Nothing new.
    engine = open_engine(site.directory.account_url, read_only=True)
    with engine.connect() as connection:
        found = read_account(connection)
    engine.dispose()
    assert (found.currency, found.phone_country, found.session_gap) == ("EUR", "DE", 2_700_000)
    assert (found.blocked_ids, found.void_statuses) == (frozenset({"nobody", "test"}), ("cancelled", "not paid"))
    order = {"order_id": "1", "total": 30, "currency": "EUR"}
    site.send(
        [
            {"type": "identify", "messageId": "i", "userId": "u1", "traits": {"phone": "030 123456"}},
            {"type": "track", "messageId": "o", "userId": "u1", "event": "Order Completed", "properties": order},
            {"type": "identify", "messageId": "n", "userId": "NOBODY", "traits": {"email": "n@x.example"}},
        ]
    )
    site.process()
    (customer,) = site.get("/customers")["data"]
    assert (customer["uid"], customer["ltv"]) == ("u1", "30.00")
    assert STILL not in site.page("/settings/shop").body, "nothing had been counted before the change"


def test_what_was_counted_before_is_said_to_be_until_it_is_made_anew(site: Site) -> None:
    site.sign_in()
    site.send([{"type": "identify", "messageId": "i", "userId": "u1", "traits": {}}])
    site.process()
    assert save(site)[0] == 303
    page = site.page("/settings/shop").body
    assert STILL in page
    for said in ("Currency: USD, now EUR.", "Session gap: 30 minutes, now 45 minutes.", "Phone country: US, now DE."):
        assert said.encode() in page
    assert save(site, currency="GBP")[0] == 303
    assert b"Currency: USD, now GBP." in site.page("/settings/shop").body, "what it was counted by"
    assert save(site, currency="USD")[0] == 303
    page = site.page("/settings/shop").body
    assert b"Currency: USD" not in page
    assert STILL in page
    assert b"It is about to begin." in page
    engine = open_engine(site.directory.account_url)
    with engine.begin() as connection:
        used = read_account(connection)
        write_account(connection, msgspec.structs.replace(used, currency="CHF"))
        made_anew(connection, used)
        rebuilds.begin(connection, now=NOW)
        rebuilds.tell(connection, "compare", 3, 8, now=NOW)
    page = site.page("/settings/shop").body
    assert b"Currency: USD, now CHF." in page, "changed after the rebuild read them"
    assert b"Looking what differs: 37 %" in page
    site.clock.ms = NOW + rebuilds.SILENT_MS
    assert b"Looking what differs" not in site.page("/settings/shop").body, "whoever told it was killed"
    with engine.begin() as connection:
        rebuilds.end(connection, "the log is <gone>", now=NOW)
    assert b"is tried again: the log is &lt;gone&gt;." in site.page("/settings/shop").body
    with engine.begin() as connection:
        made_anew(connection, read_account(connection))
    engine.dispose()
    assert STILL not in site.page("/settings/shop").body


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"currency": "XX"}, "Choose a currency."),
        ({"country": "EU"}, "Choose a country."),
        ({"gap": "0"}, "A gap is from 1 to 1,440 minutes."),
        ({"gap": "1.5"}, "A gap is from 1 to 1,440 minutes."),
        ({"void": "x" * 101}, "At most 200 lines"),
        ({"blocked": "\n".join(map(str, range(201)))}, "At most 200 lines"),
    ],
)
def test_what_they_cannot_be(site: Site, changes: dict[str, str], said: str) -> None:
    site.sign_in()
    status, page = save(site, **changes)
    assert status == 400
    assert said in page
