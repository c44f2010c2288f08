"""The sample world's derivatives: repositories of users made from the labs' models.

Belongs here: how many children each lab's models get in each month, their relations, chains and
merges, and whom each counts for. Does not belong here: the shares themselves
(``facts/derivative_shares.csv``), or how the warehouse attributes a child (it must find out).

A month's children with more than five downloads are apportioned to the labs exactly by the
month's shares. A lab's own repositories that name a base use up at most half of the base's
portion; further ones leave their base unnamed, as many cards do. Beside them lie children nobody
downloads and children of models no reviewed organization made.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from atom_dagster.worlds.sample_facts import Model, Story, chance, rows

COMMUNITY = "community"
RELATIONS = (("adapter", 0.40), ("finetune", 0.33), ("quantized", 0.20), ("merge", 0.07))
QUANTIZERS = [
    "mradermacher",
    "bartowski",
    "lmstudio-community",
    "mlx-community",
    "DevQuasar-quants",
    "quiet-quants",
    "tiny-gguf-lab",
    "nightly-awq",
]
UNREVIEWED = ("EleutherAI", "bigcode")
_FIRST = [
    "amber",
    "basil",
    "cedar",
    "delta",
    "ember",
    "fable",
    "grove",
    "harbor",
    "indigo",
    "juniper",
    "kestrel",
    "lumen",
    "maple",
    "nova",
    "onyx",
    "pepper",
    "quartz",
    "raven",
    "sable",
    "tundra",
    "umber",
    "velvet",
    "willow",
    "xenon",
    "yarrow",
    "zephyrine",
]
_SECOND = [
    "ai",
    "labs",
    "forge",
    "works",
    "42",
    "dev",
    "research",
    "studio",
    "7",
    "mind",
    "stack",
    "notes",
]
_WORDS = [
    "chat",
    "story",
    "code",
    "medical",
    "legal",
    "roleplay",
    "reasoning",
    "sql",
    "math",
    "tutor",
    "german",
    "korean",
    "arabic",
    "hindi",
    "summaries",
    "tools",
    "support",
    "poems",
    "finance",
    "science",
]


def draw(tale: Story, horizon: date) -> tuple[list[dict[str, Any]], set[str]]:
    """All children until the horizon, and the labs' repositories that leave their base unnamed."""
    shares = _shares(tale)
    dice = chance(tale.seed, "derivatives")
    users = [f"{a}-{b}" for a in _FIRST for b in _SECOND]
    pool: dict[str, list[tuple[str, dict[str, float], date]]] = defaultdict(list)
    children: list[dict[str, Any]] = []
    dropped: set[str] = set()
    by_org: dict[str, list[Model]] = defaultdict(list)
    for model in tale.models:
        by_org[model.hf_org].append(model)
    makers = _Makers(tale, dice, users, pool, by_org, children)
    month = date(2022, 12, 1)
    while month < horizon:
        after = (month + timedelta(days=32)).replace(day=1)
        volume = round(between(_volumes(), month))
        living = {
            org: between(points, month)
            for org, points in shares.items()
            if between(points, month) > 0 and any(m.created_on < month for m in by_org[org])
        }
        quota = apportion(volume, living)
        named: dict[str, int] = defaultdict(int)
        born = [m for m in tale.models if m.base_id and month <= m.created_on < after]
        for model in sorted(born, key=lambda m: m.model_id):
            org = str(model.base_id).partition("/")[0]
            if named[org] + 1 > quota.get(org, 0) / 2:
                dropped.add(model.model_id)
            else:
                named[org] += 1
        for org, count in quota.items():
            for _ in range(count - named[org]):
                makers.child(org, month, after, living)
        for _ in range(round(volume * 0.05)):
            makers.child(dice.choice(UNREVIEWED), month, after, {})
        for _ in range(round(volume * 0.04)):
            makers.original(month, after)
        for _ in range(round(volume * 0.03)):
            makers.child(COMMUNITY, month, after, {})
        for _ in range(round(volume * 0.12)):
            org = dice.choices(list(living), list(living.values()))[0] if living else "Qwen"
            makers.child(org, month, after, {}, is_idle=True)
        month = after
    return children, dropped


def apportion(count: int, shares: dict[str, float]) -> dict[str, int]:
    """Whole numbers in proportion to shares, by largest remainder; they sum to ``count``."""
    whole = sum(shares.values())
    if whole <= 0:
        return {}
    exact = {key: count * share / whole for key, share in shares.items()}
    found = {key: math.floor(value) for key, value in exact.items()}
    rest = sorted(exact, key=lambda key: (found[key] - exact[key], key))
    for key in rest[: count - sum(found.values())]:
        found[key] += 1
    return {key: n for key, n in found.items() if n}


