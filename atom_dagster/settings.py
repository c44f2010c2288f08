"""Everything configurable, typed, from ``ATOM_*`` variables; nothing else reads the environment.

Belongs here: settings, the clock, and the ``Endpoints`` type that a world hands to the sources. Does
not belong here: how a world starts (``worlds``) or what a service answers (``sources``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
DBT_PROJECT = ROOT / "dbt_project"


SCHEDULES = ("observe_daily", "close_month", "catch_up_archive", "check_freshness")
"""The schedules' names (``schedules`` says what each does); all are off unless they are turned on."""


class SettingsError(ValueError):
    """A setting is wrong; the message is one sentence that says what to do."""


INVENTED_TOKENS = "hf_sample_"
"""How the tokens begin that loopback Hubs know; no real one does."""


ARCHIVES = ("hub_archive", "hub_revisions", "hub_series")
"""The archives there are, in the order they are asked unless ``ATOM_ARCHIVES`` says otherwise."""


@dataclass(frozen=True)
class Archive:
    """A public history of Hub readings in a dataset repository.

    Layouts: ``folders``, ``models/<YYYY-MM-DD>/models.parquet``; ``revisions``, a ``models.parquet`` that
    each commit replaces; ``series``, one file of many days that grows.
    """

    url: str
    """Endpoint that speaks the Hub's dataset API (``/api/datasets/…/tree``, ``/datasets/…/resolve``)."""
    repo: str
    kind: Literal["complete", "selection"]
    """``complete``: far fewer rows than last time is a fault. ``selection``: the panel may shrink."""
    folder_date_is: Literal["week_start", "observed_on"] = "observed_on"
    """Whether a folder is named for the start of its week or for the day its readings were taken. Commits
    date a revision, and the rows of a series themselves, so theirs are always ``observed_on``."""
    name: str = "hub_archive"
    """One of ``ARCHIVES``: the source its readings bear."""
    layout: Literal["folders", "revisions", "series"] = "folders"
    since: date | None = None
    """The first day it can hold, where that is known: it is not asked for months before."""


