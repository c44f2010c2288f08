"""Who is who (definitions 0): one model per Hub ``_id``, the tracked set, organizations, dates.

Belongs here: aliases, newest vintages, model facts that the other modules share. Does not belong
here: any count.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

import polars as pl

from . import UNKNOWN, Switches

CREATION_FLOOR = date(2022, 3, 2)
"""The Hub dates every older repository so; it says nothing (0.3)."""


@dataclass(frozen=True)
class Organization:
    """What a Hub namespace stands for. ``is_reviewed``: the registry gives it a known region."""

    name: str
    country: str | None
    region: str
    is_reviewed: bool


@dataclass(frozen=True)
class Model:
    """The facts of one canonical tracked model. Dates are UTC days, None when unknown.

    ``first_created_on``: when the repository was made anew since its first reading, the creation
    which that reading named; else None.
    """

    model_id: str
    tracked_list: str
    organization: Organization
    created_on: date | None
    release_date: date | None
    last_seen: date | None
    is_gone: bool
    size_bucket: str | None = None
    family: str | None = None
    first_created_on: date | None = None

    def gone_at(self, day: date) -> bool:
        """Whether the model had disappeared by ``day``: it is gone and was read last before it."""
        return self.is_gone and self.last_seen is not None and self.last_seen < day

    @property
    def born_on(self) -> date | None:
        """Day the model's curve begins: a repository made anew goes on from its old counter (1.6b)."""
        return self.first_created_on or self.created_on

    @property
    def birth(self) -> date | None:
        """Day of creation, or of release when the former is unknown (4.3)."""
        return self.born_on or self.release_date


def hf_org(model_id: str) -> str:
    """The namespace of ``model_id``: what stands before its slash."""
    return model_id.partition("/")[0]


