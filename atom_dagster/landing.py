"""The record of every pull: what was received, byte for byte, written once, verified, replayed.

Belongs here: drafts that survive a kill, the one rename that makes a pull exist, and reading it
back. Does not belong here: what a page means (``sources``), where rows go (``warehouse``), or taking
pulls out again (``removal``).

Layout below the root: ``<source>/<pull_id>/manifest.json`` with one file a page beside it, and
``.drafts/<source>-<scope>/`` for a pull under way. Of a pull that was taken out ``.pruned/<pull_id>.json``
keeps what its manifest said, and why it went. A pull id is the hash of what was asked and what
came, never of when: the same answers give the same id and one folder.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
DRAFTS = ".drafts"
PRUNED = ".pruned"
LOCK_WAIT = 900.0
"""Seconds to wait for another process that makes the same pull, from the last sign of its going on."""

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PACKED = (".parquet", ".gz")


class LandingError(RuntimeError):
    """Landing cannot be read or written; the message is one sentence."""


@dataclass(frozen=True)
class Page:
    """One answer: what was asked (relative to the endpoint, no headers) and what came.

    ``bytes`` and ``sha256`` are of the body after transport decoding; ``file`` is its name on disk,
    gzip'd unless the body is already packed; ``notes`` is what the source needs to go on from here.
    """

    name: str
    request: str
    status: int
    bytes: int
    sha256: str
    file: str
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pull:
    """A complete pull. ``fetched_at`` and ``as_of`` are UTC instants; ``path`` is its folder."""

    pull_id: str
    source: str
    scope: str
    world: str
    fetched_at: datetime
    as_of: datetime
    facts: Mapping[str, Any]
    pages: Sequence[Page]
    path: Path

    def file(self, page: Page) -> Path:
        """Where the page's bytes lie, as stored."""
        return self.path / page.file

    def read(self, page: Page) -> bytes:
        """The page's body as it was received after transport decoding.

        Raises:
            LandingError: the file is gone or damaged.
        """
        try:
            return _body(self.file(page))
        except (OSError, EOFError, zlib.error) as error:
            raise LandingError(
                f"{self.pull_id}/{page.file} cannot be read ({type(error).__name__}); "
                "`atom verify` says what to do."
            ) from error

    def record(self) -> dict[str, Any]:
        """The row of ``raw.pulls``: instants without zone, path below the world's home."""
        landing = self.path.parent.parent
        return {
            "pull_id": self.pull_id,
            "source": self.source,
            "world": self.world,
            "scope": self.scope,
            "fetched_at": self.fetched_at.astimezone(UTC).replace(tzinfo=None),
            "as_of": self.as_of.astimezone(UTC).replace(tzinfo=None),
            "is_complete": bool(self.facts.get("is_complete", False)),
            "requests": len(self.pages),
            "bytes": sum(page.bytes for page in self.pages),
            "path": self.path.relative_to(landing.parent).as_posix(),
        }


