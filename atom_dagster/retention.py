"""What may be removed from landing, and never the only copy of an observation.

Belongs here: the policy, and deciding by it. Does not belong here: removing (``removal``), or taking
the rows of removed pulls out of the warehouse, which the ordinary load does.

The policy. Four kinds of things may go:

* ``same_day``: a live crawl of the Hub of a day that was crawled again later that day;
* ``pulled_again``: an archive's folder or revision that was pulled again with other content;
* ``old_vintage``: an answer of OpenRouter's rankings older than the days asked for
  (``--vintages-older-than``); without that every vintage stays, since restatements and ``--as-of``
  need them;
* ``draft``: what an attempt of an earlier day left.

A pull goes only if everything it says is said by a later pull of the same source: for each key of its rows
in ``raw`` (the table's key without ``pull_id``) a later pull has a row. Of a derivative's edge the later
row must name the same Hub ids and creation and no fewer downloads, because the marts take the largest
value ever read. "Later" is a total order, the one in which the marts prefer pulls, so two pulls never
justify each other's removal: whatever goes, the last that holds a key stays. A pull stays, too, if it is
not wholly loaded, since then ``raw`` does not tell what it holds; and a later pull justifies nothing
unless landing holds its bytes undamaged.

``--as-of`` an instant between two crawls of one day no longer finds the first once it has gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

import duckdb
import polars as pl

from atom_dagster.landing import DRAFTS, Landing, LandingError, Pull
from atom_dagster.partitions import month_of, months_between
from atom_dagster.removal import Draft, drafts, drop, size_of, sweep, take_out
from atom_dagster.settings import ARCHIVES, Settings
from atom_dagster.sources import archive
from atom_dagster.sources.tables import HF_DERIVATIVES, HF_MODELS, HF_PROBES, OPENROUTER_TOKENS, Table
from atom_dagster.warehouse import Warehouse

Kind = Literal["same_day", "pulled_again", "old_vintage"]


@dataclass(frozen=True)
class Rule:
    """One kind of pull that may go."""

    kind: Kind
    sources: str
    """SQL over ``source``: whose pulls."""
    tables: tuple[Table, ...]
    """What such pulls hold."""
    order: str
    """Column of ``raw.pulls`` by which a pull is later than another; ties by ``pull_id``."""
    within_scope: bool
    """Whether only a pull of the same scope (day, folder, revision) can say the same."""
    needs_age: bool
    """Whether it applies only to pulls older than the days asked for."""
    why: str


HUB_TABLES = (HF_MODELS, HF_DERIVATIVES, HF_PROBES)

RULES: tuple[Rule, ...] = (
    Rule(
        "same_day",
        "source = 'hub_live'",
        HUB_TABLES,
        order="fetched_at",
        within_scope=True,
        needs_age=False,
        why="the Hub was crawled again later that day",
    ),
    Rule(
        "pulled_again",
        "starts_with(source, 'hub_') and source != 'hub_live'",
        HUB_TABLES,
        order="fetched_at",
        within_scope=True,
        needs_age=False,
        why="the archive was pulled again there and gave other content",
    ),
    Rule(
        "old_vintage",
        "source in ('openrouter_rankings', 'openrouter_export')",
        (OPENROUTER_TOKENS,),
        order="as_of",
        within_scope=False,
        needs_age=True,
        why="newer vintages hold every day and model of it",
    ),
)

SAME: Mapping[str, tuple[str, ...]] = {"hf_derivatives": ("hf_id", "base_hf_id", "created_at")}
"""Columns beside the key in which a later row must agree."""
AT_LEAST: Mapping[str, str] = {"hf_derivatives": "coalesce(downloads_all_time, downloads_30d, -1)"}
"""What a later row must reach."""


@dataclass(frozen=True)
class Candidate:
    """A pull that a rule speaks of, and what is decided."""

    pull: Pull
    rule: Rule
    bytes: int
    """On disk."""
    kept_because: str | None
    """Why it stays; None when it may go."""


@dataclass(frozen=True)
class Plan:
    """What may go, and what may not although a rule speaks of it."""

    candidates: list[Candidate]
    drafts: list[Draft]

    @property
    def removable(self) -> list[Candidate]:
        """The pulls that may go."""
        return [candidate for candidate in self.candidates if candidate.kept_because is None]


def plan(
    connection: duckdb.DuckDBPyConnection | None,
    landing: Landing,
    *,
    now: datetime,
    vintages_older_than: int | None = None,
) -> Plan:
    """Decide what may go.

    Args:
        connection: To the warehouse; None when nothing was ever loaded, and then no pull may go.
        landing: The record of pulls.
        now: The clock's instant.
        vintages_older_than: Days after which ``old_vintage`` applies; None: never.

    Raises:
        LandingError: a manifest cannot be read; `atom verify` names all of them.
    """
    held = {pull.pull_id: pull for pull in landing.pulls()}
    candidates: list[Candidate] = []
    if connection is not None and _has_loads(connection):
        for rule in RULES:
            if rule.needs_age and vintages_older_than is None:
                continue
            before = now - timedelta(days=vintages_older_than or 0) if rule.needs_age else None
            candidates += _decide(connection, landing, rule, held, before)
    today = now.astimezone(UTC).date()
    left = [draft for draft in drafts(landing) if draft.day is None or draft.day < today]
    return Plan(candidates, left)


@dataclass(frozen=True)
class Item:
    """A pull or a draft, and what became or would become of it."""

    kind: Kind | Literal["draft"]
    name: str
    """Folder below landing."""
    bytes: int
    """On disk."""
    why: str
    """Why it goes, or why it stays."""


@dataclass(frozen=True)
class Pruned:
    """What goes (or would, in a dry run), and what stays although a rule speaks of it."""

    gone: list[Item]
    kept: list[Item]
    is_applied: bool


def prune(
    settings: Settings,
    *,
    vintages_older_than: int | None = None,
    is_applied: bool = False,
    on_wait: Callable[[str], None] | None = None,
) -> Pruned:
    """Decide what may go and, if ``is_applied``, remove it under the writer's lock.

    ``on_wait`` hears of a writer that is waited for.
    """
    warehouse = Warehouse(settings.home / "warehouse.duckdb")
    landing = Landing(settings.home / "landing")
    with ExitStack() as stack:
        # Nobody may load between the decision and the removal.
        stack.enter_context(warehouse.lock.held("atom prune", shared=not is_applied, on_wait=on_wait))
        connection = None
        if warehouse.path.exists():
            connection = stack.enter_context(duckdb.connect(str(warehouse.path), read_only=True))
        now = settings.now()
        found = plan(connection, landing, now=now, vintages_older_than=vintages_older_than)
        busy = dict(_apply(found, landing, now)) if is_applied else {}
    items = [
        Item(c.rule.kind, f"{c.pull.source}/{c.pull.pull_id}", c.bytes, busy.get(c.pull.path, c.rule.why))
        for c in found.removable
    ]
    items += [
        Item("draft", f"{DRAFTS}/{d.name}", d.bytes, busy.get(d.path, f"it is of {d.day or 'no known day'}"))
        for d in found.drafts
    ]
    taken = {path.relative_to(landing.root).as_posix() for path in busy}
    kept = [
        Item(c.rule.kind, f"{c.pull.source}/{c.pull.pull_id}", c.bytes, c.kept_because)
        for c in found.candidates
        if c.kept_because is not None
    ]
    return Pruned(
        [item for item in items if item.name not in taken],
        kept + [item for item in items if item.name in taken],
        is_applied,
    )


def _apply(found: Plan, landing: Landing, now: datetime) -> Iterator[tuple[Path, str]]:
    """Remove what the plan lets go; the folders that stay because another process is at them, and why."""
    sweep(landing)
    for candidate in found.removable:
        try:
            take_out(landing, candidate.pull, candidate.rule.why, now)
        except LandingError as error:
            yield candidate.pull.path, str(error)
    for draft in found.drafts:
        try:
            drop(landing, draft)
        except LandingError as error:
            yield draft.path, str(error)


def _has_loads(connection: duckdb.DuckDBPyConnection) -> bool:
    [(tables,)] = connection.execute(
        "select count(*) from duckdb_tables() where schema_name = 'raw' and table_name = 'loads'"
    ).fetchall()
    return bool(tables)


def _decide(
    connection: duckdb.DuckDBPyConnection,
    landing: Landing,
    rule: Rule,
    held: Mapping[str, Pull],
    before: datetime | None,
) -> list[Candidate]:
    """What a rule speaks of. Pulls whose bytes are damaged neither go nor justify anything."""
    damaged: set[str] = set()
    checked: set[str] = set()
    while True:
        sound = {pull_id: pull for pull_id, pull in held.items() if pull_id not in damaged}
        rows = _evaluate(connection, rule, sound, before)
        going = {pull_id for pull_id, _, missing in rows if missing is None}
        # Whoever stays in a contested place may be the reason for a removal there.
        places = {_place(rule, held[pull_id]) for pull_id in going}
        justifying = {
            pull_id
            for pull_id, pull in sound.items()
            if _place(rule, pull) in places and pull_id not in going | checked
        }
        found = {pull_id for pull_id in justifying if landing.verify(held[pull_id])}
        checked |= justifying
        if not found:
            break
        damaged |= found
    return [
        Candidate(held[pull_id], rule, size_of(held[pull_id].path), missing) for pull_id, _, missing in rows
    ]


def _place(rule: Rule, pull: Pull) -> tuple[str, str]:
    return pull.source, pull.scope if rule.within_scope else ""


def _evaluate(
    connection: duckdb.DuckDBPyConnection,
    rule: Rule,
    held: Mapping[str, Pull],
    before: datetime | None,
) -> list[tuple[str, datetime, str | None]]:
    """Pull id, its place in the order, and why it stays (None: it may go), of each pull ruled on."""
    unknown: Sequence[date | None] = [None]
    months = [
        {"pull_id": pull_id, "month": month}
        for pull_id, pull in held.items()
        for month in months_of(pull) or unknown
    ]
    connection.register("landed", pl.DataFrame(months, schema={"pull_id": pl.String, "month": pl.Date}))
    try:
        return connection.execute(
            _sql(rule), {"before": before.astimezone(UTC).replace(tzinfo=None)} if before else {}
        ).fetchall()
    finally:
        connection.unregister("landed")


def _sql(rule: Rule) -> str:
    place = "source || ' ' || scope" if rule.within_scope else "source"
    order = f"{rule.order}, pull_id"
    only_copies = " union all ".join(_only_copies(rule, table) for table in rule.tables)
    return f"""
        with pulls as (
            select pull_id, source, scope, {rule.order}, {place} as place,
                lead(pull_id) over (partition by {place} order by {order}) is not null as has_later
            from raw.pulls
            where {rule.sources} and pull_id in (select pull_id from landed)
        ),
        loaded as (
            select month, unnest(pull_ids) as pull_id from raw.loads
        ),
        -- a month that is not known is loaded by nobody
        partly as (
            select distinct landed.pull_id from landed anti join loaded using (pull_id, month)
        ),
        only_copies as ({only_copies}),
        needed as (
            select pull_id,
                string_agg(rows || ' rows of raw.' || table_name, ', ' order by table_name) as what
            from only_copies group by pull_id
        )
        select pulls.pull_id, pulls.{rule.order},
            case
                when partly.pull_id is not null then 'it is not wholly loaded; run `atom run`'
                when needed.pull_id is not null then 'it alone holds ' || needed.what
            end as kept_because
        from pulls
        left join partly using (pull_id)
        left join needed using (pull_id)
        where pulls.has_later{" and pulls." + rule.order + " < $before" if rule.needs_age else ""}
        order by pulls.source, pulls.scope, pulls.{rule.order}, pulls.pull_id
    """


def _only_copies(rule: Rule, table: Table) -> str:
    """SQL: by pull, the rows of a table that no later pull says again."""
    key = [column for column in table.key if column != "pull_id"]
    same = [f"held.{column}" for column in (*key, *SAME.get(table.name, ()))]
    reach = AT_LEAST.get(table.name, "0")
    # Only places where more than one pull is held: elsewhere there is nothing to compare.
    return f"""
        select pull_id, '{table.name}' as table_name, count(*) as rows
        from (
            select held.pull_id, {reach} as reach, max({reach}) over (
                partition by pulls.place, {", ".join(same)}
                order by pulls.{rule.order}, pulls.pull_id
                rows between 1 following and unbounded following
            ) as later
            from raw.{table.name} as held
            inner join pulls on held.pull_id = pulls.pull_id
            where pulls.place in (select place from pulls where has_later)
        )
        where later is null or later < reach
        group by pull_id
    """


def months_of(pull: Pull) -> Sequence[date] | None:
    """The months a pull's rows lie in, from its facts; None when they do not tell."""
    facts = pull.facts
    if {"first", "last"} <= facts.keys():
        return months_between(date.fromisoformat(facts["first"]), date.fromisoformat(facts["last"]))
    if pull.source in ARCHIVES:
        return sorted({month_of(day) for day in archive.observed_days(pull)})
    if "observed_on" in facts:
        return [month_of(date.fromisoformat(facts["observed_on"]))]
    return None
