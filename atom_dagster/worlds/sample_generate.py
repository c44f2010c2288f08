"""The sample world's generator: from facts to the few files the server reads.

Belongs here: how many downloads every lab's repository gets, and writing the world's files once.
Does not belong here: the facts themselves (``facts/``), derivatives (``sample_derivatives``),
tokens (``sample_openrouter``).

An organization's month comes from its trajectory (or, for small ones, from its total on a
reference date and a common shape) and is split between its repositories by pull: size, variant,
age. All calibration to published totals lies in the facts. Nothing depends on today: growth is
laid down until ``HORIZON``.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

from atom_dagster.worlds import sample_derivatives as derivatives
from atom_dagster.worlds import sample_openrouter as openrouter
from atom_dagster.worlds.sample_curves import KNOTS, Stretch, day_number, knots, smooth
from atom_dagster.worlds.sample_facts import FLOOR, Model, Story, chance, rows, story

VERSION = 1
"""Of the generator and its facts: part of the files' key."""
DRAFT, ABANDONED = ".draft-", 600.0
"""Prefix of a world being written, and the seconds after which nobody is writing it any more."""
HORIZON = date(2031, 1, 1)
FIRST = date(2022, 3, 1)
GROWTH = 1.045
"""Monthly growth of the Hub as a whole, the shape of organizations without a trajectory."""

_MODELS: dict[str, pl.DataType | type[pl.DataType]] = {
    "row": pl.UInt32,
    "hub_id": pl.String,
    "model_id": pl.String,
    "old_id": pl.String,
    "hf_org": pl.String,
    "list_name": pl.String,
    "created_at": pl.Datetime("ms"),
    "hides_creation": pl.Boolean,
    "gone_on": pl.Date,
    "is_private": pl.Boolean,
    "pipeline_tag": pl.String,
    "library_name": pl.String,
    "license": pl.String,
    "gated": pl.String,
    "params": pl.Int64,
    "total_b": pl.Float64,
    "active_b": pl.Float64,
    "in_parameters": pl.Boolean,
    "relation": pl.String,
    "bases": pl.List(pl.String),
    "base_models": pl.List(pl.Struct({"_id": pl.String, "id": pl.String})),
    "tags": pl.List(pl.String),
    "keys": pl.List(pl.Struct({"hf_org": pl.String, "share": pl.Float64})),
    "ceiling": pl.Float64,
    "tau": pl.Float64,
    "liking": pl.Float64,
    "quirk": pl.String,
    "quirk_on": pl.Date,
    "quirk_value": pl.Float64,
}
MODELS = pl.Schema(_MODELS)
"""One repository. ``keys``: whom a derivative counts for; ``ceiling`` and ``tau`` of the others."""


def ensure(folder: Path, seed: int) -> Path:
    """The world's files below ``folder``, written if they are not there; all of them or none."""
    home = folder / f"sample-seed{seed}-v{VERSION}-{_fingerprint()}"
    if home.is_dir():
        return home
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{DRAFT}*"):  # by a process that was killed
        if time.time() - left.stat().st_mtime > ABANDONED:
            shutil.rmtree(left, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=folder))
    try:
        write(draft, seed)
        try:
            draft.rename(home)
        except OSError:
            if not home.is_dir():  # another process was first, or the disk is at fault
                raise
        for old in folder.glob(f"sample-seed{seed}-*"):  # by an older generator
            if old != home:
                shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return home


def write(folder: Path, seed: int) -> None:
    """Generate the world of one seed into an existing folder."""
    models, stretches, corrections, days = generate(seed)
    models.write_parquet(folder / "models.parquet", compression_level=3)
    stretches.write_parquet(folder / "curves.parquet", compression_level=3)
    days.write_parquet(folder / "tokens.parquet", compression_level=3)
    (folder / "corrections.json").write_text(json.dumps(corrections, indent=1))


