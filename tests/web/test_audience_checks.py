"""REST: what came of counting everybody again."""

from richpanel.core.timestamps import iso
from richpanel.store import checks
from richpanel.store.checks import CheckRow
from richpanel.store.database import open_engine
from tests.engage.shop import shop_of
from tests.web.running import NOW, Site


def test_what_came_of_the_last_check_is_told(site: Site) -> None:
    with shop_of(site) as shop:
        shop.known("42")
        shop.ordered("42")
        shop.audience("Buyers", {"event": "Order Completed"})
        assert site.get("/audiences/buyers/checked") == {"checked": None}
        shop.settle()
        assert site.get("/audiences/buyers/checked") == {"checked": None}
        state = open_engine(site.directory.state_url)
        with state.begin() as connection:
            ((plan, who),) = connection.exec_driver_sql("SELECT plan, profile FROM memberships").fetchall()
            checks.note(connection, {plan: CheckRow(NOW, NOW + 1, 5, 1, [who])})
        state.dispose()
        told = site.get("/audiences/buyers/checked")["checked"]
        assert [person.pop("uid") for person in told.pop("sample")] == ["42"]
        assert told == {"beganAt": iso(NOW), "endedAt": iso(NOW + 1), "looked": 5, "differing": 1}
        assert site.api("GET", "/traits/buyers/checked").status == 404