class _Makers:
    """Draws one child after another from the same dice."""

    def __init__(
        self,
        tale: Story,
        dice: random.Random,
        users: Sequence[str],
        pool: dict[str, list[tuple[str, dict[str, float], date]]],
        by_org: dict[str, list[Model]],
        children: list[dict[str, Any]],
    ) -> None:
        self.tale, self.dice, self.users = tale, dice, users
        self.pool, self.by_org, self.children = pool, by_org, children
        self.candidates: dict[tuple[str, date], tuple[list[Model], list[float]]] = {}

    def child(
        self,
        org: str,
        month: date,
        after: date,
        living: dict[str, float],
        *,
        is_idle: bool = False,
    ) -> None:
        """A child of a lab's model, or of a user's child of one."""
        dice = self.dice
        relation = dice.choices([r for r, _ in RELATIONS], [w for _, w in RELATIONS])[0]
        found = [self._base(org, month, relation)]
        if relation == "merge":
            other = org
            if living and dice.random() < 0.3:
                other = dice.choices(list(living), list(living.values()))[0]
            found += [self._base(o, month, relation) for o in (other, org)[: dice.choice([1, 2])]]
        bases = dict(base for base in found if base is not None)
        if not bases:
            return
        keys: dict[str, float] = defaultdict(float)
        for split in bases.values():
            for key, share in split.items():
                keys[key] += share / len(bases)
        self._add(month, after, relation, list(bases), dict(keys), org, is_idle)

    def original(self, month: date, after: date) -> None:
        """A user's model that names no base."""
        self._add(month, after, None, [], {}, COMMUNITY, False)

    def _base(self, org: str, month: date, relation: str) -> tuple[str, dict[str, float]] | None:
        dice = self.dice
        made = self.pool[org]
        chance_of_chain = 0.45 if relation == "quantized" else 0.15
        if made and (org == COMMUNITY or dice.random() < chance_of_chain):
            model_id, keys, born = made[dice.randrange(max(0, len(made) - 200), len(made))]
            if born < month:
                # Nobody reviewed above: the child counts for whom it names.
                is_known = org not in {COMMUNITY, *UNREVIEWED}
                return model_id, keys if is_known else {model_id.partition("/")[0]: 1.0}
        models, pulls = self._candidates(org, month)
        if not models:
            return None
        model = dice.choices(models, pulls)[0]
        return model.model_id if not self._was(model, month) else str(model.old_id), {org: 1.0}

    def _was(self, model: Model, month: date) -> bool:
        """Whether cards of that month still name the base by its old id."""
        return model.old_id is not None and month < date(2025, 7, 1)

    def _candidates(self, org: str, month: date) -> tuple[list[Model], list[float]]:
        key = org, month
        if key not in self.candidates:
            models = [
                m
                for m in self.by_org[org]
                if m.created_on < month
                and m.relation != "quantized"
                and (m.gone_on is None or m.gone_on > month)
            ]
            ages = [(month - m.created_on).days / 30 for m in models]
            self.candidates[key] = (
                models,
                [m.weight * 2.0 ** (-age / 8) for m, age in zip(models, ages, strict=True)],
            )
        return self.candidates[key]

    def _add(
        self,
        month: date,
        after: date,
        relation: str | None,
        bases: list[str],
        keys: dict[str, float],
        org: str,
        is_idle: bool,
    ) -> None:
        from atom_dagster.worlds.sample_generate import hub_id

        dice = self.dice
        created = datetime(month.year, month.month, month.day, tzinfo=UTC) + timedelta(
            days=dice.randrange((after - month).days), seconds=dice.randrange(86400)
        )
        number = len(self.children)
        stem = bases[0].partition("/")[2] if bases else dice.choice(_WORDS) + "-lm"
        if relation == "quantized":
            user, name = dice.choice(QUANTIZERS), f"{stem}-{dice.choice(['GGUF', 'AWQ', '4bit'])}"
        else:
            user, name = dice.choice(self.users), f"{stem}-{dice.choice(_WORDS)}"
        model_id = f"{user}/{name}-{number}"
        if relation in {"finetune", "merge", None} and not is_idle:
            self.pool[org].append((model_id, keys, created.date()))
        ceiling = float(dice.randrange(6)) if is_idle else 12 + math.exp(dice.gauss(3.2, 1.6))
        gone = None
        if dice.random() < 0.03:
            gone = created.date() + timedelta(days=dice.randrange(60, 400))
        self.children.append(
            {
                "hub_id": hub_id(created, model_id),
                "model_id": model_id,
                "hf_org": user,
                "list_name": "none",
                "created_at": created.replace(tzinfo=None),
                "hides_creation": False,
                "gone_on": gone,
                "is_private": False,
                "pipeline_tag": "text-generation" if dice.random() < 0.8 else None,
                "library_name": "peft" if relation == "adapter" else "transformers",
                "license": dice.choice(["apache-2.0", "mit", "other"]),
                "gated": "false",
                "params": None,
                "in_parameters": False,
                "relation": relation,
                "bases": bases or None,
                "keys": [{"hf_org": k, "share": v} for k, v in sorted(keys.items())] or None,
                "ceiling": min(ceiling, 400_000.0),
                "tau": dice.uniform(6, 14) if ceiling < 30 else dice.uniform(8, 45),
                "liking": 0.3 + dice.random(),
            }
        )


def _shares(tale: Story) -> dict[str, list[tuple[date, float]]]:
    """Each lab's share of new children by month; under another seed it plays another's part."""
    told = {
        row.pop("hf_org"): [(date.fromisoformat(f"{m}-01"), float(v)) for m, v in row.items()]
        for row in rows("derivative_shares")
    }
    return {org: told[tale.parts.get(org, org)] for org in told}


def _volumes() -> list[tuple[date, float]]:
    return [
        (date.fromisoformat(f"{row['month']}-01"), float(row["children"]))
        for row in rows("derivative_volumes")
    ]


def between(points: Sequence[tuple[date, float]], day: date) -> float:
    """Linear between dated values, flat outside."""
    if day <= points[0][0]:
        return points[0][1]
    for (a, x), (b, y) in pairwise(points):
        if day < b:
            return x + (y - x) * (day - a).days / (b - a).days
    return points[-1][1]
