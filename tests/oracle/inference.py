"""Tokens by model and by organization or region (definitions 7).

Belongs here: OpenRouter's slugs, the catalogue join, openness, whom a model counts for, the three
scopes. Does not belong here: how lineage is read (``derivatives``).
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from . import UNKNOWN
from .derivatives import Lineage, organization_key
from .identity import Organization, hf_org, like, newest_vintage, organization_of

OTHER = "other"
"""The source's own row for everything beyond its top 50."""

BY_MODEL = pl.Schema(
    {
        "month": pl.Date,
        "model": pl.String,
        "tokens": pl.Int64,
        "is_open": pl.Boolean,
        "organization": pl.String,
        "country": pl.String,
        "region": pl.String,
        "publisher_organization": pl.String,
        "publisher_region": pl.String,
        "hf_model_id": pl.String,
        "days_present": pl.Int64,
        "days_in_month": pl.Int64,
    }
)
"""What ``by_model`` returns."""

BY_KEY = pl.Schema(
    {
        "month": pl.Date,
        "scope": pl.String,
        "key": pl.String,
        "tokens": pl.Int64,
        "share": pl.Float64,
        "tokens_publisher": pl.Int64,
        "share_publisher": pl.Float64,
        "share_low": pl.Float64,
        "share_high": pl.Float64,
    }
)
"""What ``by_key`` returns."""


def without_variant(slug: str) -> str:
    """``x/y:free`` → ``x/y``."""
    return slug.partition(":")[0]


def without_date(slug: str) -> str:
    """``x/y-20250805`` → ``x/y``."""
    return re.sub(r"-20\d{6}$", "", slug)


def daily(openrouter_tokens: pl.DataFrame) -> pl.DataFrame:
    """The rows that count: of each completed day those of its newest vintage (7.6)."""
    complete = openrouter_tokens.filter(pl.col("day") < pl.col("as_of").dt.date())
    newest = (
        complete.select("day", "as_of", "source", "pull_id")
        .unique()
        .sort("day", "as_of", "source", "pull_id", descending=[False, True, True, True])
        .unique("day", keep="first", maintain_order=True)
    )
    return complete.join(newest.select("day", "pull_id"), on=["day", "pull_id"], how="semi")


class Catalogue:
    """OpenRouter's catalogue over all vintages held (7.2)."""

    def __init__(self, openrouter_models: pl.DataFrame) -> None:
        names = ("model_id", "canonical_slug", "hugging_face_id")
        rows = openrouter_models.sort(
            "as_of", "canonical_slug", "model_id", descending=[True, False, False]
        ).select(names)
        self._levels: list[dict[str, list[str | None]]] = [defaultdict(list) for _ in range(4)]
        for model_id, canonical_slug, hf_id in rows.iter_rows():
            ways = []
            for slug in (canonical_slug, model_id):
                slug = without_variant(slug) if slug else slug
                ways += [slug, without_date(slug) if slug else slug]
            for level, slug in zip(self._levels, ways, strict=True):
                if slug:
                    level[slug].append(hf_id or None)

    def find(self, model: str, permaslugs: Iterable[str]) -> tuple[bool, str | None]:
        """(whether any entry fits, the newest repository named by the first fit that names one).

        ``permaslugs`` are those of the model, without variant but with their dates.
        """
        exact = [model, *sorted(set(permaslugs) - {model})]
        is_listed = False
        for at, level in enumerate(self._levels):
            for slug in exact if at % 2 == 0 else [model]:
                entries = level.get(slug, [])
                is_listed = is_listed or bool(entries)
                named = next((entry for entry in entries if entry), None)
                if named:
                    return True, named
        return is_listed, None


@dataclass(frozen=True)
class Seeds:
    """The facts that inference needs; frames as the seeds of the same names."""

    openrouter_authors: pl.DataFrame
    closed_model_patterns: pl.DataFrame
    openness_overrides: pl.DataFrame
    family_patterns: pl.DataFrame


@dataclass(frozen=True)
class Attribution:
    """Whom a model counts for, and who published it."""

    organization: Organization
    publisher: Organization
    hf_model_id: str | None


