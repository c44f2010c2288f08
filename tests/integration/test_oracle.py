"""Oracle against warehouse: the same raw tables, the same definitions, two ways of computing.

Belongs here: opening a finished warehouse, running the oracle on its raw tables, comparing every
published number. Does not belong here: worked examples (``tests/unit/test_oracle_examples.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from atom_dagster.settings import DBT_PROJECT
from atom_dagster.sources.tables import TABLES
from tests.conftest import Finished
from tests.integration import _troubled
from tests.oracle import DAYS, Switches, cleaning, curve, derivatives, downloads, identity, inference, ram
from tests.oracle.compare import Row, differences, unequal

SEEDS = DBT_PROJECT / "seeds"
COMPLETE = {
    "sample": ("hub_live", "hub_archive", "hub_revisions"),
    "recorded": ("hub_live",),
    "troubled": ("hub_live",),
}
"""Sources whose pulls show the whole Hub: a recorded archive is a selection that may shrink."""
SWITCHES = Switches()
TOTALS = {
    "organization": "downloads_by_organization_monthly",
    "country": "downloads_by_country_monthly",
    "region": "downloads_by_region_monthly",
    "size_bucket": "downloads_by_size_monthly",
    "family": "downloads_by_family_monthly",
}


def seed(name: str) -> pl.DataFrame:
    """One seed; empty fields are NULL."""
    return pl.read_csv(SEEDS / f"{name}.csv", infer_schema_length=None, try_parse_dates=True)


@dataclass
class World:
    """A finished warehouse and what the oracle makes of its raw tables, computed once."""

    name: str
    warehouse: str
    today: date
    switches: Switches = SWITCHES

    def query(self, sql: str) -> pl.DataFrame:
        """Rows of ``sql`` on the warehouse, opened read-only."""
        with duckdb.connect(self.warehouse, read_only=True) as connection:
            return connection.sql(sql).pl()

    @cached_property
    def raw(self) -> dict[str, pl.DataFrame]:
        """The raw tables by name."""
        return {
            name: self.query(f"from raw.{name}").select(list(table.columns))
            for name, table in TABLES.items()
            if name != "quarantine"
        }

    @cached_property
    def names(self) -> dict[str, str]:
        """Alias → the id its model goes by."""
        raw = self.raw
        renames = seed("renames").select("old_model_id", "new_model_id").iter_rows()
        return identity.aliases(raw["hf_models"], raw["hf_derivatives"], raw["hf_probes"], list(renames))

    @cached_property
    def known(self) -> dict[str, identity.Organization]:
        """Namespace → organization."""
        return identity.organizations(self.raw["organization_regions"], seed("organization_facts"))

    @cached_property
    def models(self) -> dict[str, identity.Model]:
        """Tracked models with size and family as the warehouse matched them by pattern."""
        facts = identity.model_facts(self.raw, self.names, self.known, self.switches, COMPLETE[self.name])
        given = self.query("select model_id, size_bucket, family from marts.models")
        sizes = given.select("model_id", "size_bucket").drop_nulls().iter_rows()
        families = given.select("model_id", "family").drop_nulls().iter_rows()
        return identity.with_attributes(facts, dict(sizes), dict(families))

    @cached_property
    def core(self) -> dict[str, identity.Model]:
        """The models that aggregates and RAM cover."""
        return identity.in_set(self.models, self.switches)

    @cached_property
    def judged(self) -> pl.DataFrame:
        """Every reading of every model, judged by 1.2 to 1.5."""
        accepted = seed("accepted_snapshots").select("source", "observed_on").iter_rows()
        raw = self.raw
        return cleaning.judged(raw["hf_models"], raw["pulls"], self.names, accepted, self.switches)

    @cached_property
    def readings(self) -> dict[str, list[cleaning.Reading]]:
        """The candidates of every tracked model, from which its curve takes the dips."""
        return cleaning.candidates(self.judged, self.models)

    @cached_property
    def curves(self) -> dict[str, curve.Curve]:
        """Curves of all tracked models."""
        created = {
            model_id: model.born_on.toordinal() if model.born_on else None
            for model_id, model in self.models.items()
        }
        return curve.curves(created, self.readings, self.switches)

    @cached_property
    def by_model(self) -> pl.DataFrame:
        """Downloads by model and month."""
        return downloads.by_model(self.models, self.curves, self.today, self.switches)

    @cached_property
    def baselines(self) -> pl.DataFrame:
        """RAM baselines of the seed."""
        rows = seed("ram_baselines_defined").select("baseline", "rule", "snapshot_on", "n")
        defined = [ram.Definition(*row) for row in rows.iter_rows()]
        return ram.baselines(defined, self.core, self.readings, self.newest, self.switches)

    @cached_property
    def newest(self) -> date:
        """Day of the newest reading held, of any model."""
        return self.raw["hf_models"].get_column("observed_on").max()  # type: ignore[return-value]

    @cached_property
    def scores(self) -> pl.DataFrame:
        """RAM scores."""
        return ram.scores(self.baselines, self.core, self.curves, self.newest, self.switches)

    @cached_property
    def lineage(self) -> derivatives.Lineage:
        """Who names whom as base."""
        raw = self.raw
        return derivatives.Lineage(raw["hf_derivatives"], raw["pulls"], self.names, self.known, self.switches)

    @cached_property
    def children(self) -> list[derivatives.Child]:
        """Every derivative."""
        raw = self.raw
        return derivatives.children(
            self.lineage, raw["hf_derivatives"], raw["hf_models"], self.names, self.switches
        )

    @cached_property
    def inference(self) -> pl.DataFrame:
        """Tokens by month and model."""
        seeds = inference.Seeds(
            seed("openrouter_authors"),
            seed("closed_model_patterns"),
            seed("openness_overrides"),
            seed("family_patterns"),
        )
        catalogue = inference.Catalogue(self.raw["openrouter_models"])
        judge = inference.Judge(seeds, catalogue, self.lineage, self.raw["tracked_models"], self.names)
        return inference.by_model(self.raw["openrouter_tokens"], judge)


@pytest.fixture(scope="session")
def troubled(homes: Path) -> Finished:
    """The warehouse of invented readings: no world, only raw tables and what dbt makes of them."""
    return _troubled.build(homes / "troubled")


@pytest.fixture(scope="module", params=["sample", "recorded"])
def world(request: pytest.FixtureRequest) -> World:
    """Each of the finished warehouses in turn."""
    built: Any = request.getfixturevalue(request.param)
    return World(request.param, str(built.warehouse), built.today)


with_troubles = pytest.mark.parametrize("world", ["sample", "recorded", "troubled"], indirect=True)
"""For what is computed from readings: the two worlds are too tame to try every rule of them."""


def keyed(frame: pl.DataFrame, kind: str) -> pl.DataFrame:
    """``frame`` with its key column called ``key``."""
    return frame if "key" in frame.columns else frame.rename({kind: "key"})


def near_a_half(value: object) -> bool:
    """Whether a value is so near to a half that two ways of computing it may round differently."""
    return isinstance(value, float) and abs(value % 1 - 0.5) < 1e-6


def is_tie(column: str, row: Row) -> bool:
    """Whether ``column`` of a model's month was rounded from about a half."""
    unrounded = {"downloads": "unrounded", "downloads_cumulative": "cumulative_unrounded"}
    return column in unrounded and near_a_half(row[unrounded[column]])


