"""How things stand: months by dated source, as data.

Belongs here: what is held of each month, what is missing, why, and which commands fill it, as SQL
over the working warehouse. Reads only. Does not belong here: drawing it (``cli`` for a terminal,
``assets.status`` for Dagster's UI), or what a measurement needs (``dbt_project``, whose
``max_gap_days`` is the threshold here).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, Literal

import duckdb
import yaml

from atom_dagster import attempts
from atom_dagster.partitions import (
    FIRST_MONTH,
    NO_MONTH,
    month_of,
    months_between,
    next_month,
    spans,
    unbroken,
)
from atom_dagster.settings import DBT_PROJECT, ROOT, Settings
from atom_dagster.sources.openrouter import FIRST_DAY
from atom_dagster.warehouse import Warehouse

SCOPES = {"hub": "Hub", "openrouter": "OpenRouter"}
"""The dated sources, as ``raw.loads`` names them and as people do."""

State = Literal["complete", "bridged", "partial", "empty", "not_observable"]
"""``complete``: no gap that a measurement minds. ``bridged``: not read, but read close enough before and
after. ``partial``: held with a gap or missing days. ``empty``: nothing held. ``not_observable``: nothing
held, and nobody can observe it."""


@dataclass(frozen=True)
class Source:
    """What one source gave to a month: ``hub_live``, an archive, or a form of OpenRouter's rankings."""

    source: str
    days: int
    rows: int
    newest_on: date


@dataclass(frozen=True)
class Gap:
    """Days between two readings of the Hub (``after``, ``before``: the readings' days, or today)."""

    after: date
    before: date
    days: int


@dataclass(frozen=True)
class Cell:
    """One month of one dated source."""

    month: date
    scope: str
    state: State
    is_open: bool
    """Whether the month is still running."""
    days: int
    """Days with a reading (Hub), days held (OpenRouter)."""
    days_expected: int | None
    """OpenRouter: completed days of the month that its series has. The Hub expects none in particular."""
    models: int
    """Models in the month's largest reading or day."""
    rows: int
    """Rows held, all pulls and vintages together."""
    sources: list[Source]
    newest_on: date | None
    gaps: list[Gap]
    """The Hub's gaps wider than the threshold that touch the month."""
    missing_at_source: list[date]
    """OpenRouter's days that were asked for and did not come."""
    not_held: list[date]
    """OpenRouter's days that no loaded pull asked for."""
    attempt: attempts.State | None
    reason: str | None
    attempted_at: datetime | None
    to_do: str | None
    """Why it is worth running again; None when nothing is missing or nobody has more."""


@dataclass(frozen=True)
class Vintages:
    """How many vintages of an undated list are held, and the instant the newest stands for."""

    name: str
    held: int
    newest_as_of: datetime | None


@dataclass(frozen=True)
class Command:
    """A command that fills holes, and why to run it."""

    command: str
    first: date
    last: date
    why: str


@dataclass(frozen=True)
class Status:
    """The whole picture."""

    world: str
    today: date
    max_gap_days: int
    is_loaded: bool
    cells: list[Cell]
    """Every month from the first, ``SCOPES`` within each."""
    vintages: list[Vintages] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    """Faults of a source as a whole at its last attempt, by scope."""
    commands: list[Command] = field(default_factory=list)
    quarantined: int = 0
    published: dict[str, Any] | None = None

    def of(self, scope: str) -> list[Cell]:
        """The months of one dated source."""
        return [cell for cell in self.cells if cell.scope == scope]

    @property
    def months_complete(self) -> int:
        """Closed months for which every dated source that can observe them has no gap."""
        by_month: dict[date, list[Cell]] = {}
        for cell in self.cells:
            if not cell.is_open and cell.state != "not_observable":
                by_month.setdefault(cell.month, []).append(cell)
        return sum(all(c.state in ("complete", "bridged") for c in cells) for cells in by_month.values())

    @property
    def holes(self) -> int:
        """Months of a source that are worth running again."""
        return sum(cell.to_do is not None for cell in self.cells)

    def newest_on(self) -> dict[str, date]:
        """The newest day held, by source."""
        newest: dict[str, date] = {}
        for cell in self.cells:
            for source in cell.sources:
                newest[source.source] = max(source.newest_on, newest.get(source.source, date.min))
        return newest

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON's types but for dates and instants, which ``str`` turns into ISO 8601."""
        return asdict(self) | {
            "months_complete": self.months_complete,
            "holes": self.holes,
            "newest_on": self.newest_on(),
        }


