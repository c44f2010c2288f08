"""The sample world's tokens: OpenRouter's daily rankings and its catalogue.

Belongs here: how many tokens each model gets on each day, and the catalogue's entries. Does not
belong here: the wire (``sample``).

A day's tokens are split between groups (closed, and the open ones by the base of their models) by
the facts' shares, and within a group by pull: weight, age, and noise of the day. Like the real
service, a day shows its fifty largest rows and ``other``; two days are missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from atom_dagster.worlds.sample_derivatives import between
from atom_dagster.worlds.sample_facts import Story, chance, rows

FIRST_DAY = date(2025, 1, 1)
MISSING = (date(2025, 6, 15), date(2025, 7, 15))
SHOWN = 50
OPEN_GROUPS = ("china", "chimera", "us", "eu", "other")
UNSEEN = 0.03
"""Share of the day's tokens that models too small to list have."""


def tokens(tale: Story, horizon: date) -> pl.DataFrame:
    """Daily tokens: day, model_permaslug, total_tokens; each day by tokens, ``other`` last."""
    months = rows("openrouter_months")
    series = {
        name: [(date.fromisoformat(row["on"]), float(row[name])) for row in months]
        for name in ("tokens_b_per_day", "open_share", *OPEN_GROUPS)
    }
    swap = _swapped(tale.seed)
    days = [FIRST_DAY + timedelta(days=n) for n in range((horizon - FIRST_DAY).days)]
    lines = []
    for day in days:
        total = 1e9 * between(series["tokens_b_per_day"], day) * (1 - 0.08 * (day.weekday() >= 5))
        is_open = between(series["open_share"], day)
        parts = {group: between(series[swap.get(group, group)], day) for group in OPEN_GROUPS}
        whole = sum(parts.values())
        lines += [(day, g, total * is_open * s / whole) for g, s in parts.items()]
        lines.append((day, "closed", total * (1 - is_open)))
    groups = pl.DataFrame(
        lines, schema={"day": pl.Date, "pool": pl.String, "amount": pl.Float64}, orient="row"
    )
    models = _rows(tale.seed)
    age = (pl.col("day") - pl.col("first_on")).dt.total_days() / 30.4
    x = pl.col("day").cast(pl.Int32)
    noise = (
        1
        + 0.12 * (x * (2 * math.pi / 17) + pl.col("phase")).sin()
        + 0.06 * (x * (2 * math.pi / 5) + 2 * pl.col("phase")).sin()
    )
    alive = (
        groups.join(models, on="pool", maintain_order="left_right")
        .filter(
            (pl.col("first_on") <= pl.col("day"))
            & (pl.col("last_on").is_null() | (pl.col("day") <= pl.col("last_on")))
            & ~pl.col("day").is_in(MISSING)
        )
        .with_columns(
            pull=pl.col("weight")
            * pl.col("part")
            * (0.35 + 0.65 * (age * 2.5).clip(0, 1))
            * (-math.log(2) * age / pl.col("half_life")).exp()
            * noise
        )
    )
    pool = ["day", "pool"]
    variants = alive.with_columns(
        total_tokens=(pl.col("amount") * (1 - UNSEEN) * pl.col("pull") / pl.col("pull").sum().over(pool))
        .round()
        .cast(pl.Int64),
        model_permaslug=pl.concat_str("slug", "suffix"),
    ).filter(pl.col("total_tokens") > 0)
    ranked = variants.select("day", "model_permaslug", "total_tokens").with_columns(
        rank=pl.struct(-pl.col("total_tokens"), "model_permaslug").rank("ordinal").over("day")
    )
    shown = ranked.filter(pl.col("rank") <= SHOWN)
    unseen = groups.group_by("day", maintain_order=True).agg(pl.col("amount").sum() * UNSEEN)
    other = (
        ranked.filter(pl.col("rank") > SHOWN)
        .group_by("day")
        .agg(pl.col("total_tokens").sum())
        .join(unseen, on="day", how="right")
        .filter(~pl.col("day").is_in(MISSING))
        .select(
            "day",
            model_permaslug=pl.lit("other"),
            total_tokens=pl.col("total_tokens").fill_null(0) + pl.col("amount").round().cast(pl.Int64),
            rank=pl.lit(SHOWN + 1, pl.UInt32),
        )
    )
    return (
        pl.concat([shown.cast({"rank": pl.UInt32}), other])
        .sort("day", "rank")
        .select("day", "model_permaslug", "total_tokens")
    )


def catalogue(today: date) -> list[dict[str, Any]]:
    """The entries of ``/api/v1/models`` on a day, newest first."""
    entries = []
    for row in rows("openrouter"):
        first = date.fromisoformat(row["first_on"])
        gone = row["delisted_on"] and date.fromisoformat(row["delisted_on"]) <= today
        if first > today or gone:
            continue
        hf_id = row["hf_id"] if row["names_hf"] == "true" else ""
        entries.append(_entry(row, row["id"], first, hf_id))
        if float(row["free_share"]) > 0:
            entries.append(_entry(row, f"{row['id']}:free", first, hf_id))
    return sorted(entries, key=lambda entry: (-entry["created"], entry["id"]))


def _entry(row: dict[str, str], model_id: str, first: date, hf_id: str) -> dict[str, Any]:
    name = row["id"].partition("/")[2].replace("-", " ").title()
    return {
        "id": model_id,
        "canonical_slug": row["slug"],
        "hugging_face_id": hf_id,
        "name": f"{row['id'].partition('/')[0]}: {name}",
        "created": int(datetime(first.year, first.month, first.day, 12, tzinfo=UTC).timestamp()),
        "description": "A synthetic entry of the sample world.",
        "context_length": 131072,
        "architecture": {
            "modality": "text->text",
            "input_modalities": ["text"],
            "output_modalities": ["text"],
            "tokenizer": "Other",
            "instruct_type": None,
        },
        "pricing": {"prompt": "0" if model_id.endswith(":free") else "0.000001", "completion": "0"},
        "top_provider": {"context_length": 131072, "is_moderated": False},
        "per_request_limits": None,
        "supported_parameters": ["max_tokens", "temperature"],
    }


def _rows(seed: int) -> pl.DataFrame:
    """One row per variant of each model, with the part of its tokens that the variant has."""
    found = []
    for row in rows("openrouter"):
        dice = chance(seed, "openrouter", row["slug"])
        free = float(row["free_share"])
        weight = float(row["weight"])
        if seed != 1 and row["group"] != "cloaked":
            weight *= 2.0 ** dice.uniform(-1.5, 1.5)
        parts: Sequence[tuple[str, float]] = [("", 1 - free), (":free", free)]
        if row["slug"] == "anthropic/claude-3.5-sonnet":
            parts = [("", 0.45), (":beta", 0.55)]
        for suffix, part in parts:
            found.append(
                {
                    "slug": row["slug"],
                    "suffix": suffix,
                    "part": part,
                    "pool": "closed" if row["group"] == "cloaked" else row["group"],
                    "first_on": date.fromisoformat(row["first_on"]),
                    "last_on": date.fromisoformat(row["last_on"]) if row["last_on"] else None,
                    "weight": weight,
                    "half_life": float(row["half_life"]),
                    "phase": dice.uniform(0, 2 * math.pi),
                }
            )
    return pl.DataFrame(found, schema_overrides={"last_on": pl.Date})


def _swapped(seed: int) -> dict[str, str]:
    """Whose share each open group gets: its own under seed 1."""
    if seed == 1:
        return {}
    order = ["us", "eu", "china"] if seed % 2 == 0 else ["eu", "china", "us"]
    return dict(zip(["china", "us", "eu"], order, strict=True))
