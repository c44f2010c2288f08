"""The oracle on the worked examples of definitions.md sections 6 and 7, and on their edges.

Belongs here: derivatives, inference, and the comparison that the oracle is used with. Does not
belong here: downloads and RAM (``test_oracle_examples``).
"""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest

from tests.oracle import Switches, compare, derivatives, identity, inference
from tests.oracle.compare import raw_rows as frame

SWITCHES = Switches()

# ---------------------------------------------------------------------------------- 6, derivatives

KNOWN = {
    "Qwen": identity.Organization("Qwen", "CN", "china", True),
    "meta-llama": identity.Organization("Meta", "US", "us", True),
    "user": identity.Organization("user", None, "unknown", False),
}
EDGES = [
    ("user/c1", "finetune", "Qwen/A"),
    ("user/c2", "merge", "Qwen/A"),
    ("user/c2", "merge", "meta-llama/B"),
    ("other/c3", "quantized", "user/c1"),
    ("Qwen/c4", "quantized", "Qwen/A"),
    ("else/c5", "adapter", "user/original"),
]


def lineage_of(*edges: tuple[str, str, str], w: int = 6) -> tuple[derivatives.Lineage, pl.DataFrame]:
    rows = frame(
        "hf_derivatives",
        *(
            {"source": "hub_live", "model_id": child, "relation": relation, "base_model_id": base,
             "observed_on": date(2026, 3, 1), "created_at": datetime(2026, 2, 3), "pull_id": "p",
             "downloads_30d": w}
            for child, relation, base in edges
        ),
    )  # fmt: skip
    pulls = frame("pulls", {"pull_id": "p", "fetched_at": datetime(2026, 3, 1)})
    return derivatives.Lineage(rows, pulls, {}, KNOWN, SWITCHES), rows


def shares_of(*edges: tuple[str, str, str], w: int = 6) -> pl.DataFrame:
    lineage, rows = lineage_of(*edges, w=w)
    children = derivatives.children(lineage, rows, frame("hf_models"), {}, SWITCHES)
    return derivatives.shares(lineage, children, derivatives.organization_key)


def test_derivatives_example() -> None:
    table = shares_of(*EDGES).filter(min_downloads=5, relation="all")
    everyone = {row["key"]: row for row in table.filter(~pl.col("community_only")).to_dicts()}
    counts = {key: row["new_derivatives"] for key, row in everyone.items()}
    assert counts == {"Qwen": 3.5, "Meta": 0.5, "user": 1.0}
    assert everyone["Qwen"]["share"] == 0.875
    assert everyone["user"]["share"] is None
    assert everyone["Qwen"]["share_all"] == 0.7
    community = {row["key"]: row for row in table.filter("community_only").to_dicts()}
    assert community["Qwen"]["new_derivatives"] == 2.5
    assert community["Qwen"]["share"] == pytest.approx(2.5 / 3)


def test_community_leaves_out_children_of_their_own_organization() -> None:
    table = shares_of(
        ("user/own", "finetune", "user/mid"),  # of a direct base
        ("user/mid", "finetune", "Qwen/A"),
        ("Qwen/own", "finetune", "user/mid"),  # of the key
    ).filter(relation="all", min_downloads=5)
    count = dict(table.select("community_only", "new_derivatives").iter_rows())
    assert count == {False: 3.0, True: 1.0}


def test_derivative_threshold_is_more_than() -> None:
    assert set(shares_of(*EDGES, w=5)["min_downloads"]) == {0}
    assert set(shares_of(*EDGES, w=6)["min_downloads"]) == {0, 5}
    assert set(shares_of(*EDGES, w=51)["min_downloads"]) == {0, 5, 50}


def test_relations_count_apart_and_all_counts_once() -> None:
    table = shares_of(("x/c", "merge", "Qwen/A"), ("x/c", "adapter", "meta-llama/B"))
    table = table.filter(min_downloads=5, community_only=False)
    found = {(row["relation"], row["key"]): row["new_derivatives"] for row in table.to_dicts()}
    assert found == {
        ("all", "Qwen"): 0.5,
        ("all", "Meta"): 0.5,
        ("merge", "Qwen"): 1.0,
        ("adapter", "Meta"): 1.0,
    }