NOBODY = Organization(UNKNOWN, None, UNKNOWN, False)
"""Whom ``other`` and cloaked models count for."""


class Judge:
    """Openness and attribution of a model (7.3, 7.4)."""

    def __init__(
        self,
        seeds: Seeds,
        catalogue: Catalogue,
        lineage: Lineage,
        tracked_models: pl.DataFrame,
        names: Mapping[str, str],
    ) -> None:
        self.seeds = seeds
        self.catalogue = catalogue
        self.lineage = lineage
        self.known = lineage.known
        self.names = names
        authors = seeds.openrouter_authors.iter_rows(named=True)
        self._authors = {row["author"]: row for row in authors}
        self._namespaces = {name.lower(): name for name in sorted(self.known, reverse=True)}
        ids = newest_vintage(tracked_models).get_column("model_id").unique().sort().to_list()
        self._tracked_ids: dict[tuple[str, str], str] = {}
        for model_id in ids:
            organization = organization_of(model_id, self.known).name
            last = model_id.rpartition("/")[2].lower()
            self._tracked_ids.setdefault((organization, last), names.get(model_id, model_id))
        self._tracked_organizations = {organization for organization, _ in self._tracked_ids}
        self._patterns = sorted(seeds.family_patterns.select("priority", "pattern", "hf_org").iter_rows())

    def is_cloaked(self, model: str) -> bool:
        """Whether the author is one that stands for makers who have not said who they are."""
        row = self._authors.get(_author(model))
        return bool(row and row["is_cloaked"])

    def publisher(self, model: str) -> Organization:
        """The author of the slug as an organization."""
        author = _author(model)
        row = self._authors.get(author)
        if row is None:
            namespace = self._namespaces.get(author.lower())
            if namespace:
                return self.known[namespace]
            return Organization(author, None, UNKNOWN, False)
        if not row["organization"]:
            return NOBODY
        reviewed = self.known.get(row["hf_org"]) if row["hf_org"] else None
        region = reviewed.region if reviewed and reviewed.is_reviewed else row["region"]
        return Organization(row["organization"], row["country"], region, bool(reviewed))

    def repository(self, model: str, permaslugs: Iterable[str]) -> tuple[bool, str | None, str | None]:
        """(listed in a catalogue, its repository there, the tracked id of the same name)."""
        is_listed, hf_id = self.catalogue.find(model, permaslugs)
        last = model.rpartition("/")[2].lower()
        return is_listed, hf_id, self._tracked_ids.get((self.publisher(model).name, last))

    def is_open(self, model: str, permaslugs: Iterable[str], month: date) -> bool | None:
        """The first rule of 7.3 that applies in ``month``; None when none does."""
        if model == OTHER:
            return None
        overrides = [
            (row["valid_from"] or date.min, row["is_open"])
            for row in self.seeds.openness_overrides.iter_rows(named=True)
            if row["model"] == model
        ]
        valid = [item for item in sorted(overrides) if item[0].replace(day=1) <= month]
        if valid:
            return valid[-1][1]
        if self.is_cloaked(model):
            return None
        is_listed, hf_id, tracked_id = self.repository(model, permaslugs)
        if hf_id or tracked_id:
            return True
        patterns = self.seeds.closed_model_patterns.get_column("pattern")
        if any(like(model, pattern) for pattern in patterns):
            return False
        return False if is_listed else None

    def attribution(self, model: str, permaslugs: Iterable[str]) -> Attribution:
        """Whom the model counts for: its publisher if that has a tracked model, else its base."""
        if model == OTHER:
            return Attribution(NOBODY, NOBODY, None)
        _, hf_id, tracked_id = self.repository(model, permaslugs)
        hf_id = hf_id or tracked_id
        hf_id = self.names.get(hf_id, hf_id) if hf_id else None
        publisher = self.publisher(model)
        if publisher.name in self._tracked_organizations:
            return Attribution(publisher, publisher, hf_id)
        base = self._base(hf_id) or self._family(model) or publisher
        return Attribution(base, publisher, hf_id)

    def _base(self, hf_id: str | None) -> Organization | None:
        """6.4 from the bases of the repository; of several keys the heaviest, then the alphabet."""
        if hf_id is None:
            return None
        weight: dict[str, float] = defaultdict(float)
        found: dict[str, Organization] = {}
        for part in self.lineage.parts(hf_id, self.lineage.direct(hf_id)):
            if part.ancestor is not None:
                name = organization_key(part, self.known)[0]
                weight[name] += part.weight
                found.setdefault(name, organization_of(part.ancestor, self.known))
        return found[min(weight, key=lambda name: (-weight[name], name))] if weight else None

    def _family(self, model: str) -> Organization | None:
        for _, pattern, namespace in self._patterns:
            if like(model, pattern):
                return organization_of(f"{namespace}/", self.known)
        return None


