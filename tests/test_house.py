"""The house rules that no linter knows: budgets, names, places, and what a file must never carry."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "richpanel"

FILE_LINES = 500
FUNCTION_LINES = 80
CLASS_METHODS = 15
POSITIONAL_PARAMETERS = 5
FOLDERS_UNDER_PACKAGE = 2
IMPORT_ALL_CPU_SECONDS = 10.0

BANNED_NAMES = re.compile(r"(utils?|helpers?|common|misc|base|managers?|handlers?|types|constants|.*_v?\d+|.*[a-z]2)")
# Made by tools or by a run, never committed: the same list as .gitignore.
NOT_OURS = {
    *(".git", ".venv", "node_modules", "__pycache__", ".hypothesis", ".schemathesis"),
    *("data", "results", "build", "dist", "htmlcov"),
}

# A migration is a list of statements in order and is never refactored, so its length and its number are its own.
MIGRATIONS = PACKAGE / "store" / "migrations"
# The supervisor is to import little: the command and the wiring load a role's modules in that role's process.
# PostgreSQL's driver is for those who use it: 8 MB; the parser of destination filters for those who have some, and
# what delivers, 60 MB, for those who deliver outside; a stream's client, 25 MB, for those who have a stream; what
# writes Prometheus' format, 5 MB, for those who ask for figures.
LATE_IMPORTS_ALLOWED = {
    *(PACKAGE / "cli.py", PACKAGE / "app.py", PACKAGE / "core" / "fql.py", PACKAGE / "log" / "opening.py"),
    *(
        PACKAGE / "roles" / name
        for name in ("deliver.py", "engage.py", "lines.py", "logs.py", "pages_log.py", "telling.py")
    ),
    *(PACKAGE / "store" / name for name in ("database.py", "glance.py", "judging.py", "leadership.py", "revisions.py")),
    PACKAGE / "web" / "health.py",
}

# Written with classes and escapes so that this file does not find itself.
UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E)\b")
MACHINE_PATH = re.compile(r"(?<![\w.~}/-])/(?:home|root|work|Users)/[\w.]")
REGISTRY = re.compile(r"pypi\.org|pythonhosted\.org|registry\.(?:npmjs|yarnpkg)\.|deb\.debian\.org|\"resolved\":")

FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def our_files() -> Iterator[Path]:
    """Every file of the project, whether or not git knows it yet."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS and not name.endswith((".egg-info", "_cache"))]
        yield from (Path(folder, name) for name in names if name not in NOT_OURS)  # a worktree has a file `.git`


FILES = sorted(our_files())
PYTHON = [path for path in FILES if path.suffix == ".py"]
PACKAGE_PYTHON = [path for path in PYTHON if path.is_relative_to(PACKAGE)]
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PYTHON}