def test_lineage_splits_on_the_way_and_stops_at_a_repeat() -> None:
    lineage, _ = lineage_of(
        ("x/c", "merge", "user/mix"),
        ("user/mix", "merge", "Qwen/A"),
        ("user/mix", "merge", "user/loop"),
        ("user/loop", "finetune", "user/mix"),
        ("x/self", "finetune", "x/self"),
    )
    parts = lineage.parts("x/c", lineage.direct("x/c"))
    found = sorted((part.weight, part.ancestor or "") for part in parts)
    assert found == [(0.5, ""), (0.5, "Qwen/A")]
    assert {part.direct_base for part in parts} == {"user/mix"}
    assert lineage.direct("x/self") == frozenset()


# ------------------------------------------------------------------------------------ 7, inference


def test_inference_example() -> None:
    entries = [
        ("x", 60, True, "china"),
        ("y", 50, True, "us"),
        ("z", 40, None, "china"),
        ("other", 10, None, "unknown"),
    ]
    rows = [
        {"month": date(2026, 1, 1), "model": model, "tokens": tokens, "is_open": is_open,
         "region": region, "publisher_region": region}
        for model, tokens, is_open, region in entries
    ]  # fmt: skip
    schema = {name: inference.BY_MODEL[name] for name in rows[0]}
    table = inference.by_key(pl.DataFrame(rows, schema=schema), "region")
    china = {row["scope"]: row for row in table.filter(key="china").iter_rows(named=True)}
    assert round(china["open_top10"]["share"], 4) == 0.5455
    assert china["open_all"]["share_low"] == 60 / 150
    assert china["open_all"]["share_high"] == 100 / 150
    assert china["all"]["share"] == 60 / 160
    assert table.filter(scope="all", key="unknown")["tokens"].to_list() == [50]
    assert table.filter(pl.col("scope") != "open_all")["share_low"].null_count() == 5


def judge_of(*catalogue: tuple[str, str, str | None, int]) -> inference.Judge:
    entries = frame(
        "openrouter_models",
        *(
            {"model_id": model_id, "canonical_slug": slug, "hugging_face_id": hf_id,
             "as_of": datetime(2026, 1, vintage), "pull_id": str(vintage)}
            for model_id, slug, hf_id, vintage in catalogue
        ),
    )  # fmt: skip
    tracked = frame(
        "tracked_models",
        {"model_id": "Qwen/Qwen9-Max", "hf_org": "Qwen", "list": "core",
         "as_of": datetime(2026, 1, 1), "pull_id": "r"},
    )  # fmt: skip
    seeds = inference.Seeds(
        pl.DataFrame(
            {
                "author": ["qwen", "openrouter", "tuner"],
                "hf_org": ["Qwen", None, None],
                "organization": ["Qwen", None, "Tuner"],
                "country": ["CN", None, "DE"],
                "region": ["china", "unknown", "eu"],
                "is_cloaked": [False, True, False],
            }
        ),
        pl.DataFrame({"pattern": ["qwen/qwen-plus%", "openrouter/%", "tuner/secret%"]}),
        pl.DataFrame(
            {
                "model": ["openrouter/unmasked"],
                "is_open": [True],
                "valid_from": [date(2026, 2, 20)],
            }
        ),
        pl.DataFrame(
            {
                "pattern": ["%llama%", "tuner/%qwen%"],
                "family": ["Llama", "Qwen"],
                "priority": [60, 40],
                "hf_org": ["meta-llama", "Qwen"],
            }
        ),
    )
    lineage, _ = lineage_of(("tuner/Mix-1", "finetune", "meta-llama/B"))
    return inference.Judge(seeds, inference.Catalogue(entries), lineage, tracked, {})


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("qwen/qwen9-max", True),  # tracked id of the same organization, ignoring case
        ("qwen/qwen-plus-2", False),  # closed pattern
        ("qwen/listed", False),  # in a catalogue without a repository
        ("qwen/opened", True),  # the later vintage names one
        ("qwen/nowhere", None),
        ("openrouter/masked", None),  # cloaked goes before the closed pattern
        ("other", None),
    ],
)
def test_is_open(model: str, expected: bool | None) -> None:
    judge = judge_of(
        ("qwen/listed", "qwen/listed-20260101", None, 1),
        ("qwen/opened", "qwen/opened", None, 1),
        ("qwen/opened", "qwen/opened", "Qwen/Opened", 9),
    )
    assert judge.is_open(model, {model}, date(2026, 1, 1)) is expected


def test_an_override_holds_from_the_month_of_its_day() -> None:
    judge, model = judge_of(), "openrouter/unmasked"
    assert judge.is_open(model, {model}, date(2026, 1, 1)) is None
    assert judge.is_open(model, {model}, date(2026, 2, 1)) is True


