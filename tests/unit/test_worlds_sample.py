"""The sample world's numbers: calibrated, deterministic, and independent of today."""

import time
from datetime import UTC, date, datetime, timedelta
from functools import cache

import polars as pl
import pytest

from atom_dagster.worlds import truth
from atom_dagster.worlds.sample_derivatives import apportion
from atom_dagster.worlds.sample_facts import RENAMED_ON, rows, story
from atom_dagster.worlds.sample_generate import ensure, generate
from atom_dagster.worlds.sample_openrouter import catalogue
from atom_dagster.worlds.sample_state import State
from tests.unit._worlds import home

TODAY = date(2026, 5, 20)
MARCH, FEBRUARY, DECEMBER = date(2026, 3, 1), date(2026, 2, 1), date(2025, 12, 1)


@cache
def told(seed=1):
    return truth(seed, today=TODAY, folder=home(seed) / "world")


@cache
def state(seed=1):
    return State(ensure(home(seed) / "world", seed))


def core(seed=1):
    return told(seed).downloads.filter(pl.col("list_name") == "core")


def total(frame, month, column="downloads_cumulative"):
    return frame.filter(pl.col("month") == month)[column].sum() / 1e6


def test_published_totals_come_out_of_model_rows():
    frame = core()
    for region, published in {"china": 1150, "us": 723, "eu": 163}.items():
        assert total(frame.filter(region=region), MARCH) == pytest.approx(published, rel=0.01)
    for org, published in {
        "Qwen": 942.1,
        "meta-llama": 476,
        "allenai": 14.8,
        "ibm-granite": 8.6,
    }.items():
        assert total(frame.filter(hf_org=org), MARCH) == pytest.approx(published, rel=0.01)
    recent = frame.filter(pl.col("month").is_between(date(2025, 8, 1), MARCH), hf_org="nvidia")
    assert recent["downloads"].sum() / 1e6 == pytest.approx(30.7, rel=0.01)


def test_months_and_crossings_are_as_published():
    frame = core()
    months = (
        frame.group_by("month", "organization")
        .agg(pl.col("downloads").sum())
        .sort("downloads", descending=True)
    )
    february = months.filter(month=FEBRUARY)
    assert february["organization"][0] == "Qwen"
    assert february["downloads"][0] / 1e6 == pytest.approx(153.6, rel=0.01)
    assert february["downloads"][1:9].sum() / 1e6 == pytest.approx(71.2, rel=0.01)
    december = months.filter(month=DECEMBER)["downloads"]
    assert december[0] > december[1:].sum()
    qwen, llama = frame.filter(hf_org="Qwen"), frame.filter(hf_org="meta-llama")
    august, september = date(2025, 8, 1), date(2025, 9, 1)
    assert total(qwen, august) < 0.98 * total(llama, august)
    assert total(qwen, september) > 1.02 * total(llama, september)
    china, us = frame.filter(region="china"), frame.filter(region="us")
    assert total(china, date(2025, 6, 1)) < total(us, date(2025, 6, 1))
    assert total(china, august) > 1.01 * total(us, august)
    assert total(china, date(2025, 3, 1)) == pytest.approx(97, rel=0.03)


def test_shape_of_sizes_and_leaders():
    frame = core().filter(month=MARCH)
    everything = frame["downloads_cumulative"].sum()
    small = frame.filter(pl.col("total_b").is_between(1, 10, closed="left"))
    assert small["downloads_cumulative"].sum() / everything == pytest.approx(0.70, abs=0.03)
    large = frame.filter(pl.col("total_b") >= 250)
    deepseek = large.filter(organization="DeepSeek")["downloads_cumulative"].sum()
    assert deepseek / large["downloads_cumulative"].sum() == pytest.approx(0.47, abs=0.03)
    five = [f"Qwen/Qwen3-{s}" for s in ("0.6B", "1.7B", "4B", "8B", "4B-Instruct-2507")]
    six = ["OpenAI", "Mistral AI", "NVIDIA", "Z.ai", "Moonshot AI", "MiniMax"]
    december = core().filter(month=DECEMBER)
    theirs = december.filter(pl.col("organization").is_in(six))["downloads"].sum()
    assert december.filter(pl.col("model_id").is_in(five))["downloads"].sum() > theirs
    labs = dict(december.group_by("organization").agg(pl.col("downloads").sum()).iter_rows())
    assert labs["OpenAI"] == pytest.approx(labs["DeepSeek"], rel=0.15)


