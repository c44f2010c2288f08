"""The rules: SQL over the warehouse that returns one row per violation.

Belongs here: what must hold of the data, each rule once. A blocking rule keeps a build from being
published; the others warn. Does not belong here: showing them in the UI (``checks``), or keys and
types of single tables, which the tables' own constraints and dbt's data tests keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import duckdb

from atom_dagster.sources.tables import HF_DERIVATIVES, HF_MODELS, OPENROUTER_TOKENS


@dataclass(frozen=True)
class Rule:
    """``sql`` may use ``$today`` (the clock's UTC day) and returns a row for each violation."""

    name: str
    asset: tuple[str, str]
    """Schema and table the rule is shown at."""
    description: str
    sql: str
    is_blocking: bool = True
    is_freshness: bool = False
    """Whether time alone can break it: it is shown when nothing was loaded, too (``freshness``)."""


@dataclass(frozen=True)
class Verdict:
    """How a rule came out: the number of violations and the first of them."""

    rule: Rule
    violations: int
    columns: list[str]
    examples: list[tuple[Any, ...]]

    @property
    def passed(self) -> bool:
        """Whether nothing violates the rule."""
        return self.violations == 0

    def sentence(self) -> str:
        """What is wrong, for people."""
        return (
            f"{self.rule.name}: {self.rule.description} ({self.violations} violations; first:"
            f" {self.told(self.examples[0])})."
        )

    def told(self, example: tuple[Any, ...]) -> str:
        """A violation's columns and values."""
        return ", ".join(f"{name} {value}" for name, value in zip(self.columns, example, strict=True))


_EDGE = "date_trunc('month', $today - interval 3 day)::date"
"""The first instant after the newest complete month, which is given 3 days to be pulled and published."""

_ROLLUPS = ("organization", "country", "region", "size", "family")

RULES: tuple[Rule, ...] = (
    Rule(
        "pull_is_known",
        ("raw", "hf_models"),
        "Every raw row leads back to a landed pull",
        """
        select 'hf_models' as table_name, pull_id from raw.hf_models anti join raw.pulls using (pull_id)
        union select 'hf_derivatives', pull_id from raw.hf_derivatives anti join raw.pulls using (pull_id)
        union select 'openrouter_tokens', pull_id
        from raw.openrouter_tokens anti join raw.pulls using (pull_id)
        """,
    ),
    *(
        Rule(
            "key_is_unique",
            ("raw", table.name),
            f"{', '.join(table.key)} identify a row",
            # One number a row is compared first, at half the cost of comparing its texts.
            f"""
            select {", ".join(table.key)}, count(*) as rows from raw.{table.name}
            where hash({", ".join(table.key)}) in (
                select hash({", ".join(table.key)}) from raw.{table.name} group by 1 having count(*) > 1
            )
            group by {", ".join(table.key)} having rows > 1
            """,
        )
        for table in (HF_MODELS, HF_DERIVATIVES, OPENROUTER_TOKENS)
    ),
    Rule(
        "no_reading_from_the_future",
        ("raw", "hf_models"),
        "No reading is dated after today",
        "select model_id, observed_on from raw.hf_models where observed_on > $today",
    ),
    Rule(
        "counters_agree",
        ("raw", "hf_models"),
        "At most 1 % of a day's models have had fewer downloads ever than in the last 30 days",
        # Of a day that was pulled again only the later pull, which is the one that counts.
        """
        with days as (
            select source, observed_on, pull_id, count(*) as models,
                count(*) filter (where downloads_all_time < downloads_30d) as contradictions
            from raw.hf_models
            where downloads_all_time is not null and downloads_30d is not null
            group by source, observed_on, pull_id
        ),
        newest as (
            from days left join raw.pulls using (pull_id)
            qualify row_number() over (
                partition by days.source, observed_on order by fetched_at desc, pull_id desc
            ) = 1
        )
        select observed_on, pull_id, models, contradictions
        from newest where contradictions > 0.01 * models
        """,
    ),
    Rule(
        "edges_have_readings",
        ("raw", "hf_derivatives"),
        "Every derivative was read as a model by the same pull",
        """
        select pull_id, model_id from raw.hf_derivatives
        anti join raw.hf_models using (source, model_id, observed_on, pull_id)
        """,
    ),
    Rule(
        "day_has_one_other_row",
        ("raw", "openrouter_tokens"),
        "Every day of a rankings pull has its one row for all models beyond the top 50",
        """
        select day, pull_id, count(*) filter (where model_permaslug = 'other') as other_rows
        from raw.openrouter_tokens
        where source = 'openrouter_rankings'
        group by day, pull_id
        having other_rows != 1
        """,
    ),
    Rule(
        "tokens_keep_their_unit",
        ("raw", "openrouter_tokens"),
        "No day holds more than 5 times the tokens of the median day of its fortnight",
        """
        with days as (
            select day, pull_id, sum(total_tokens) as tokens from raw.openrouter_tokens group by all
        )
        select day, pull_id, tokens from days
        qualify tokens > 5 * median(tokens) over (
            partition by pull_id order by day rows between 7 preceding and 7 following
        )
        """,
        is_blocking=False,
    ),
    Rule(
        "list_is_not_truncated",
        ("raw", "tracked_models"),
        "The newest list of tracked models holds at least half of the one before",
        """
        with vintages as (
            select pull_id, max(as_of) as as_of, count(*) as models
            from raw.tracked_models group by pull_id
        )
        select as_of, models, lag(models) over (order by as_of) as models_before from vintages
        qualify models < 0.5 * models_before and as_of = max(as_of) over ()
        """,
    ),
    Rule(
        "tracked_namespace_is_reviewed",
        ("raw", "organization_regions"),
        "Every tracked namespace has a reviewed region",
        """
        select distinct hf_org from raw.tracked_models anti join raw.organization_regions using (hf_org)
        """,
        is_blocking=False,
    ),
    Rule(
        "newest_complete_month_is_present",
        ("raw", "hf_models"),
        "A Hub reading lies within 7 days of the end of the newest month that ended 3 days ago or earlier",
        # Archives are weekly: one reading a week leaves no edge farther away. Where none is that near,
        # the month is split between two far points, or not measured at all.
        f"""
        with month as (select {_EDGE} as edge),
        days as (select distinct observed_on from raw.hf_models)
        select (edge - interval 1 month)::date as month,
            max(observed_on) filter (where observed_on < edge) as last_reading_before_its_end,
            min(observed_on) filter (where observed_on >= edge) as first_reading_after_it
        from month left join days on true
        group by edge
        having not coalesce(bool_or(abs(observed_on - edge) <= 7), false)
        """,
        is_blocking=False,
        is_freshness=True,
    ),
    Rule(
        "newest_complete_month_is_whole",
        ("raw", "openrouter_tokens"),
        "OpenRouter's newest month that ended 3 days ago or earlier is held to its last day",
        # A later day shows that the source itself lacks the last one, as it lacks some.
        f"""
        with month as (select {_EDGE} as edge),
        days as (select distinct day from raw.openrouter_tokens)
        select (edge - interval 1 month)::date as month, max(day) as newest_day,
            count(*) filter (where day >= edge - interval 1 month and day < edge) as days_of_the_month
        from month left join days on true
        group by edge
        having newest_day is null or newest_day < edge - interval 1 day or days_of_the_month = 0
        """,
        is_blocking=False,
        is_freshness=True,
    ),
    Rule(
        "newest_complete_month_is_measured",
        ("marts", "downloads_by_model_monthly"),
        "The newest month that ended 3 days ago or earlier has measured models",
        f"""
        with month as (select {_EDGE} as edge)
        select (edge - interval 1 month)::date as newest_complete_month,
            (select max(month) from marts.downloads_by_model_monthly where downloads is not null)
                as newest_measured_month
        from month
        where newest_measured_month is null or newest_measured_month < newest_complete_month
        """,
        is_blocking=False,
        is_freshness=True,
    ),
    Rule(
        "every_reading_is_observed",
        ("marts", "observations"),
        "Every source, model and day that was read is one observation",
        """
        select source, model_id, observed_on from raw.hf_models
        anti join marts.observations using (source, model_id, observed_on)
        """,
    ),
    Rule(
        "suspect_snapshots_are_accepted",
        ("marts", "observations"),
        "No snapshot's models all move alike, as under a wrong date, unless accepted_snapshots names it",
        """
        select source, observed_on, common_models, round(ratio_high / ratio_low, 3) as spread
        from intermediate.int_snapshots where is_suspect and not is_accepted
        order by source, observed_on
        """,
        is_blocking=False,
    ),
    Rule(
        "models_exist",
        ("marts", "models"),
        "There is at least one tracked model, and every observed id is a model",
        """
        select 'no tracked model' as problem, null as model_id
        where not exists (from marts.models where tracked_list != 'none')
        union all
        select distinct 'observed, not listed', model_id from marts.observations
        anti join marts.models using (model_id)
        """,
    ),
    Rule(
        "missing_has_a_reason",
        ("marts", "downloads_by_model_monthly"),
        "A month is either measured (never negative) or NULL with its reason",
        """
        select model_id, month, downloads, null_reason from marts.downloads_by_model_monthly
        where (downloads is null) != (null_reason is not null) or downloads < 0
        """,
    ),
    *(
        Rule(
            "adds_up",
            ("marts", f"downloads_by_{key}_monthly"),
            "The keys of a month sum to its models, and their shares to 1",
            f"""
            with models as (
                select month, sum(downloads) as total
                from marts.downloads_by_model_monthly group by month
            ),
            keys as (
                select month, sum(downloads) as total, sum(share) as share
                from marts.downloads_by_{key}_monthly group by month
            )
            select month, models.total as by_model, keys.total as by_{key}, keys.share
            from models full join keys using (month)
            where models.total is distinct from keys.total
                or abs(keys.share - 1) > 1e-9
            """,
        )
        for key in _ROLLUPS
    ),
    Rule(
        "adds_up",
        ("marts", "inference_by_model_monthly"),
        "A month's models, with the row of all others, sum to what OpenRouter reported",
        """
        with expected as (
            select date_trunc('month', day)::date as month, sum(total_tokens) as tokens
            from staging.stg_openrouter__tokens group by 1
        ),
        found as (
            select month, sum(tokens) as tokens from marts.inference_by_model_monthly group by month
        )
        select month, expected.tokens as reported, found.tokens as in_mart
        from expected full join found using (month)
        where expected.tokens is distinct from found.tokens
        """,
    ),
    *(
        Rule(
            "shares_sum_to_one",
            ("marts", f"inference_by_{key}_monthly"),
            "The shares of a month and scope sum to 1, by base and by publisher",
            f"""
            select month, scope, sum(share) as share, sum(share_publisher) as share_publisher
            from marts.inference_by_{key}_monthly group by month, scope
            having abs(sum(share) - 1) > 1e-9 or abs(sum(share_publisher) - 1) > 1e-9
            """,
        )
        for key in ("organization", "region")
    ),
    *(
        Rule(
            "shares_sum_to_one",
            ("marts", f"derivatives_by_{key}_monthly"),
            "The shares of the keys of known region sum to 1",
            f"""
            select month, relation, min_downloads, community_only, sum(share) as share
            from marts.derivatives_by_{key}_monthly group by all
            having abs(sum(share) - 1) > 1e-9
            """,
        )
        for key in ("organization", "region", "family")
    ),
    Rule(
        "missing_has_a_reason",
        ("marts", "ram_scores"),
        "A score is either given, between its bounds, or NULL with its reason",
        """
        select model_id, baseline, day, ram, null_reason from marts.ram_scores
        where (ram is null) != (null_reason is not null) or not (ram_low <= ram and ram <= ram_high)
        """,
    ),
)


def evaluate(
    connection: duckdb.DuckDBPyConnection,
    rules: Iterable[Rule],
    today: date,
    as_of: datetime | None = None,
) -> list[Verdict]:
    """Every rule's verdict; a rule over a table that does not exist is violated.

    Args:
        connection: To the warehouse.
        rules: What must hold.
        today: The clock's UTC day, ``$today`` of the rules.
        as_of: The UTC instant the marts are held to: what was fetched later is not there for the rules.
    """
    with _raw_as_of(connection, as_of):
        return [_evaluate(connection, rule, today) for rule in rules]


@contextmanager
def _raw_as_of(connection: duckdb.DuckDBPyConnection, instant: datetime | None) -> Iterator[None]:
    """Within, ``raw`` shows only what had been fetched by the instant; every other table is itself."""
    if instant is None:
        yield
        return
    [(warehouse,)] = connection.execute("select current_database()").fetchall()
    tables = connection.execute(
        "select table_schema, table_name, bool_or(column_name = 'pull_id')"
        " from information_schema.columns where table_catalog = current_database() group by all"
    ).fetchall()
    by_then = (
        f" where pull_id in (select pull_id from {warehouse}.raw.pulls"
        f" where fetched_at <= timestamp '{instant.replace(tzinfo=None)}')"
    )
    connection.execute("attach ':memory:' as fetched_by_then (read_write)")
    try:
        for schema, name, has_pulls in tables:
            rows = f"select * from {warehouse}.{schema}.{name}"
            rows += by_then if schema == "raw" and has_pulls else ""
            connection.execute(f"create schema if not exists fetched_by_then.{schema}")
            connection.execute(f"create view fetched_by_then.{schema}.{name} as {rows}")
        connection.execute("use fetched_by_then")
        yield
    finally:
        connection.execute(f"use {warehouse}")
        connection.execute("detach fetched_by_then")


def _evaluate(connection: duckdb.DuckDBPyConnection, rule: Rule, today: date) -> Verdict:
    parameters = {"today": today} if "$today" in rule.sql else {}
    try:
        result = connection.execute(
            f"select count(*) over () as violations_found, * from ({rule.sql}) limit 10", parameters
        )
        columns = [column[0] for column in result.description or []][1:]
        rows = result.fetchall()
    except duckdb.CatalogException as error:
        missing = str(error).splitlines()[0]
        return Verdict(rule, 1, ["missing"], [(missing,)])
    return Verdict(rule, rows[0][0] if rows else 0, columns, [row[1:] for row in rows])