@with_troubles
def test_model_facts(world: World) -> None:
    columns = ["tracked_list", "organization", "country", "region", "release_date", "is_gone"]
    expected = pl.DataFrame(
        [
            {
                "model_id": model.model_id,
                "tracked_list": model.tracked_list,
                "organization": model.organization.name,
                "country": model.organization.country,
                "region": model.organization.region,
                "release_date": model.release_date,
                "is_gone": model.is_gone,
            }
            for model in world.models.values()
        ]
    )
    actual = world.query("from marts.models where tracked_list <> 'none' and alias_of is null")
    assert not (message := differences(expected, actual, ["model_id"], columns)), message


@with_troubles
def test_aliases(world: World) -> None:
    actual = world.query("select model_id, alias_of from marts.models")
    wrong = [
        (model_id, alias_of, world.names.get(model_id))
        for model_id, alias_of in actual.iter_rows()
        if alias_of != (None if world.names.get(model_id, model_id) == model_id
                        else world.names[model_id])
    ]  # fmt: skip
    assert not wrong, f"{len(wrong)} aliases differ (id, warehouse, oracle): {wrong[:10]}"


@with_troubles
def test_observations(world: World) -> None:
    keys, columns = ["source", "model_id", "observed_on"], ["is_used", "flag"]
    expected = cleaning.observations(world.judged)
    actual = world.query("from marts.observations")
    assert expected.height == world.raw["hf_models"].select(keys).n_unique()
    message = differences(*unequal(expected, actual, keys, columns), keys, columns)
    assert not message, message


@with_troubles
def test_downloads_by_model_monthly(world: World) -> None:
    corrected = pl.col("counter_correction").fill_null(0)
    actual = world.query("from marts.downloads_by_model_monthly").with_columns(corrected)
    columns = [
        "downloads",
        "method",
        "gap_days",
        "null_reason",
        "downloads_cumulative",
        "observations",
        "last_reading_on",
        "downloads_to_date",
        "downloads_since_2023_11",
        "is_anomalous",
        "anomaly_reason",
        "counter_correction",
    ]

    def is_optional(row: Row) -> bool:
        model = world.models[str(row["model_id"])]
        month: date = row["month"]  # type: ignore[assignment]
        is_unborn = model.birth is not None and model.birth >= downloads.next_month(month)
        return model.model_id not in world.core or is_unborn

    message = differences(
        world.by_model,
        actual,
        ["model_id", "month"],
        columns,
        is_optional=is_optional,
        is_tie=is_tie,
    )
    assert not message, message