@pytest.mark.parametrize(
    ("month", "lab", "share"),
    [
        (date(2024, 1, 1), "Qwen", 0.01),
        (date(2025, 8, 1), "Qwen", 0.46),
        (date(2026, 2, 1), "Qwen", 0.69),
        (date(2024, 10, 1), "meta-llama", 0.44),
        (date(2025, 8, 1), "meta-llama", 0.15),
        (date(2024, 1, 1), "mistralai", 0.58),
    ],
)
def test_share_of_new_derivatives(month, lab, share):
    known = told().derivatives.filter(pl.col("month") == month, pl.col("region") != "unknown")
    made = known.filter(hf_org=lab)["new_derivatives"].sum()
    assert known["new_derivatives"].sum() >= 60
    assert made / known["new_derivatives"].sum() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(
    ("month", "by_base", "by_publisher"),
    [
        (date(2025, 1, 1), 0.231, 0.231),
        (date(2025, 6, 1), 0.764, 0.764),
        (date(2025, 11, 1), 0.864, 0.780),
        (date(2025, 12, 1), 0.698, 0.623),
        (date(2026, 1, 1), 0.776, 0.723),
    ],
)
def test_china_among_the_ten_most_used_open_models(month, by_base, by_publisher):
    ten = told().tokens.filter(pl.col("month") == month, "is_open").head(10)
    whole = ten["tokens"].sum()
    base = ten.filter(region="china")["tokens"].sum() / whole
    publisher = ten.filter(publisher_region="china")["tokens"].sum() / whole
    assert base == pytest.approx(by_base, abs=0.05)
    assert publisher == pytest.approx(by_publisher, abs=0.05)


def test_another_seed_tells_another_story():
    first, second = core(1), core(2)
    assert set(first["model_id"].unique()) == set(second["model_id"].unique())
    ranks = [
        frame.filter(month=MARCH)
        .group_by("organization")
        .agg(pl.col("downloads_cumulative").sum())
        .sort("downloads_cumulative", descending=True)["organization"]
        .head(3)
        .to_list()
        for frame in (first, second)
    ]
    assert ranks[0][0] == "Qwen" != ranks[1][0]
    regions = [
        dict(f.filter(month=MARCH).group_by("region").agg(pl.col("downloads_cumulative").sum()).iter_rows())
        for f in (first, second)
    ]
    assert regions[0]["china"] > regions[0]["us"]
    assert regions[1]["china"] < regions[1]["us"]
    shares = [
        t.derivatives.filter(month=FEBRUARY, hf_org="Qwen")["new_derivatives"].sum()
        for t in (told(1), told(2))
    ]
    assert shares[0] > 2 * shares[1]


def test_generating_is_quick_and_always_the_same():
    began = time.monotonic()
    models, stretches, corrections, tokens = generate(1)
    assert time.monotonic() - began < 15
    assert models.equals(state().models)
    assert stretches.equals(pl.read_parquet(state().folder / "curves.parquet"))
    assert tokens.equals(state().tokens.collect())
    assert corrections == state().corrections


def test_files_are_written_once(tmp_path):
    first = ensure(tmp_path, 3)
    stamp = (first / "models.parquet").stat().st_mtime_ns
    assert ensure(tmp_path, 3) == first
    assert (first / "models.parquet").stat().st_mtime_ns == stamp
    assert ensure(tmp_path, 4) != first
    assert not list(tmp_path.glob(".draft-*"))


def test_counters_never_fall_but_for_documented_quirks():
    before, quirky = None, set()
    for weeks in range(60, 144):
        frame = state().readings(date(2023, 11, 1) + timedelta(weeks=weeks))
        frame = frame.select("row", "model_id", "downloadsAllTime", "downloads")
        assert (frame["downloadsAllTime"] >= 0).all()
        if before is not None:
            both = before.join(frame, on="row")
            fallen = both.filter(pl.col("downloadsAllTime_right") < pl.col("downloadsAllTime"))
            quirky |= set(fallen["model_id"])
        before = frame
    told_of = {r["model_id"] for r in rows("quirks") if r["kind"] in {"correction", "dip", "reset"}}
    assert quirky == told_of


def test_window_is_what_the_counter_gained():
    day = date(2026, 3, 11)
    now, then = state().readings(day), state().readings(day - timedelta(days=30))
    both = now.join(then, on="row", how="left", suffix="_then").filter(pl.col("quirk").is_null())
    gained = both["downloadsAllTime"] - both["downloadsAllTime_then"].fill_null(0)
    assert (gained == both["downloads"]).all()


