"""For browsers: the settings that Segment's SDK asks for, the SDK itself, and the pixel (facts of Segment 1.1 and 1.6).

The SDK is the installed npm package `@segment/analytics-next`, handed out as it is, with the two things that Segment's
own CDN does to it: the write key is filled in, and it loads its further files from where it came.
"""

import gzip
import json
from base64 import b64decode
from binascii import Error
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from richpanel.source.answers import Answer, answer, json_answer

GIF: Final = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
PIXEL: Final = answer(200, GIF, (b"content-type", b"image/gif"), (b"cache-control", b"no-store"))

PACKAGE: Final = "@segment/analytics-next"
_SCRIPT: Final = "standalone.js"
_FOLDER: Final = ("dist", "umd")
_JAVASCRIPT: Final = (b"content-type", b"text/javascript; charset=utf-8")
_VARY: Final = (b"vary", b"accept-encoding")
_GZIP: Final = (b"content-encoding", b"gzip")
_KEY_PLACE: Final = b'"__WRITE_KEY__"'
_FROM_HERE: Final = b"""(function(){var s=document.currentScript;if(!s)return;\
var a=window[s.dataset.globalSegmentAnalyticsKey||"analytics"],i=s.src.indexOf("/analytics.js/v1/");\
if(a&&!a._cdn&&i>0)a._cdn=s.src.slice(0,i)})();
"""
"""The SDK reads in its own tag where it came from, but only where that was https; this tells it in the other case."""


def settings(write_key: str, scheme: str, host: str) -> Answer:
    """Answer a browser or mobile SDK that asks for its source's settings.

    `integrations["Segment.io"]` must be there: without it the SDK sends nothing, wherever it was told to send to.
    """
    segment = {"apiKey": write_key, "apiHost": f"{host}/v1", "protocol": scheme}
    content = {"integrations": {"Segment.io": segment}, "metrics": {"sampleRate": 0}, "remotePlugins": []}
    return json_answer(200, content, (b"cache-control", b"no-cache"))


def public_place(url: str) -> tuple[str, str]:
    """Give scheme and host (with port and path) of the URL under which clients reach this server."""
    parts = urlsplit(url)
    return parts.scheme or "https", f"{parts.netloc}{parts.path.rstrip('/')}"


class Files(NamedTuple):
    """A file to hand out, and the same compressed."""

    plain: Answer
    zipped: Answer | None

    def answer(self, accept_encoding: bytes) -> Answer:
        """Give the form that the client takes."""
        return self.zipped if self.zipped is not None and b"gzip" in accept_encoding else self.plain


class Library:
    """Segment's browser SDK from the folder of the installed package; nothing is read before it is asked for."""

    def __init__(self, package: Path | None) -> None:
        """Hand out the package in this folder (the one that holds its `package.json`), or nothing."""
        self._folder = package.joinpath(*_FOLDER) if package is not None else None
        self.script = lru_cache(maxsize=32)(self._script)
        self.bundle = lru_cache(maxsize=64)(self._bundle)

    @property
    def missing(self) -> str | None:
        """Why there is nothing to hand out; None where there is."""
        if self._folder is None or not (self._folder / _SCRIPT).is_file():
            return f"The npm package {PACKAGE} is not installed on this server."
        return None

    def _script(self, write_key: str) -> Files:
        """Make `analytics.min.js` for a write key. Raises OSError."""
        assert self._folder is not None  # noqa: S101  # `missing` was asked
        source = (self._folder / _SCRIPT).read_bytes()
        source = _FROM_HERE + source.replace(_KEY_PLACE, json.dumps(write_key).encode(), 1)
        headers = (_JAVASCRIPT, _VARY, (b"cache-control", b"public, max-age=300"))
        return Files(answer(200, source, *headers), answer(200, gzip.compress(source, 6, mtime=0), *headers, _GZIP))

    def _bundle(self, name: str) -> Files | None:
        """Find one of the further files that the SDK loads; only what lies in the package's folder is ever read."""
        if self._folder is None or not name.endswith(".js"):
            return None
        names = {path.name: path for path in self._folder.iterdir()} if self._folder.is_dir() else {}
        path = names.get(name)
        if path is None:
            return None
        headers = (_JAVASCRIPT, _VARY, (b"cache-control", b"public, max-age=31536000, immutable"))
        zipped = names.get(f"{name}.gz")
        return Files(
            answer(200, path.read_bytes(), *headers),
            None if zipped is None else answer(200, zipped.read_bytes(), *headers, _GZIP),
        )


def pixel_body(query: bytes) -> bytes:
    """Give the call in a pixel's `?data=`, which is base64, perhaps of the kind for URLs and without its padding."""
    try:
        values = parse_qs(query.decode("latin-1"), max_num_fields=16).get("data", [""])
        text = values[0].replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (Error, ValueError):
        return b""
