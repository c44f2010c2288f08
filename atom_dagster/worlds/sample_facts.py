"""The sample world's facts: the CSVs beside this file, and the models they expand to.

Belongs here: reading ``facts/*.csv``, expanding a family into its sizes and variants, and telling
another story for another seed. Does not belong here: how many downloads anything gets
(``sample_generate``) or how it is served.

A family's ``name`` is a pattern: ``{s}`` is the size label, the variant is appended. A size is
``label`` (parameters read from it: ``30B-A3B``) or ``label=total[:active]`` in billions; ``-`` is
an empty label, ``?`` an unknown size. Variants are separated by ``|``; ``.`` is none. All numbers
are invented or rounded, and everything made from them is synthetic.
"""

from __future__ import annotations

import csv
import random
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path

FACTS = Path(__file__).parent / "facts"
FLOOR = datetime(2022, 3, 2, 23, 29, 4, tzinfo=UTC)
"""The Hub's floor: older repositories carry this createdAt."""
RENAMED_ON = date(2025, 7, 25)
"""The day THUDM became zai-org in this world."""
STORYTELLERS = ("Qwen", "meta-llama", "mistralai", "google", "microsoft", "deepseek-ai", "zai-org")
"""Labs old and large enough to play each other's part under another seed."""
WESTERN = ("meta-llama", "mistralai", "google", "microsoft")


@dataclass(frozen=True)
class Model:
    """One repository of a lab."""

    model_id: str
    hf_org: str
    list_name: str
    """core, extra or none."""
    created_at: datetime
    total_b: float | None
    active_b: float | None
    weight: float
    """Pull within its organization, before age."""
    half_life: float
    """Months in which that pull halves."""
    pipeline_tag: str
    license: str
    relation: str | None = None
    base_id: str | None = None
    old_id: str | None = None
    gone_on: date | None = None
    is_private: bool = False
    """Gone because it was made private (401) rather than deleted (404)."""
    hides_creation: bool = False
    hides_size: bool = False
    quirk: tuple[str, date, float] | None = None
    is_in_parameters: bool = False

    @property
    def created_on(self) -> date:
        """UTC day of creation, or the floor's."""
        return self.created_at.date()


@dataclass(frozen=True)
class Correction:
    """A launch day that differs from the repository's creation."""

    model_id: str
    created_on: date
    released_on: date
    notes: str


@dataclass(frozen=True)
class Story:
    """Everything a seed decides before any number is drawn."""

    seed: int
    models: list[Model]
    corrections: list[Correction]
    parts: dict[str, str]
    """Which lab's growth each lab plays; the identity under seed 1."""
    scale: dict[str, float]
    """Factor on each organization's downloads; 1 under seed 1."""
    labs: dict[str, str]
    regions: dict[str, str] = field(repr=False)