@pytest.mark.parametrize("week", [date(2024, 11, 6), date(2025, 7, 9), date(2026, 3, 11), date(2026, 11, 4)])
def test_weeks_are_told_apart_by_how_differently_models_grow(week):
    before, now = (
        state().readings(day).filter(pl.col("downloads") >= 1000).select("row", "downloads")
        for day in (week - timedelta(days=7), week)
    )
    ratios = now.join(before, on="row").select(ratio=pl.col("downloads") / pl.col("downloads_right"))["ratio"]
    assert ratios.len() >= 200
    assert ratios.quantile(0.9, "linear") / ratios.quantile(0.1, "linear") > 1.3
    assert ratios.median() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("day", "shown"), [("2026-06-02", 1), ("2026-06-03", 0.8), ("2026-06-09", 0.8)])
def test_one_week_shows_too_few_downloads_of_everybody(day: str, shown: float):
    now, then = (state().readings(date.fromisoformat(day) - timedelta(days=n)) for n in (0, 30))
    both = now.join(then, on="row", suffix="_then").filter(pl.col("quirk").is_null())
    gained = (both["downloadsAllTime"] - both["downloadsAllTime_then"]).sum()
    assert both["downloads"].sum() / gained == pytest.approx(shown, abs=0.001)


def test_a_repository_made_anew_begins_again():
    before, after = (
        state().readings(day).filter(model_id="internlm/internlm2-math-plus-1_8b").row(0, named=True)
        for day in (date(2026, 7, 20) - timedelta(days=1), date(2026, 7, 22))
    )
    assert after["downloadsAllTime"] < 0.1 * before["downloadsAllTime"]
    assert after["downloads"] <= after["downloadsAllTime"]
    assert (before["created_at"], before["hub_id"]) != (after["created_at"], after["hub_id"])


def test_a_spike_comes_in_ten_days():
    spiked = pl.col("model_id") == "Qwen/Qwen2.5-Coder-32B-Instruct-GPTQ-Int8"
    days = [date(2026, 8, 5), date(2026, 8, 15), date(2026, 8, 25)]
    counts = [state().readings(day).filter(spiked)["downloadsAllTime"][0] for day in days]
    assert counts[1] - counts[0] > 120_000
    assert counts[2] - counts[1] < 10_000


def test_weekly_readings_interpolate_to_the_truth():
    early, late, edge = date(2026, 2, 25), date(2026, 3, 4), date(2026, 3, 1)
    ids = core().filter(month=FEBRUARY, hf_org="Qwen")["model_id"]
    sums = [
        state().readings(d).filter(pl.col("model_id").is_in(ids.implode()))["downloadsAllTime"].sum()
        for d in (early, late)
    ]
    between = sums[0] + (sums[1] - sums[0]) * (edge - early).days / (late - early).days
    assert between / 1e6 == pytest.approx(total(core().filter(hf_org="Qwen"), FEBRUARY), rel=0.01)


def test_archive_columns_differ_by_date_as_the_real_ones_do():
    schemas = {
        d: pl.read_parquet_schema(state().snapshot(d))
        for d in (date(2024, 1, 3), date(2024, 12, 4), date(2025, 4, 2), date(2026, 4, 1))
    }
    always = {"_id", "id", "author", "createdAt", "likes", "downloads", "downloadsAllTime", "tags"}
    assert all(always <= set(schema) for schema in schemas.values())
    oldest, older, newer, newest = schemas.values()
    assert "baseModels" not in oldest and "safetensors" not in oldest
    assert oldest["createdAt"] == pl.String and older["createdAt"] == pl.Datetime("ms", "UTC")
    assert "safetensors" in older and "baseModels" not in older
    assert newer["baseModels"] == pl.String
    assert isinstance(newest["baseModels"], pl.Struct)


