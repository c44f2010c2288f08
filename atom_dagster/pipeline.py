"""Running the jobs from a process of one's own, and saying how things stand.

Belongs here: the two runs of `atom run`, what came of them, status and diagnosis as data. Does not
belong here: printing (``cli``), or what the jobs do (``assets``).
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal

import dagster as dg
import duckdb

from atom_dagster import partitions, progress
from atom_dagster.assets import publish
from atom_dagster.assets.raw import LIST_UNOBSERVABLE
from atom_dagster.instance import PID_TAG, open_instance
from atom_dagster.schedules import BUILD, INGEST
from atom_dagster.settings import Settings
from atom_dagster.warehouse import Warehouse
from atom_dagster.worlds import open_world


@dataclass
class Outcome:
    """What came of an ingest and a build."""

    months: Sequence[date]
    committed: dict[str, int] = field(default_factory=dict)
    """Months committed, by asset."""
    unobservable: dict[str, dict[str, str]] = field(default_factory=dict)
    """Why, by asset and month."""
    failures: list[str] = field(default_factory=list)
    """Sentences about sources or steps that failed."""
    refused: str | None = None
    """Why nothing was published."""
    build: dict[str, Any] | None = None
    is_new: bool = False

    @property
    def unobservable_everywhere(self) -> bool:
        """Whether no dated source could observe any month asked for."""
        return bool(self.unobservable) and not any(self.committed.values()) and not self.failures

    @property
    def why_unobservable(self) -> str:
        """The reasons, one a source."""
        return " ".join(next(iter(months.values())) for months in self.unobservable.values() if months)

    def lines(self) -> Iterator[str]:
        """Months that no source could observe, a line per asset."""
        for asset, months in self.unobservable.items():
            if months:
                names = sorted(months)
                yield (
                    f"  {asset}: {len(names)} of {len(self.months)} months are not observable"
                    f" ({_ranges(names)})"
                )


def _ranges(names: list[str]) -> str:
    """``2023-11 … 2024-12, 2026-01`` for a sorted list of months."""
    spans: list[list[date]] = []
    for name in names:
        month = date.fromisoformat(f"{name}-01")
        if spans and partitions.next_month(spans[-1][-1]) == month:
            spans[-1].append(month)
        else:
            spans.append([month])
    return ", ".join(
        f"{span[0]:%Y-%m}" if len(span) == 1 else f"{span[0]:%Y-%m} … {span[-1]:%Y-%m}" for span in spans
    )


def run(
    settings: Settings, months: Sequence[date], *, reporter: progress.Reporter, debug: bool = False
) -> Outcome:
    """Ingest these months, then build and publish unless nothing changed since the last build."""
    _quiet(debug)
    outcome = Outcome(months)
    with (
        open_instance(settings) as instance,
        progress.reporting_to(reporter),
        # dbt's own lines are for --debug; its log file under the world's home keeps them.
        contextlib.nullcontext() if debug else contextlib.redirect_stdout(io.StringIO()),
    ):
        from atom_dagster.definitions import build_defs

        definitions = build_defs()
        console = {"console": {"config": {"log_level": "DEBUG" if debug else "CRITICAL"}}}
        ingest = definitions.resolve_job_def(INGEST.name).execute_in_process(
            run_config={"loggers": console},
            instance=instance,
            raise_on_error=False,
            tags={
                "dagster/asset_partition_range_start": months[0].isoformat(),
                "dagster/asset_partition_range_end": months[-1].isoformat(),
                PID_TAG: str(os.getpid()),
                **LIST_UNOBSERVABLE,
            },
        )
        _read_ingest(ingest, outcome)
        warehouse = Warehouse(settings.home / "warehouse.duckdb")
        with warehouse.reading("comparison with the last build") as connection:
            inputs = publish.inputs_fingerprint(connection, settings)
        published = publish.published_build(settings.home)
        if published and published["inputs"] == inputs:
            outcome.build = published
            return outcome
        build = definitions.resolve_job_def(BUILD.name).execute_in_process(
            run_config={"loggers": console},
            instance=instance,
            raise_on_error=False,
            tags={PID_TAG: str(os.getpid())},
        )
        _read_build(build, outcome)
        outcome.build = publish.published_build(settings.home)
        outcome.is_new = bool(build.success)
    return outcome


def _read_ingest(result: dg.ExecuteInProcessResult, outcome: Outcome) -> None:
    for event in result.all_events:
        if event.is_asset_observation:
            observation = event.asset_observation_data.asset_observation
            metadata = observation.metadata
            if "not_observable" in metadata:
                name = observation.asset_key.path[-1]
                outcome.unobservable[name] = _as_json(metadata["not_observable"])
                outcome.committed[name] = int(str(metadata["months_committed"].value))
        elif event.is_step_failure:
            outcome.failures.extend(_sentence(event))


def _as_json(value: dg.MetadataValue) -> dict[str, str]:
    return dict(value.value) if isinstance(value, dg.JsonMetadataValue) else {}  # type: ignore[arg-type]


def _read_build(result: dg.ExecuteInProcessResult, outcome: Outcome) -> None:
    sentences = [
        sentence for event in result.all_events if event.is_step_failure for sentence in _sentence(event)
    ]
    if not result.success:
        outcome.refused = " ".join(sentences) or "The build did not finish; nothing was published."


def _sentence(event: dg.DagsterEvent) -> list[str]:
    """A failed step as sentences for people."""
    failure = event.step_failure_data
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return [failure.user_failure_data.description]
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    text = error.message.strip() if error else "no reason was given"
    return [f"Step {event.step_key} failed: {text}"]


def _quiet(debug: bool) -> None:
    """Keep Dagster's log for --debug; its files hold it in any case."""
    if debug:
        return
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")


