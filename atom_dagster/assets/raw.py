"""Raw assets: what the sources answered, loaded month by month.

Belongs here: one asset function a source, in two halves: pull (network to landing), then load
(landing to ``raw``, one transaction a month). Does not belong here: how a service is asked or its
answer understood (``sources``), or how rows are stored (``warehouse``).
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from atom_dagster import attempts, checks, history, progress, sources
from atom_dagster.gathering import FAULTS, Gathered, Place, gather_hub, gather_rankings
from atom_dagster.landing import Landing, LandingError, Pull
from atom_dagster.partitions import MONTHLY, spans
from atom_dagster.pool import writer_slot
from atom_dagster.preview import markdown_table
from atom_dagster.resources import Home, World
from atom_dagster.sources import archive_series, hub, openrouter, registry
from atom_dagster.sources.tables import TABLES, Reading
from atom_dagster.warehouse import MonthLoad, replace_month, sql_type, within

LIST_UNOBSERVABLE = {"atom/unobservable": "list"}
"""Run tag of those who ask for everything: months no source can observe are listed, not failed."""

Read = Callable[[Pull, date | None], Iterable[Reading]]
"""A pull's rows, piece by piece; of a pull of many months those of the month given, or all."""

_OWNERS = ["team:atom"]


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
    pool="hub",  # a source's quota is one; its load claims the writer's pool (see ``pool``)
)
def hub_assets(context: dg.AssetExecutionContext, home: Home, world: World) -> Iterator[dg.AssetCheckResult]:
    """Hub readings: the archive's snapshots of each month asked and, for the current one, the live Hub."""
    yield from _materialize_months(
        context,
        home,
        scope="hub",
        tables=("hf_models", "hf_derivatives", "hf_probes"),
        gather=lambda months: gather_hub(months, _place(home), world.endpoints),
        reading=lambda months: _reading_hub(home, months),
    )


@dg.multi_asset(
    name="openrouter_rankings",
    specs=[_spec("openrouter_tokens", skippable=True)],
    check_specs=checks.specs_of("openrouter_tokens"),
    partitions_def=MONTHLY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="openrouter",
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
        gather=lambda months: gather_rankings(months, _place(home), world.endpoints),
        reading=lambda _: _reading_rankings(),
    )


