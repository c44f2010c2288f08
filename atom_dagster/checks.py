"""The rules as asset checks.

Belongs here: showing each rule at its asset in the UI. Does not belong here: the rules themselves
(``rules``), showing those that time alone can break (``freshness``), or the decision to publish
(``assets.publish``, which evaluates them again).
"""

from collections.abc import Iterable, Iterator

import dagster as dg
import duckdb

from atom_dagster import inputs, overtaken, rules
from atom_dagster.preview import markdown_table
from atom_dagster.resources import Home
from atom_dagster.settings import Settings


def spec_of(rule: rules.Rule) -> dg.AssetCheckSpec:
    """A rule as Dagster announces it."""
    return dg.AssetCheckSpec(
        rule.name,
        asset=list(rule.asset),
        description=rule.description + ".",
        blocking=rule.is_blocking,
        metadata={"sql": dg.MetadataValue.md(f"```sql\n{rule.sql}\n```")},
    )


def result_of(verdict: rules.Verdict) -> dg.AssetCheckResult:
    """A verdict as Dagster shows it."""
    rule = verdict.rule
    return dg.AssetCheckResult(
        check_name=rule.name,
        asset_key=list(rule.asset),
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if rule.is_blocking else dg.AssetCheckSeverity.WARN,
        description=None if verdict.passed else verdict.sentence(),
        metadata={
            "violations": verdict.violations,
            "examples": dg.MetadataValue.md(markdown_table(verdict.columns, verdict.examples)),
        },
    )


def specs_of(*tables: str) -> list[dg.AssetCheckSpec]:
    """Check specs of the rules shown at these raw tables; their loading step returns the results."""
    return [spec_of(rule) for rule in _of_loads(tables)]


def results_of(
    connection: duckdb.DuckDBPyConnection, settings: Settings, *tables: str
) -> Iterator[dg.AssetCheckResult]:
    """Evaluate the rules shown at these raw tables."""
    for verdict in rules.evaluate(connection, _of_loads(tables), settings.today(), settings.as_of):
        yield result_of(verdict)


def _of_loads(tables: Iterable[str]) -> list[rules.Rule]:
    shown = {("raw", table) for table in tables}
    return [rule for rule in rules.RULES if rule.asset in shown and not rule.is_freshness]


_MART_RULES = [rule for rule in rules.RULES if rule.asset[0] == "marts" and not rule.is_freshness]


@dg.multi_asset_check(name="marts_rules", specs=[spec_of(rule) for rule in _MART_RULES], can_subset=True)
def marts_rules(context: dg.AssetCheckExecutionContext, home: Home) -> Iterator[dg.AssetCheckResult]:
    """The rules over the marts, after dbt has built them and before anything is published."""
    chosen = {(key.asset_key.path[-1], key.name) for key in context.selected_asset_check_keys}
    mine = [rule for rule in _MART_RULES if (rule.asset[1], rule.name) in chosen]
    settings = home.settings
    with home.warehouse.reading("check of the marts") as connection:
        gives_way = overtaken.may_give_way(context.run, context.instance)
        if gives_way and inputs.of_marts(connection) is None:
            # Rules that compare the marts with what is loaded would be violated, and block.
            context.log.warning(overtaken.SENTENCE)
            return
        for verdict in rules.evaluate(connection, mine, settings.today(), settings.as_of):
            yield result_of(verdict)


CHECKS = [marts_rules]