@dataclass(frozen=True)
class Status:
    """A matrix of months by source, and lines about what is published."""

    sources: list[str]
    rows: list[tuple[date, list[str]]]
    lines: list[str]


_DATED = {
    "hub live": "select date_trunc('month', observed_on)::date, count(distinct observed_on), count(*)"
    " from raw.hf_models where source = 'hub_live' group by 1",
    "hub archive": "select date_trunc('month', observed_on)::date, count(distinct observed_on),"
    " count(*) from raw.hf_models where source = 'hub_archive' group by 1",
    "OpenRouter": "select date_trunc('month', day)::date, count(distinct day), count(*)"
    " from raw.openrouter_tokens group by 1",
}


def status(settings: Settings) -> Status:
    """Days with readings by month and source, and what is published."""
    found: dict[str, dict[date, str]] = {name: {} for name in _DATED}
    lines: list[str] = []
    warehouse = Warehouse(settings.home / "warehouse.duckdb")
    if warehouse.path.exists():
        with warehouse.reading("atom status") as connection:
            for name, query in _DATED.items():
                with _ignoring_missing():
                    for month, days, rows in connection.execute(query).fetchall():
                        found[name][month] = f"{days} days, {rows:,} rows"
            with _ignoring_missing():
                quarantined = connection.execute("select count(*) from raw.quarantine").fetchone()
                lines.append(f"quarantined rows: {quarantined[0] if quarantined else 0}")
    else:
        lines.append("Nothing is loaded yet; run `atom run`.")
    months = partitions.months_between(partitions.FIRST_MONTH, settings.today())
    rows = [
        (month, [found[name].get(month, "·") for name in _DATED])
        for month in months
        if any(month in found[name] for name in _DATED)
    ]
    build = publish.published_build(settings.home)
    lines.append(
        f"published: {build['build_id']} at {build['built_at']}"
        + (" · synthetic" if build["is_synthetic"] else "")
        if build
        else "published: nothing yet"
    )
    return Status(list(_DATED), rows, lines)


def _ignoring_missing() -> Any:
    return contextlib.suppress(duckdb.CatalogException)


@dataclass(frozen=True)
class Finding:
    """One thing `atom doctor` found."""

    kind: Literal["good", "note", "bad"]
    text: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at what a run needs: a writable home, disk, dbt, the lock, endpoints and credentials."""
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / ".doctor"
        probe.write_text("")
        probe.unlink()
        yield Finding("good", f"home {home} is writable")
    except OSError as error:
        yield Finding("bad", f"home {home} cannot be written ({error.strerror}); set ATOM_HOME.")
        return
    free = shutil.disk_usage(home).free / 1e9
    need = 50 if settings.kind == "live" else 1
    yield Finding(
        "good" if free >= need else "note",
        f"{free:.0f} GB free (a {settings.kind} world wants {need})",
    )
    warehouse = Warehouse(home / "warehouse.duckdb")
    from atom_dagster.warehouse import Busy

    try:
        os.close(warehouse.lock.acquire("atom doctor", shared=True, timeout=0))
        yield Finding("good", "nobody is writing the warehouse")
    except Busy as error:
        yield Finding("note", str(error))
    try:
        from atom_dagster.assets.dbt import ensure_manifest

        ensure_manifest()
        yield Finding("good", "the dbt project parses")
    except RuntimeError as error:
        yield Finding("bad", str(error))
    yield from _examine_world(settings)


def _examine_world(settings: Settings) -> Iterator[Finding]:
    from atom_dagster.sources import SourceError, archive

    if settings.kind == "live":
        yield (
            Finding("good", "HF_TOKEN is set: 1,000 Hub requests in 5 minutes or more")
            if settings.hf_token
            else Finding("note", "HF_TOKEN is not set: 500 Hub requests in 5 minutes, twice as slow")
        )
        yield (
            Finding("good", "OPENROUTER_API_KEY is set: rankings from 2025-01-01")
            if settings.openrouter_key
            else Finding("note", "OPENROUTER_API_KEY is not set: only the last 30 days of OpenRouter")
        )
    with open_world(settings) as endpoints:
        if endpoints.archive is None:
            yield Finding("note", "this world has no archive of Hub snapshots")
            return
        try:
            found = archive.snapshots(endpoints)
        except SourceError as error:
            yield Finding("bad", str(error))
            return
        if not found:
            yield Finding("note", "the archive of Hub snapshots is empty")
            return
        days = sorted(snapshot.folder_date for snapshot in found)
        age = settings.today() - days[-1]
        yield Finding(
            "good" if age <= timedelta(days=14) else "note",
            f"the archive answers: {len(days)} snapshots, {days[0]} to {days[-1]}",
        )