def test_attribution() -> None:
    judge = judge_of(("tuner/qwen-mix", "tuner/qwen-mix", "tuner/Mix-1", 1))

    def whom(model: str) -> tuple[str, str]:
        found = judge.attribution(model, {model})
        return found.organization.name, found.publisher.region

    assert whom("qwen/llama-distill") == ("Qwen", "china")  # the publisher has a tracked model
    assert whom("tuner/qwen-mix") == ("Meta", "eu")  # lineage goes before the pattern
    assert whom("tuner/my-qwen-llama") == ("Qwen", "eu")  # lowest priority number wins
    assert whom("tuner/plain") == ("Tuner", "eu")
    assert whom("openrouter/masked") == ("unknown", "unknown")


def test_exact_slugs_go_before_stripped_ones() -> None:
    judge = judge_of(
        ("z-ai/glm-4.6v", "z-ai/glm-4.6-20251208", "zai-org/GLM-4.6V", 9),
        ("z-ai/glm-4.6", "z-ai/glm-4.6", "zai-org/GLM-4.6", 1),
    )
    assert judge.catalogue.find("z-ai/glm-4.6", {"z-ai/glm-4.6"}) == (True, "zai-org/GLM-4.6")
    dated = judge.catalogue.find("z-ai/glm-4.6", {"z-ai/glm-4.6-20251208"})
    assert dated == (True, "zai-org/GLM-4.6")


def test_newest_vintage_of_each_completed_day() -> None:
    def row(day: int, tokens: int, as_of: datetime) -> dict[str, object]:
        return {"source": "openrouter_rankings", "day": date(2026, 1, day), "as_of": as_of,
                "model_permaslug": "qwen/a-20260101:free", "total_tokens": tokens,
                "pull_id": as_of.isoformat()}  # fmt: skip

    first, second = datetime(2026, 1, 2, 5), datetime(2026, 1, 3, 5)
    tokens = frame(
        "openrouter_tokens", row(1, 10, first), row(2, 3, first), row(1, 11, second),
        row(2, 20, second), row(3, 1, second),
    )  # fmt: skip
    table = inference.by_model(tokens, judge_of())
    assert table.select("model", "tokens", "days_present", "days_in_month").rows() == [("qwen/a", 31, 2, 31)]


# ---------------------------------------------------------------------------------- the comparison


def test_differences_are_found_and_shown() -> None:
    oracle = pl.DataFrame({"k": [1, 2, 3], "n": [1, 2, 3], "x": [0.1, 0.2, None]})
    assert compare.differences(oracle, oracle, ["k"], ["n", "x"]) == ""
    other = oracle.with_columns(pl.col("n") + 1, pl.col("x") * (1 + 1e-8))
    message = compare.differences(oracle, other, ["k"], ["n", "x"])
    assert "3 of 3 rows differ (n 3, x 2)" in message
    assert "n oracle 1 warehouse 2" in message
    assert "only in the oracle" in compare.differences(oracle, oracle[:2], ["k"], ["n"])
    assert "only in the warehouse" in compare.differences(oracle[:2], oracle, ["k"], ["n"])
    assert "repeated key" in compare.differences(oracle, pl.concat([oracle] * 2), ["k"], ["n"])
    assert "lacks the columns x" in compare.differences(oracle, oracle.drop("x"), ["k"], ["x"])
    close = oracle.with_columns(pl.col("x") * (1 + 1e-11))
    assert compare.differences(oracle, close, ["k"], ["x"]) == ""


def test_unequal_keeps_what_has_to_be_looked_at() -> None:
    oracle = pl.DataFrame({"k": [1, 2, 3], "v": ["a", None, "c"], "unused": [0, 0, 0]})
    theirs = pl.DataFrame({"k": [1, 2, 4, 4], "v": ["a", None, "d", "d"]})
    mine, other = compare.unequal(oracle, theirs, ["k"], ["v"])
    assert (mine["k"].to_list(), other["k"].to_list()) == ([3], [4, 4])  # NULL equals NULL
    changed = oracle.with_columns(v=pl.lit("a"))
    assert [side["k"].to_list() for side in compare.unequal(oracle, changed, ["k"], ["v"])] == [[2, 3]] * 2
    doubled = pl.concat([oracle, oracle[:1]])
    assert "repeated key" in compare.differences(
        *compare.unequal(oracle, doubled, ["k"], ["v"]), ["k"], ["v"]
    )
    assert "lacks the columns v" in compare.differences(
        *compare.unequal(oracle, theirs.drop("v"), ["k"], ["v"]), ["k"], ["v"]
    )
