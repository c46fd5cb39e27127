"""The table of roles: what each may do, and what nobody but an owner may."""

from richpanel.core.roles import GRANTS, ROLES, TEXTS, May, allows, covers, who_may


def test_every_permission_is_told_and_owners_have_all() -> None:
    assert set(TEXTS) == set(May)
    assert GRANTS["owner"] == set(May)
    assert all("owner" in who_may(permission) for permission in May)


def test_nobody_hands_out_more_than_they_have() -> None:
    assert covers("owner", None)
    assert covers(None, "owner")
    assert covers("engineer", "engineer")
    assert covers("engineer", "agent")
    assert not covers("engineer", "marketer")
    assert not covers("engineer", "owner")
    assert not covers("engineer", None)


def test_each_day_has_what_it_takes_and_no_more() -> None:
    assert who_may(May.PEOPLE) == who_may(May.AUDIT) == who_may(May.SETTINGS) == ["owner"]
    assert who_may(May.KEYS) == who_may(May.PRIVACY) == who_may(May.REPLAYS) == ["owner", "engineer"]
    assert who_may(May.AUDIENCES_CHANGE) == ["owner", "marketer"]
    assert who_may(May.EXPORTS) == ["owner", "engineer", "marketer"]
    assert who_may(May.CUSTOMERS) == list(ROLES)
    assert not allows("agent", May.OVERVIEW)
