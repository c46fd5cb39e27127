"""The documentation as a site: no link is broken, its pictures are shown, and it asks nobody else for anything."""

import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
DOCS, SITE = ROOT / "docs", ROOT / "build" / "site"
PICTURES = sorted((DOCS / "pictures").iterdir())
LOADED = re.compile(
    r"<(?:script|img|iframe)\b[^>]*\bsrc=[\"']?(https?:[^\"' >]+)|<link\b[^>]*\bhref=[\"']?(https?:[^\"' >]+)"
)
LINKS = re.compile(r"<a\b[^>]*?\bhref=[\"']?([^\"' >]+)")
IDS = re.compile(r"<[a-z][^>]*?\bid=[\"']?([^\"' >]+)")


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


def test_every_link_leads_somewhere_on_it(pages: dict[str, str]) -> None:
    """The page of what is not there is left out: its links begin at the root, for nobody knows where it is shown."""
    ids = {path: set(IDS.findall(text)) for path, text in pages.items()}
    lost = []
    for path, text in pages.items():
        for link in [] if path == "404.html" else map(unescape, LINKS.findall(text)):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            there = ((SITE / path).parent / unquote(parts.path) if parts.path else SITE / path).resolve()
            there = there / "index.html" if there.is_dir() else there
            name = str(there.relative_to(SITE)) if there.is_relative_to(SITE) else ""
            is_id = not parts.fragment or unquote(parts.fragment) in ids.get(name, {unquote(parts.fragment)})
            if not (SITE / name).is_file() or not is_id:
                lost.append((path, link))
    assert not lost


def test_it_needs_nobody_else(pages: dict[str, str]) -> None:
    assert {path: found for path, text in pages.items() if (found := LOADED.findall(text))} == {}


def test_pictures_are_small_and_shown() -> None:
    assert {path.name: size for path in PICTURES if (size := path.stat().st_size) >= 60_000} == {}
    assert sum(path.stat().st_size for path in PICTURES) < 2_000_000
    shown = set(re.findall(r"\(pictures/([\w.-]+)\)", (DOCS / "tour.md").read_text("utf-8")))
    assert {path.name for path in PICTURES} == shown
