"""New derivatives by the organization, region or family of their base (definitions 6).

Belongs here: children, their bases, the walk up to a reviewed ancestor, and the shares. Does not
belong here: downloads of the bases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from . import UNKNOWN, Switches
from .identity import (
    Organization,
    canonical_ids,
    created_days,
    organization_of,
)

THRESHOLDS = (0, 5, 50)
"""Rows exist for each of these values of min_downloads."""

RELATIONS = ("all", "finetune", "adapter", "quantized", "merge")
"""Rows exist for each of these; an edge without a relation counts in ``all`` only."""

DERIVATIVES = pl.Schema(
    {
        "month": pl.Date,
        "relation": pl.String,
        "min_downloads": pl.Int64,
        "community_only": pl.Boolean,
        "key": pl.String,
        "new_derivatives": pl.Float64,
        "share": pl.Float64,
        "share_all": pl.Float64,
    }
)
"""What ``shares`` returns; a key without a child has no row."""


@dataclass(frozen=True)
class Part:
    """A fraction of a child that counts for one direct base, and the ancestor found, if any."""

    weight: float
    direct_base: str
    ancestor: str | None


@dataclass(frozen=True)
class Child:
    """One derivative: ``bases`` maps each relation (and ``all``) to its distinct bases."""

    model_id: str
    created_on: date
    most_downloads: int
    bases: Mapping[str, frozenset[str]]


class Lineage:
    """Who names whom as base, by the newest reading of each child (6.7), and the walk of 6.4."""

    def __init__(
        self,
        hf_derivatives: pl.DataFrame,
        pulls: pl.DataFrame,
        names: Mapping[str, str],
        known: Mapping[str, Organization],
        switches: Switches,
    ) -> None:
        self.known = known
        self.bases: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        order = {source: rank for rank, source in enumerate(switches.source_order)}
        edges = (
            hf_derivatives.select(
                canonical_ids("model_id", names).alias("child"),
                canonical_ids("base_model_id", names).alias("base"),
                "relation",
                "observed_on",
                "pull_id",
                pl.col("source").replace_strict(order, default=len(order)).alias("rank"),
            )
            .join(pulls.select("pull_id", "fetched_at").unique("pull_id"), on="pull_id", how="left")
            .sort(
                ["child", "observed_on", "rank", "fetched_at", "pull_id"],
                descending=[False, True, False, True, True],
            )
            .with_columns(pl.col("pull_id").first().over("child").alias("newest"))
            .filter(pl.col("pull_id") == pl.col("newest"))
        )
        for child, base, relation in edges.select("child", "base", "relation").unique().iter_rows():
            if base != child:
                self.bases[child][relation].add(base)
                self.bases[child]["all"].add(base)

    def direct(self, model_id: str) -> frozenset[str]:
        """The distinct bases of ``model_id``, whatever the relation."""
        return frozenset(self.bases[model_id]["all"]) if model_id in self.bases else frozenset()

    def parts(self, child: str, bases: Iterable[str]) -> list[Part]:
        """``child`` split over ``bases``, each followed up to its first reviewed ancestors."""
        bases = sorted(bases)
        return [
            Part(share / len(bases), base, ancestor)
            for base in bases
            for share, ancestor in self._climb(base, (child,))
        ]

    def _climb(self, model_id: str, path: tuple[str, ...]) -> list[tuple[float, str | None]]:
        if model_id in path:
            return [(1.0, None)]
        if organization_of(model_id, self.known).is_reviewed:
            return [(1.0, model_id)]
        above = sorted(self.direct(model_id))
        if not above:
            return [(1.0, None)]
        return [
            (share / len(above), ancestor)
            for base in above
            for share, ancestor in self._climb(base, (*path, model_id))
        ]


def children(
    lineage: Lineage,
    hf_derivatives: pl.DataFrame,
    hf_models: pl.DataFrame,
    names: Mapping[str, str],
    switches: Switches,
) -> list[Child]:
    """Every model that names another as base and whose day of creation is known (6.1, 6.2)."""
    about = ["source", "model_id", "observed_on", "created_at"]
    columns = [*about, "downloads_all_time", "downloads_30d"]
    readings = pl.concat([hf_derivatives.select(columns), hf_models.select(columns)]).with_columns(
        canonical_ids("model_id", names).alias("model_id")
    )
    readings = readings.filter(pl.col("model_id").is_in(list(lineage.bases)))
    created = created_days(readings, {}, switches)
    most = dict(
        readings.select(
            "model_id",
            pl.coalesce("downloads_all_time", "downloads_30d").alias("downloads"),
        )
        .group_by("model_id")
        .agg(pl.col("downloads").max())
        .iter_rows()
    )
    return [
        Child(
            model_id,
            created[model_id],
            -1 if most.get(model_id) is None else most[model_id],
            {relation: frozenset(bases) for relation, bases in by_relation.items()},
        )
        for model_id, by_relation in lineage.bases.items()
        if model_id in created
    ]


def organization_key(part: Part, known: Mapping[str, Organization]) -> tuple[str, str]:
    """(organization, region) a part counts for; without an ancestor the direct base's (6.4)."""
    if part.ancestor is not None:
        organization = organization_of(part.ancestor, known)
        return organization.name, organization.region
    return organization_of(part.direct_base, known).name, UNKNOWN


