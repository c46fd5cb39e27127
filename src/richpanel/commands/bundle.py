"""The file of a backup: a tar of the data directory's files, compressed with Zstandard (docs/howto/backup.md).

`about.json` comes first and says what made it; then each file, in a compressed frame of its own with a checksum; last
`manifest.json`, with size and SHA-256 of each: a file that ends too early has none, and is no backup. Any tar that
knows zstd unpacks it.
"""

import io
import tarfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import BinaryIO, Final, Protocol, TypeVar, cast

import msgspec
from zstandard import FLUSH_FRAME, ZstdCompressor, ZstdDecompressor, ZstdError

from richpanel.store.dumping import Dumped

T = TypeVar("T")
FORMAT: Final = 1
ABOUT: Final = "about.json"
MANIFEST: Final = "manifest.json"
_LEVEL: Final = 3
_CHUNK: Final = 1 << 20
_JSON_BYTES: Final = 64 << 20


class BundleError(Exception):
    """The file is no backup, is damaged, or a newer version made it; the text says which."""


class About(msgspec.Struct, frozen=True, rename="camel"):
    """What made a backup, and when: `created_at` is ISO 8601 in UTC."""

    format: int
    product: str
    created_at: str


class Member(msgspec.Struct, frozen=True):
    """A file of a backup; `sha256` is written as hex digits."""

    name: str
    size: int
    sha256: str


class ClusterHeld(msgspec.Struct, frozen=True, rename="camel"):
    """What else a backup of a cluster says: which account it is, from which stream (its name, and since when there is
    one) its records came, the tables, and the last number that each sequence gave.
    """

    account: str
    stream: str
    stream_made: str | None
    tables: list[Dumped]
    numbers: dict[str, int]


class Manifest(msgspec.Struct, frozen=True, rename="camel", kw_only=True, omit_defaults=True):
    """What a backup holds: the log from `log_first` to `log_end`, and the state as of the position `processed`.

    `revisions` are those of the databases' tables, by database. `secret_key`: whether that file is among the members.
    On a cluster the log is no part of it.
    """

    about: About
    log_first: int
    log_end: int
    processed: int
    messages: int
    customers: int
    visitors: int
    revisions: dict[str, str]
    secret_key: bool
    members: list[Member]
    cluster: ClusterHeld | None = None


class Source(Protocol):
    """Where the bytes of a member come from."""

    def read(self, size: int, /) -> bytes:
        """Give the next bytes, `size` of them unless they end."""


