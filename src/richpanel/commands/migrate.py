"""`richpanel migrate`: the databases as this version wants them. `serve` does it by itself at each start."""

from typing import Annotated

from cyclopts import Parameter

from richpanel.commands.invocation import AsJson, Data, console, print_json, ready


def migrate(
    *,
    new_secret_key: Annotated[
        bool,
        Parameter(
            negative=(),
            help="For a lost key: make the one that is here, or a new one, the account's. API Secrets that another "
            "one sealed cannot be read any more, and are to be issued and set anew.",
        ),
    ] = False,
    json: AsJson = False,
    data: Data = None,
) -> None:
    """Bring the databases to this version's tables; make them where there are none."""
    directory = ready(data, new_key=new_secret_key)
    if json:
        print_json({"data": str(directory.path), "migrated": True})
    else:
        console().print(f"The databases in {directory.databases} are up to date.")
