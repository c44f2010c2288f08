"""The figures of the report page, in the order of the page: the report's, then ours.

Belongs here: the order, and one module for each subject. Does not belong here: marks and scales
(``charts``) or the page (``page``).
"""

from __future__ import annotations

from atom_dagster.report.figure import Figure
from atom_dagster.report.figures import (
    claims,
    countries,
    derivatives,
    downloads,
    inference,
    leaders,
    ram,
    sizes,
    trust,
)

THE_REPORTS: tuple[Figure, ...] = (
    downloads.CUMULATIVE_BY_REGION,
    downloads.CUMULATIVE_BY_ORGANIZATION,
    downloads.MONTHLY_BY_ORGANIZATION,
    sizes.SHARE_OF_LARGEST_SIZE,
    sizes.SIZE_MIX,
    leaders.TOP_MODELS,
    leaders.NEW_ENTRANTS,
    derivatives.DERIVATIVES_BY_REGION,
    derivatives.DERIVATIVES_BY_FAMILY,
    inference.INFERENCE_BY_REGION,
    ram.RAM_NEWEST,
    ram.RAM_BY_BASELINE,
    leaders.CONCENTRATION,
    leaders.CROSSOVERS,
)
OURS: tuple[Figure, ...] = (
    trust.COVERAGE,
    trust.ANOMALIES,
    derivatives.DERIVATIVES_BY_THRESHOLD,
    countries.DERIVATIVES_BY_COUNTRY_PAIR,
    inference.INFERENCE_BY_PUBLISHER_AND_BASE,
    ram.RAM_SENSITIVITY,
    ram.RAM_BACKTEST,
    trust.MODEL_SETS,
    claims.CLAIMS,
)
FIGURES: tuple[Figure, ...] = (*THE_REPORTS, *OURS)
