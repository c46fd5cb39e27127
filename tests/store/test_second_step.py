"""The second step: codes by time and for recovery, each taken once."""

from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from sqlalchemy import Connection

from richpanel.store import second_step
from richpanel.store.database import open_engine
from richpanel.store.secrets import SecretBox
from richpanel.store.users import add_user, list_users
from tests.store.places import ENGINES, make, place

NOW = 1_764_000_000_000


@pytest.fixture
def box() -> SecretBox:
    return SecretBox("k" * 32)


@pytest.fixture(params=ENGINES)
def conn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    directory = place(request.param, request, tmp_path)
    make(directory)
    made = open_engine(directory.account_url)
    with made.begin() as connection:
        yield connection
    made.dispose()


def at(secret: str, now: int) -> str:
    return pyotp.TOTP(secret).at(now // 1000)


def test_it_counts_once_a_code_was_right(conn: Connection, box: SecretBox) -> None:
    user = add_user(conn, "ada", "password", now=NOW).id
    secret = second_step.begin(conn, box, user)
    assert second_step.pending(conn, box, user) == secret
    assert second_step.confirm(conn, box, user, "000000", now=NOW) is None
    assert [row.factor for row in list_users(conn) if row.id == user] == [False]
    codes = second_step.confirm(conn, box, user, at(secret, NOW), now=NOW)
    assert codes is not None
    assert len(set(codes)) == second_step.count_codes(conn, user) == 10
    assert [row.factor for row in list_users(conn) if row.id == user] == [True]
    assert second_step.pending(conn, box, user) is None, "the secret is shown no more"
    second_step.begin(conn, box, user)
    assert second_step.check_code(conn, box, user, at(secret, NOW + 30_000), now=NOW + 30_000), "it stays in force"


def test_a_code_is_good_once_and_near_its_time(conn: Connection, box: SecretBox) -> None:
    user = add_user(conn, "ada", "password", now=NOW).id
    secret = second_step.begin(conn, box, user)
    assert second_step.confirm(conn, box, user, at(secret, NOW), now=NOW)
    assert not second_step.check_code(conn, box, user, at(secret, NOW), now=NOW), "it was taken"
    assert not second_step.check_code(conn, box, user, at(secret, NOW - 30_000), now=NOW), "an older one, too"
    later = NOW + 600_000
    assert not second_step.check_code(conn, box, user, at(secret, later - 60_000), now=later)
    assert not second_step.check_code(conn, box, user, at(secret, later + 60_000), now=later)
    assert second_step.check_code(conn, box, user, f" {at(secret, later + 30_000)} ", now=later)
    assert not second_step.check_code(conn, box, user, "", now=later)
    assert not second_step.check_code(conn, box, user, "\ud800٣٤٥٦٧٨", now=later)


def test_a_recovery_code_is_good_once(conn: Connection, box: SecretBox) -> None:
    user, other = (add_user(conn, login, "password", now=NOW).id for login in ("ada", "eve"))
    secret = second_step.begin(conn, box, user)
    codes = second_step.confirm(conn, box, user, at(secret, NOW), now=NOW) or []
    assert not second_step.check_code(conn, box, other, codes[0], now=NOW)
    assert second_step.check_code(conn, box, user, codes[0].upper(), now=NOW)
    assert not second_step.check_code(conn, box, user, codes[0], now=NOW)
    assert second_step.count_codes(conn, user) == 9
    second_step.renew_codes(conn, user)
    assert not second_step.check_code(conn, box, user, codes[1], now=NOW)
    second_step.remove(conn, user)
    assert second_step.count_codes(conn, user) == 0
    assert not second_step.check_code(conn, box, user, at(secret, NOW + 90_000), now=NOW + 90_000)