@with_troubles
def test_the_counter_is_downloads_and_corrections(world: World) -> None:
    """3.7: under 3.1, ΔC = downloads + counter_correction, up to the rounding of the four.

    A faulty window may be all that is known of a young life (2.4) and lie above what follows, which
    the running maximum of ``C*`` evens.
    """
    months = world.query(
        "select model_id, month, method, downloads, coalesce(counter_correction, 0) as correction,"
        " downloads_cumulative as c,"
        " lag(downloads_cumulative) over (partition by model_id order by month) as b"
        " from marts.downloads_by_model_monthly"
        " qualify method <> 'window_30d' and anomaly_reason is distinct from 'hub_fault'"
    )
    months = months.drop_nulls(["b", "c"])
    wrong = months.filter((pl.col("c") - pl.col("b") - pl.col("downloads") - pl.col("correction")).abs() > 2)
    assert wrong.is_empty(), f"{wrong.height} of {months.height} months do not add up: {wrong.rows()[:10]}"


def test_the_invented_readings_have_every_trouble(troubled: Finished) -> None:
    """Else the comparison with the warehouse would try less than it seems to."""
    world = World("troubled", str(troubled.warehouse), troubled.today)
    seen = cleaning.observations(world.judged).select("is_used", "flag").unique().rows()
    losers = {(False, flag) for flag in ("superseded", "sources_disagree", "stale", "suspect_date", "dip")}
    kept = {(True, flag) for flag in ("reset", "correction", "hub_fault", "sources_disagree", None)}
    assert set(seen) == losers | kept
    reasons = {"reset", "correction", "hub_fault", "spike", None}
    assert set(world.by_model.get_column("anomaly_reason")) == reasons
    assert {"counter_break", "gap_too_wide"} <= set(world.by_model.get_column("null_reason"))
    assert "counter_break" in set(world.scores.get_column("null_reason"))
    assert {model.is_gone for model in world.core.values()} == {True, False}
    assert any(model.first_created_on for model in world.core.values())
    assert any(world.curves[model_id].breaks for model_id in world.core)


@with_troubles
@pytest.mark.parametrize("kind", TOTALS)
def test_totals(world: World, kind: str) -> None:
    """Sums of the oracle's model-months, ties settled as the warehouse settled them."""
    columns = [
        "downloads",
        "downloads_without_anomalies",
        "share",
        "rank",
        "models_measured",
        "models_expected",
        "coverage",
        "growth",
        "downloads_linked",
        "downloads_cumulative",
        "share_cumulative",
        "coverage_cumulative",
    ]
    months = world.by_model.filter(pl.col("model_id").is_in(list(world.core)))
    settled = world.query(
        "select model_id, month, downloads as d, downloads_cumulative as c"
        " from marts.downloads_by_model_monthly"
    )
    ties = [
        pl.when((pl.col(exact) % 1 - 0.5).abs() < 1e-6)
        .then(pl.col(theirs))
        .otherwise(pl.col(mine))
        .alias(mine)
        for mine, exact, theirs in (
            ("downloads", "unrounded", "d"),
            ("downloads_cumulative", "cumulative_unrounded", "c"),
        )
    ]
    months = months.join(settled, on=["model_id", "month"], how="left").with_columns(ties)
    expected = downloads.totals(months, world.core, downloads.KEYS[kind], world.today, world.switches)
    if kind == "region":
        columns.append("share_of_three")

    def is_optional(row: Row) -> bool:
        return row["models_expected"] == 0 and row["downloads_cumulative"] is None

    actual = keyed(world.query(f"from marts.{TOTALS[kind]}"), kind)
    message = differences(expected, actual, ["month", "key"], columns, is_optional=is_optional)
    assert not message, message


@with_troubles
def test_ram_baselines(world: World) -> None:
    columns = ["downloads", "members", "members_measured", "is_frozen", "snapshot_on"]
    actual = world.query("from marts.ram_baselines")
    keys = ["baseline", "size_bucket", "day"]
    message = differences(world.baselines, actual, keys, columns)
    assert not message, message
    nth = pl.col("baseline") != "median_top10_2026_01"
    pools = (world.baselines.filter(nth), actual.filter(nth))
    assert not (message := differences(*pools, keys, ["pool_size"])), message


