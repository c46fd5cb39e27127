"""Saved views and erasure: what names who is erased goes, all else stays, and the receipt and the view say so."""

from dataclasses import dataclass
from urllib.parse import urlencode

from richpanel.process.saved_views import SAVED_VIEWS, count_naming
from richpanel.store import ledger
from richpanel.store.views import NAMELESS, ViewRow, add_view, list_views, new_view
from tests.process.account import ARRIVAL, MINUTE, Account, Arrived
from tests.process.calls import activity, identify, page
from tests.process.test_erasure import erase

SAVED = {
    "Search": {"q": "lovelace", "sort": "-ltv"},
    "Id": {"q": "gold u1", "ordersMin": "2"},
    "Conditions": {"where": "plan=gold;email=ada@x.test;country=UK", "columns": "ltv"},
    "Phone": {"where": "phone~4155550101"},
    "Letters of ada@x.test": {"sort": "name"},
    "Gold": {"q": "gold", "where": "plan=gold", "sort": "-ltv"},
    "Bob": {"q": "bob"},
}


@dataclass
class Views:
    """The views of an account."""

    account: Account

    def save(self, name: str, query: dict[str, str], at: int) -> None:
        with self.account.account_engine.begin() as connection:
            add_view(connection, new_view(name, "admin", "customers", urlencode(query), shared=False), at)

    def all(self) -> dict[str, ViewRow]:
        with self.account.account_engine.connect() as connection:
            return {row.name: row for row in list_views(connection, "admin", "customers")}

    def naming(self) -> int:
        with self.account.account_engine.connect() as connection:
            covered, _ = ledger.all_tombstones(connection)
            return count_naming(connection, self.account.settings, covered)


def test_views_lose_what_names_who_is_erased_and_keep_all_else(account: Account) -> None:
    views = Views(account)
    ada = {"email": "ada@x.test", "phone": "4155550101", "firstName": "Ada", "lastName": "Lovelace", "plan": "gold"}
    account.send(page(0, None, "a1"), identify(1, "u1", "a1", **ada), identify(2, "u2", name="Bob Gold"))
    for name, query in SAVED.items():
        views.save(name, query, ARRIVAL)
    before = views.all()
    assert all(row.mended_at is None for row in before.values())
    erase(account, uid="u1")
    after = views.all()
    assert {name: row.query for name, row in after.items() if row.mended_at is not None} == {
        "Search": "sort=-ltv",
        "Id": "ordersMin=2",
        "Conditions": urlencode({"where": "plan=gold;country=UK", "columns": "ltv"}),
        "Phone": "",
        NAMELESS: "sort=name",
    }
    for name in ("Gold", "Bob"):
        assert after[name] == before[name]
    with account.account_engine.connect() as connection:
        row = ledger.find(connection, f"reg_{account.arrivals - 1}")
        assert row is not None
        told = connection.exec_driver_sql("SELECT erased FROM regulations").scalar_one()
    assert f'"{SAVED_VIEWS}":{{"count":5,' in told
    assert views.naming() == 0


def test_a_channels_name_is_taken_out_too(account: Account) -> None:
    views = Views(account)
    account.send(activity(3, email="ada@x.test", name="Ada Lovelace"), source="Channels", door="channel")
    views.save("By name", {"q": "Lovelace"}, ARRIVAL)
    views.save("By address", {"q": "ada@x.test"}, ARRIVAL)
    erase(account, email="ada@x.test")
    assert {name: row.query for name, row in views.all().items()} == {"By name": "", "By address": ""}


def test_who_begins_afresh_may_be_looked_for_again(account: Account) -> None:
    views = Views(account)
    account.send(identify(1, "u1", email="ada@x.test"))
    erase(account, uid="u1")
    later = ARRIVAL + 48 * 60 * MINUTE
    views.save("Ada again", {"q": "ada@x.test"}, later)
    assert views.naming() == 0
    account.write([Arrived([identify(1, "u2", name="Bob")], at=later)])
    account.process()
    erase(account, uid="u2")
    assert views.all()["Ada again"].query == "q=ada%40x.test"


def test_what_an_older_copy_brings_back_is_found(account: Account) -> None:
    views = Views(account)
    account.send(identify(1, "u1", email="ada@x.test"))
    erase(account, uid="u1")
    views.save("Old", {"where": "email=ADA@x.test"}, ARRIVAL)
    views.save("Named u1", {}, ARRIVAL)
    assert views.naming() == 2
