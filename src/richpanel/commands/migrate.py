"""`richpanel migrate`: the databases as this version wants them. `serve` does it by itself at each start."""

from richpanel.commands.invocation import AsJson, Data, console, print_json, ready


def migrate(*, json: AsJson = False, data: Data = None) -> None:
    """Bring the databases of a data directory to this version's tables; make them where there are none."""
    directory = ready(data)
    if json:
        print_json({"data": str(directory.path), "migrated": True})
    else:
        console().print(f"The databases in {directory.path} are up to date.")
