"""What time alone can break: months and days that should be there by now.

Belongs here: the checks that must be evaluated when nothing is loaded, too. They warn and never block.
Does not belong here: the rules among them (``rules``), or when they are evaluated (``schedules``).
"""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
import duckdb

from atom_dagster import history, rules
from atom_dagster.checks import result_of, spec_of
from atom_dagster.partitions import day_spans
from atom_dagster.resources import Home
from atom_dagster.settings import Settings
from atom_dagster.status import max_gap_days
from atom_dagster.worlds import has_live_hub

DAILY = "observe_daily"
_RULES = [rule for rule in rules.RULES if rule.is_freshness]
NO_HOLE = dg.AssetCheckSpec(
    "daily_readings_have_no_hole",
    asset=["raw", "hf_models"],
    description=(
        f"Of the last {max_gap_days()} days, since the schedule {DAILY} first ran, the live Hub was read on"
        " every one up to yesterday. The Hub knows only now: a day that was missed is gone, and its month"
        " rests on its other readings. Holes before that, and worlds without a live Hub, pass and are told."
    ),
)


def missed_days(connection: duckdb.DuckDBPyConnection, since: date, today: date) -> list[date]:
    """The UTC days from ``since`` to the one before ``today`` on which no live reading was taken."""
    rows = connection.execute(
        "select distinct observed_on from raw.hf_models where source = 'hub_live' and observed_on >= ?",
        [since],
    ).fetchall()
    read = {day for (day,) in rows}
    every = (since + timedelta(days=n) for n in range((today - since).days))
    return [day for day in every if day not in read]


def no_hole(
    connection: duckdb.DuckDBPyConnection, instance: dg.DagsterInstance, settings: Settings
) -> dg.AssetCheckResult:
    """Which days of late went unobserved, since days are observed.

    A hole fails for as many days as a gap between readings may be wide: what lies before it no longer
    touches the months under way, and what nobody can mend must not fail for ever.
    """
    today = settings.today()
    recent = today - timedelta(days=max_gap_days())
    since = history.first_day_of(instance, DAILY) if has_live_hub(settings) else None
    missed = missed_days(connection, since, today) if since else []
    late = [day for day in missed if day >= recent]
    if not has_live_hub(settings):
        said = "This world has no live Hub: no day of it can be missed."
    elif since is None or since >= today:
        said = f"The schedule {DAILY} had not run before {today}."
    elif late:
        said = (
            f"No live reading was taken on {len(late)} of the {(today - max(since, recent)).days} days since"
            f" {max(since, recent)}: {day_spans(late)}. They are gone for good."
        )
    else:
        said = f"The live Hub was read on every day since {max(since, recent)}."
    if earlier := len(missed) - len(late):
        said += f" Before that, {earlier} day{'s' if earlier > 1 else ''} went unread: see missed_days."
    return dg.AssetCheckResult(
        check_name=NO_HOLE.name,
        asset_key=NO_HOLE.asset_key,
        passed=not late,
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
        metadata={"missed_days": dg.MetadataValue.json([day.isoformat() for day in missed])},
    )


@dg.multi_asset_check(name="freshness", specs=[*(spec_of(rule) for rule in _RULES), NO_HOLE], can_subset=True)
def freshness_checks(context: dg.AssetCheckExecutionContext, home: Home) -> Iterator[dg.AssetCheckResult]:
    """Whether the newest complete month is there, and no day went unobserved."""
    chosen = {(*key.asset_key.path, key.name) for key in context.selected_asset_check_keys}
    mine = [rule for rule in _RULES if (*rule.asset, rule.name) in chosen]
    settings = home.settings
    with home.warehouse.reading("check of freshness") as connection:
        for verdict in rules.evaluate(connection, mine, settings.today(), settings.as_of):
            yield result_of(verdict)
        if NO_HOLE.key in context.selected_asset_check_keys:
            yield no_hole(connection, context.instance, settings)
