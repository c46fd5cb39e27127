"""The documentation as a site: no link is broken, its pictures are shown, and it asks nobody else for anything."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS, SITE = ROOT / "docs", ROOT / "build" / "site"
PICTURES = sorted((DOCS / "pictures").iterdir())
LOADED = re.compile(
    r"<(?:script|img|iframe)\b[^>]*\bsrc=[\"']?(https?:[^\"' >]+)|<link\b[^>]*\bhref=[\"']?(https?:[^\"' >]+)"
)


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """The site's pages, freshly built, by path."""
    command = [str(Path(sys.executable).parent / "zensical"), "build", "--strict", "--clean"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return {str(path.relative_to(SITE)): path.read_text("utf-8") for path in SITE.rglob("*.html")}


def test_every_page_is_in_it(pages: dict[str, str]) -> None:
    written = {str(path.relative_to(DOCS).with_suffix(".html")) for path in DOCS.rglob("*.md")}
    written = {re.sub(r"README\.html$", "index.html", path) for path in written}
    assert written <= set(pages)
    assert (SITE / "search.json").stat().st_size > 100_000


def test_it_needs_nobody_else(pages: dict[str, str]) -> None:
    assert {path: found for path, text in pages.items() if (found := LOADED.findall(text))} == {}


def test_pictures_are_small_and_shown() -> None:
    assert {path.name: size for path in PICTURES if (size := path.stat().st_size) >= 60_000} == {}
    assert sum(path.stat().st_size for path in PICTURES) < 2_000_000
    shown = set(re.findall(r"\(pictures/([\w.-]+)\)", (DOCS / "tour.md").read_text("utf-8")))
    assert {path.name for path in PICTURES} == shown
