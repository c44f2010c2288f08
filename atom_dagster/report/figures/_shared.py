"""Columns, sentences and gaps that several figures share.

Belongs here: what would otherwise stand twice in this package. Does not belong here: a figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from atom_dagster.report import marks, words
from atom_dagster.report.figure import Column, Facts, Row
from atom_dagster.report.words import listed, percent

MONTH = Column("month", "Month", "month")
CORE = "{core}"
HEADLINE = ("china", "us", "eu")
REGION_ORDER = ("china", "us", "eu", "other", "unknown")
SIZE_ORDER = ("<1B", "1-5B", "5-10B", "10-50B", "50-100B", "100-250B", "250B+", "unknown")

LINKED = (
    "A line of which a shown month has a coverage below 95 % is drawn as linked downloads: the level of its"
    " best covered recent month, carried to the others by growth among the same models, so that it never"
    " jumps because more models were measured."
)
DELETED = (
    "Repositories deleted before anyone read them are unseen, so the counts of old months are lower bounds."
)
UNMEASURED = (
    "A month that could not be measured is a gap in the line, and a row with its reason in the table."
)
NO_COUNTER = "A month without a counter close enough to its end is a gap in the line and in the table."
FEW = marks.FEW
"""New derivatives with a known base below which a month's shares are not compared in words."""
COVERED = 0.95
"""The coverage from which a month stands for the whole."""
MARK = """\
    nullif(
        concat_ws(
            ', ',
            case when {coverage} < 0.95 then 'low_coverage' end,
            case when {anomaly} then 'anomaly' end
        ),
        ''
    ) as mark"""
"""The column ``mark`` of a download figure, by the column and the condition it goes by."""
FLAGS = MARK.replace("{anomaly}", "downloads_without_anomalies is distinct from downloads")
"""``MARK`` where a column tells downloads without anomalies; ``coverage`` names the column it goes by."""
NEWEST = """\
-- the newest month covered to 95 %, else the newest that is measured at all
newest as (
    select month, coverage from marts.downloads_concentration_monthly
    where unit = 'organization' and measure = 'downloads' and hhi is not null
    order by coverage >= 0.95 desc, month desc
    limit 1
)"""


def no_counters(facts: Facts) -> str:
    """Why nothing cumulative is known."""
    if not facts.has_counters:
        return (
            "This world's readings hold only downloads of the last 30 days and no all-time counter, so"
            " nothing cumulative can be known."
        )
    return "No month has an all-time counter close enough to its end."


def no_months(facts: Facts) -> str:
    """Why no month has downloads."""
    del facts
    return "No month of this world is covered by readings that lie close enough to its edges."


def no_ram(facts: Facts) -> str:
    """Why no score is known."""
    if not facts.has_counters:
        return (
            "Scores compare totals since release, and this world's readings hold only downloads of the last"
            " 30 days."
        )
    return "Too few models have a known total at the same age for any size class to have a baseline."


def told_month(rows: Sequence[Row], measure: str, coverage: str) -> tuple[date, str]:
    """The month a sentence is about, and what to say of its coverage.

    It is the newest whose ``coverage`` is 95 % or more, else the newest with the measure (there is one),
    told with its coverage: ``June 2026 (69.3% of what was expected is measured)``.
    """
    held = [row for row in rows if row[measure] is not None]
    covered = [row for row in held if (row[coverage] or 0) >= COVERED]
    month = max(row["month"] for row in covered or held)
    if covered:
        return month, words.month(month)
    share = max(row[coverage] or 0 for row in held if row["month"] == month)
    return month, f"{words.month(month)} ({words.percent(share)} of what was expected is measured)"


def latest(rows: Sequence[Row], last: object, key: str) -> dict[str, Row]:
    """The rows of one month by key."""
    return {row[key]: row for row in rows if row["month"] == last}


def leaders(shares: Sequence[tuple[str, float]], number: int = 3) -> str:
    """``China 72.7%, the United States 23.6% and Europe 3.3%``: the largest shares, named."""
    largest = sorted((share for share in shares if share[1]), key=lambda share: (-share[1], share[0]))[
        :number
    ]
    return listed([f"{name} {percent(share)}" for name, share in largest])
