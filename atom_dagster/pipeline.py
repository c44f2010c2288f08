"""Running the jobs from a process of one's own, and saying how things stand.

Belongs here: the two runs of `atom run`, what came of them, diagnosis as data. Does not
belong here: printing (``cli``), or what the jobs do (``assets``).
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal

import dagster as dg
import duckdb

# Dagster does not export why a run failed.
from dagster._core.events import RunFailureReason

from atom_dagster import inputs, partitions, progress
from atom_dagster.assets import dbt, publish
from atom_dagster.assets.raw import LIST_UNOBSERVABLE
from atom_dagster.instance import PID_TAG, open_instance, recovering
from atom_dagster.overtaken import BUILDS_TRIED
from atom_dagster.schedules import BUILD, INGEST
from atom_dagster.settings import Archive, Endpoints, Settings, SettingsError
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
    warnings: list[str] = field(default_factory=list)
    """What went wrong without failing a month."""
    is_violated: bool = False
    """Whether a blocking check failed at a load; publication then says which."""
    refused: str | None = None
    """Why nothing was published, where a rule or the state of what is loaded forbids it."""
    fault: str | None = None
    """Why nothing was published, where something does not work."""
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
        """Warnings, then months that no source could observe, a line per asset."""
        for warning in dict.fromkeys(self.warnings):
            yield f"  warns: {warning}"
        for asset, months in self.unobservable.items():
            if months:
                names = sorted(months)
                yield (
                    f"  {asset}: {len(names)} of {len(self.months)} months are not observable"
                    f" ({partitions.spans([partitions.parse_month(name) for name in names])})"
                )


def run(
    settings: Settings, months: Sequence[date], *, reporter: progress.Reporter, debug: bool = False
) -> Outcome:
    """Ingest these months, then build and publish unless nothing changed since the last build.

    Raises:
        SettingsError: the world cannot be opened as it is configured.
    """
    _quiet(debug)
    outcome = Outcome(months)
    with _jobs(settings, reporter, debug=debug) as execute:
        ingest = execute(
            INGEST.name,
            {
                "dagster/asset_partition_range_start": months[0].isoformat(),
                "dagster/asset_partition_range_end": months[-1].isoformat(),
                **LIST_UNOBSERVABLE,
            },
        )
        _read_ingest(ingest, outcome)
        _build(settings, outcome, execute)
    return outcome


def run_as_of(settings: Settings, *, reporter: progress.Reporter, debug: bool = False) -> Outcome:
    """Build and publish what had been fetched by ``settings.as_of``, unless that is published; pull nothing.

    Raises:
        SettingsError: that instant has not come, or nothing had been fetched by then.
    """
    assert settings.as_of is not None  # noqa: S101 - the caller asked
    _quiet(debug)
    if settings.today() > settings.now().date():
        raise SettingsError(
            f"{settings.today()} has not come yet; choose an earlier day, or leave --as-of out."
        )
    warehouse = Warehouse(settings.home / "warehouse.duckdb")
    first: datetime | None = None
    if warehouse.path.exists():
        with (
            warehouse.reading("search for the first pull") as connection,
            contextlib.suppress(duckdb.CatalogException),
        ):
            [(first,)] = connection.execute("select min(fetched_at) from raw.pulls").fetchall()
    if first is None:
        raise SettingsError("Nothing has been fetched yet; run `atom run` without --as-of first.")
    if first > settings.as_of.replace(tzinfo=None):
        raise SettingsError(
            f"Nothing had been fetched by {settings.as_of:%Y-%m-%dT%H:%M:%SZ}: the first pull was completed"
            f" at {first.isoformat()}Z; choose that instant or a later one."
        )
    outcome = Outcome([])
    with _jobs(settings, reporter, debug=debug) as execute:
        _build(settings, outcome, execute)
    return outcome


Execute = Callable[[str, dict[str, str]], dg.ExecuteInProcessResult]
"""Runs a job by its name, with these tags."""


@contextlib.contextmanager
def _jobs(settings: Settings, reporter: progress.Reporter, *, debug: bool) -> Iterator[Execute]:
    """The jobs, to be run in this process and in the world's instance."""
    with (
        open_instance(settings) as instance,
        progress.reporting_to(reporter),
        # dbt's own lines are for --debug; its log file under the world's home keeps them.
        contextlib.nullcontext() if debug else contextlib.redirect_stdout(io.StringIO()),
    ):
        from atom_dagster.definitions import build_defs

        definitions = build_defs()
        config: dict[str, Any] = {
            "loggers": {"console": {"config": {"log_level": "DEBUG" if debug else "CRITICAL"}}}
        }
        if settings.as_of:
            config["resources"] = {"home": {"config": {"as_of": settings.as_of.isoformat()}}}

        def execute(job: str, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
            try:
                result = definitions.resolve_job_def(job).execute_in_process(
                    run_config=config,
                    instance=instance,
                    raise_on_error=False,
                    tags={PID_TAG: str(os.getpid()), **tags},
                )
            except dg.DagsterExecutionInterruptedError as interrupt:  # before the first step
                raise KeyboardInterrupt from interrupt
            if _is_interrupted(result):
                raise KeyboardInterrupt
            return result

        with recovering(instance):
            yield execute


def _is_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether Ctrl-C (or SIGTERM, which Dagster makes the same) ended the run.

    Dagster takes an interrupt for one more failure and returns: only the events tell.
    """
    ended = [event.job_failure_data for event in result.all_events if event.is_failure and not event.step_key]
    return any(data.failure_reason is RunFailureReason.UNEXPECTED_TERMINATION for data in ended)


def _build(settings: Settings, outcome: Outcome, execute: Execute) -> None:
    """Build and publish, unless what is published was built from just this.

    A build during which another process loaded more cannot be published; it is made again.
    """
    outcome.build = publish.published_build(settings.home)
    warehouse = Warehouse(settings.home / "warehouse.duckdb")
    if not warehouse.path.exists():
        return

    def present() -> inputs.BuiltFrom:
        with warehouse.reading("comparison with the last build") as connection:
            return inputs.BuiltFrom(inputs.digest(connection), inputs.build_vars(settings))

    for _ in range(BUILDS_TRIED):
        before = present()
        if outcome.build and not outcome.is_violated:
            published = inputs.BuiltFrom(outcome.build["inputs"], outcome.build["vars"])
            if published == before:
                return
        outcome.refused = outcome.fault = None
        build = execute(BUILD.name, {})
        _read_build(build, outcome, settings)
        outcome.build = publish.published_build(settings.home)
        outcome.is_new = bool(build.success)
        if build.success or present() == before:
            return


def _read_ingest(result: dg.ExecuteInProcessResult, outcome: Outcome) -> None:
    for event in result.all_events:
        if event.is_asset_observation:
            observation = event.asset_observation_data.asset_observation
            metadata = observation.metadata
            if "not_observable" in metadata:
                name = observation.asset_key.path[-1]
                outcome.unobservable[name] = _as_json(metadata["not_observable"])
                outcome.committed[name] = int(str(metadata["months_committed"].value))
                outcome.warnings += _as_list(metadata["warnings"])
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            outcome.is_violated |= _blocks(event)
        elif event.is_step_failure and not _is_of_checks(event):
            outcome.failures.append(_sentence(event))
    if not result.success and not any(event.is_step_failure for event in result.all_events):
        outcome.failures.append(_of_run(result))


def _as_json(value: dg.MetadataValue) -> dict[str, str]:
    return dict(value.value) if isinstance(value, dg.JsonMetadataValue) else {}  # type: ignore[arg-type]


def _as_list(value: dg.MetadataValue) -> list[str]:
    return list(value.value) if isinstance(value, dg.JsonMetadataValue) else []  # type: ignore[arg-type]


def _read_build(result: dg.ExecuteInProcessResult, outcome: Outcome, settings: Settings) -> None:
    if result.success:
        return
    failed = [event for event in result.all_events if event.is_step_failure]
    violated = [
        str(event.asset_check_evaluation_data.description or event.asset_check_evaluation_data.check_name)
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION and _blocks(event)
    ]
    if any(_is_of_checks(event) for event in failed):
        outcome.refused = f"{publish.REFUSAL} {' '.join(violated)}"
    elif any(event.step_key == dbt.STEP for event in failed):
        sentence = f"Nothing was published, because {dbt.complaint(settings)}"
        if dbt.is_violated(settings):
            outcome.refused = sentence
        else:
            outcome.fault = sentence
    elif failed and all(_is_told(event) for event in failed):
        outcome.refused = " ".join(map(_sentence, failed))
    else:
        why = " ".join(map(_sentence, failed)) or _of_run(result)
        outcome.fault = f"Nothing was published. {why}"


def _blocks(event: dg.DagsterEvent) -> bool:
    """Whether a check's evaluation is a blocking rule's violation."""
    check = event.asset_check_evaluation_data
    return not check.passed and check.severity == dg.AssetCheckSeverity.ERROR and bool(check.blocking)


def _is_of_checks(event: dg.DagsterEvent) -> bool:
    """Whether a step failed only because a blocking check did."""
    error = event.step_failure_data.error
    return error is not None and error.cls_name == "DagsterAssetCheckFailedError"


def _is_told(event: dg.DagsterEvent) -> bool:
    """Whether a step failed with a sentence of its own, rather than by an exception nobody expected."""
    told = event.step_failure_data.user_failure_data
    return told is not None and bool(told.description)


def _sentence(event: dg.DagsterEvent) -> str:
    """A failed step as a sentence for people."""
    failure = event.step_failure_data
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return failure.user_failure_data.description
    return f"Step {event.step_key} failed ({_root(failure.error)[1]}); --debug shows where."


def _of_run(result: dg.ExecuteInProcessResult) -> str:
    """Why a run ended before any step failed.

    Raises:
        SettingsError: because the world cannot be opened as it is configured.
    """
    data = [event.job_failure_data for event in result.all_events if event.is_failure and not event.step_key]
    kind, text = _root(data[-1].error if data else None)
    if kind == SettingsError.__name__:
        raise SettingsError(text)
    return f"The run could not begin ({text}); --debug shows where."


def _root(error: Any) -> tuple[str, str]:
    """The class and first line of what an error comes down to: a wrong setting, or the first cause."""
    while error is not None and error.cause is not None and error.cls_name != SettingsError.__name__:
        error = error.cause
    if error is None:
        return "", "no reason was given"
    name, text = str(error.cls_name), error.message.strip()
    lines = text.partition(f"{name}: ")[2].splitlines() or text.splitlines() or [name]
    return name, lines[0] if name == SettingsError.__name__ else f"{name}: {lines[0].rstrip('.')}"


def _quiet(debug: bool) -> None:
    """Keep Dagster's log for --debug; its files hold it in any case."""
    if debug:
        return
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")


@dataclass(frozen=True)
class Finding:
    """One thing `atom doctor` found."""

    kind: Literal["good", "note", "bad"]
    text: str
    answers: bool = False
    """Whether it is an archive that answered."""


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
        if not endpoints.archives:
            yield Finding("note", "this world has no archive of Hub snapshots")
        found = [_examine_archive(archive, endpoints, settings) for archive in endpoints.archives]
        nobody = not any(finding.kind == "good" or finding.answers for finding in found)
        for finding in found:
            # One archive that is gone is no harm while another one answers.
            kind = "bad" if nobody and finding.kind == "note" else finding.kind
            yield Finding(kind, finding.text, finding.answers)


def _examine_archive(archive: Archive, endpoints: Endpoints, settings: Settings) -> Finding:
    """Whether an archive answers, and what it holds."""
    from atom_dagster.landing import Landing
    from atom_dagster.sources import Missing, Refused, SourceError, archive_listing

    try:
        found = archive_listing.snapshots(endpoints, archive)
    except (Missing, Refused) as error:
        return Finding("note", f"{archive.name} is not there for us: {error}")
    except SourceError as error:
        return Finding("bad", f"{archive.name}: {error}")
    days = [snapshot.folder_date for snapshot in found if snapshot.folder_date]
    if not days:
        landed = Landing(settings.home / "landing").pulls(archive.name)
        span = "not pulled yet"
        if landed:
            held = sorted(landed[-1].facts["days"])
            span = f"{len(held)} days, {held[0]} to {held[-1]}, as last pulled"
        size = f"{found[0].size / 1e6:,.1f} MB, " if found[0].size else ""
        return Finding("good", f"{archive.name} answers: one series, {size}{span}", answers=True)
    what = "revisions" if archive.layout == "revisions" else "snapshots"
    is_new = settings.today() - max(days) <= timedelta(days=14)
    text = f"{archive.name} answers: {len(days)} {what}, {min(days)} to {max(days)}"
    return Finding("good" if is_new else "note", text, answers=True)
