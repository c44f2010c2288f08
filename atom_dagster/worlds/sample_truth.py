"""What the sample world's generator itself knows: the answers the marts should come to.

Belongs here: exact totals for tests, from the generator's own files. Does not belong here: anything
the pipeline uses; nothing outside tests imports this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from atom_dagster.worlds.sample_facts import rows
from atom_dagster.worlds.sample_generate import ensure
from atom_dagster.worlds.sample_state import State

FIRST_MONTH = date(2023, 11, 1)


@dataclass(frozen=True)
class Truth:
    """The generator's own monthly truth. ``month`` is a first day; shares are 0–1.

    Attributes:
        downloads: model_id, old_id, hf_org, organization, region, list_name, total_b, created_on,
            gone_on, quirk, month, downloads (exact, the counter's growth inside the month),
            downloads_cumulative (the all-time counter at 00:00 of the next month's first day).
            Labs' models only, from the month of creation; a gone model's last month is the one
            it went in. Quirks of the archive are not in it.
        derivatives: month, hf_org, organization and region (of the base; unknown if not reviewed),
            new_derivatives (children above five downloads by ``today``, 1/k for each of k bases).
        tokens: month, model (slug without variant and date suffix, or ``other``), is_open (NULL
            when cloaked or other), region (by base), publisher_region, tokens.
    """

    downloads: pl.DataFrame
    derivatives: pl.DataFrame
    tokens: pl.DataFrame


def truth(seed: int, *, today: date, folder: Path) -> Truth:
    """The truth of one seed about the months that are over on ``today``.

    Args:
        seed: the story.
        today: the day the world is looked at.
        folder: ``<home>/world``; files are generated there if they are missing.
    """
    state = State(ensure(folder, seed))
    return Truth(_downloads(state, today), _derivatives(state, today), _tokens(state, today))


def _downloads(state: State, today: date) -> pl.DataFrame:
    labs = pl.DataFrame(rows("organizations")).select("hf_org", organization="lab", region="region")
    models = state.models.select(
        "model_id",
        "old_id",
        "hf_org",
        "list_name",
        "total_b",
        "gone_on",
        "quirk",
        created_on=pl.col("created_at").dt.date(),
        is_lab=pl.col("ceiling").is_null(),
    )
    frames = []
    month = FIRST_MONTH
    before = state.curves.at(month)
    while (after := (month + timedelta(days=32)).replace(day=1)) <= today:
        gone = models["gone_on"].is_not_null() & (models["gone_on"] < after)
        last = pl.DataFrame({"b": before, "a": state.curves.at(after), "g": gone}).select(
            pl.when("g").then(pl.max_horizontal("a", "b")).otherwise("a").alias("a")
        )["a"]
        frames.append(
            models.with_columns(
                month=pl.lit(month),
                downloads=last - before,
                downloads_cumulative=last,
                began=before,
            ).filter(
                "is_lab",
                pl.col("created_on") < after,
                pl.col("gone_on").is_null() | (pl.col("gone_on") >= month),
            )
        )
        month, before = after, last
    return (
        pl.concat(frames).join(labs, on="hf_org", how="inner", maintain_order="left").drop("is_lab", "began")
    )


def _derivatives(state: State, today: date) -> pl.DataFrame:
    regions = {row["hf_org"]: row["region"] for row in rows("organizations")}
    labs = {row["hf_org"]: row["lab"] for row in rows("organizations")}
    is_gone_lab = pl.col("ceiling").is_null() & (pl.col("gone_on") <= today)
    last_seen = pl.DataFrame({"row": state.models["row"], "counter": state.curves.at(today)})
    return (
        state.models.join(last_seen, on="row", maintain_order="left")
        .filter(pl.col("keys").is_not_null(), pl.col("created_at").dt.date() < today)
        .filter((pl.col("counter") > 5) | is_gone_lab.fill_null(False))
        .select(month=pl.col("created_at").dt.date().dt.truncate("1mo"), keys="keys")
        .explode("keys")
        .unnest("keys")
        .group_by("month", "hf_org")
        .agg(new_derivatives=pl.col("share").sum())
        .with_columns(
            organization=pl.col("hf_org").replace_strict(labs, default=pl.col("hf_org")),
            region=pl.col("hf_org").replace_strict(regions, default="unknown"),
        )
        .filter(pl.col("month") >= FIRST_MONTH)
        .sort("month", "hf_org")
    )


def _tokens(state: State, today: date) -> pl.DataFrame:
    known = {}
    for row in rows("openrouter"):
        group = row["group"]
        is_open = None if group == "cloaked" else group != "closed"
        base = "china" if group == "chimera" else group
        publisher = row["publisher"] or base
        known[_stem(row["slug"])] = (is_open, publisher if not is_open else base, publisher)
    unknown = (None, "unknown", "unknown")
    days = state.tokens.filter(pl.col("day") < today.replace(day=1)).collect()
    stems = {slug: _stem(slug) for slug in days["model_permaslug"].unique()}
    months = (
        days.with_columns(
            month=pl.col("day").dt.truncate("1mo"),
            model=pl.col("model_permaslug").replace_strict(stems),
        )
        .group_by("month", "model")
        .agg(tokens=pl.col("total_tokens").sum())
        .sort("month", "tokens", "model", descending=[False, True, False])
    )
    told = [known.get(model, unknown) for model in months["model"]]
    return months.with_columns(
        is_open=pl.Series([t[0] for t in told], dtype=pl.Boolean),
        region=pl.Series([t[1] for t in told]),
        publisher_region=pl.Series([t[2] for t in told]),
    )


def _stem(slug: str) -> str:
    """A permaslug without ``:variant``, then without ``-20YYMMDD``."""
    return re.sub(r"-20\d{6}$", "", slug.partition(":")[0])
