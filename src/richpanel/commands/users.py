"""`richpanel user`: who may sign in to the pages. The first start makes `admin`; a lost password is replaced here."""

import sys
from time import time
from typing import Annotated, NoReturn

from cyclopts import Parameter
from sqlalchemy.exc import IntegrityError

from richpanel.commands.invocation import AsJson, Data, definitions, existing, fail, print_json, print_table, ready
from richpanel.store.definitions import random_text
from richpanel.store.users import add_user, list_users, set_password

Login = Annotated[str, Parameter(help="What they sign in as.")]
FromInput = Annotated[
    bool, Parameter(negative=(), help="Read the password from standard input; otherwise one is made up and shown once.")
]
_SHORTEST = 8


def add(login: Login, *, password_stdin: FromInput = False, json: AsJson = False, data: Data = None) -> None:
    """Let somebody sign in."""
    password = _password(password_stdin)
    directory = ready(data)
    try:
        with definitions(directory, write=True) as connection:
            add_user(connection, login, password, now=int(time() * 1000))
    except IntegrityError:
        _taken(login)
    _show(login, None if password_stdin else password, json=json)


def password(login: Login, *, password_stdin: FromInput = False, json: AsJson = False, data: Data = None) -> None:
    """Give somebody a new password; whoever is signed in with the old one is signed out."""
    new = _password(password_stdin)
    with definitions(existing(data), write=True) as connection:
        if not set_password(connection, login, new):
            fail(f"there is no login {login!r}: see `richpanel user list`")
    _show(login, None if password_stdin else new, json=json)


def list_all(*, json: AsJson = False, data: Data = None) -> None:
    """List who may sign in."""
    with definitions(existing(data)) as connection:
        users = list_users(connection)
    if json:
        print_json({"data": [{"login": user.login} for user in users]})
    else:
        print_table(["login"], [[user.login] for user in users], empty="Nobody may sign in yet.")


def _password(from_input: bool) -> str:
    if not from_input:
        return random_text(20)
    given = sys.stdin.readline().rstrip("\n")
    if len(given) < _SHORTEST:
        fail(f"a password needs {_SHORTEST} characters or more", 2)
    return given


def _taken(login: str) -> NoReturn:
    fail(f"there is a login {login!r} already: `richpanel user password {login}` gives it a new password")


def _show(login: str, new: str | None, *, json: bool) -> None:
    if json:
        print_json({"login": login} if new is None else {"login": login, "password": new})
    else:
        print_table(["login", "password (shown once)"], [[login, new or "as given"]], empty="")
