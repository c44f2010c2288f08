"""Which readings count (definitions 1.2 to 1.6).

Belongs here: one reading a model and day, the flag of every reading, whole snapshots that are
suspect or faulty, and the falls of the all-time counter. Does not belong here: the curve drawn
through what is left (``curve``). Days of a ``Reading`` are proleptic ordinals
(``date.toordinal``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

import polars as pl

from . import Switches
from .identity import CREATION_FLOOR, canonical_ids

DISAGREEMENT = 0.01
"""Share of the larger value by which two sources may differ on one day (1.2)."""
STALE_WINDOW = 100
"""A repeated reading is stale from this ``W`` on (1.3)."""
COMMON_WINDOW = 1000
"""``W`` from which a model speaks for its snapshot (1.4, 1.5)."""
SUSPECT_DAYS, SUSPECT_MODELS, SUSPECT_SPREAD = 7, 200, 1.25
"""1.4: at least so many days and models, ninth over first decile below this."""
FAULT_DAYS, FAULT_MODELS, FAULT_LOW, FAULT_HIGH = 7, 30, 0.88, 1.15
"""1.5: at most so many days, at least so many models, median ratio outside these."""
DIP_DAYS = 14
"""1.6a: days within which a fallen counter must recover to have been a dip."""
CORRECTION_DAYS = 30
"""1.6c: the longest gap whose downloads the window that ends it can tell."""


@dataclass(frozen=True)
class Reading:
    """One model on one day: ``a`` downloads since creation, ``w`` in the last 30 days.

    ``created_on`` (an ordinal) and ``hf_id`` are what this reading said of the repository.
    ``is_faulty`` tells that its snapshot had a Hub fault, whatever its ``flag`` is.
    """

    day: int
    a: int | None
    w: int | None
    flag: str | None = None
    created_on: int | None = None
    hf_id: str | None = None
    is_faulty: bool = False


@dataclass(frozen=True)
class Step:
    """A fall of the counter that was no dip, between the readings on ``since`` and ``day``.

    ``downloads`` are those of the gap, None when unknown; ``correction`` is the rest of what the
    counter did: ``A2 - A1 - downloads``, below zero.
    """

    since: int
    day: int
    kind: str
    downloads: float | None
    correction: float | None


# ------------------------------------------------------------------------------- one reading a day


def judged(
    hf_models: pl.DataFrame,
    pulls: pl.DataFrame,
    names: Mapping[str, str],
    accepted: Iterable[tuple[str, date]],
    switches: Switches,
) -> pl.DataFrame:
    """Every reading (source, model_id, observed_on) of every model, judged by 1.2 to 1.5.

    ``accepted`` are the snapshots (source, observed_on) to be used although their date is suspect.
    Columns besides the key: canonical, a, w, created_on, hf_id, is_candidate (used unless it turns
    out to be a dip), is_faulty, flag (as it stands before 1.6).
    """
    rows = _with_winners(hf_models, pulls, names, switches)
    rows = _with_stale(rows)
    given = pl.DataFrame(
        list(accepted), schema={"source": pl.String, "observed_on": pl.Date}, orient="row"
    ).with_columns(is_accepted=pl.lit(True))
    troubles = (
        snapshots(rows)
        .join(given, on=["source", "observed_on"], how="left")
        .select(
            "source",
            "observed_on",
            is_suspect=pl.col("is_suspect") & pl.col("is_accepted").is_null(),
            is_faulty="is_faulty",
        )
    )
    rows = rows.join(troubles, on=["source", "observed_on"], how="left").with_columns(
        pl.col("is_suspect", "is_faulty").fill_null(False)
    )
    flag = (
        pl.when(~pl.col("is_winner"))
        .then(pl.when("differs").then(pl.lit("sources_disagree")).otherwise(pl.lit("superseded")))
        .when("is_stale").then(pl.lit("stale"))
        .when("is_suspect").then(pl.lit("suspect_date"))
        .when("is_faulty").then(pl.lit("hub_fault"))
        .when("is_disputed").then(pl.lit("sources_disagree"))
    )  # fmt: skip
    return rows.select(
        "source",
        "model_id",
        "observed_on",
        "canonical",
        "a",
        "w",
        "created_on",
        "hf_id",
        is_candidate=pl.col("is_winner") & ~pl.col("is_stale") & ~pl.col("is_suspect"),
        is_faulty="is_faulty",
        flag=flag,
    )


def _with_winners(
    hf_models: pl.DataFrame, pulls: pl.DataFrame, names: Mapping[str, str], switches: Switches
) -> pl.DataFrame:
    """1.2: the first source of the configured order, in it the later pull, in it the newest id.

    ``is_source_winner``: of its source's readings of the model and day; ``is_winner``: of all.
    ``differs``: of another source, and more than 1 % from the winner; ``is_disputed``: any such
    reading of the model and day.
    """
    order = {source: rank for rank, source in enumerate(switches.source_order)}
    created_on = pl.col("created_at").dt.date()
    day, source_day = ["canonical", "observed_on"], ["canonical", "observed_on", "source"]
    rows = (
        hf_models.select(
            canonical_ids("model_id", names).alias("canonical"),
            "source",
            "model_id",
            "observed_on",
            "pull_id",
            "hf_id",
            pl.col("source").replace_strict(order, default=len(order)).alias("rank"),
            pl.col("downloads_all_time").alias("a"),
            pl.col("downloads_30d").alias("w"),
            pl.when(created_on != CREATION_FLOOR).then(created_on).alias("created_on"),
        )
        .join(pulls.select("pull_id", "fetched_at").unique("pull_id"), on="pull_id", how="left")
        .with_columns((pl.col("model_id") != pl.col("canonical")).alias("is_old_id"))
        .sort(
            [*day, "rank", "source", "fetched_at", "pull_id", "is_old_id", "model_id"],
            descending=[False, False, False, False, True, True, False, False],
        )
        .unique(["source", "model_id", "observed_on"], keep="first", maintain_order=True)
        .with_columns(
            is_winner=pl.struct(day).is_first_distinct(),
            is_source_winner=pl.struct(source_day).is_first_distinct(),
        )
    )
    winners = rows.filter("is_winner").select(*day, a_won="a", w_won="w", source_won="source")
    rows = rows.join(winners, on=day, how="left", maintain_order="left").with_columns(
        differs=(pl.col("source") != pl.col("source_won")) & (_far("a", "a_won") | _far("w", "w_won"))
    )
    disputed = rows.filter("differs").select(day).unique().with_columns(is_disputed=pl.lit(True))
    return rows.join(disputed, on=day, how="left", maintain_order="left").with_columns(
        pl.col("is_disputed").fill_null(False)
    )


def _far(one: str, other: str) -> pl.Expr:
    """Whether two counters, both known, are more than 1 % of the larger apart."""
    apart = (pl.col(one) - pl.col(other)).abs()
    return (apart > DISAGREEMENT * pl.max_horizontal(one, other)).fill_null(False)


def _with_stale(rows: pl.DataFrame) -> pl.DataFrame:
    """1.3, judged over the readings that won their day; one that lost is never stale."""
    won = rows.filter("is_winner").sort("canonical", "observed_on")
    repeats = pl.col("canonical").eq_missing(pl.col("canonical").shift())
    for counter in ("a", "w"):
        repeats &= pl.col(counter).eq_missing(pl.col(counter).shift())
    stale = (
        won.with_columns(is_stale=repeats & (pl.col("w") >= STALE_WINDOW).fill_null(False))
        .filter("is_stale")
        .select("canonical", "observed_on", is_winner=pl.lit(True), is_stale=pl.lit(True))
    )
    return rows.join(
        stale, on=["canonical", "observed_on", "is_winner"], how="left", maintain_order="left"
    ).with_columns(pl.col("is_stale").fill_null(False))


# --------------------------------------------------------------------------------- whole snapshots


def snapshots(rows: pl.DataFrame) -> pl.DataFrame:
    """Every snapshot against the one its source took before (1.4, 1.5).

    Columns: source, observed_on, days_since, common (models), spread (ninth over first decile of
    the ratios of ``W``), median, is_suspect, is_faulty.
    """
    days = (
        rows.select("source", "observed_on")
        .unique()
        .sort("source", "observed_on")
        .with_columns(previous_on=pl.col("observed_on").shift().over("source"))
        .drop_nulls("previous_on")
    )
    loud = rows.filter(pl.col("is_source_winner") & (pl.col("w") >= COMMON_WINDOW))
    before = loud.select("source", "canonical", previous_on="observed_on", w_before="w")
    ratio = pl.col("w") / pl.col("w_before")
    measured = (
        loud.filter(~pl.col("is_stale"))
        .join(days, on=["source", "observed_on"])
        .join(before, on=["source", "canonical", "previous_on"])
        .group_by("source", "observed_on")
        .agg(
            common=pl.len(),
            spread=ratio.quantile(0.9, "linear") / ratio.quantile(0.1, "linear"),
            median=ratio.median(),
        )
    )
    since, common, median = pl.col("days_since"), pl.col("common"), pl.col("median")
    return (
        days.with_columns(days_since=(pl.col("observed_on") - pl.col("previous_on")).dt.total_days())
        .drop("previous_on")
        .join(measured, on=["source", "observed_on"], how="left")
        .with_columns(
            is_suspect=(since >= SUSPECT_DAYS)
            & (common >= SUSPECT_MODELS).fill_null(False)
            & (pl.col("spread") < SUSPECT_SPREAD).fill_null(False),
            is_faulty=(since <= FAULT_DAYS)
            & (common >= FAULT_MODELS).fill_null(False)
            & ((median < FAULT_LOW) | (median > FAULT_HIGH)).fill_null(False),
        )
        .sort("source", "observed_on")
    )


# ------------------------------------------------------------------------------- falls of a counter


def settle(readings: Sequence[Reading]) -> tuple[list[Reading], list[Step], set[int]]:
    """1.6 on one model's candidates in order of day: (those that stay, steps, days of dips).

    The later reading of a step bears its kind as flag.
    """
    counted = [reading for reading in readings if reading.a is not None]
    dips = _dips(counted)
    steps = []
    left = [reading for reading in counted if reading.day not in dips]
    for earlier, later in pairwise(left):
        assert earlier.a is not None and later.a is not None
        if later.a < earlier.a:
            kind = "reset" if _is_another(earlier, later) else "correction"
            held = float(later.a) if kind == "reset" else _of_gap(later, later.day - earlier.day)
            rest = None if held is None else later.a - earlier.a - held
            steps.append(Step(earlier.day, later.day, kind, held, rest))
    kinds = {step.day: step.kind for step in steps}
    kept = [
        replace(reading, flag=kinds[reading.day]) if reading.day in kinds else reading
        for reading in readings
        if reading.day not in dips
    ]
    return kept, steps, dips


def _dips(counted: Sequence[Reading]) -> set[int]:
    """1.6a: the days on which the counter was low for at most 14 days."""
    found: set[int] = set()
    for at in range(1, len(counted)):
        before, low = counted[at - 1], counted[at]
        if low.a >= before.a:  # type: ignore[operator]
            continue
        for again in counted[at + 1 :]:
            if again.day > low.day + DIP_DAYS:
                break
            if again.a >= before.a:  # type: ignore[operator]
                found |= {r.day for r in counted[at:] if r.day < again.day}
                break
    return found


def _is_another(earlier: Reading, later: Reading) -> bool:
    """1.6b: whether the two readings, where both know it, name another creation or ``_id``."""
    pairs = ((earlier.created_on, later.created_on), (earlier.hf_id, later.hf_id))
    return any(None not in pair and pair[0] != pair[1] for pair in pairs)


def _of_gap(later: Reading, gap: int) -> float | None:
    """1.6c: downloads of a gap that ends in a correction."""
    return None if later.w is None or gap > CORRECTION_DAYS else later.w * gap / 30


# ----------------------------------------------------------------------------------------- results


def candidates(judged_rows: pl.DataFrame, wanted: Iterable[str]) -> dict[str, list[Reading]]:
    """Canonical id → its readings that count by 1.2 to 1.5, by day, for the ``wanted`` ids."""
    rows = (
        judged_rows.filter(pl.col("is_candidate") & pl.col("canonical").is_in(list(wanted)))
        .sort("canonical", "observed_on")
        .select("canonical", "observed_on", "a", "w", "flag", "created_on", "hf_id", "is_faulty")
    )
    found: dict[str, list[Reading]] = {}
    for canonical, day, a, w, flag, created_on, hf_id, is_faulty in rows.iter_rows():
        born = created_on.toordinal() if created_on else None
        reading = Reading(day.toordinal(), a, w, flag, born, hf_id, is_faulty)
        found.setdefault(canonical, []).append(reading)
    return found


def observations(judged_rows: pl.DataFrame) -> pl.DataFrame:
    """Every reading with ``is_used`` and its one ``flag``, the falls of 1.6 included."""
    counted = judged_rows.filter(pl.col("is_candidate") & pl.col("a").is_not_null())
    counted = counted.sort("canonical", "observed_on")
    is_same = pl.col("canonical") == pl.col("canonical").shift()
    fallen = counted.filter(is_same & (pl.col("a") < pl.col("a").shift())).get_column("canonical")
    found: list[tuple[str, date, str]] = []
    for canonical, readings in candidates(judged_rows, fallen.unique()).items():
        _, steps, dips = settle(readings)
        found += [(canonical, date.fromordinal(day), "dip") for day in dips]
        found += [(canonical, date.fromordinal(step.day), step.kind) for step in steps]
    schema = {"canonical": pl.String, "observed_on": pl.Date, "fall": pl.String}
    falls = pl.DataFrame(found, schema=schema, orient="row").with_columns(is_candidate=pl.lit(True))
    keys = ["canonical", "observed_on", "is_candidate"]
    return judged_rows.join(falls, on=keys, how="left").select(
        "source",
        "model_id",
        "observed_on",
        is_used=pl.col("is_candidate") & pl.col("fall").ne_missing("dip"),
        flag=pl.coalesce("fall", "flag"),
    )
