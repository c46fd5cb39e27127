"""The reference pages that are written from the code: `python -m tests.docs.reference` writes them anew."""

from collections.abc import Callable
from pathlib import Path

from richpanel.cli import build
from richpanel.config import Settings, shown, table, variable
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


PAGES: dict[str, Callable[[], str]] = {"cli.md": command, "settings.md": settings, "metrics.md": metrics}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
