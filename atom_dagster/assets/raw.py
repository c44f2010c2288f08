"""Raw assets: what the sources answered, loaded month by month.

Belongs here: one asset function a source, in two halves: pull (network to landing), then load
(landing to ``raw``, one transaction a month). Does not belong here: how a service is asked or its
answer understood (``sources``), or how rows are stored (``warehouse``).
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from atom_dagster import attempts, checks, progress, sources
from atom_dagster.landing import Landing, LandingError, Pull
from atom_dagster.partitions import MONTHLY, month_of, months_between, next_month, spans
from atom_dagster.preview import markdown_table
from atom_dagster.resources import Home, World
from atom_dagster.settings import Endpoints, Settings
from atom_dagster.sources import (
    NotObservable,
    RateLimited,
    SourceError,
    Unreachable,
    archive,
    hub,
    openrouter,
    registry,
)
from atom_dagster.sources.tables import TABLES, Reading
from atom_dagster.warehouse import DuplicateKey, MonthLoad, replace_month, sql_type, within

WRITER_POOL = "duckdb_writer"
LIST_UNOBSERVABLE = {"atom/unobservable": "list"}
"""Run tag of those who ask for everything: months no source can observe are listed, not failed."""

REFRESHED_DAYS = 45
"""OpenRouter restates past days: every pull asks again for the months that ended less than this ago."""

FAULTS = (SourceError, LandingError, DuplicateKey)
"""What may go wrong with one pull without costing its neighbours."""

SILENCES = 3
"""Snapshots in a row that nobody answers for, after which the archive is asked for no more."""

_OWNERS = ["team:atom"]


@dataclass
class Gathered:
    """What a source holds for the months asked: pulls by month, and why a month has none."""

    by_month: dict[date, list[Pull]] = field(default_factory=dict)
    failed: dict[date, str] = field(default_factory=dict)
    unobservable: dict[date, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    """Faults that belong to no single month, such as an archive that cannot be listed."""
    listed: list[date] = field(default_factory=list)
    """Days the archive has a folder for."""


def _spec(table: str, **options: Any) -> dg.AssetSpec:
    return dg.AssetSpec(
        ["raw", table],
        description=TABLES[table].comment,
        group_name="raw",
        kinds={"python", "duckdb"},
        owners=_OWNERS,
        metadata={
            "dagster/table_name": f"warehouse.raw.{table}",
            "dagster/column_schema": dg.TableSchema(
                columns=[
                    dg.TableColumn(name, sql_type(column), description=column.comment)
                    for name, column in TABLES[table].columns.items()
                ]
            ),
        },
        **options,
    )


@dg.multi_asset(
    name="hub",
    # No deps on the registry, whose lists a live pull reads: Dagster would skip the Hub whenever the
    # registry fails, and the lists of last time serve as well. Its priority puts it first.
    specs=[_spec(table, skippable=True) for table in ("hf_models", "hf_derivatives", "hf_probes")],
    check_specs=checks.specs_of("hf_models", "hf_derivatives"),
    partitions_def=MONTHLY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=WRITER_POOL,
)
def hub_assets(context: dg.AssetExecutionContext, home: Home, world: World) -> Iterator[dg.AssetCheckResult]:
    """Hub readings: the archive's snapshots of each month asked and, for the current one, the live Hub."""
    yield from _materialize_months(
        context,
        home,
        scope="hub",
        tables=("hf_models", "hf_derivatives", "hf_probes"),
        gather=lambda months: gather_hub(months, home, world.endpoints, context.log.warning),
        read=lambda pull: hub.read(pull) if pull.source == "hub_live" else archive.read(pull),
    )


