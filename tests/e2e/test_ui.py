"""What a person does in Dagster's UI, through the endpoint it uses."""

from __future__ import annotations

import time

import duckdb

RAW_HUB = [["raw", "hf_models"], ["raw", "hf_derivatives"], ["raw", "hf_probes"]]


def _all_assets(ui) -> list[list[str]]:
    nodes = ui.ask("{ assetNodes { assetKey { path } isMaterializable } }")["assetNodes"]
    return sorted(node["assetKey"]["path"] for node in nodes if node["isMaterializable"])


def test_every_asset_is_described_grouped_and_owned(ui):
    nodes = ui.ask(
        """{ assetNodes { assetKey { path } description groupName isMaterializable kinds
             owners { ... on TeamAssetOwner { team } } } }"""
    )["assetNodes"]
    mine = [node for node in nodes if node["isMaterializable"]]
    assert len(mine) > 30
    for node in mine:
        assert node["description"], node
        assert node["groupName"] != "default", node
        assert node["kinds"], node
        assert node["owners"], node


def test_start_up_says_no_warning(ui):
    text = ui.log.read_text()
    assert "Warning" not in text
    assert "WARNING" not in text


def test_one_month_is_materialized_from_the_ui(ui):
    launched = ui.ask(
        """
        mutation($params: ExecutionParams!) {
          launchPipelineExecution(executionParams: $params) {
            __typename
            ... on LaunchRunSuccess { run { runId } }
            ... on PythonError { message }
            ... on InvalidSubsetError { message }
          }
        }
        """,
        params={
            "selector": {
                "repositoryName": "__repository__",
                "repositoryLocationName": "atom",
                "jobName": "__ASSET_JOB",
                "assetSelection": [{"path": path} for path in RAW_HUB],
                "assetCheckSelection": None,
            },
            "mode": "default",
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": "2025-06-01"}]},
        },
    )["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run_id = launched["run"]["runId"]
    deadline = time.monotonic() + 180
    status = ""
    while time.monotonic() < deadline and status not in {"SUCCESS", "FAILURE"}:
        status = ui.ask("query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run_id)[
            "runOrError"
        ]["status"]
        time.sleep(1)
    assert status == "SUCCESS", ui.log.read_text()[-3000:]
    assert ui.materialized(["raw", "hf_models"]) == {"2025-06-01"}


def test_a_backfill_whose_month_breaks_a_rule_publishes_nothing(ui):
    # All counters of one archive month contradict each other: the rows are loaded, the rule fails.
    with duckdb.connect(str(ui.home / "warehouse.duckdb")) as connection:
        connection.execute("delete from raw.loads where scope = 'hub' and month = date '2025-05-01'")
    for pull in (ui.home / "landing" / "hub_archive").glob("hub_archive-2025-05-*"):
        for file in pull.rglob("*"):
            file.chmod(0o644) if file.is_file() else file.chmod(0o755)
        import shutil

        pull.chmod(0o755)
        shutil.rmtree(pull)
    (ui.home / "faults.json").write_text(
        '[{"path": "resolve/main/models/2025-05-.*parquet", "corrupt": "counters"}]'
    )
    backfill = ui.backfill(_all_assets(ui), ["2025-04-01", "2025-05-01", "2025-06-01"])
    statuses = [run["status"] for run in backfill["runs"]]
    assert len(statuses) >= 2, backfill
    assert "FAILURE" in statuses, backfill
    assert not (ui.home / "published").exists()
    assert ui.materialized(["raw", "hf_models"]) >= {"2025-04-01", "2025-06-01"}
