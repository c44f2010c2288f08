"""The oracle: the published numbers once more, in plain Python, from definitions.md alone.

Belongs here: pure functions that turn the raw tables and the seeds into the numbers of the marts,
one module per section of the definitions, plain enough to be checked against the text by eye. Does
not belong here: anything read from the SQL models or their macros, which would make the agreement
of the two worthless; reading a warehouse (``tests/integration/test_oracle.py``); speed.

Not covered: ``merge_precision_variants``, which is off.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Switches:
    """The dbt vars that change a number, with the defaults of definitions.md."""

    model_set: str = "core"
    include_t5gemma: bool = True
    max_gap_days: int = 45
    window_reach_days: int = 10
    max_gap_days_cumulative: int = 120
    chain_bracket_days: int = 14
    min_matched: float = 0.5
    ram_max_bound_ratio: float = 3.0
    source_order: tuple[str, ...] = ("hub_live", "hub_archive", "hub_revisions", "hub_series")
    first_month: date = date(2023, 11, 1)


DAYS = (7, 14, 30, 60, 90, 180, 365)
"""Days after release at which RAM is taken."""

SIZE_BUCKETS = ("<1B", "1-5B", "5-10B", "10-50B", "50-100B", "100-250B", "250B+")
"""Buckets by total parameters, smallest first."""

UNKNOWN = "unknown"
"""The key of whatever has no organization, country, region, size or family."""
