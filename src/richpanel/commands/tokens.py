"""`richpanel token`: add, list, revoke. Only a hash of a token is kept, so it is shown once."""

from time import time
from typing import Annotated

from cyclopts import Parameter

from richpanel.commands.invocation import (
    AsJson,
    Data,
    console,
    definitions,
    existing,
    fail,
    print_json,
    print_table,
    ready,
)
from richpanel.core.roles import Role
from richpanel.core.timestamps import iso
from richpanel.store.tokens import add_token, list_tokens, revoke_tokens


def add(
    name: Annotated[str, Parameter(help="Whose it is, or what it is for.")],
    *,
    role: Annotated[Role | None, Parameter(help="What it may do (docs/reference/roles.md); else everything.")] = None,
    json: AsJson = False,
    data: Data = None,
) -> None:
    """Make a token for the REST API; it is shown once."""
    with definitions(ready(data), write=True) as connection:
        row, token = add_token(connection, name, now=int(time() * 1000), role=role)
    if json:
        print_json({"name": row.name, "token": token, "id": row.id})
        return
    print_table(["id", "name", "token (shown once)"], [[row.id, row.name, token]], empty="")


def list_all(*, json: AsJson = False, data: Data = None) -> None:
    """List the tokens in force."""
    with definitions(existing(data)) as connection:
        rows = list_tokens(connection)
    if json:
        print_json({"data": [{"id": row.id, "name": row.name, "createdAt": iso(row.created_at)} for row in rows]})
        return
    cells = [[row.id, row.name, iso(row.created_at)] for row in rows]
    print_table(["id", "name", "made"], cells, empty="There are no tokens.")


def revoke(
    token: Annotated[str, Parameter(help="The token's id or name.")], *, json: AsJson = False, data: Data = None
) -> None:
    """End a token; every token of that name where a name is given."""
    with definitions(existing(data), write=True) as connection:
        ended = revoke_tokens(connection, token, now=int(time() * 1000))
    if not ended:
        fail(f"there is no token {token!r}: see `richpanel token list`")
    if json:
        print_json({"revoked": ended})
    else:
        console().print(f"{ended} token{'s' if ended > 1 else ''} revoked.")
