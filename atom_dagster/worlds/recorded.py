"""The recorded world: real answers that others once received, served again as they were.

Belongs here: reading and checking ``world.yml``, and serving what it declares, each answer dated
by its ``recorded_at``. Does not belong here: any value; files and rows go out verbatim.

``world.yml``: ``archives.hub`` {path, kind, folder_date_is}; ``openrouter.rankings_daily`` and
``openrouter.models``, lists of {path, recorded_at}; ``registry`` {path, recorded_at}. Paths are
relative to it. Every part may be missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from atom_dagster.settings import Archive, Endpoints, Settings, SettingsError
from atom_dagster.worlds.server import Answer, Request, json_answer, serving

REPO = "recorded/hub"
KEY = "a-recorded-world-takes-any-key"
KINDS = ("complete", "selection")
FOLDER_DATES = ("week_start", "observed_on")


@dataclass(frozen=True)
class Kept:
    """One recorded file or folder and when it was recorded."""

    path: Path
    recorded_at: datetime


@dataclass(frozen=True)
class Declaration:
    """What a ``world.yml`` says."""

    archive: Path | None
    kind: str
    folder_date_is: str
    rankings: tuple[Kept, ...]
    catalogues: tuple[Kept, ...]
    registry: Kept | None


@contextmanager
def open_recorded(settings: Settings) -> Iterator[Endpoints]:
    """Serve the recorded world that settings name.

    Raises:
        SettingsError: its world.yml is not as it should be.
    """
    folder = Path(settings.world.partition(":")[2])
    told = declaration(folder)
    recorded = Recorded(told)
    with serving(recorded, settings.now, settings.faults) as base:
        archives: tuple[Archive, ...] = ()
        if told.archive:
            archives = (Archive(f"{base}/archive", REPO, told.kind, told.folder_date_is),)  # type: ignore[arg-type]
        yield Endpoints(
            world=settings.world_name,
            is_synthetic=False,
            hub=None,
            archives=archives,
            openrouter=f"{base}/openrouter",
            catalogues=tuple(
                f"{base}/catalogues/{number}/api/v1/models" for number in range(len(told.catalogues))
            ),
            registry=f"{base}/registry",
            rankings_span=recorded.rankings_span(),
            openrouter_key=KEY,
        )


def declaration(folder: Path) -> Declaration:
    """Read and check a ``world.yml``.

    Raises:
        SettingsError: one sentence that names what is wrong.
    """
    file = folder / "world.yml"
    try:
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{file} cannot be read as YAML; correct it.") from error
    if not isinstance(told, dict):
        raise SettingsError(f"{file} declares nothing; it must be a mapping.")
    unknown = sorted(set(map(str, told)) - {"archives", "openrouter", "registry"})
    if unknown:
        raise SettingsError(f"{file} declares {unknown[0]!r}, which no world has.")
    check = _Check(file)
    archives = check.mapping(told.get("archives") or {}, "archives")
    hub = check.mapping(archives.get("hub") or {}, "archives.hub")
    router = check.mapping(told.get("openrouter") or {}, "openrouter")
    registry = told.get("registry")
    return Declaration(
        archive=check.path(hub, "archives.hub") if hub else None,
        kind=check.choice(hub.get("kind"), "archives.hub.kind", KINDS) if hub else "selection",
        folder_date_is=check.choice(hub.get("folder_date_is"), "archives.hub.folder_date_is", FOLDER_DATES)
        if hub
        else "observed_on",
        rankings=check.kept_list(router.get("rankings_daily"), "openrouter.rankings_daily"),
        catalogues=check.kept_list(router.get("models"), "openrouter.models"),
        registry=check.kept(registry, "registry") if registry else None,
    )


class _Check:
    """Reads parts of one ``world.yml``, naming the part that is wrong."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def mapping(self, value: object, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise SettingsError(f"{self.file}: {name} must be a mapping.")
        return value

    def path(self, value: dict[str, Any], name: str) -> Path:
        if not isinstance(value.get("path"), str):
            raise SettingsError(f"{self.file}: {name} has no path.")
        root = self.file.parent.resolve()
        path = (root / value["path"]).resolve()
        if not path.exists() or not path.is_relative_to(root):
            raise SettingsError(
                f"{self.file}: {name} names {value['path']}, which is not in this world's folder."
            )
        return path

    def choice(self, value: object, name: str, among: tuple[str, ...]) -> str:
        if value not in among:
            raise SettingsError(f"{self.file}: {name} must be one of {', '.join(among)}.")
        return str(value)

    def kept(self, value: object, name: str) -> Kept:
        told = self.mapping(value, name)
        instant = told.get("recorded_at")
        if isinstance(instant, str):
            try:
                instant = datetime.fromisoformat(instant)
            except ValueError:
                instant = None
        if not isinstance(instant, datetime):
            raise SettingsError(f"{self.file}: {name} needs recorded_at, an ISO instant.")
        is_naive = instant.tzinfo is None
        instant = instant.replace(tzinfo=UTC) if is_naive else instant.astimezone(UTC)
        return Kept(self.path(told, name), instant)

    def kept_list(self, value: object, name: str) -> tuple[Kept, ...]:
        if value is None:
            return ()
        if not isinstance(value, list):
            raise SettingsError(f"{self.file}: {name} must be a list.")
        return tuple(self.kept(entry, f"{name}[{n}]") for n, entry in enumerate(value))