@dataclass(frozen=True)
class Endpoints:
    """Where the outside is, with the credentials it may receive. All URLs without a trailing slash."""

    world: str
    is_synthetic: bool
    hub: str | None
    """Base of the Hub API, or None in a world without a live Hub (the current month has no reading)."""
    archives: tuple[Archive, ...]
    """In the order they are asked; empty in a world without a past."""
    openrouter: str
    """Base of OpenRouter: ``/api/v1/datasets/rankings-daily`` and the keyless export lie below it."""
    catalogues: tuple[str, ...]
    """Full URLs of ``/api/v1/models`` answers: one where only now can be asked, more where kept."""
    registry: str
    """Base below which ``models.csv``, ``extra_models.csv`` and ``metadata/*.csv`` lie."""
    rankings_span: tuple[date, date] | None = None
    """First and last day the rankings can be asked for; None: all of OpenRouter's, up to yesterday."""
    hub_token: str | None = field(default=None, repr=False)
    openrouter_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Settings:
    """The configuration of one process; see ``from_env`` for the variables."""

    world: str
    home: Path
    """Absolute; holds landing/, warehouse.duckdb, dagster/, builds/ and the published link."""
    seed: int
    fixed_now: datetime | None
    hub_scope: Literal["all", "organizations"]
    """Live pulls: the whole Hub, or only the registry's organizations (no derivatives by others)."""
    faults: Path | None
    """Rules by which the loopback server misbehaves (tests only; see ``worlds.server``)."""
    archives: tuple[str, ...] = ARCHIVES
    """The archives that are asked, in this order, as far as the world has them."""
    archive_days: int = 7
    """Days from one reading of a month to the next, where an archive has one for every day."""
    pull_workers: int = 4
    """Files of an archive that are pulled at once, all within one quota."""
    accepted_shrinks: frozenset[date] = frozenset()
    """Days of snapshots that may hold less than half of the snapshot before (``--accept-shrink``)."""
    hub_endpoint: str = "https://huggingface.co"
    """The live Hub, as ``huggingface_hub`` itself names it (``HF_ENDPOINT``)."""
    dagster_home: Path | None = None
    """A Dagster instance of its own making (a container's, with Postgres); None: the world's."""
    schedules: frozenset[str] = frozenset()
    """The schedules that are on from the start; the others wait to be turned on in the UI."""
    as_of: datetime | None = None
    """Build from what had been fetched by this UTC instant, on its day; None: from all, today.

    A build is asked for it by itself (``resources.Home``); no variable sets it, for nothing can be pulled
    in the past."""
    hf_token: str | None = field(default=None, repr=False)
    openrouter_key: str | None = field(default=None, repr=False)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment.

        ``ATOM_WORLD``, ``ATOM_HOME``, ``ATOM_SEED``, ``ATOM_NOW``, ``ATOM_HUB_SCOPE``, ``ATOM_FAULTS``,
        ``ATOM_DAGSTER_HOME``, ``ATOM_SCHEDULES``, ``HF_ENDPOINT``, ``HF_TOKEN`` and
        ``OPENROUTER_API_KEY``; and of the archives

        * ``ATOM_ARCHIVES``: which are asked, in which order; default
          ``hub_archive,hub_revisions,hub_series``;
        * ``ATOM_ARCHIVE_DAYS``: of an archive with a reading for every day, take the first one on or after
          days 1, 1 + n, 1 + 2n, … of a month; default 7, so days 1, 8, 15 and 22;
        * ``ATOM_PULL_WORKERS``: files pulled at once; default 4;
        * ``ATOM_ACCEPT_SHRINK``: days, separated by commas, as ``--accept-shrink`` gives them.

        Raises:
            SettingsError: a value cannot be understood.
        """
        env = os.environ if environ is None else environ
        world = env.get("ATOM_WORLD") or "sample"
        kind, _, argument = world.partition(":")
        if kind not in {"sample", "live", "recorded"} or (kind == "recorded") != bool(argument):
            raise SettingsError(f"The world {world!r} does not exist; choose sample, live or recorded:DIR.")
        try:
            seed = int(env.get("ATOM_SEED") or 1)
        except ValueError as error:
            raise SettingsError("ATOM_SEED must be a whole number.") from error
        if kind == "recorded":
            folder = Path(argument).expanduser().resolve()
            if not (folder / "world.yml").is_file():
                raise SettingsError(
                    f"{argument} is no recorded world: it has no world.yml; name a folder that has one."
                )
            world = f"recorded:{folder}"
        name = kind if kind != "sample" or seed == 1 else f"sample-{seed}"
        home = Path(env.get("ATOM_HOME") or ROOT / "data" / name).expanduser().resolve()
        scope = env.get("ATOM_HUB_SCOPE") or "all"
        if scope not in {"all", "organizations"}:
            raise SettingsError("ATOM_HUB_SCOPE must be 'all' or 'organizations'.")
        return cls(
            archives=_archives(env.get("ATOM_ARCHIVES") or ",".join(ARCHIVES)),
            archive_days=_whole(env, "ATOM_ARCHIVE_DAYS", 7, most=31),
            pull_workers=_whole(env, "ATOM_PULL_WORKERS", 4, most=64),
            accepted_shrinks=_days(env.get("ATOM_ACCEPT_SHRINK") or ""),
            world=world,
            home=home,
            seed=seed,
            fixed_now=_instant(env.get("ATOM_NOW")),
            hub_endpoint=_endpoint(env.get("HF_ENDPOINT") or "https://huggingface.co"),
            dagster_home=Path(env["ATOM_DAGSTER_HOME"]) if env.get("ATOM_DAGSTER_HOME") else None,
            hub_scope=scope,  # type: ignore[arg-type]
            faults=Path(env["ATOM_FAULTS"]) if env.get("ATOM_FAULTS") else None,
            schedules=_schedules(env.get("ATOM_SCHEDULES") or ""),
            hf_token=_secret(env, "HF_TOKEN"),
            openrouter_key=_secret(env, "OPENROUTER_API_KEY"),
        )

    @property
    def kind(self) -> str:
        """``sample``, ``live`` or ``recorded``."""
        return self.world.partition(":")[0]

    @property
    def is_hub_on_loopback(self) -> bool:
        """Whether ``hub_endpoint`` is on this machine."""
        return _is_loopback(urlsplit(self.hub_endpoint).hostname)

    @property
    def hub_token(self) -> str | None:
        """The token that ``hub_endpoint`` may receive: on this machine only an invented one."""
        if self.hf_token and self.is_hub_on_loopback and not self.hf_token.startswith(INVENTED_TOKENS):
            return None
        return self.hf_token

    @property
    def world_name(self) -> str:
        """The world as outputs name it: without the machine's path of a recorded one."""
        kind, _, folder = self.world.partition(":")
        return f"{kind}:{Path(folder).name}" if folder else kind

    def now(self) -> datetime:
        """The one clock: the present instant in UTC, or the one ``ATOM_NOW`` holds."""
        return self.fixed_now or datetime.now(UTC)

    def today(self) -> date:
        """The UTC day of ``now``; of ``as_of`` where that is set."""
        return (self.as_of or self.now()).date()