class Landing:
    """The folder of all pulls of one world."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[Path, Pull] = {}

    def pulls(self, source: str | None = None, *, unreadable: dict[str, str] | None = None) -> list[Pull]:
        """Complete pulls, of one source or of all, in the order (fetched_at, pull_id).

        Args:
            source: whose pulls; None: everybody's.
            unreadable: gets, by pull id, a sentence for each pull whose manifest cannot be read.

        Raises:
            LandingError: a manifest cannot be read, and ``unreadable`` is not given.
        """
        found = []
        for manifest in self.root.glob(f"{source or '[!.]*'}/*/{MANIFEST}"):
            try:
                found.append(self.load(manifest.parent))
            except LandingError as error:
                if not manifest.exists():  # it was taken out just now
                    continue
                if unreadable is None:
                    raise
                unreadable[manifest.parent.name] = str(error)
        return sorted(found, key=lambda pull: (pull.fetched_at, pull.pull_id))

    def get(self, pull_id: str) -> Pull:
        """The pull of that id.

        Raises:
            LandingError: landing holds no such pull.
        """
        if _WORD.fullmatch(pull_id):
            for manifest in self.root.glob(f"[!.]*/{pull_id}/{MANIFEST}"):
                return self.load(manifest.parent)
        raise LandingError(f"Landing holds no pull {pull_id!r}.")

    def verify(self, pull: Pull) -> list[str]:
        """What is wrong with a pull's bytes, one sentence each; empty when all is good."""
        wrong = []
        for page in pull.pages:
            try:
                count, digest = _measure(pull.file(page))
            except (OSError, EOFError, zlib.error) as error:
                wrong.append(f"{pull.pull_id}/{page.file} cannot be read ({type(error).__name__}).")
                continue
            if (count, digest) != (page.bytes, page.sha256):
                wrong.append(f"{pull.pull_id}/{page.file} does not hold the bytes it was given.")
        content = re.escape(_pull_id(pull.source, pull.scope, pull.pages))
        if not re.fullmatch(rf"{content}(-\d+)?", pull.pull_id):
            wrong.append(f"{pull.pull_id}/{MANIFEST} was changed after the pull.")
        return wrong

    @contextmanager
    def open(
        self, *, source: str, scope: str, world: str, now: Callable[[], datetime]
    ) -> Iterator[PullWriter]:
        """A draft to write one pull into; what an interrupted attempt of the same day left is kept.

        Leaving without ``commit`` or ``discard`` keeps the draft. One process at a time holds it; a
        second one waits, and should then look whether landing holds what it came for.

        Raises:
            LandingError: another process held the draft, and nothing was added to it for ``LOCK_WAIT``.
        """
        for word in (source, scope):
            if not _WORD.fullmatch(word):
                raise ValueError(f"{word!r} cannot be part of a pull's name")
        drafts = self.root / DRAFTS
        drafts.mkdir(parents=True, exist_ok=True)
        day = now().astimezone(UTC).date().isoformat()
        _sweep(drafts, day)
        folder = drafts / f"{source}-{scope}"
        with locked(folder.with_name(folder.name + ".lock"), LOCK_WAIT, lambda: _extent(folder)):
            state = {"source": source, "scope": scope, "world": world, "day": day}
            yield PullWriter(self, folder, state, now)

    def taken_out(self) -> set[str]:
        """The ids of pulls that were taken out."""
        return {tombstone.stem for tombstone in (self.root / PRUNED).glob("*.json")}

    def load(self, folder: Path) -> Pull:
        """The pull in a folder.

        Raises:
            LandingError: its manifest is missing or cannot be read.
        """
        if folder not in self._known:
            try:
                manifest = json.loads((folder / MANIFEST).read_bytes())
                self._known[folder] = Pull(
                    pull_id=manifest["pull_id"],
                    source=manifest["source"],
                    scope=manifest["scope"],
                    world=manifest["world"],
                    fetched_at=datetime.fromisoformat(manifest["fetched_at"]),
                    as_of=datetime.fromisoformat(manifest["as_of"]),
                    facts=manifest["facts"],
                    pages=[Page(**page) for page in manifest["pages"]],
                    path=folder,
                )
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise LandingError(
                    f"{folder.name}/{MANIFEST} cannot be read ({type(error).__name__}); "
                    "`atom verify` says what to do."
                ) from error
        return self._known[folder]