def generate(
    seed: int,
) -> tuple[pl.DataFrame, pl.DataFrame, list[dict[str, str]], pl.DataFrame]:
    """Models, their stretches, release-date corrections, and daily tokens."""
    tale = story(seed)
    months = _months(FIRST, HORIZON)
    monthly = _downloads(tale, months)
    children, dropped = derivatives.draw(tale, HORIZON)
    records: list[dict[str, Any]] = []
    stretches: list[Stretch] = []
    for model in tale.models:
        row = len(records)
        records.append(_record(row, model, model.model_id in dropped, tale))
        stretches += _stretches(row, model, monthly.get(model.model_id, {}), months, seed)
    for fact in rows("others"):
        row = len(records)
        record, days, totals = _other(row, fact, seed)
        records.append(record)
        stretches += knots(row, days, totals, chance(seed, fact["model_id"]).uniform(0, 6.28))
    for child in children:
        records.append({"row": len(records), **child})
    _name_bases(records)
    corrections = [
        {
            "model_id": c.model_id,
            "created_on": c.created_on.isoformat(),
            "released_on": c.released_on.isoformat(),
            "notes": c.notes,
        }
        for c in tale.corrections
    ]
    return (
        pl.DataFrame(records, schema=MODELS, orient="row"),
        pl.DataFrame(stretches, schema=KNOTS, orient="row"),
        corrections,
        openrouter.tokens(tale, HORIZON),
    )


def _name_bases(records: list[dict[str, Any]]) -> None:
    """Add what is said of bases: tags with the ids of then, ``baseModels`` with those of now."""
    now = {}
    for record in records:
        now[record["model_id"]] = now[record.get("old_id") or record["model_id"]] = record
    for record in records:
        bases = record.get("bases") or []
        said = [f"base_model:{base}" for base in bases]
        said += [f"base_model:{record['relation']}:{base}" for base in bases]
        parts = [
            record["library_name"],
            "safetensors",
            record["pipeline_tag"],
            *said,
            f"license:{record['license']}",
            "region:us",
        ]
        record["tags"] = [part for part in parts if part]
        record["base_models"] = [
            {"_id": now[base]["hub_id"], "id": now[base]["model_id"]} for base in bases
        ] or None


def hub_id(created: datetime, model_id: str) -> str:
    """An ``_id`` as the Hub makes them: creation in seconds, then something of its own."""
    own = hashlib.blake2b(model_id.encode(), digest_size=8).hexdigest()
    return f"{int(created.timestamp()):08x}{own}"


def _fingerprint() -> str:
    """Of the facts and the code that reads them, so that an edited fact makes new files."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*here.glob("sample_*.py"), *here.glob("facts/*.csv")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _months(first: date, last: date) -> list[date]:
    months = [first]
    while months[-1] < last:
        months.append((months[-1] + timedelta(days=32)).replace(day=1))
    return months


def _downloads(tale: Story, months: Sequence[date]) -> dict[str, dict[int, float]]:
    """Downloads of each repository in each month (by index), as fractions of nothing rounded."""
    groups: dict[tuple[str, str], list[Model]] = defaultdict(list)
    for model in tale.models:
        groups[model.hf_org, model.list_name].append(model)
    paths: dict[str, list[tuple[date, float]]] = defaultdict(list)
    for row in rows("trajectories"):
        paths[row["hf_org"]].append((date.fromisoformat(row["on"]), float(row["cumulative_m"]) * 1e6))
    totals = {(row["hf_org"], row["list"]): row for row in rows("totals")}
    found: dict[str, dict[int, float]] = {}
    for (org, list_name), members in groups.items():
        pulls = _pulls(members, months, tale.seed)
        scale = tale.scale.get(org, 1.0)
        played = tale.parts.get(org, org)
        if list_name == "core" and played in paths:
            edges = smooth(paths[played], months)
            wanted = [scale * (b - a) for a, b in pairwise(edges)]
            for t, amount in enumerate(wanted):
                whole = sum(pulls[t].values())
                for model_id, pull in pulls[t].items():
                    found.setdefault(model_id, {})[t] = amount * pull / whole
        else:
            row = totals[org, list_name]
            until = months.index(date.fromisoformat(row["reference_on"]))
            grown = [GROWTH ** min(t, 70) for t in range(len(months))]
            whole = sum(grown[t] * sum(pulls[t].values()) for t in range(until))
            factor = scale * float(row["cumulative_m"]) * 1e6 / whole
            for t in range(len(months) - 1):
                for model_id, pull in pulls[t].items():
                    found.setdefault(model_id, {})[t] = factor * grown[t] * pull
    return found


def _pulls(members: Sequence[Model], months: Sequence[date], seed: int) -> list[dict[str, float]]:
    """Each month's pull of each living repository: weight, age, and days alive in the month."""
    pulls: list[dict[str, float]] = [{} for _ in months[:-1]]
    for model in members:
        dice = chance(seed, "months", model.model_id)
        born = model.created_on
        for t, (start, end) in enumerate(pairwise(months)):
            last = min(end, model.gone_on) if model.gone_on else end
            alive = (last - max(start, born)).days
            noise = 2.0 ** dice.gauss(0.0, 0.15)
            if born >= end or alive <= 0:
                continue
            age = max(0.0, ((start - born).days + 15) / 30.4)
            pulls[t][model.model_id] = model.weight * 2.0 ** (-age / model.half_life) * noise * alive
    return pulls


