"""`richpanel user`: who may sign in to the pages. The first start makes `admin`; a lost password is replaced here."""

import sys
from time import time
from typing import Annotated, NoReturn

from cyclopts import Parameter
from sqlalchemy.exc import IntegrityError

from richpanel.commands.invocation import AsJson, Data, definitions, existing, fail, print_json, print_table, ready
from richpanel.core.roles import Role
from richpanel.store.definitions import random_text
from richpanel.store.users import LastOwner, add_user, list_users, set_password, set_role

Login = Annotated[str, Parameter(help="What they sign in as.")]
FromInput = Annotated[
    bool, Parameter(negative=(), help="Read the password from standard input; otherwise one is made up and shown once.")
]
InRole = Annotated[
    Role, Parameter(help="What they may do: owner, engineer, marketer or agent (docs/reference/roles.md).")
]
_SHORTEST = 8


def add(
    login: Login, *, role: InRole = "owner", password_stdin: FromInput = False, json: AsJson = False, data: Data = None
) -> None:
    """Let somebody sign in."""
    password = _password(password_stdin)
    directory = ready(data)
    try:
        with definitions(directory, write=True) as connection:
            add_user(connection, login, password, role=role, now=int(time() * 1000))
    except IntegrityError:
        _taken(login)
    _show(login, None if password_stdin else password, json=json)


def password(login: Login, *, password_stdin: FromInput = False, json: AsJson = False, data: Data = None) -> None:
    """Give somebody a new password; whoever is signed in with the old one is signed out."""
    new = _password(password_stdin)
    with definitions(existing(data), write=True) as connection:
        if not set_password(connection, login, new):
            _unknown(login)
    _show(login, None if password_stdin else new, json=json)


def give_role(login: Login, role: InRole, *, json: AsJson = False, data: Data = None) -> None:
    """Give somebody another role; it holds from their next page on."""
    try:
        with definitions(existing(data), write=True) as connection:
            if not set_role(connection, login, role):
                _unknown(login)
    except LastOwner as error:
        fail(str(error))
    if json:
        print_json({"login": login, "role": role})
    else:
        print_table(["login", "role"], [[login, role]], empty="")


def list_all(*, json: AsJson = False, data: Data = None) -> None:
    """List who may sign in."""
    with definitions(existing(data)) as connection:
        users = list_users(connection)
    if json:
        print_json({"data": [{"login": user.login, "role": user.role} for user in users]})
    else:
        print_table(["login", "role"], [[user.login, user.role] for user in users], empty="Nobody may sign in yet.")


def _password(from_input: bool) -> str:
    if not from_input:
        return random_text(20)
    given = sys.stdin.readline().rstrip("\n")
    if len(given) < _SHORTEST:
        fail(f"a password needs {_SHORTEST} characters or more", 2)
    return given


def _unknown(login: str) -> NoReturn:
    fail(f"there is no login {login!r}: see `richpanel user list`")


def _taken(login: str) -> NoReturn:
    fail(f"there is a login {login!r} already: `richpanel user password {login}` gives it a new password")


def _show(login: str, new: str | None, *, json: bool) -> None:
    if json:
        print_json({"login": login} if new is None else {"login": login, "password": new})
    else:
        print_table(["login", "password (shown once)"], [[login, new or "as given"]], empty="")