def parse_as_of(text: str) -> datetime:
    """A UTC instant from ISO text; a bare day means its end, so that all that was fetched on it counts.

    Raises:
        SettingsError: the text is neither.
    """
    with suppress(ValueError):
        return datetime.combine(date.fromisoformat(text), time.max, UTC)
    try:
        return _utc(datetime.fromisoformat(text))
    except ValueError as error:
        raise SettingsError(
            f"{text!r} is no instant; write a day such as 2026-04-08, meaning its end in UTC, or an ISO"
            " instant such as 2026-04-08T06:00:00Z."
        ) from error


def _secret(env: Mapping[str, str], name: str) -> str | None:
    """A credential, without the line end that copying it brings along. No message shows it."""
    text = (env.get(name) or "").strip()
    if not _is_plain(text):
        raise SettingsError(f"{name} holds characters that no key has; set it to the key alone.")
    return text or None


def _endpoint(text: str) -> str:
    """A Hub's address. No message shows it: it may hold a password."""
    text = text.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if (
        not _is_plain(text)
        or not host
        or parts.scheme not in {"http", "https"}
        or parts.query
        or parts.fragment
    ):
        raise SettingsError("HF_ENDPOINT is no web address; write one such as https://huggingface.co.")
    if "@" in parts.netloc:
        raise SettingsError("HF_ENDPOINT holds a name or password; leave them out and set HF_TOKEN.")
    if parts.scheme == "http" and not _is_loopback(host):
        raise SettingsError(
            "HF_ENDPOINT begins with http://, which would send HF_TOKEN in clear; write https://."
        )
    return text


def _is_plain(text: str) -> bool:
    """Whether text is printable ASCII without spaces, as a header or an address holds it."""
    return all("!" <= character <= "~" for character in text)


def _is_loopback(host: str | None) -> bool:
    return host in {"127.0.0.1", "localhost", "::1"}


def _schedules(text: str) -> frozenset[str]:
    names = {name.strip() for name in text.split(",")} - {""}
    if unknown := sorted(names - {*SCHEDULES, "all"}):
        raise SettingsError(
            f"ATOM_SCHEDULES names {unknown[0]!r}, which is no schedule; choose from {', '.join(SCHEDULES)},"
            " separated by commas, or all."
        )
    return frozenset(SCHEDULES if "all" in names else names)


def _archives(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names or len(set(names)) < len(names) or not set(names) <= set(ARCHIVES):
        raise SettingsError(
            f"ATOM_ARCHIVES is {text!r}; write some of {', '.join(ARCHIVES)}, each once, separated by commas."
        )
    return names


def _whole(env: Mapping[str, str], name: str, default: int, *, most: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise SettingsError(f"{name} is {text!r}; write a whole number from 1 to {most}.")
    return int(text)


def _days(text: str) -> frozenset[date]:
    try:
        return frozenset(date.fromisoformat(day.strip()) for day in text.split(",") if day.strip())
    except ValueError as error:
        raise SettingsError(
            f"ATOM_ACCEPT_SHRINK is {text!r}; write days such as 2026-08-12, separated by commas."
        ) from error


_YEARS = (2000, 2999)


def _instant(text: str | None) -> datetime | None:
    if not text:
        return None
    wrong = SettingsError(f"ATOM_NOW is {text!r}; write an ISO instant such as 2026-04-08T00:00:00Z.")
    try:
        instant = _utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError) as error:
        raise wrong from error
    # Months before and after it must be dates too.
    if not _YEARS[0] <= instant.year <= _YEARS[1]:
        raise wrong
    return instant


def _utc(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