@cache
def max_gap_days() -> int:
    """The widest distance between readings that still gives a month's downloads (definitions 3.1)."""
    project = yaml.safe_load((DBT_PROJECT / "dbt_project.yml").read_text())
    return int(project["vars"]["max_gap_days"])


def survey(settings: Settings, *, on_wait: Callable[[str], None] | None = None) -> Status:
    """Look at the warehouse; ``on_wait`` hears of a writer that is waited for."""
    warehouse = Warehouse(settings.home / "warehouse.duckdb")
    if not warehouse.path.exists():
        with duckdb.connect() as nothing:
            return examine(nothing, settings)
    with warehouse.reading("atom status", on_wait=on_wait) as connection:
        return examine(connection, settings)


def examine(connection: duckdb.DuckDBPyConnection, settings: Settings) -> Status:
    """How things stand in an open warehouse, which may still be empty."""
    from atom_dagster.assets.publish import published_build

    today, threshold = settings.today(), max_gap_days()
    have = {
        name
        for (name,) in connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'raw'"
        ).fetchall()
    }
    # A warehouse of an earlier version has no ledger, and one that was never written nothing at all.
    is_loaded = {"hf_models", "openrouter_tokens", "loads", "pulls"} <= have
    ledger = "raw.attempts" if "attempts" in have else f"({_NO_ATTEMPTS})"
    cells = (
        _cells(connection, today, threshold, ledger)
        if is_loaded
        else [_unseen(month, scope, today) for month in _months(today) for scope in SCOPES]
    )
    status = Status(
        world=settings.world_name,
        today=today,
        max_gap_days=threshold,
        is_loaded=is_loaded,
        cells=cells,
        commands=list(_commands(cells, settings)) if is_loaded else [_everything(settings)],
        published=published_build(settings.home),
    )
    if not is_loaded:
        return status
    [(quarantined,)] = connection.execute("select count(*) from raw.quarantine").fetchall()
    faults = connection.execute(f"select scope, reason from {ledger} where month = ?", [NO_MONTH]).fetchall()
    return replace(
        status,
        quarantined=quarantined,
        vintages=[Vintages(*row) for row in connection.execute(_VINTAGES).fetchall()],
        faults=dict(faults),
    )


_NO_ATTEMPTS = (
    "select null::varchar as scope, null::date as month, null::varchar as state, null::varchar as reason,"
    " null::timestamp as attempted_at where false"
)

_VINTAGES = """
    select case source when 'registry' then 'registry' else 'catalogue' end as name,
        count(*) as held, max(as_of) as newest_as_of
    from raw.pulls where source in ('registry', 'openrouter_models') group by source order by source desc
"""