class BundleWriter:
    """Writes a backup, file after file."""

    def __init__(self, target: BinaryIO, about: About, *, modified: float) -> None:
        """Begin with what made it. Each file will have `modified` (s UTC) as its time."""
        self.members: list[Member] = []
        self._modified = modified
        # Whoever counts what is written must not close it.
        self._stream = ZstdCompressor(level=_LEVEL, write_checksum=True).stream_writer(target, closefd=False)
        counting = cast("BinaryIO", _Counting(self._stream))
        self._tar = tarfile.open(fileobj=counting, mode="w")  # noqa: SIM115  # `finish` closes it
        self._tar.copybufsize = _CHUNK  # type: ignore[attr-defined]  # documented, and not in the stubs
        self._add(ABOUT, msgspec.json.encode(about))

    def add(self, name: str, size: int, source: Source) -> None:
        """Add a file of `size` bytes. Raises OSError, also where the source ends too early."""
        hashed = _Hashing(source)
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = size, 0o600, self._modified
        self._tar.addfile(entry, hashed)
        self._stream.flush(FLUSH_FRAME)
        self.members.append(Member(name, size, hashed.digest.hexdigest()))

    def finish(self, manifest: Manifest) -> None:
        """End with the manifest."""
        self._add(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        self._tar.close()
        self._stream.flush(FLUSH_FRAME)

    def _add(self, name: str, content: bytes) -> None:
        self.add(name, len(content), io.BytesIO(content))


class _Counting:
    """What `tarfile` writes to: it wants to know how far it is."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._written = 0

    def write(self, data: bytes) -> int:
        self._target.write(data)
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written


class _Hashing:
    def __init__(self, source: Source) -> None:
        self._source = source
        self.digest = sha256()

    def read(self, size: int = _CHUNK, /) -> bytes:
        chunk = self._source.read(size)
        self.digest.update(chunk)
        return chunk


Put = Callable[[Member], BinaryIO]
"""Opens the place for a member of which name and size are known."""


def read_bundle(source: Source, product: str, put: Put) -> Manifest:
    """Unpack a backup, each file into what `put` opens for it (it is closed here), and compare all with the manifest.

    Raises BundleError, OSError, and whatever `put` raises. Until it returns, nothing that was put is to be trusted.
    """
    stream = ZstdDecompressor().stream_reader(cast("BinaryIO", source), read_across_frames=True, closefd=False)
    found: list[Member] = []
    manifest: Manifest | None = None
    at = "its beginning"
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK) as tar:
            for entry in tar:
                at = entry.name
                if not found:
                    found.append(_read_about(entry, tar, product))
                elif entry.name == MANIFEST:
                    manifest = _decode(_content(entry, tar), Manifest)
                else:
                    found.append(_unpack(entry, tar, put))
        while stream.read(_CHUNK):  # The last checksum stands at the very end.
            pass
    except (tarfile.TarError, ZstdError, EOFError) as error:
        what = "is no backup" if not found else f"is damaged at or behind {at}"
        raise BundleError(f"{what}: {error}") from None
    if manifest is None:
        raise BundleError("ends too early: it has no manifest" if found else "is no backup: it is empty")
    _compare(manifest, found)
    return manifest


def _read_about(entry: tarfile.TarInfo, tar: tarfile.TarFile, product: str) -> Member:
    """Read what made it, and refuse what a newer version made: its files may mean something else."""
    if entry.name != ABOUT:
        raise BundleError(f"is no backup: it begins with {entry.name!r}")
    content = _content(entry, tar)
    about = _decode(content, About)
    if about.format > FORMAT or _version(about.product) > _version(product):
        made = f"version {about.product} (format {about.format}) made it"
        raise BundleError(f"is of a newer version: {made}, this is {product} (format {FORMAT}); install that one")
    return Member(ABOUT, len(content), sha256(content).hexdigest())


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdecimal())


def _content(entry: tarfile.TarInfo, tar: tarfile.TarFile) -> bytes:
    return b"".join(_pieces(entry, tar)) if entry.size <= _JSON_BYTES else b""


def _decode(content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise BundleError(f"is damaged: {kind.__name__.lower()}.json cannot be read: {error}") from None


def _unpack(entry: tarfile.TarInfo, tar: tarfile.TarFile, put: Put) -> Member:
    digest = sha256()
    with put(Member(entry.name, entry.size, "")) as target:
        for piece in _pieces(entry, tar):
            digest.update(piece)
            target.write(piece)
    return Member(entry.name, entry.size, digest.hexdigest())


def _pieces(entry: tarfile.TarInfo, tar: tarfile.TarFile) -> Iterator[bytes]:
    file = tar.extractfile(entry) if entry.isreg() else None
    if file is None:
        raise BundleError(f"is no backup: {entry.name!r} is no file")
    while piece := file.read(_CHUNK):
        yield piece


def _compare(manifest: Manifest, found: list[Member]) -> None:
    """Compare what was unpacked with what was packed. Raises BundleError, which names the first that differs."""
    wanted = {member.name: member for member in manifest.members}
    seen = {member.name: member for member in found}
    for name in sorted(wanted.keys() | seen.keys()):
        if name not in seen:
            raise BundleError(f"is damaged: {name} is missing")
        if name not in wanted:
            raise BundleError(f"is damaged: {name} does not belong to it")
        if seen[name] != wanted[name]:
            raise BundleError(f"is damaged: {name} does not match its checksum")
    if len(found) != len(seen):
        raise BundleError("is damaged: a file is in it twice")