def rows(name: str) -> list[dict[str, str]]:
    """The rows of one fact file."""
    with (FACTS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def chance(seed: int, *names: object) -> random.Random:
    """A generator that depends on the seed and the names only, on every machine."""
    return random.Random(":".join(map(str, (seed, *names))))  # noqa: S311


def story(seed: int) -> Story:
    """The models of all labs and the parts they play."""
    organizations = rows("organizations")
    models, corrections = _models(seed)
    parts = {name: name for name in STORYTELLERS}
    scale: dict[str, float] = {row["hf_org"]: 1.0 for row in organizations}
    if seed != 1:
        dice = chance(seed, "parts")
        order = list(STORYTELLERS)
        # The lead changes region: nobody's story ends like the first one's.
        while order[STORYTELLERS.index("meta-llama")] == "meta-llama" or any(
            order[n] == "Qwen" for n, lab in enumerate(STORYTELLERS) if lab not in WESTERN
        ):
            dice.shuffle(order)
        parts = dict(zip(STORYTELLERS, order, strict=True))
        scale = {name: round(2.0 ** dice.uniform(-0.9, 0.9), 4) for name in scale}
    return Story(
        seed,
        models,
        corrections,
        parts,
        scale,
        {row["hf_org"]: row["lab"] for row in organizations},
        {row["hf_org"]: row["region"] for row in organizations},
    )


def _models(seed: int) -> tuple[list[Model], list[Correction]]:
    found: dict[str, Model] = {}
    for row in rows("families"):
        for model in _expand(row, seed):
            found.setdefault(model.model_id, model)
    for model_id, model in list(found.items()):
        if model.base_id is not None and model.base_id not in found:
            found[model_id] = replace(model, base_id=None, relation=None)
    corrections = []
    for row in rows("quirks"):
        if row["kind"] == "hub_fault":  # of no one model
            continue
        model = found[row["model_id"]]
        on = date.fromisoformat(row["on"] or "2000-01-01")
        if row["kind"] == "released":
            created = on - timedelta(days=int(row["value"]))
            corrections.append(Correction(model.model_id, created, on, row["note"]))
            model = replace(model, created_at=datetime.combine(created, model.created_at.timetz()))
        elif row["kind"] in {"gone", "private"}:
            model = replace(model, gone_on=on, is_private=row["kind"] == "private")
        elif row["kind"] == "no_created_at":
            model = replace(model, hides_creation=True)
        elif row["kind"] == "no_size":
            model = replace(model, hides_size=True, is_in_parameters=False)
        else:
            model = replace(model, quirk=(row["kind"], on, float(row["value"])))
        found[model.model_id] = model
    return list(found.values()), corrections


def _expand(family: dict[str, str], seed: int) -> list[Model]:
    released = date.fromisoformat(family["released"])
    variants = ["" if v == "." else v for v in family["variants"].split("|")]
    models = []
    for token in family["sizes"].split():
        label, _, told = token.partition("=")
        label = "" if label == "-" else label
        total, active = _size(told) if told else _size_in(label)
        stem = family["name"].replace("{s}", label)
        own = {variant: f"{family['hf_org']}/{stem}{variant}" for variant in variants}
        for variant in variants:
            name = f"{stem}{variant}"
            model_id = own[variant]
            dice = chance(seed, "model", model_id)
            weight, relation, parent = _variant(variant, variants)
            base = own[parent] if parent is not None else None
            if base is None and family["base"] and (relation is None or variant == ""):
                base = family["base"].replace("{s}", label)
                relation = "finetune"
            if base is None:
                relation = None
            created = datetime.combine(
                released, time(hour=6 + dice.randrange(14), minute=dice.randrange(60)), UTC
            ) + timedelta(seconds=dice.randrange(60))
            if parent is not None and relation == "quantized":
                created += timedelta(days=dice.randrange(1, 6))
            is_old = family["was_org"] and created.date() < RENAMED_ON
            models.append(
                Model(
                    model_id=model_id,
                    hf_org=family["hf_org"],
                    list_name=family["list"],
                    created_at=max(created, FLOOR),
                    total_b=total,
                    active_b=active,
                    weight=float(family["weight"])
                    * weight
                    * _pull_of_size(total)
                    * 2.0 ** dice.gauss(0.0, 0.4),
                    half_life=float(family["half_life"]),
                    pipeline_tag="text-generation" if family["task"] == "t" else "image-text-to-text",
                    license=family["license"],
                    relation=relation,
                    base_id=base,
                    old_id=f"{family['was_org']}/{name}" if is_old else None,
                    is_in_parameters=bool(told) and bool(active or _size_in(label)[0] is None),
                )
            )
    return models


def _variant(variant: str, siblings: list[str]) -> tuple[float, str | None, str | None]:
    """A variant's pull, its relation to a sibling, and that sibling."""
    kinds = _kinds()
    has_tuned = any(kinds.get(s, (0, ""))[1] == "finetune" for s in siblings)
    if variant == "":
        return (0.45 if has_tuned else 1.0), None, None
    for suffix in sorted(kinds, key=len, reverse=True):
        if variant.endswith(suffix) and kinds[suffix][1] in {"quantized", "precision"}:
            rest = variant[: -len(suffix)]
            weight = kinds[suffix][0] * (kinds.get(rest, (1.0, ""))[0] if rest else 1.0)
            if kinds[suffix][1] == "quantized":
                parent = rest if rest in siblings else None
                return weight, "quantized" if parent is not None else None, parent
            return weight, None, None
    weight, kind = kinds.get(variant, (0.35, "finetune"))
    if kind != "finetune":
        return weight, None, None
    for parent in ("-Base", "-base", "-Base-PT", "-pt", "-Pretrain", ""):
        if parent in siblings and parent != variant:
            return weight, "finetune", parent
    return weight, None, None


@cache
def _kinds() -> dict[str, tuple[float, str]]:
    return {r["suffix"]: (float(r["weight"]), r["kind"]) for r in rows("variants")}


@cache
def _steps() -> list[tuple[float, float]]:
    return [(float(row["below_b"]), float(row["weight"])) for row in rows("sizes")]


def _pull_of_size(total: float | None) -> float:
    return next((w for below, w in _steps() if (total or 3.0) < below), 0.1)


def _size(told: str) -> tuple[float | None, float | None]:
    if told == "?":
        return None, None
    total, _, active = told.partition(":")
    return float(total), float(active) if active else None


def _size_in(label: str) -> tuple[float | None, float | None]:
    """Total and active billions as a label says them: ``0.6B``, ``135M``, ``30B-A3B``."""
    found = re.search(r"(?<![A-Za-z\d.])(\d+(?:\.\d+)?)([bBmM])(?![a-z])", label)
    if not found:
        return None, None
    total = float(found[1]) / (1000 if found[2] in "mM" else 1)
    active = re.search(r"-A(\d+(?:\.\d+)?)B", label)
    return total, float(active[1]) if active else None