@with_troubles
def test_ram_scores(world: World) -> None:
    columns = [
        "size_bucket",
        "downloads_at_day",
        "downloads_low",
        "downloads_high",
        "gap_days",
        "is_interpolated",
        "baseline_downloads",
        "ram",
        "ram_low",
        "ram_high",
        "null_reason",
    ]
    actual = world.query("from marts.ram_scores")
    message = differences(world.scores, actual, ["model_id", "baseline", "day"], columns)
    assert not message, message
    explained = actual.filter(pl.col("ram").is_null() == pl.col("null_reason").is_null())
    assert explained.is_empty(), f"a RAM without value or reason, or with both: {explained.head(3)}"


def test_the_tenth_has_ten_at_or_above_it(world: World) -> None:
    """5.8: exactly n models of a full pool score at least 1, more only on ties."""
    if world.name == "recorded":
        pytest.skip("no pool is full where only 30-day windows exist")
    counts = world.query(
        "select size_bucket, day, count(*) filter (ram >= 1) as above,"
        " count(*) filter (downloads_at_day = baseline_downloads) as at_it"
        " from marts.ram_scores where baseline = 'tenth_rolling' and ram is not null group by all"
    )
    assert counts.height > len(DAYS)
    wrong = counts.filter(
        (pl.col("above") < 10) | (pl.col("above") - pl.col("at_it") >= 10)
        | ((pl.col("at_it") == 1) & (pl.col("above") != 10))
    )  # fmt: skip
    assert wrong.is_empty(), wrong


@pytest.mark.parametrize("kind", ["organization", "region", "family"])
def test_derivatives(world: World, kind: str) -> None:
    if kind == "family":
        patterns, given = seed("family_patterns"), world.query("from marts.models")
        family: dict[str, str | None] = dict(given.select("model_id", "family").iter_rows())
        for child in world.children:
            for part in world.lineage.parts(child.model_id, child.bases["all"]):
                if part.ancestor is not None and part.ancestor not in family:
                    family[part.ancestor] = identity.family_by_name(part.ancestor, patterns)
        key_of = derivatives.family_key(family)
    else:
        keys = {"organization": derivatives.organization_key, "region": derivatives.region_key}
        key_of = keys[kind]
    recent = pl.col("month") >= world.switches.first_month
    expected = derivatives.shares(world.lineage, world.children, key_of).filter(recent)
    actual = keyed(world.query(f"from marts.derivatives_by_{kind}_monthly"), kind)
    actual = actual.filter(recent & (pl.col("new_derivatives") > 0))
    assert expected.height > 20
    message = differences(
        expected,
        actual,
        ["month", "relation", "min_downloads", "community_only", "key"],
        ["new_derivatives", "share", "share_all"],
    )
    assert not message, message


def test_inference_by_model(world: World) -> None:
    named = pl.col("organization", "region", "publisher_region").fill_null("unknown")
    actual = world.query("from marts.inference_by_model_monthly").with_columns(named)
    columns = [
        "tokens",
        "is_open",
        "organization",
        "country",
        "region",
        "publisher_region",
        "hf_model_id",
        "days_present",
        "days_in_month",
    ]
    message = differences(world.inference, actual, ["month", "model"], columns)
    assert not message, message


@pytest.mark.parametrize("kind", ["organization", "region"])
def test_inference_scopes(world: World, kind: str) -> None:
    expected = inference.by_key(world.inference, kind)
    actual = keyed(world.query(f"from marts.inference_by_{kind}_monthly"), kind)
    columns = [
        "tokens",
        "share",
        "tokens_publisher",
        "share_publisher",
        "share_low",
        "share_high",
    ]
    message = differences(expected, actual, ["month", "scope", "key"], columns)
    assert not message, message


def test_recorded_answers_give_the_known_numbers(recorded: Any) -> None:
    """What the recorded answers must give, from the oracle's side alone."""
    world = World("recorded", str(recorded.warehouse), recorded.today)
    tokens = dict(world.inference.group_by("month").agg(pl.col("tokens").sum()).iter_rows())
    assert tokens[date(2025, 1, 1)] == 2_230_133_956_091
    assert tokens[date(2025, 6, 1)] == 9_411_636_910_043
    assert tokens[date(2025, 12, 1)] == 26_014_738_422_454
    china = inference.by_key(world.inference, "region").filter(
        (pl.col("key") == "china") & (pl.col("scope") == "open_top10")
    )
    shares = {month: row for month, *row in china.select("month", "share", "share_publisher").rows()}
    assert shares[date(2025, 6, 1)][0] == pytest.approx(0.764, abs=0.03)
    assert shares[date(2025, 11, 1)] == pytest.approx([0.864, 0.780], abs=0.03)


def test_recorded_windows_leave_ram_without_a_value(recorded: Any) -> None:
    world = World("recorded", str(recorded.warehouse), recorded.today)
    actual = world.query("from marts.ram_scores")
    assert actual.height > 0
    assert actual.get_column("ram").null_count() > 0.95 * actual.height