def _author(model: str) -> str:
    return hf_org(model).removeprefix("~")


def by_model(tokens: pl.DataFrame, judge: Judge) -> pl.DataFrame:
    """Tokens per month and model with attributes: BY_MODEL, from ``raw.openrouter_tokens``."""
    sums: dict[tuple[date, str], int] = defaultdict(int)
    permaslugs: dict[str, set[str]] = defaultdict(set)
    days: dict[date, set[date]] = defaultdict(set)
    rows = daily(tokens).select("day", "model_permaslug", "total_tokens")
    for day, permaslug, count in rows.iter_rows():
        slug = without_variant(permaslug)
        model = without_date(slug)
        month = day.replace(day=1)
        sums[month, model] += count
        permaslugs[model].add(slug)
        days[month].add(day)
    whom = {model: judge.attribution(model, slugs) for model, slugs in permaslugs.items()}
    return pl.DataFrame(
        [
            {
                "month": month,
                "model": model,
                "tokens": count,
                "is_open": judge.is_open(model, permaslugs[model], month),
                "organization": whom[model].organization.name,
                "country": whom[model].organization.country,
                "region": whom[model].organization.region,
                "publisher_organization": whom[model].publisher.name,
                "publisher_region": whom[model].publisher.region,
                "hf_model_id": whom[model].hf_model_id,
                "days_present": len(days[month]),
                "days_in_month": monthrange(month.year, month.month)[1],
            }
            for (month, model), count in sorted(sums.items())
        ],
        schema=BY_MODEL,
    )


def by_key(models: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Tokens and shares per month, scope and ``kind`` (organization or region): BY_KEY (7.5)."""
    publisher_kind = f"publisher_{kind}"
    rows: list[tuple[object, ...]] = []
    for (month,), group in models.group_by(["month"]):
        entries = list(group.select(pl.col("model", "tokens", "is_open", kind, publisher_kind)).iter_rows())
        opened = [entry for entry in entries if entry[2]]
        top = sorted(opened, key=lambda entry: (-entry[1], entry[0]))[:10]
        unclear = sum(count for model, count, is_open, *_ in entries if is_open is None and model != OTHER)
        for scope, chosen in (("open_top10", top), ("open_all", opened), ("all", entries)):
            base: dict[str, int] = defaultdict(int)
            publisher: dict[str, int] = defaultdict(int)
            for model, count, is_open, key, publisher_key in chosen:
                is_unknown = model == OTHER or is_open is None
                base[UNKNOWN if is_unknown else key] += count
                publisher[UNKNOWN if is_unknown else publisher_key] += count
            total = sum(count for _, count, *_ in chosen)
            for key in base.keys() | publisher.keys():
                mine, theirs = base.get(key, 0), publisher.get(key, 0)
                bounded = scope == "open_all" and total + unclear > 0
                rows.append(
                    (
                        month,
                        scope,
                        key,
                        mine,
                        mine / total if total else None,
                        theirs,
                        theirs / total if total else None,
                        mine / (total + unclear) if bounded else None,
                        (mine + unclear) / (total + unclear) if bounded else None,
                    )
                )
    return pl.DataFrame(rows, schema=BY_KEY, orient="row").sort("month", "scope", "key")