def region_key(part: Part, known: Mapping[str, Organization]) -> tuple[str, str]:
    """(region, region) a part counts for."""
    region = organization_key(part, known)[1]
    return region, region


def family_key(family: Mapping[str, str | None]) -> Callable[..., tuple[str, str]]:
    """A key function by the family of the ancestor; ``unknown`` without one."""

    def key(part: Part, known: Mapping[str, Organization]) -> tuple[str, str]:
        if part.ancestor is None:
            return UNKNOWN, UNKNOWN
        return family.get(part.ancestor) or UNKNOWN, organization_key(part, known)[1]

    return key


def is_own(child: Child, lineage: Lineage) -> bool:
    """Whether the child's organization is that of a direct base or of a key (6.5)."""
    own = organization_of(child.model_id, lineage.known).name
    bases = child.bases["all"]
    others = {organization_of(base, lineage.known).name for base in bases}
    keys = {organization_key(part, lineage.known)[0] for part in lineage.parts(child.model_id, bases)}
    return own in others | keys


def shares(
    lineage: Lineage,
    found: Iterable[Child],
    key_of: Callable[[Part, Mapping[str, Organization]], tuple[str, str]],
) -> pl.DataFrame:
    """New derivatives and their shares per month, relation, threshold and key: DERIVATIVES.

    ``share`` is taken over what counts for a known region, and is NULL for the rest (6.6).
    """
    of_known: dict[tuple[date, str, int, bool, str], float] = defaultdict(float)
    of_all: dict[tuple[date, str, int, bool, str], float] = defaultdict(float)
    known_total: dict[tuple[date, str, int, bool], float] = defaultdict(float)
    total: dict[tuple[date, str, int, bool], float] = defaultdict(float)
    for child in found:
        month = child.created_on.replace(day=1)
        flags = (False,) if is_own(child, lineage) else (False, True)
        for relation in RELATIONS:
            if relation not in child.bases:
                continue
            parts = lineage.parts(child.model_id, child.bases[relation])
            for part in parts:
                key, region = key_of(part, lineage.known)
                for least in THRESHOLDS:
                    if child.most_downloads <= least:
                        continue
                    for community_only in flags:
                        group = (month, relation, least, community_only)
                        of_all[*group, key] += part.weight
                        total[group] += part.weight
                        if region != UNKNOWN:
                            of_known[*group, key] += part.weight
                            known_total[group] += part.weight
    rows = []
    for (month, relation, least, community_only, key), value in of_all.items():
        name = (month, relation, least, community_only)
        known = of_known.get((*name, key))
        rows.append((*name, key, value, known / known_total[name] if known else None, value / total[name]))
    return pl.DataFrame(rows, schema=DERIVATIVES, orient="row")
