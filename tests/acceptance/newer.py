"""A newer version of the product: its own source in another place, with another number and migrations beyond."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.server import Server

SOURCE: Final = Path(__file__).parents[2] / "src" / "richpanel"
NUMBER: Final = "99.0.0"
REVISION: Final = '''"""A test's own."""

from alembic import op

revision = "{name}"
down_revision = "{before}"
branch_labels = None
depends_on = None
{since}


def upgrade() -> None:
    """Change the tables."""
    for statement in {statements!r}:
        op.execute(statement)
'''


def newest(branch: str) -> str:
    """Name the last revision of a branch in our own source."""
    return max(path.stem for path in (SOURCE / "store" / "migrations").glob(f"{branch}_*.py"))


def newer_version(path: Path, statements: Mapping[str, list[str]], *, compatible: bool = True) -> Path:
    """Make one whose next revision of each branch named runs statements; give the folder to import it from.

    `compatible`: the revision says that the version before goes on with its tables.
    """
    # What is compiled comes along, by the times of the files.
    package = Path(shutil.copytree(SOURCE, path / "richpanel"))
    about = package / "__init__.py"
    about.write_text(f'"""A newer one."""\n\n__version__ = "{NUMBER}"\n')
    for branch, listed in statements.items():
        before = newest(branch)
        name = f"{branch}_{int(before.rpartition('_')[2]) + 1:04}"
        since = f'compatible_since = "{before}"' if compatible else ""
        text = REVISION.format(name=name, before=before, since=since, statements=listed)
        (package / "store" / "migrations" / f"{name}.py").write_text(text)
    return path


def of_version(server: Server, path: Path) -> Server:
    """Have a server, not started yet, and its commands be of the version in a folder."""
    server.env = {**server.env, "PYTHONPATH": str(path)}
    return server