class Recorded:
    """Answers from the files that a declaration names."""

    def __init__(self, told: Declaration) -> None:
        self._told = told

    def answer(self, request: Request) -> Answer:
        """Serve a recorded file, a listing of the archive, or days of the rankings."""
        room, _, rest = request.path.removeprefix("/").partition("/")
        found: Answer | None = None
        if room == "archive" and self._told.archive:
            found = self._archive(self._told.archive, request, rest)
        elif room == "openrouter" and rest == "api/v1/datasets/rankings-daily":
            found = self._rankings(request)
        elif room == "catalogues":
            number, _, path = rest.partition("/")
            if path == "api/v1/models" and number.isdigit():
                kept = self._told.catalogues[int(number) : int(number) + 1]
                found = _file(kept[0].path, kept[0].recorded_at) if kept else None
        elif room == "registry" and self._told.registry:
            root = self._told.registry.path
            found = _file(_inside(root, rest), self._told.registry.recorded_at)
        return found or json_answer({"error": "This was not recorded."}, 404)

    def rankings_span(self) -> tuple[date, date] | None:
        """First and last recorded day of the rankings."""
        if not self._told.rankings:
            return None
        days = self._days[0]
        return date.fromisoformat(min(days)), date.fromisoformat(max(days))

    def _archive(self, root: Path, request: Request, rest: str) -> Answer | None:
        tree = f"api/datasets/{REPO}/tree/main/models"
        files = f"datasets/{REPO}/resolve/main/models"
        if rest.startswith(tree):
            below = rest.removeprefix(tree).strip("/")
            return self._listing(root, below, request.one("recursive") == "true")
        if rest.startswith(files + "/"):
            path = _inside(root, rest.removeprefix(files + "/"))
            return _file(path, _folder_instant(path)) if path else None
        return None

    def _listing(self, root: Path, below: str, is_recursive: bool) -> Answer | None:
        folder = _inside(root, below) if below else root
        if folder is None or not folder.is_dir():
            return None
        entries = []
        for path in sorted(folder.rglob("*") if is_recursive else folder.iterdir()):
            is_file = path.is_file()
            entries.append(
                {
                    "type": "file" if is_file else "directory",
                    "oid": quote(path.relative_to(root).as_posix(), safe=""),
                    "size": path.stat().st_size if is_file else 0,
                    "path": f"models/{path.relative_to(root).as_posix()}",
                }
            )
        return json_answer(entries, date=_folder_instant(folder))

    def _rankings(self, request: Request) -> Answer | None:
        """The days asked for. A later recording's day replaces an earlier one's."""
        if not self._told.rankings:
            return None
        first, last = request.one("start_date"), request.one("end_date")
        if not first or not last or _day(first) is None or _day(last) is None:
            return json_answer({"error": "start_date and end_date must be days."}, 400)
        rows, newest, meta = self._days
        chosen = [row for day in sorted(rows) if first <= day <= last for row in rows[day]]
        if not chosen:
            return json_answer({"error": "No day of this span was recorded."}, 400)
        days = [day for day in rows if first <= day <= last]
        body = {"data": chosen, "meta": {**meta, "start_date": min(days), "end_date": max(days)}}
        return json_answer(body, date=newest)

    @cached_property
    def _days(self) -> tuple[dict[str, list[dict[str, Any]]], datetime, dict[str, Any]]:
        days: dict[str, list[dict[str, Any]]] = {}
        meta: dict[str, Any] = {}
        kept = sorted(self._told.rankings, key=lambda kept: kept.recorded_at)
        for file in kept:
            told = json.loads(file.path.read_text(encoding="utf-8"))
            meta = told["meta"]
            fresh: dict[str, list[dict[str, Any]]] = {}
            for row in told["data"]:
                fresh.setdefault(row["date"], []).append(row)
            days |= fresh
        return days, kept[-1].recorded_at, meta


def _file(path: Path | None, recorded_at: datetime | None) -> Answer | None:
    if path is None or not path.is_file():
        return None
    kinds = {".json": "application/json; charset=utf-8", ".csv": "text/plain; charset=utf-8"}
    kind = kinds.get(path.suffix, "application/octet-stream")
    return Answer(path.read_bytes(), content_type=kind, date=recorded_at)


def _inside(root: Path, below: str) -> Path | None:
    path = (root / below).resolve()
    return path if path.is_relative_to(root) and path.exists() else None


def _folder_instant(path: Path) -> datetime | None:
    """00:00 of the day a folder is named for: what its content was recorded on."""
    for name in (path.name, path.parent.name):
        day = _day(name)
        if day:
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
    return None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