def newest_vintage(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of the newest pull of a registry table (the greatest ``as_of``)."""
    if frame.is_empty():
        return frame
    newest = frame.sort("as_of", "pull_id").get_column("pull_id")[-1]
    return frame.filter(pl.col("pull_id") == newest)


def aliases(
    hf_models: pl.DataFrame,
    hf_derivatives: pl.DataFrame,
    hf_probes: pl.DataFrame,
    renames: Iterable[tuple[str, str]],
) -> dict[str, str]:
    """Every id of a model that goes by several → its newest id; other ids are left out (0.5).

    Ids are one model when they share an ``_id``, when the Hub answers one with the other, or by a
    rename (old, new). The newest id is never the old side of a rename or redirect; of what remains
    it is the one seen last as a model, then the first in the alphabet.
    """
    parent: dict[str, str] = {}

    def root(item: str) -> str:
        parent.setdefault(item, item)
        while parent[item] != item:
            item = parent[item]
        return item

    def join(left: str, right: str) -> None:
        parent[root(left)] = root(right)

    by_identity: dict[str, set[str]] = defaultdict(set)
    for frame, name, identity in (
        (hf_models, "model_id", "hf_id"),
        (hf_derivatives, "model_id", "hf_id"),
        (hf_derivatives, "base_model_id", "base_hf_id"),
        (hf_probes, "resolved_id", "hf_id"),
    ):
        pairs = frame.select(name, identity).drop_nulls().unique()
        for model_id, hf_id in pairs.iter_rows():
            by_identity[hf_id].add(model_id)
    for twins in by_identity.values():
        first, *others = twins
        for other in others:
            join(other, first)

    moves = set(renames)
    redirects = hf_probes.filter(pl.col("resolved_id") != pl.col("model_id"))
    moves |= set(redirects.select("model_id", "resolved_id").unique().iter_rows())
    for old, new in moves:
        join(old, new)
    left_behind = {old for old, _ in moves}

    groups: dict[str, list[str]] = defaultdict(list)
    for item in list(parent):
        groups[root(item)].append(item)
    several = [ids for ids in groups.values() if len(ids) > 1]
    wanted = [model_id for ids in several for model_id in ids]
    seen = dict(
        pl.concat([hf_models.select("model_id", "observed_on"),
                   hf_derivatives.select("model_id", "observed_on")])
        .filter(pl.col("model_id").is_in(wanted))
        .group_by("model_id")
        .agg(pl.col("observed_on").max())
        .iter_rows()
    )  # fmt: skip
    canonical: dict[str, str] = {}
    for ids in several:
        kept = [model_id for model_id in ids if model_id not in left_behind] or ids
        last = max(seen.get(model_id, date.min) for model_id in kept)
        newest = min(model_id for model_id in kept if seen.get(model_id, date.min) == last)
        canonical |= dict.fromkeys(ids, newest)
    return canonical


def canonical_ids(column: str, names: Mapping[str, str]) -> pl.Expr:
    """``column`` with every alias replaced by the id its model goes by."""
    return pl.col(column).replace(dict(names)) if names else pl.col(column)


def organizations(organization_regions: pl.DataFrame, seed: pl.DataFrame) -> dict[str, Organization]:
    """Namespace → organization. The registry's region stands; the seed's where that is silent.

    ``organization_regions`` is the raw table; ``seed`` has hf_org, organization, country, region.
    """
    regions = dict(newest_vintage(organization_regions).select("hf_org", "region").iter_rows())
    rows = {row["hf_org"]: row for row in seed.iter_rows(named=True)}
    found = {}
    for namespace in regions.keys() | rows.keys():
        row = rows.get(namespace, {})
        found[namespace] = Organization(
            name=row.get("organization") or namespace,
            country=row.get("country"),
            region=regions.get(namespace) or row.get("region") or UNKNOWN,
            is_reviewed=regions.get(namespace, UNKNOWN) != UNKNOWN,
        )
    return found


def organization_of(model_id: str, known: Mapping[str, Organization]) -> Organization:
    """The organization that publishes ``model_id``; an unknown namespace stands for itself."""
    namespace = hf_org(model_id)
    return known.get(namespace) or Organization(namespace, None, UNKNOWN, False)


def created_days(frame: pl.DataFrame, names: Mapping[str, str], switches: Switches) -> dict[str, date]:
    """Canonical id → the day its newest reading says it was created; the floor counts as unknown.

    ``frame`` has source, model_id, observed_on and created_at.
    """
    order = {source: rank for rank, source in enumerate(switches.source_order)}
    newest = (
        frame.filter(pl.col("created_at").is_not_null())
        .select(
            canonical_ids("model_id", names).alias("model_id"),
            "observed_on",
            pl.col("source").replace_strict(order, default=len(order)).alias("rank"),
            pl.col("created_at").dt.date().alias("created_on"),
        )
        .sort("observed_on", "rank", descending=[True, False])
        .unique("model_id", keep="first", maintain_order=True)
    )
    pairs = newest.select("model_id", "created_on").iter_rows()
    return {model_id: day for model_id, day in pairs if day != CREATION_FLOOR}


def first_created_days(
    hf_models: pl.DataFrame, names: Mapping[str, str], created: Mapping[str, date]
) -> dict[str, date]:
    """Canonical id → the creation its first reading named, if it was read before it was ``created``.

    ``created`` is what the newest readings say. A reading that names none is passed over.
    """
    said = pl.col("created_at").dt.date()
    first = (
        hf_models.filter(said != CREATION_FLOOR)
        .select(
            canonical_ids("model_id", names).alias("model_id"),
            "observed_on",
            said.alias("created_on"),
        )
        .sort("observed_on", "created_on")
        .unique("model_id", keep="first", maintain_order=True)
    )
    return {
        model_id: said_then
        for model_id, day, said_then in first.iter_rows()
        if model_id in created and day < created[model_id]
    }


def gone_models(
    hf_models: pl.DataFrame,
    hf_probes: pl.DataFrame,
    names: Mapping[str, str],
    complete_sources: Iterable[str],
) -> tuple[dict[str, date], set[str]]:
    """(canonical id → day last seen, canonical ids that are gone) (1.7).

    Gone: a 404 after the last reading, or absent from two later complete pulls, or from complete
    pulls that reach 14 days past the last reading. ``complete_sources`` names the sources whose
    pulls show the whole Hub; a selection's silence means nothing. A probe that answers 200 is a
    sign of life.
    """
    complete = (
        hf_models.filter(pl.col("source").is_in(list(complete_sources)))
        .get_column("observed_on").unique().sort().to_list()
    )  # fmt: skip
    seen: dict[str, date] = dict(
        hf_models.select(canonical_ids("model_id", names).alias("model_id"), "observed_on")
        .group_by("model_id")
        .agg(pl.col("observed_on").max())
        .iter_rows()
    )
    missing_since: dict[str, date] = {}
    alive: dict[str, date] = {}
    probes = hf_probes.select("model_id", "status_code", "observed_on")
    for asked, status, day in probes.iter_rows():
        found = {404: missing_since, 200: alive}.get(status)
        if found is not None:
            model_id = names.get(asked, asked)
            found[model_id] = max(found.get(model_id, date.min), day)
    gone = set()
    for model_id, last_reading in seen.items():
        last = max(last_reading, alive.get(model_id, date.min))
        without = [day for day in complete if day > last]
        is_absent = len(without) >= 2 or bool(without and (without[-1] - last).days >= 14)
        if missing_since.get(model_id, date.min) > last or is_absent:
            gone.add(model_id)
    return seen, gone


def tracked(tracked_models: pl.DataFrame, names: Mapping[str, str]) -> dict[str, str]:
    """Canonical id → core or extra, by the newest list; core if any of the model's ids is."""
    found: dict[str, str] = {}
    for model_id, list_ in newest_vintage(tracked_models).select("model_id", "list").iter_rows():
        model_id = names.get(model_id, model_id)
        found[model_id] = "core" if "core" in (list_, found.get(model_id)) else list_
    return found


def release_days(corrections: pl.DataFrame, names: Mapping[str, str]) -> dict[str, date]:
    """Canonical id → corrected day of release, by the newest list; its own row wins."""
    rows = newest_vintage(corrections).select("model_id", "released_on").sort("model_id")
    found: dict[str, date] = {}
    for model_id, day in rows.iter_rows():
        found.setdefault(names.get(model_id, model_id), day)
    own = {model_id: day for model_id, day in rows.iter_rows() if names.get(model_id) == model_id}
    return found | own


def model_facts(
    raw: Mapping[str, pl.DataFrame],
    names: Mapping[str, str],
    known: Mapping[str, Organization],
    switches: Switches,
    complete_sources: Iterable[str],
) -> dict[str, Model]:
    """Every tracked model (core and extra) under its canonical id, without size and family."""
    created = created_days(raw["hf_models"], names, switches)
    corrected = release_days(raw["release_date_corrections"], names)
    first = first_created_days(raw["hf_models"], names, created)
    seen, gone = gone_models(raw["hf_models"], raw["hf_probes"], names, complete_sources)
    return {
        model_id: Model(
            model_id=model_id,
            tracked_list=list_,
            organization=organization_of(model_id, known),
            created_on=created.get(model_id),
            release_date=corrected.get(model_id) or first.get(model_id) or created.get(model_id),
            last_seen=seen.get(model_id),
            is_gone=model_id in gone,
            first_created_on=first.get(model_id),
        )
        for model_id, list_ in tracked(raw["tracked_models"], names).items()
    }


def with_attributes(
    models: Mapping[str, Model], size_bucket: Mapping[str, str], family: Mapping[str, str]
) -> dict[str, Model]:
    """The same models with the size and family that pattern seeds gave them."""
    return {
        model_id: replace(model, size_bucket=size_bucket.get(model_id), family=family.get(model_id))
        for model_id, model in models.items()
    }


def like(text: str, pattern: str) -> bool:
    """SQL's LIKE, ignoring case."""
    parts = {"%": ".*", "_": "."}
    expression = "".join(parts.get(letter, re.escape(letter)) for letter in pattern.lower())
    return re.fullmatch(expression, text.lower(), re.DOTALL) is not None


def family_by_name(model_id: str, family_patterns: pl.DataFrame) -> str | None:
    """The family whose pattern fits the id: lowest priority first, then by pattern."""
    rows = sorted(family_patterns.select("priority", "pattern", "family").iter_rows())
    return next((family for _, pattern, family in rows if like(model_id, pattern)), None)


def in_set(models: Mapping[str, Model], switches: Switches) -> dict[str, Model]:
    """The models that download aggregates and RAM cover (0.4)."""
    lists = {"core": {"core"}, "core_extra": {"core", "extra"}}[switches.model_set]
    return {
        model_id: model
        for model_id, model in models.items()
        if model.tracked_list in lists and (switches.include_t5gemma or "t5gemma" not in model_id.lower())
    }