_CELLS = """
with months as (
    select unnest(generate_series($first, date_trunc('month', $today), interval 1 month))::date as month
),
scopes as (
    select unnest(['hub', 'openrouter']) as scope
),
-- the key makes the rows of a pull's day its models
pull_days as (
    select 'hub' as scope, source, observed_on as day, pull_id, count(*) as models
    from raw.hf_models group by source, observed_on, pull_id
    union all
    select 'openrouter' as scope, source, day, pull_id, count(*) as models
    from raw.openrouter_tokens group by source, day, pull_id
),
by_source as (
    select scope, date_trunc('month', day)::date as month, source, count(distinct day) as days,
        sum(models)::bigint as rows, max(day) as newest_on
    from pull_days group by scope, month, source
),
filled as (
    select scope, month,
        list({'source': source, 'days': days, 'rows': rows, 'newest_on': newest_on} order by source)
            as sources
    from by_source group by scope, month
),
held as (
    select scope, date_trunc('month', day)::date as month, count(distinct day) as days,
        max(models) as models, sum(models)::bigint as rows, max(day) as newest_on
    from pull_days group by scope, month
),
reading_days as (
    select distinct day from pull_days where scope = 'hub'
),
-- up to today, since what has not been read for long is a gap although nothing follows it yet
stretches as (
    select day as after, coalesce(lead(day) over (order by day), $today) as before,
        lead(day) over (order by day) is not null as is_between
    from reading_days
),
gaps as (
    select months.month,
        list({'after': after, 'before': before, 'days': before - after} order by after)
            filter (where before - after > $max_gap_days) as wide,
        bool_or(is_between and after < months.month and before - after <= $max_gap_days) as is_bridged
    from months
    inner join stretches
        on after < months.month + interval 1 month and before > months.month
    group by months.month
),
calendar as (
    select unnest(generate_series($series_from, $today - 1, interval 1 day))::date as day
),
-- a day was asked for by a pull that is loaded in its month and whose span holds it
asked as (
    select distinct calendar.day
    from (select month, unnest(pull_ids) as pull_id from raw.loads where scope = 'openrouter') as loaded
    inner join raw.pulls as pulls using (pull_id)
    inner join calendar
        on
            date_trunc('month', calendar.day) = loaded.month
            and calendar.day between
                try_cast(split_part(pulls.scope, '_', 1) as date)
                and try_cast(split_part(pulls.scope, '_', 2) as date)
),
tokens as (
    select date_trunc('month', calendar.day)::date as month, count(*) as expected,
        list(calendar.day order by calendar.day)
            filter (where present.day is null and asked.day is not null) as missing_at_source,
        list(calendar.day order by calendar.day)
            filter (where present.day is null and asked.day is null) as not_held
    from calendar
    left join (select distinct day from pull_days where scope = 'openrouter') as present using (day)
    left join asked using (day)
    group by month
)
select months.month, scopes.scope, held.days, tokens.expected, held.models, held.rows, filled.sources,
    held.newest_on, gaps.wide, gaps.is_bridged, tokens.missing_at_source, tokens.not_held,
    ledger.state, ledger.reason, ledger.attempted_at
from months
cross join scopes
left join held on held.month = months.month and held.scope = scopes.scope
left join filled on filled.month = months.month and filled.scope = scopes.scope
left join gaps on gaps.month = months.month and scopes.scope = 'hub'
left join tokens on tokens.month = months.month and scopes.scope = 'openrouter'
left join $ledger as ledger on ledger.month = months.month and ledger.scope = scopes.scope
order by months.month, scopes.scope
"""


def _cells(connection: duckdb.DuckDBPyConnection, today: date, threshold: int, ledger: str) -> list[Cell]:
    rows = connection.execute(
        _CELLS.replace("$ledger", ledger),
        {"first": FIRST_MONTH, "today": today, "max_gap_days": threshold, "series_from": FIRST_DAY},
    ).fetchall()
    return [_cell(*row, today=today) for row in rows]


