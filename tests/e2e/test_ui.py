"""What a person does in Dagster's UI, through the endpoint it uses.

One UI serves the whole module. Its home begins with everything pulled and loaded, nothing published and
no history; the tests run in the order in which they stand.
"""

from __future__ import annotations

import duckdb

from tests.conftest import Finished
from tests.e2e.conftest import DagsterUi, all_assets

HUB = [["raw", "hf_models"], ["raw", "hf_derivatives"], ["raw", "hf_probes"]]
MONTHS = ["2025-04-01", "2025-05-01", "2025-06-01"]


def test_it_starts_without_a_warning(ui: DagsterUi):
    said = ui.log.read_text()
    assert "Serving dagster-webserver on http://127.0.0.1:" in said
    assert "warn" not in said.lower()
    [location] = ui.locations()
    assert location["name"] == "atom"
    assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation"


def test_every_asset_and_check_is_described_grouped_and_owned(ui: DagsterUi):
    nodes = ui.ask(
        """{ assetNodes { assetKey { path } description groupName isMaterializable kinds
             owners { ... on TeamAssetOwner { team } }
             metadataEntries { label }
             assetChecksOrError { ... on AssetChecks { checks { name description } } } } }"""
    )["assetNodes"]
    # What every load writes is shown, and made by no step of its own.
    shown = {tuple(node["assetKey"]["path"]) for node in nodes if not node["isMaterializable"]}
    assert shown == {("raw", "pulls"), ("raw", "quarantine")}
    assert len(nodes) > 50
    for node in nodes:
        schema = node["assetKey"]["path"][0]
        assert node["description"], node
        assert node["groupName"] == schema, node
        assert node["kinds"], node
        assert node["owners"] == [{"team": "atom"}], node
        labels = {entry["label"] for entry in node["metadataEntries"]}
        assert schema == "published" or "dagster/column_schema" in labels, node
        for check in node["assetChecksOrError"].get("checks", []):
            assert check["description"], check


def test_one_month_is_materialized(ui: DagsterUi):
    run = ui.materialize(HUB, "2025-06-01")
    assert run["status"] == "SUCCESS"
    for path in HUB:
        assert ui.materialized(*path) == {"2025-06-01"}


def test_a_backfill_in_which_a_month_breaks_a_rule_publishes_nothing(ui: DagsterUi, sample: Finished):
    ui.forget("2025-05")
    ui.spoil(sample, "2025-05", "counters")
    backfill = ui.backfill(all_assets(ui), MONTHS)
    violated = {
        event["evaluation"]["checkName"]
        for event in backfill.events("AssetCheckEvaluationEvent")
        if not event["evaluation"]["success"]
    }
    assert "counters_agree" in violated
    # Dagster starts the run that builds and publishes although the check failed in the months' run.
    [months] = [run for run in backfill.runs if backfill.materialized("raw", "hf_models", run=run)]
    [build] = [run for run in backfill.runs if backfill.materialized("marts", "observations", run=run)]
    assert months is not build
    assert months["status"] == build["status"] == "FAILURE"
    assert backfill.materialized("raw", "hf_models") == MONTHS
    assert backfill.materialized("marts", "models") == [None]
    assert backfill.materialized("published") == []
    assert "Nothing was published, because a blocking rule is violated. counters_agree" in backfill.failures()
    assert not (ui.home / "published").exists()
    assert not list((ui.home / "builds").glob("*")) if (ui.home / "builds").exists() else True


def test_a_clean_backfill_publishes_once(ui: DagsterUi):
    ui.forget("2025-05")
    ui.write_faults([])
    backfill = ui.backfill(all_assets(ui), MONTHS)
    assert set(backfill.statuses) == {"SUCCESS"}, backfill.failures()
    assert backfill.materialized("raw", "hf_models") == MONTHS
    assert backfill.materialized("published") == [None]
    [build] = (ui.home / "builds").iterdir()
    assert (ui.home / "published").resolve() == build
    # Every materialization of a table says how many rows it has.
    told = {
        "/".join(event["assetKey"]["path"]): entry["intValue"]
        for event in backfill.events("MaterializationEvent")
        for entry in event["metadataEntries"]
        if entry["label"] in {"dagster/row_count", "dagster/partition_row_count"}
    }
    rowless = {"/".join(path) for path in all_assets(ui) if path[0] == "staging"} | {"published/status"}
    assert set(told) == {"/".join(path) for path in all_assets(ui)} - rowless
    with duckdb.connect(str(build / "atom.duckdb"), read_only=True) as connection:
        [(models,)] = connection.execute("select count(*) from marts.models").fetchall()
    assert told["marts/models"] == models > 1000