def place(path: Path, line: int = 0) -> str:
    """`file:line`, as an editor opens it."""
    return f"{path.relative_to(ROOT)}:{line}" if line else str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file, nested ones too."""
    return (node for node in ast.walk(TREES[path]) if isinstance(node, FUNCTION))


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring: explaining a rule costs nothing."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def positional_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Parameters a caller may give by place. Keyword-only ones name themselves, and self is no choice."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def test_files_are_short() -> None:
    long = {place(path): count for path in PYTHON if (count := len(path.read_text("utf-8").splitlines())) > FILE_LINES}
    assert not long, "a second concept lives there"


def test_functions_are_short() -> None:
    long = {
        f"{place(path, function.lineno)} {function.name}": lines_of_code(function)
        for path in PYTHON
        if not path.is_relative_to(MIGRATIONS)
        for function in functions(path)
        if lines_of_code(function) > FUNCTION_LINES
    }
    assert not long


def test_classes_are_small() -> None:
    large = {
        f"{place(path, node.lineno)} {node.name}": len(methods)
        for path in PACKAGE_PYTHON
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.ClassDef)
        # by name: overloads and a property's setter are one method
        and len(methods := {item.name for item in node.body if isinstance(item, FUNCTION)}) > CLASS_METHODS
    }
    assert not large, "functions over frozen data instead of the one class everyone adds to"


def test_parameters_are_few() -> None:
    many = {
        f"{place(path, function.lineno)} {function.name}": positional_parameters(function)
        for path in PACKAGE_PYTHON
        for function in functions(path)
        if positional_parameters(function) > POSITIONAL_PARAMETERS
    }
    assert not many, "a dataclass or a Struct is missing, or a * before the options"


def test_files_are_named_after_concepts() -> None:
    drawers = [
        place(path) for path in PACKAGE_PYTHON if BANNED_NAMES.fullmatch(path.stem) and MIGRATIONS not in path.parents
    ]
    drawers += [place(path) for path in PACKAGE.rglob("*") if path.is_dir() and BANNED_NAMES.fullmatch(path.name)]
    assert not drawers


def test_folders_are_two_levels() -> None:
    deep = [place(path) for path in PACKAGE_PYTHON if len(path.relative_to(PACKAGE).parts) - 1 > FOLDERS_UNDER_PACKAGE]
    assert not deep


def test_modules_say_what_they_are_for() -> None:
    silent = [place(path) for path in PYTHON if ast.get_docstring(TREES[path]) is None]
    assert not silent


def test_imports_stand_at_the_top() -> None:
    late = [
        place(path, node.lineno)
        for path in PACKAGE_PYTHON
        if path not in LATE_IMPORTS_ALLOWED
        for function in functions(path)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not late, "an import in a function hides a circle"


def test_init_files_import_nothing() -> None:
    """A name is imported from where it is defined; re-exports make circles."""
    busy = [
        place(path, node.lineno)
        for path in PACKAGE_PYTHON
        if path.name == "__init__.py"
        for node in TREES[path].body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not busy


def test_core_asks_no_clock_and_no_dice() -> None:
    """The import contract keeps `time` and `random` out of core; these come with modules that core may import."""
    impure = {"now", "utcnow", "today", "uuid1", "uuid4", "uuid6", "uuid7", "getenv", "urandom"}
    asked = [
        place(path, node.lineno)
        for path in PACKAGE_PYTHON
        if path.is_relative_to(PACKAGE / "core")
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Attribute) and node.func.attr in impure)
            or (isinstance(node.func, ast.Name) and node.func.id in impure | {"open", "input", "print"})
        )
    ]
    assert not asked, "now, ids and jitter are arguments"


IMPORT_EVERYTHING = """
import importlib, logging, os, pkgutil, signal, sys, threading, time
handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
started = time.process_time()
import richpanel
names = [m.name for m in pkgutil.walk_packages(richpanel.__path__, "richpanel.") if ".migrations." not in m.name]
for name in names:
    importlib.import_module(name)
spent = time.process_time() - started
assert threading.active_count() == 1, threading.enumerate()
assert handlers == {number: signal.getsignal(number) for number in handlers}, "signal handlers changed"
assert not logging.getLogger().handlers, "logging configured"
assert sorted(os.listdir()) == [], "files written"
if os.path.isdir("/proc/self/fd"):
    paths = ["/proc/self/fd/" + fd for fd in os.listdir("/proc/self/fd")]
    links = [os.readlink(path) for path in paths if os.path.islink(path)]
    assert not [link for link in links if link.startswith("socket:")], links
sys.exit(f"importing takes {spent:.1f} s of processor time" if spent > BUDGET else 0)
""".replace("BUDGET", str(IMPORT_ALL_CPU_SECONDS))


def test_importing_does_no_work(tmp_path: Path) -> None:
    """Importing every module starts no thread, opens no socket, writes no file, sets up no logging."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    ("what", "pattern"),
    [("unfinished work", UNFINISHED), ("a path of one machine", MACHINE_PATH), ("a registry's address", REGISTRY)],
    ids=["unfinished", "machine", "registry"],
)
def test_no_file_carries(what: str, pattern: re.Pattern[str]) -> None:
    found = []
    for path in FILES:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        found += [f"{place(path, text.count(chr(10), 0, hit.start()) + 1)} {hit[0]}" for hit in pattern.finditer(text)]
    assert not found, what


def test_lock_files_hold_hashes_and_no_addresses() -> None:
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text, lock.name
        requirements = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
        assert requirements, lock.name
        unpinned = [line for line in requirements if "==" not in line or "--hash=sha256:" not in line]
        assert not unpinned, lock.name


def test_documents_name_files_that_exist() -> None:
    """A document that names a file of ours, in backticks, is red when the file moves."""
    documents = [path for path in FILES if path.suffix == ".md" and path.name != "CHANGELOG.md"]
    gone = [
        f"{place(document)}: {name}"
        for document in documents
        for name in re.findall(r"`((?:src|tests|docs|bench|requirements)/[\w./-]+)`", document.read_text("utf-8"))
        if not (ROOT / name).exists()
    ]
    assert not gone


def test_decisions_are_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    unlisted = [path.name for path in folder.glob("[0-9]*.md") if f"({path.name})" not in index]
    assert not unlisted
