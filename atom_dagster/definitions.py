"""The front door: assembles assets, checks, jobs, schedules and resources into definitions.

Belongs here: assembly and policy for all. Does not belong here: any asset, rule or schedule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from atom_dagster import checks, freshness, schedules
from atom_dagster.assets import dbt, publish, raw, status
from atom_dagster.resources import Home, World
from atom_dagster.settings import Settings


def build_defs(*, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """All definitions; tests pass resources of their own."""
    models = dbt.dbt_models_asset()
    marts = sorted(
        (key for key in models.keys if key.path[0] == publish.PUBLISHED_SCHEMA),
        key=lambda key: tuple(key.path),
    )
    return dg.Definitions(
        assets=[*raw.ASSETS, models, publish.publish_asset(marts), *status.ASSETS],
        asset_checks=[*checks.CHECKS, freshness.freshness_checks],
        jobs=schedules.JOBS,
        schedules=schedules.schedules(Settings.from_env().schedules),
        sensors=schedules.SENSORS,
        resources={
            "home": Home(),
            "world": World(),
            "dbt": dbt.dbt_resource(),
            **(resource_overrides or {}),
        },
        # One process a run: a step costs a fraction of a second, and DuckDB has one writer anyway.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `dagster dev`, `dg`, the code server and the command line load."""
    return build_defs()