def _cell(
    month: date,
    scope: str,
    days: int | None,
    expected: int | None,
    models: int | None,
    rows: int | None,
    sources: list[dict[str, Any]] | None,
    newest_on: date | None,
    wide: list[dict[str, Any]] | None,
    is_bridged: bool | None,
    missing: list[date] | None,
    not_held: list[date] | None,
    attempt: attempts.State | None,
    reason: str | None,
    attempted_at: datetime | None,
    *,
    today: date,
) -> Cell:
    is_open = month == month_of(today)
    state: State
    is_whole = False
    if days:
        state = "partial" if wide or missing or not_held else "complete"
        is_whole = not (wide or not_held)
    elif is_bridged and not is_open:
        state, is_whole = "bridged", True
    elif attempt == "not_observable" or _precedes_series(month, scope):
        state = "not_observable"
    else:
        state = "empty"
    return Cell(
        month=month,
        scope=scope,
        state=state,
        is_open=is_open,
        days=days or 0,
        days_expected=expected,
        models=models or 0,
        rows=rows or 0,
        sources=[Source(**source) for source in sources or []],
        newest_on=newest_on,
        gaps=[Gap(**gap) for gap in wide or []],
        missing_at_source=missing or [],
        not_held=not_held or [],
        attempt=attempt,
        reason=reason,
        attempted_at=attempted_at,
        to_do=_to_do(month, scope, is_whole, attempt, reason, attempted_at, today),
    )


def _unseen(month: date, scope: str, today: date) -> Cell:
    """A month of which nothing is known."""
    nothing = [None] * 13
    return _cell(month, scope, *nothing, today=today)


def _precedes_series(month: date, scope: str) -> bool:
    return scope == "openrouter" and next_month(month) <= FIRST_DAY


def _to_do(
    month: date,
    scope: str,
    is_whole: bool,
    attempt: attempts.State | None,
    reason: str | None,
    attempted_at: datetime | None,
    today: date,
) -> str | None:
    """Why a month is worth running again.

    One that was asked for after it had ended and is still not whole has given what there is, and a day
    that is missing at the source makes no month worth it.
    """
    if _precedes_series(month, scope):
        return None
    if attempt == "failed":
        return f"failed: {without_month(reason or '', month)}"
    if attempt is None or attempted_at is None:
        return None if is_whole else "not asked for yet"
    is_open = month == month_of(today)
    # Today's observation may still be to come; that of the day before is a hole.
    stale_from = today - timedelta(days=1) if is_open else next_month(month)
    if attempted_at.date() < stale_from and (is_open or not is_whole):
        return f"last asked for on {attempted_at:%Y-%m-%d}"
    return None


def without_month(reason: str, month: date) -> str:
    """A reason that names its month, in words that fit every month."""
    return re.sub(rf"(?<![\d-]){month:%Y-%m}(?![\d-])", "the month", reason).rstrip(".")


def _months(today: date) -> list[date]:
    return months_between(FIRST_MONTH, today)


def _commands(cells: Sequence[Cell], settings: Settings) -> Iterator[Command]:
    """One command for each unbroken run of months with something to do, whichever source it is for."""
    to_do: dict[date, list[Cell]] = {}
    for cell in cells:
        if cell.to_do:
            to_do.setdefault(cell.month, []).append(cell)
    for run in unbroken(sorted(to_do)):
        why: dict[tuple[str, str], list[date]] = {}
        for month in run:
            for cell in to_do[month]:
                why.setdefault((SCOPES[cell.scope], cell.to_do or ""), []).append(month)
        reasons = [
            f"{name} {text}" if len(months) == len(run) else f"{name} {spans(months)} {text}"
            for (name, text), months in why.items()
        ]
        command = f"atom backfill --from {run[0]:%Y-%m} --to {run[-1]:%Y-%m}{_options(settings)}"
        yield Command(command, run[0], run[-1], "; ".join(reasons))


def _everything(settings: Settings) -> Command:
    return Command(
        f"atom run{_options(settings)}",
        FIRST_MONTH,
        month_of(settings.today()),
        "nothing is loaded yet",
    )


def _options(settings: Settings) -> str:
    """What names this world and home on the command line."""
    words = ["--world", settings.world]
    if settings.kind == "sample" and settings.seed != 1:
        words += ["--seed", str(settings.seed)]
    name = settings.kind if settings.kind != "sample" or settings.seed == 1 else f"sample-{settings.seed}"
    if settings.home != ROOT / "data" / name:
        words += ["--home", str(settings.home)]
    return "".join(f" {shlex.quote(word)}" for word in words)