@dg.multi_asset(
    name="openrouter_catalogue",
    specs=[_spec("openrouter_models")],
    check_specs=checks.specs_of("openrouter_models"),
    pool="openrouter",
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
        read=lambda pull, _month: [openrouter.read_catalogue(pull)],
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
    pool="registry",
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
        read=lambda pull, _month: [registry.read(pull)],
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


def _place(home: Home) -> Place:
    return Place(home.landing, home.settings, home.warehouse)


@contextmanager
def _reading_hub(home: Home, months: Sequence[date]) -> Iterator[Read]:
    """A series is read once for all the months; what that takes on disk goes with the step."""
    with archive_series.Divided(home.settings.home / ".divided", months) as archives:
        yield (
            lambda pull, month: [hub.read(pull)] if pull.source == "hub_live" else archives.read(pull, month)
        )


@contextmanager
def _reading_rankings() -> Iterator[Read]:
    """A pull spans many months; it is read once."""
    readings: dict[str, Reading] = {}

    def once(pull: Pull, _: date | None) -> Iterable[Reading]:
        if pull.pull_id not in readings:
            readings[pull.pull_id] = openrouter.read_rankings(pull)
        return [readings[pull.pull_id]]

    yield once


def _materialize_months(
    context: dg.AssetExecutionContext,
    home: Home,
    *,
    scope: history.Scope,
    tables: tuple[str, ...],
    gather: Callable[[Sequence[date]], Gathered],
    reading: Callable[[Sequence[date]], AbstractContextManager[Read]],
) -> Iterator[dg.AssetCheckResult]:
    """Gather the months of the run, then load them; ``reading`` is entered with the writer's lock held."""
    months = [date.fromisoformat(key) for key in context.partition_keys]
    gathered = gather(months)
    for warning in gathered.warnings:
        context.log.warning(warning)
    committed = 0
    with (
        writer_slot(context, scope),
        home.warehouse.writing(f"load of {scope}") as connection,
        reading(months) as unverified,
    ):
        read = _verified(home.landing, unverified)
        for done, (month, pulls) in enumerate(sorted(gathered.by_month.items())):
            progress.report(f"load {scope}", done, len(gathered.by_month))
            try:
                _require_readable(connection, scope, month, gathered.unreadable)
                loaded = _replace(connection, scope, month, tables, pulls, read)
            except FAULTS as error:
                whys = (gathered.failed.get(month), f"It was not loaded: {error}")
                gathered.failed[month] = " ".join(why for why in whys if why)
                continue
            committed += 1
            if month in gathered.failed:
                continue  # what there is of it is loaded, and it is asked for again
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
        _observe(context, tables, gathered, months, committed)
        missed = None if gathered.errors else gathered.failed.keys()
        history.tell(context.instance, context.run.run_id, scope, missed)
        yield from checks.results_of(connection, home.settings, *tables)
    _conclude(context, scope, gathered, months)


def _require_readable(
    connection: duckdb.DuckDBPyConnection, scope: str, month: date, unreadable: Mapping[str, str]
) -> None:
    """Leave a month as it stands when a pull that it stands on is in landing and cannot be read.

    Raises:
        LandingError: that is so.
    """
    if unreadable:
        found = connection.execute(
            "select unnest(pull_ids) from raw.loads where scope = ? and month = ?", [scope, month]
        ).fetchall()
        if damaged := [unreadable[pull_id] for (pull_id,) in found if pull_id in unreadable]:
            raise LandingError(" ".join(damaged))


def _observe(
    context: dg.AssetExecutionContext,
    tables: tuple[str, ...],
    gathered: Gathered,
    months: Sequence[date],
    committed: int,
) -> None:
    """Log what came of the months asked; before a yield, since Dagster drops what a failure follows."""
    context.log_event(
        dg.AssetObservation(
            ["raw", tables[0]],
            metadata={
                "months_asked": len(months),
                "months_committed": committed,
                "warnings": dg.MetadataValue.json(gathered.warnings),
                "not_observable": dg.MetadataValue.json(
                    {f"{month:%Y-%m}": why for month, why in sorted(gathered.unobservable.items())}
                ),
                "failed": dg.MetadataValue.json(
                    {f"{month:%Y-%m}": why for month, why in sorted(gathered.failed.items())}
                ),
            },
        )
    )


def _conclude(
    context: dg.AssetExecutionContext,
    scope: str,
    gathered: Gathered,
    months: Sequence[date],
) -> None:
    """Say which months were left out and why; raise when that is a failure."""
    lists = context.run.tags.get("atom/unobservable") == "list"
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
    read: Read,
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    landing = home.landing
    try:
        pull()
        pulls = landing.pulls(scope)
        with writer_slot(context, scope), home.warehouse.writing(f"load of {scope}") as connection:
            loaded = _replace(connection, scope, None, tables, pulls, _verified(landing, read))
            for table in tables:
                yield dg.MaterializeResult(
                    asset_key=["raw", table],
                    metadata=_metadata(connection, table, None, loaded, pulls),
                )
            yield from checks.results_of(connection, home.settings, *tables)
    except FAULTS as error:
        raise dg.Failure(description=str(error), metadata={"source": scope}) from error


def _verified(landing: Landing, read: Read) -> Read:
    """``read``, after a look at whether the pull still holds what it was given; one look a pull."""
    sound: set[str] = set()

    def checked(pull: Pull, month: date | None) -> Iterable[Reading]:
        if pull.pull_id not in sound:
            if damage := landing.verify(pull):
                raise LandingError(" ".join(damage))
            sound.add(pull.pull_id)
        return read(pull, month)

    return checked


def _replace(
    connection: duckdb.DuckDBPyConnection,
    scope: str,
    month: date | None,
    tables: Iterable[str],
    pulls: list[Pull],
    read: Read,
) -> MonthLoad:
    by_id = {pull.pull_id: pull for pull in pulls}

    return replace_month(
        connection,
        scope=scope,
        month=month,
        tables=tables,
        pulls=[pull.record() for pull in pulls],
        reader=_reader_version(),
        read=lambda pull_id: read(by_id[pull_id], month),
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