class PullWriter:
    """A pull under way. ``pages`` starts with what an interrupted attempt already landed."""

    def __init__(
        self, landing: Landing, folder: Path, state: dict[str, str], now: Callable[[], datetime]
    ) -> None:
        self._landing, self._folder, self._state, self._now = landing, folder, state, now
        self._body_folder = folder / "pull"
        self._state_file, self._journal = folder / "draft.json", folder / "pages.jsonl"
        self.pages: list[Page] = []
        if self._resumable():
            self.pages = self._survivors()
        self._start()

    def file(self, page: Page) -> Path:
        """Where a page of this draft lies, as stored."""
        return self._body_folder / page.file

    def read(self, page: Page) -> bytes:
        """The body of a page of this draft."""
        return _body(self.file(page))

    def add(
        self,
        name: str,
        body: bytes | Iterable[bytes],
        *,
        request: str,
        status: int = 200,
        notes: Mapping[str, Any] | None = None,
    ) -> Page:
        """Land one answer: on disk and synced, whole or not at all.

        Args:
            name: unique in the pull; ``.parquet`` is stored as is, everything else gzip'd.
            body: the bytes after transport decoding, or chunks of them.
            request: path and query relative to the endpoint, without headers.
            status: HTTP status.
            notes: JSON that the source wants back when it goes on after a kill.
        """
        if not _WORD.fullmatch(name) or any(page.name == name for page in self.pages):
            raise ValueError(f"{name!r} cannot be the name of a further page")
        file = name if name.endswith(_PACKED) else f"{name}.gz"
        target = self._body_folder / file
        part = self._folder / "part"
        count, digest = write_synced(part, [body] if isinstance(body, bytes) else body, file != name)
        part.replace(target)
        page = Page(name, request, status, count, digest, file, dict(notes or {}))
        with self._journal.open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(asdict(page), sort_keys=True) + "\n")
            journal.flush()
            os.fsync(journal.fileno())
        self.pages.append(page)
        return page

    def discard(self) -> None:
        """Throw the draft away and begin an empty one."""
        if self.pages:
            self.pages = []
            self._start()

    def commit(self, *, as_of: datetime | None = None, facts: Mapping[str, Any] | None = None) -> Pull:
        """Make the pull exist, by one rename; the existing pull if the same content is there.

        Args:
            as_of: the instant the answers stand for; when unknown, the present instant.
            facts: JSON about the pull that must be known without reading its pages.
        """
        if not self.pages:
            raise ValueError("a pull without pages cannot be committed")
        source, scope = self._state["source"], self._state["scope"]
        target = self._target(source, scope, as_of)
        pull_id = target.name
        if not (target / MANIFEST).is_file():
            fetched_at = self._now().astimezone(UTC)
            manifest = {
                "pull_id": pull_id,
                "source": source,
                "scope": scope,
                "world": self._state["world"],
                "fetched_at": fetched_at.isoformat(),
                "as_of": (as_of or fetched_at).astimezone(UTC).isoformat(),
                "facts": dict(facts or {}),
                "pages": [asdict(page) for page in self.pages],
            }
            write_synced(
                self._body_folder / MANIFEST,
                [json.dumps(manifest, indent=1, sort_keys=True).encode()],
                packed=False,
            )
            sync_folder(self._body_folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._body_folder.rename(target)
            sync_folder(target.parent)
        shutil.rmtree(self._folder, ignore_errors=True)
        self.pages = []
        return self._landing.load(target)

    def _target(self, source: str, scope: str, as_of: datetime | None) -> Path:
        """The folder of the newest pull of this scope if it has this content, else a new one.

        An answer that stands for the same instant as a pull of this content is that pull. A content
        that was replaced and has come back is a pull of its own, or its older date would leave the
        one in between the newest for ever.
        """
        pull_id = _pull_id(source, scope, self.pages)
        root = self._landing.root / source
        of_scope = [pull for pull in self._landing.pulls(source, unreadable={}) if pull.scope == scope]
        known = [pull for pull in of_scope if pull.pull_id.startswith(pull_id)]
        for pull in known:
            if pull.as_of == as_of or pull is of_scope[-1]:
                return root / pull.pull_id
        # An id is never given again: the warehouse may still hold the rows of a pull that was taken out,
        # and a folder may lie there that cannot be read.
        used = {folder.name for folder in root.glob(f"{pull_id}*")} | self._landing.taken_out()
        again, name = 1, pull_id
        while name in used:
            again += 1
            name = f"{pull_id}-{again}"
        return root / name

    def _resumable(self) -> bool:
        try:
            return bool(json.loads(self._state_file.read_bytes()) == self._state)
        except (OSError, ValueError):
            return False

    def _survivors(self) -> list[Page]:
        """The landed pages up to the first that is torn or damaged."""
        pages: list[Page] = []
        with suppress(OSError, ValueError, TypeError, EOFError, zlib.error):
            for line in self._journal.read_text(encoding="utf-8").splitlines():
                page = Page(**json.loads(line))
                if _measure(self.file(page)) != (page.bytes, page.sha256):
                    break
                pages.append(page)
        return pages

    def _start(self) -> None:
        """Leave on disk exactly what ``pages`` says."""
        if not self.pages:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._body_folder.mkdir(parents=True, exist_ok=True)
        for stray in {file.name for file in self._body_folder.iterdir()} - {page.file for page in self.pages}:
            (self._body_folder / stray).unlink()
        # Not synced: a torn journal or state only costs the pages of this attempt.
        lines = [json.dumps(asdict(page), sort_keys=True) + "\n" for page in self.pages]
        self._journal.write_text("".join(lines), encoding="utf-8")
        self._state_file.write_text(json.dumps(self._state), encoding="utf-8")


def _pull_id(source: str, scope: str, pages: Sequence[Page]) -> str:
    digest = hashlib.sha256()
    for page in pages:
        digest.update(json.dumps([page.name, page.request, page.sha256]).encode())
    return f"{source}-{scope}-{digest.hexdigest()[:12]}"


def _body(file: Path) -> bytes:
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def _measure(file: Path) -> tuple[int, str]:
    """Bytes and sha256 of a stored body, read in pieces."""
    digest, count = hashlib.sha256(), 0
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
            count += len(piece)
    return count, digest.hexdigest()


def write_synced(file: Path, chunks: Iterable[bytes], packed: bool) -> tuple[int, str]:
    """Write and sync a file; bytes and sha256 of what went in. Nothing stays if a chunk fails."""
    digest, count = hashlib.sha256(), 0
    try:
        with file.open("wb") as raw:
            # Without a name or a time in its header, the same body gives the same file.
            sink: io.BufferedIOBase = (
                gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6)
                if packed
                else raw
            )
            for chunk in chunks:
                sink.write(chunk)
                digest.update(chunk)
                count += len(chunk)
            if packed:
                sink.close()
            raw.flush()
            os.fsync(raw.fileno())
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return count, digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(drafts: Path, day: str) -> None:
    """Delete the drafts of other days that no process holds."""
    for folder in [entry for entry in drafts.iterdir() if entry.is_dir()]:
        if (found := day_of(folder)) is None or found.isoformat() != day:
            with (
                suppress(LandingError),
                locked(folder.with_name(folder.name + ".lock"), 0),
            ):
                shutil.rmtree(folder, ignore_errors=True)


