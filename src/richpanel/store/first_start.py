"""The first start on an empty data directory: an account that a store can send to at once (contract.md, commands)."""

from typing import Final

import msgspec
from sqlalchemy import Connection

from richpanel.store.account import AccountSettings, create_account, find_account, set_default_destination
from richpanel.store.connectors import add_connector
from richpanel.store.definitions import random_text
from richpanel.store.destinations import list_destinations
from richpanel.store.secrets import SecretBox
from richpanel.store.sources import add_source
from richpanel.store.users import add_user, count_users

ADMIN: Final = "admin"


class FirstLogin(msgspec.Struct, frozen=True):
    """The login that the first start made, to be shown once."""

    login: str
    password: str


def first_start(conn: Connection, box: SecretBox, *, now: int) -> AccountSettings:
    """Set the account up where there is none; give its settings either way.

    It gets a connector "Segment" with its destination "Richpanel", the source "Website" connected to that destination,
    as every source added later will be, and the source "Channels", through which channel activity enters.
    """
    existing = find_account(conn)
    if existing is not None:
        return existing
    settings = create_account(conn, now=now)
    add_connector(conn, box, "Segment", now=now)
    set_default_destination(conn, list_destinations(conn)[0].number)
    add_source(conn, "Website", "web", now=now)
    add_source(conn, "Channels", "channel", now=now, connect=False)
    return settings


def first_login(conn: Connection, password: str | None, *, now: int) -> FirstLogin | None:
    """Make the admin's login where nobody can sign in yet; a `password` of None is made up. None where somebody can."""
    if count_users(conn):
        return None
    made = FirstLogin(ADMIN, password or random_text(20))
    add_user(conn, made.login, made.password, now=now)
    return made