def test_a_folder_stands_at_its_own_midnight_whatever_today_is():
    folder = date(2026, 4, 1)
    frame = pl.read_parquet(state().snapshot(folder))
    assert frame["createdAt"].max() < datetime(2026, 4, 1, tzinfo=UTC)
    by_id = dict(frame.select("id", "downloadsAllTime").iter_rows())
    march = core().filter(pl.col("quirk").is_null(), pl.col("gone_on").is_null(), month=MARCH)
    assert all(by_id[i] == n for i, n in march.select("model_id", "downloads_cumulative").iter_rows())
    repeats, source = date(2024, 8, 14), date(2024, 8, 7)
    assert pl.read_parquet(state().snapshot(repeats)).equals(pl.read_parquet(state().snapshot(source)))
    assert date(2024, 9, 4) not in state().folders(TODAY)
    assert state().folders(date(2023, 11, 14)) == [date(2023, 11, 1), date(2023, 11, 8)]


def test_renamed_gone_and_unknown_repositories():
    before, after = (state().readings(RENAMED_ON + timedelta(days=d)) for d in (-1, 0))
    old, new = (f.filter(model_id="zai-org/chatglm3-6b").row(0, named=True) for f in (before, after))
    assert (old["id"], new["id"]) == ("THUDM/chatglm3-6b", "zai-org/chatglm3-6b")
    assert old["hub_id"] == new["hub_id"]
    ids = set(after["id"])
    assert "microsoft/WizardLM-2-8x22B" not in ids
    assert state().models["hides_creation"].sum() == 1
    labs = state().models.filter(pl.col("list_name") == "core")
    assert labs["params"].null_count() >= 2
    floor = state().models.filter(pl.col("created_at").dt.date() == date(2022, 3, 2))
    assert floor.height >= 5
    days = [(c["released_on"] > c["created_on"]) for c in state().corrections]
    assert days.count(True) >= 10 and days.count(False) >= 1


def test_children_have_all_relations_chains_and_several_bases():
    children = state().models.filter(pl.col("ceiling").is_not_null())
    assert set(children["relation"].drop_nulls()) == {"finetune", "adapter", "quantized", "merge"}
    ids = set(children["model_id"])
    assert any(base in ids for bases in children["bases"].drop_nulls() for base in bases)
    assert (children["bases"].list.len() > 1).sum() > 100
    assert (children["ceiling"] <= 5).sum() > 100
    own = state().models.filter(
        pl.col("relation") == "quantized",
        pl.col("bases").list.first().str.split("/").list.first() == pl.col("hf_org"),
    )
    assert own.height > 10
    sums = children.filter(pl.col("keys").is_not_null()).select(
        pl.col("keys").list.eval(pl.element().struct["share"]).list.sum()
    )
    assert sums.to_series().is_between(1 - 1e-9, 1 + 1e-9).all()


def test_apportioning_is_exact():
    assert apportion(10, {"a": 0.69, "b": 0.26, "c": 0.05}) == {"a": 7, "b": 3}
    assert sum(apportion(97, {"a": 1, "b": 1, "c": 1}).values()) == 97
    assert apportion(5, {}) == {}


def test_days_of_tokens():
    days = state().tokens.collect()
    counts = days.group_by("day").len()
    assert set(counts["len"]) == {51}
    assert date(2025, 6, 15) not in set(counts["day"])
    assert date(2025, 7, 15) not in set(counts["day"])
    assert counts["day"].min() == date(2025, 1, 1)
    last = days.filter(day=date(2025, 3, 1))
    assert last["model_permaslug"][-1] == "other"
    assert last["total_tokens"][:-1].is_sorted(descending=True)
    assert days["model_permaslug"].str.contains(r":free$").any()
    assert days["model_permaslug"].str.contains(r"-20\d{6}$").any()


def test_catalogue_forgets_the_delisted_and_names_no_closed_weights():
    slugs = {e["canonical_slug"]: e["hugging_face_id"] for e in catalogue(TODAY)}
    assert slugs["z-ai/glm-4.6"] == ""
    assert slugs["openai/gpt-5-2025-08-07"] == ""
    assert slugs["openai/gpt-oss-120b"] == "openai/gpt-oss-120b"
    assert "qwen/qwq-32b-preview" not in slugs
    assert "qwen/qwq-32b-preview" in {e["canonical_slug"] for e in catalogue(date(2025, 3, 1))}


def test_facts_name_only_known_organizations():
    tale = story(1)
    assert {m.hf_org for m in tale.models} <= set(tale.labs)
    assert 1_300 <= sum(m.list_name == "core" for m in tale.models) <= 1_700
    ids = {m.model_id for m in tale.models} | {m.old_id for m in tale.models}
    others = {row["model_id"] for row in rows("others")}
    assert {row["hf_id"] for row in rows("openrouter")} - ids - others == {""}
