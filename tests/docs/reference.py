"""The reference pages that are written from the code: `python -m tests.docs.reference` writes them anew."""

from collections.abc import Callable
from pathlib import Path

from richpanel.cli import build
from richpanel.config import Settings, table, variable
from richpanel.config_values import shown
from richpanel.core.roles import ROLES, TEXTS, May, allows
from richpanel.telemetry import FIGURES, Counter, Gauge

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
_SETTINGS = """# Settings

A setting comes from its `--option` of `richpanel serve`, else from its environment variable, else from `richpanel.toml`
in the data directory (`port = 8000`, by name), else it has its default. `richpanel doctor` prints those in force and
where each came from, secrets hidden. Secrets have no option: a command line can be read by everybody on the machine.

| name | environment | default | |
|---|---|---|---|
"""
_METRICS = """# Figures

`GET /metrics` gives these in Prometheus' text format. They count from the start of their process; `richpanel_messages`
and the positions are read from the state, what is delivered outside from the deliveries: whichever node is asked, it
tells of all of them. `source` is a source's id, `destination` a destination's.

| name | kind | labels | |
|---|---|---|---|
"""


_ROLES = """# Roles

Who signs in has one of four roles. What a role may not see is not in the navigation, and its address answers 403 with a
page that says whom to ask. A change of role holds from the next page on.

- **owner**: the account is theirs; there is always one. The first start's `admin` is an owner.
- **engineer**: wires the shop up, finds out what became of a call, and replays.
- **marketer**: makes audiences and computed traits, and takes lists of people out.
- **agent**: looks at customers while talking to them.

Owners give roles; `richpanel user add LOGIN --role agent` and
`richpanel user role LOGIN agent` do it on the machine itself.

"""


def roles() -> str:
    """The table of roles."""
    lines = [f"| permission | to | {' | '.join(ROLES)} |\n", f"|---|---|{'---|' * len(ROLES)}\n"]
    for permission in May:
        cells = " | ".join("yes" if allows(role, permission) else "" for role in ROLES)
        lines.append(f"| `{permission.value}` | {TEXTS[permission]} | {cells} |\n")
    return _ROLES + "".join(lines)


def settings() -> str:
    """The table of settings."""
    rows = []
    for name, rule in table().items():
        option = "" if rule.secret else f"`--{name.replace('_', '-')}`: "
        rows.append(f"| `{name}` | `{variable(name)}` | {shown(getattr(Settings, name))} | {option}{rule.help} |\n")
    return _SETTINGS + "".join(rows)


def metrics() -> str:
    """The closed list of figures."""
    rows = []
    for figure in FIGURES:
        kind = "counter" if isinstance(figure, Counter) else "gauge" if isinstance(figure, Gauge) else "histogram"
        labels = ", ".join(f"`{label}`" for label in figure.labels)
        rows.append(f"| `{figure.name}` | {kind} | {labels} | {figure.text} |\n")
    return _METRICS + "".join(rows)


def command() -> str:
    """The help of every verb."""
    return build().generate_docs().strip() + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": command,
    "settings.md": settings,
    "metrics.md": metrics,
    "roles.md": roles,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
