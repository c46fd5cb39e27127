"""Our style sheets, scripts and pictures: read once, served from memory under a path that names their content."""

from hashlib import blake2b
from pathlib import Path
from typing import Final

from litestar import Response, get
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

_FOLDER: Final = Path(__file__).parent / "static"
_MEDIA_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_A_YEAR: Final = 31_536_000


class Assets:
    """The files of `static/` by name. Their path holds a digest of all, so that a browser may keep them for ever."""

    def __init__(self) -> None:
        self._files = {
            path.name: path.read_bytes() for path in sorted(_FOLDER.iterdir()) if path.suffix in _MEDIA_TYPES
        }
        digest = blake2b(digest_size=6)
        for name, content in self._files.items():
            digest.update(name.encode() + b"\0" + content)
        self.version: Final = digest.hexdigest()

    def path(self, name: str) -> str:
        """Give the path that a page writes for a file."""
        return f"/static/{self.version}/{name}"

    def answer(self, version: str, name: str) -> Response[bytes]:
        """Give a file; one of another version (an older page's) is the present one, but may not be kept."""
        content = self._files.get(name)
        if content is None:
            raise NotFoundException
        kept = version == self.version
        caching = f"public, max-age={_A_YEAR}, immutable" if kept else "no-cache"
        media_type = _MEDIA_TYPES[Path(name).suffix]
        return Response(content, media_type=f"{media_type}; charset=utf-8", headers={"Cache-Control": caching})


@get("/static/{version:str}/{name:str}", include_in_schema=False)
async def static_file(version: FromPath[str], name: FromPath[str], assets: Given[Assets]) -> Response[bytes]:
    """Serve one of our files."""
    return assets.answer(version, name)


@get("/favicon.ico", include_in_schema=False)
async def favicon(assets: Given[Assets]) -> Response[bytes]:
    """Serve the mark to browsers that ask for it unasked."""
    return assets.answer("", "mark.svg")