def day_of(draft: Path) -> date | None:
    """The UTC day of a draft's folder, None when it cannot be read."""
    try:
        return date.fromisoformat(json.loads((draft / "draft.json").read_bytes())["day"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _extent(draft: Path) -> list[tuple[str, int]]:
    """The files of a draft and their sizes, which change as long as somebody adds to it."""
    found = []
    with suppress(OSError):  # files come and go meanwhile
        found += [(str(file), file.stat().st_size) for file in sorted(draft.rglob("*"))]
    return found


@contextmanager
def locked(file: Path, wait: float, signs: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold the kernel's lock on ``file``, which exists only while someone does.

    Args:
        file: what to lock.
        wait: seconds to wait for another holder.
        signs: gives something else as long as the holder goes on; the waiting then begins anew.

    Raises:
        LandingError: another process holds the lock.
    """
    waited, pause, seen = 0.0, 0.1, signs()
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last holder may have deleted the file between our open and our lock.
            if file.exists() and os.fstat(handle).st_ino == file.stat().st_ino:
                break
        except BlockingIOError:
            if waited >= wait:
                os.close(handle)
                raise LandingError(
                    f"Another process is making the pull {file.stem}; try again when it is done."
                ) from None
            time.sleep(pause)
            waited += pause
            if (sign := signs()) != seen:
                waited, seen = 0.0, sign
        except FileNotFoundError:
            pass
        os.close(handle)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(handle)