@dg.multi_asset(
    name="openrouter_rankings",
    specs=[_spec("openrouter_tokens", skippable=True)],
    check_specs=checks.specs_of("openrouter_tokens"),
    partitions_def=MONTHLY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=WRITER_POOL,
)
def openrouter_tokens_asset(
    context: dg.AssetExecutionContext, home: Home, world: World
) -> Iterator[dg.AssetCheckResult]:
    """Tokens by model and day. OpenRouter serves its own history from 2025-01-01 and restates it."""
    yield from _materialize_months(
        context,
        home,
        scope="openrouter",
        tables=("openrouter_tokens",),
        gather=lambda months: gather_rankings(months, home, world.endpoints),
        read=openrouter.read_rankings,
    )


@dg.multi_asset(
    name="openrouter_catalogue",
    specs=[_spec("openrouter_models")],
    check_specs=checks.specs_of("openrouter_models"),
    pool=WRITER_POOL,
)
def openrouter_models_asset(
    context: dg.AssetExecutionContext, home: Home, world: World
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """OpenRouter's catalogue; every vintage is kept, since delisted models leave it."""
    yield from _materialize_whole(
        context,
        home,
        scope="openrouter_models",
        tables=("openrouter_models",),
        pull=lambda: openrouter.pull_catalogues(world.endpoints, home.landing, now=home.settings.now),
        read=openrouter.read_catalogue,
    )


@dg.multi_asset(
    name="registry",
    specs=[
        _spec(table)
        for table in (
            "tracked_models",
            "model_parameters",
            "organization_regions",
            "release_date_corrections",
        )
    ],
    check_specs=checks.specs_of("tracked_models", "organization_regions"),
    pool=WRITER_POOL,
    op_tags={"dagster/priority": "1"},
)
def registry_assets(
    context: dg.AssetExecutionContext, home: Home, world: World
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """The ATOM authors' public lists: models, regions, sizes and release dates; vintages are kept."""
    yield from _materialize_whole(
        context,
        home,
        scope="registry",
        tables=(
            "tracked_models",
            "model_parameters",
            "organization_regions",
            "release_date_corrections",
        ),
        pull=lambda: [registry.pull(world.endpoints, home.landing, now=home.settings.now)],
        read=registry.read,
    )


def _record(table: str) -> dg.AssetSpec:
    """A table that every load writes: shown in the UI, materialized by no step of its own."""
    spec = _spec(table)
    return spec.replace_attributes(description=f"{spec.description} Every load of a raw table writes here.")


RECORDS = [_record("pulls"), _record("quarantine")]
ASSETS: list[dg.AssetsDefinition | dg.AssetSpec] = [
    hub_assets,
    openrouter_tokens_asset,
    openrouter_models_asset,
    registry_assets,
    *RECORDS,
]


def gather_hub(
    months: Sequence[date],
    home: Home,
    endpoints: Endpoints,
    warn: Callable[[str], None],
) -> Gathered:
    """Pull what is missing of the Hub for these months, then say what landing holds for each."""
    landing, settings = home.landing, home.settings
    gathered = Gathered()
    wanted = set(months)
    if month_of(settings.today()) in wanted and endpoints.hub:
        _pull_live_hub(home, endpoints, landing, settings, gathered)
    if endpoints.archive:
        _pull_snapshots(wanted, endpoints, landing, settings, gathered, warn)

    observed: dict[date, list[Pull]] = {}
    for pull in landing.pulls("hub_archive"):
        observed.setdefault(month_of(archive.observed_on(pull)), []).append(pull)
    for pull in landing.pulls("hub_live"):
        observed.setdefault(month_of(date.fromisoformat(pull.facts["observed_on"])), []).append(pull)
    known = sorted({*observed, *map(month_of, gathered.listed)})
    span = f"{known[0]:%Y-%m} to {known[-1]:%Y-%m}" if known else "no month"
    for month in months:
        if month in gathered.failed:
            continue
        if month in observed:
            gathered.by_month[month] = observed[month]
        elif gathered.errors:  # the archive might have observed it, and could not be asked
            gathered.failed[month] = gathered.errors[0]
        else:
            gathered.unobservable[month] = (
                f"No source of Hub readings can observe {month:%Y-%m}: the live Hub knows only now,"
                f" and the archive and landing of this world hold {span}."
            )
    return gathered


def _pull_live_hub(
    home: Home, endpoints: Endpoints, landing: Landing, settings: Settings, gathered: Gathered
) -> None:
    tracked, organizations = [], []
    if home.warehouse.path.exists():
        with home.warehouse.reading("the list of tracked models") as connection:
            newest = "qualify as_of = max(as_of) over ()"
            tracked = [
                row[0]
                for row in connection.execute(
                    f"select model_id, as_of from raw.tracked_models {newest} order by 1"
                ).fetchall()
            ]
            organizations = [
                row[0]
                for row in connection.execute(
                    f"select hf_org, as_of from raw.organization_regions {newest} order by 1"
                ).fetchall()
            ]
    try:
        hub.pull(
            endpoints,
            landing,
            now=settings.now,
            scope=settings.hub_scope,
            organizations=organizations,
            tracked=tracked,
            progress=lambda what, done, total: progress.report(f"Hub {what}", done, total),
        )
    except FAULTS as error:
        gathered.failed[month_of(settings.today())] = str(error)


def _pull_snapshots(
    wanted: set[date],
    endpoints: Endpoints,
    landing: Landing,
    settings: Settings,
    gathered: Gathered,
    warn: Callable[[str], None],
) -> None:
    assert endpoints.archive is not None  # noqa: S101 - the caller asked
    problems: list[str] = []
    try:
        listed = archive.snapshots(endpoints, problems=problems)
    except FAULTS as error:
        gathered.errors.append(str(error))
        return
    gathered.listed = [snapshot.folder_date for snapshot in listed]
    for problem in problems:
        warn(problem)
    reach = timedelta(days=6 if endpoints.archive.folder_date_is == "week_start" else 0)
    landed = landing.pulls("hub_archive")
    held = {(pull.facts["folder_date"], pull.pages[0].bytes, pull.facts["oid"]) for pull in landed}
    missing = [
        snapshot
        for snapshot in listed
        if {month_of(snapshot.folder_date), month_of(snapshot.folder_date + reach)} & wanted
        and (snapshot.folder_date.isoformat(), snapshot.size, snapshot.oid) not in held
    ]
    silences = 0
    for done, snapshot in enumerate(missing):
        progress.report("Hub archive", done, len(missing))
        earlier = [pull for pull in landed if pull.facts["folder_date"] < snapshot.folder_date.isoformat()]
        previous = max(earlier, key=lambda pull: pull.facts["folder_date"], default=None)
        try:
            landed.append(
                archive.pull(
                    endpoints,
                    landing,
                    snapshot,
                    now=settings.now,
                    previous_rows=previous.facts["rows"] if previous else None,
                )
            )
            silences = 0
        except FAULTS as error:
            silences = silences + 1 if isinstance(error, Unreachable) else 0
            # Who does not answer, or says "later", is not asked a hundred times more.
            ends = silences == SILENCES or isinstance(error, RateLimited)
            for left in missing[done:] if ends else [snapshot]:
                gathered.failed.setdefault(month_of(left.folder_date), str(error))
            if ends:
                break
    if missing:
        progress.report("Hub archive", len(missing), len(missing))


def gather_rankings(months: Sequence[date], home: Home, endpoints: Endpoints) -> Gathered:
    """Pull what is missing or may have been restated of OpenRouter, then say what landing holds."""
    landing, settings = home.landing, home.settings
    gathered = Gathered()
    yesterday = settings.today() - timedelta(days=1)
    first, last = endpoints.rankings_span or (openrouter.FIRST_DAY, yesterday)
    held = _rankings_by_month(landing)
    in_reach = [month for month in months if month_of(first) <= month <= last]
    # The months that may be restated are asked for by themselves: the same question tomorrow, and no
    # new pull as long as the answer is the same.
    stale = yesterday - timedelta(days=REFRESHED_DAYS)
    whole = _wholly_asked(landing, first, last)
    unheld = [month for month in in_reach if month not in whole and next_month(month) <= stale]
    restated = [month for month in in_reach if next_month(month) > stale]
    asked = unheld + restated
    refusal: str | None = None
    for span in (unheld, restated):
        if not span:
            continue
        try:
            openrouter.pull_rankings(
                endpoints,
                landing,
                now=settings.now,
                start=max(min(span), first),
                end=min(next_month(max(span)) - timedelta(days=1), last),
                progress=lambda what, done, total: progress.report(f"OpenRouter {what}", done, total),
            )
        except FAULTS as error:
            # Old months may be out of reach, as they are without a key; the newest never are.
            if isinstance(error, NotObservable) and span is unheld:
                refusal = str(error)
            else:
                gathered.errors.append(str(error))
    if asked:
        held = _rankings_by_month(landing)
    for month in months:
        if month in held:
            gathered.by_month[month] = held[month]
        elif gathered.errors and month in asked:
            gathered.failed[month] = gathered.errors[0]
        else:
            gathered.unobservable[month] = refusal or (
                f"OpenRouter's rankings cannot observe {month:%Y-%m}: here they run from {first} to {last}."
            )
    return gathered


def _wholly_asked(landing: Landing, first: date, last: date) -> set[date]:
    """Months that one pull asked for to their end, as far as they can be asked for.

    By the days asked, not the days that came: some are missing at the source.
    """
    whole = set()
    for pull in _rankings(landing):
        start, end = (date.fromisoformat(pull.facts[edge]) for edge in ("start", "end"))
        for month in months_between(start, end):
            month_end = next_month(month) - timedelta(days=1)
            if start <= max(month, first) and end >= min(month_end, last):
                whole.add(month)
    return whole


def _rankings(landing: Landing) -> list[Pull]:
    return landing.pulls("openrouter_rankings") + landing.pulls("openrouter_export")


def _rankings_by_month(landing: Landing) -> dict[date, list[Pull]]:
    by_month: dict[date, list[Pull]] = {}
    for pull in _rankings(landing):
        for month in months_between(*openrouter.days(pull)):
            by_month.setdefault(month, []).append(pull)
    return by_month


def _materialize_months(
    context: dg.AssetExecutionContext,
    home: Home,
    *,
    scope: str,
    tables: tuple[str, ...],
    gather: Callable[[Sequence[date]], Gathered],
    read: Callable[[Pull], Reading],
) -> Iterator[dg.AssetCheckResult]:
    months = [date.fromisoformat(key) for key in context.partition_keys]
    gathered = gather(months)
    readings: dict[str, Reading] = {}

    def reading_of(pull: Pull) -> Reading:
        # A pull of OpenRouter spans many months; it is read once a step.
        if pull.pull_id not in readings:
            if pull.source.startswith("hub"):
                readings.clear()
            readings[pull.pull_id] = read(pull)
        return readings[pull.pull_id]

    with home.warehouse.writing(f"load of {scope}") as connection:
        for done, (month, pulls) in enumerate(sorted(gathered.by_month.items())):
            progress.report(f"load {scope}", done, len(gathered.by_month))
            try:
                loaded = _replace(connection, home.landing, scope, month, tables, pulls, reading_of)
            except FAULTS as error:
                gathered.failed[month] = str(error)
                continue
            for table in tables:
                context.log_event(
                    dg.AssetMaterialization(
                        ["raw", table],
                        partition=month.isoformat(),
                        metadata=_metadata(connection, table, month, loaded, pulls),
                    )
                )
        progress.report(f"load {scope}", len(gathered.by_month), len(gathered.by_month))
        attempts.record(connection, scope, gathered, home.settings.now())
        yield from checks.results_of(connection, home.settings, *tables)
    _conclude(context, scope, tables, gathered, months)


def _conclude(
    context: dg.AssetExecutionContext,
    scope: str,
    tables: tuple[str, ...],
    gathered: Gathered,
    months: Sequence[date],
) -> None:
    """Say which months were left out and why; raise when that is a failure."""
    lists = context.run.tags.get("atom/unobservable") == "list"
    context.log_event(
        dg.AssetObservation(
            ["raw", tables[0]],
            metadata={
                "months_asked": len(months),
                "months_committed": len(set(gathered.by_month) - set(gathered.failed)),
                "not_observable": dg.MetadataValue.json(
                    {f"{month:%Y-%m}": why for month, why in sorted(gathered.unobservable.items())}
                ),
                "failed": dg.MetadataValue.json(
                    {f"{month:%Y-%m}": why for month, why in sorted(gathered.failed.items())}
                ),
            },
        )
    )
    failed: dict[str, list[date]] = {}
    for month, why in sorted(gathered.failed.items()):
        failed.setdefault(why, []).append(month)
    sentences = [why for why in dict.fromkeys(gathered.errors) if why not in failed]
    sentences += [f"{spans(which)}: {why}" for why, which in failed.items()]
    sentences += [] if lists else [why for _, why in sorted(gathered.unobservable.items())]
    if gathered.unobservable and lists:
        context.log.info(f"{scope}: {len(gathered.unobservable)} of {len(months)} months are not observable.")
    if sentences:
        raise dg.Failure(
            description=" ".join(sentences),
            metadata={"source": scope},
            allow_retries=False,
        )


def _materialize_whole(
    context: dg.AssetExecutionContext,
    home: Home,
    *,
    scope: str,
    tables: tuple[str, ...],
    pull: Callable[[], list[Pull]],
    read: Callable[[Pull], Reading],
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    landing = home.landing
    try:
        pull()
        pulls = landing.pulls(scope)
        with home.warehouse.writing(f"load of {scope}") as connection:
            loaded = _replace(connection, landing, scope, None, tables, pulls, read)
            for table in tables:
                yield dg.MaterializeResult(
                    asset_key=["raw", table],
                    metadata=_metadata(connection, table, None, loaded, pulls),
                )
            yield from checks.results_of(connection, home.settings, *tables)
    except FAULTS as error:
        raise dg.Failure(description=str(error), metadata={"source": scope}) from error
    del context


def _replace(
    connection: duckdb.DuckDBPyConnection,
    landing: Landing,
    scope: str,
    month: date | None,
    tables: Iterable[str],
    pulls: list[Pull],
    read: Callable[[Pull], Reading],
) -> MonthLoad:
    by_id = {pull.pull_id: pull for pull in pulls}

    def verified(pull_id: str) -> Reading:
        if damage := landing.verify(by_id[pull_id]):
            raise LandingError(" ".join(damage))
        return read(by_id[pull_id])

    return replace_month(
        connection,
        scope=scope,
        month=month,
        tables=tables,
        pulls=[pull.record() for pull in pulls],
        reader=_reader_version(),
        read=verified,
    )


@cache
def _reader_version() -> str:
    """A digest of the code that turns answers into rows: other code, other rows."""
    folder = Path(sources.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _metadata(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    month: date | None,
    loaded: MonthLoad,
    pulls: Sequence[Pull],
) -> dict[str, Any]:
    """Row count, a preview and the pulls behind what was just loaded."""
    shown = connection.execute(
        f"select * exclude (pull_id) from raw.{table} where {within(table, month)} limit 5"
    ).fetchall()
    names = [name for name in TABLES[table].columns if name != "pull_id"]
    return {
        ("dagster/partition_row_count" if month else "dagster/row_count"): loaded.rows[table],
        "preview": dg.MetadataValue.md(markdown_table(names, shown)),
        "quarantined": loaded.quarantined,
        "unchanged": loaded.is_unchanged,
        "pulls": dg.MetadataValue.json([pull.pull_id for pull in pulls][-20:]),
    }