def _stretches(
    row: int, model: Model, monthly: dict[int, float], months: Sequence[date], seed: int
) -> list[Stretch]:
    days, totals = [day_number(model.created_on)], [0.0]
    for t in sorted(monthly):
        end = months[t + 1]
        if model.gone_on and model.gone_on < end:
            end = model.gone_on
        if day_number(end) <= days[-1]:
            continue
        days.append(day_number(end))
        totals.append(totals[-1] + monthly[t])
    return knots(row, days, totals, chance(seed, "phase", model.model_id).uniform(0, 2 * math.pi))


def _record(row: int, model: Model, is_bare: bool, tale: Story) -> dict[str, Any]:
    dice = chance(tale.seed, "record", model.model_id)
    quirk = model.quirk or (None, None, None)
    params = None
    if model.total_b and not model.hides_size:
        params = int(model.total_b * 1e9 * (1 + dice.choice([0, 0, 0.004, 0.02])))
    has_base = model.base_id is not None and not is_bare
    return {
        "row": row,
        "hub_id": hub_id(model.created_at, model.model_id),
        "model_id": model.model_id,
        "old_id": model.old_id,
        "hf_org": model.hf_org,
        "list_name": model.list_name,
        "created_at": model.created_at.replace(tzinfo=None),
        "hides_creation": model.hides_creation,
        "gone_on": model.gone_on,
        "is_private": model.is_private,
        "pipeline_tag": model.pipeline_tag,
        "library_name": "transformers",
        "license": model.license,
        "gated": "manual" if model.license.startswith(("llama", "gemma")) else "false",
        "params": params,
        "total_b": model.total_b if not model.hides_size else None,
        "active_b": model.active_b,
        "in_parameters": model.is_in_parameters and model.list_name != "none",
        "relation": model.relation if has_base else None,
        "bases": [model.base_id] if has_base else None,
        "keys": [{"hf_org": str(model.base_id).partition("/")[0], "share": 1.0}] if has_base else None,
        "ceiling": None,
        "tau": None,
        "liking": 0.3 + dice.random(),
        "quirk": quirk[0],
        "quirk_on": quirk[1],
        "quirk_value": quirk[2],
    }


def _other(row: int, fact: dict[str, str], seed: int) -> tuple[dict[str, Any], list[int], list[float]]:
    """A repository that is no lab's language model, growing at an even pace."""
    model_id = fact["model_id"]
    created = datetime.fromisoformat(fact["created_on"]).replace(hour=9, tzinfo=UTC)
    created = FLOOR if created.date() == FLOOR.date() else created
    pace = float(fact["monthly_m"]) * 1e6 / 30.4
    days = [day_number(created.date()), day_number(HORIZON)]
    dice = chance(seed, "other", model_id)
    record = dict.fromkeys(MODELS.names(), None) | {
        "row": row,
        "hub_id": hub_id(created, model_id),
        "model_id": model_id,
        "hf_org": model_id.partition("/")[0],
        "list_name": "none",
        "created_at": created.replace(tzinfo=None),
        "hides_creation": False,
        "is_private": False,
        "pipeline_tag": fact["pipeline_tag"] or None,
        "library_name": "transformers",
        "license": "apache-2.0",
        "gated": "false",
        "in_parameters": False,
        "liking": 0.3 + dice.random(),
    }
    return record, days, [0.0, pace * (days[1] - days[0])]
