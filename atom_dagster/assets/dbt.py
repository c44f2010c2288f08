"""dbt assets: staging, intermediate and marts, built from raw in one dbt call.

Belongs here: how Dagster runs the dbt project and shows it. Does not belong here: any
transformation (``dbt_project``).
"""

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliInvocation,
    DbtCliResource,
    DbtProject,
    dbt_assets,
)

from atom_dagster import inputs, progress
from atom_dagster.inputs import DBT_TARGET, build_vars, project_digest
from atom_dagster.pool import WRITER_POOL
from atom_dagster.preview import markdown_table
from atom_dagster.resources import Home
from atom_dagster.settings import DBT_PROJECT, Settings
from atom_dagster.warehouse import WriterLock

STEP = "dbt_models"


def ensure_manifest() -> Path:
    """The project's parsed manifest, parsed again only when a file of the project has changed.

    Raises:
        RuntimeError: dbt cannot parse the project; the message holds its last lines.
    """
    manifest, stamp = DBT_TARGET / "manifest.json", DBT_TARGET / "manifest.fingerprint"
    fingerprint = project_digest()

    def is_current() -> bool:
        return manifest.exists() and stamp.exists() and stamp.read_text() == fingerprint

    if is_current():
        return manifest
    DBT_TARGET.mkdir(exist_ok=True)
    with (DBT_TARGET / ".parse.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_current():
            # Partial parsing misses changed seeds and unit-test rows. The vars are the build's, since
            # dbt parses everything again when they differ.
            done = subprocess.run(  # noqa: S603
                [sys.executable, "-m", "atom_dagster.dbt_launcher", "parse", "--no-partial-parse",
                 "--quiet", "--vars", build_vars(Settings.from_env()),
                 "--target-path", str(DBT_TARGET), "--log-path", str(DBT_TARGET)],
                capture_output=True,
                text=True,
                cwd=DBT_PROJECT,
                check=False,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError("dbt cannot parse the project:\n" + (done.stdout + done.stderr)[-3000:])
            stamp.write_text(fingerprint)
    return manifest


def built_manifest(home: Path) -> dict[str, Any]:
    """The manifest of the last build in this home, with the SQL as it ran; else the parsed project's.

    A build that begins meanwhile empties its folder: then the parsed one has to do.
    """
    try:
        return dict(json.loads((home / "dbt" / "manifest.json").read_text()))
    except (OSError, ValueError):
        return dict(json.loads(ensure_manifest().read_text()))


class Translator(DagsterDbtTranslator):
    """Layers as groups; seeds and sources under their own names."""

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        """The spec of one dbt node, keyed by schema and name as in the warehouse."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        node = manifest["nodes"].get(unique_id) or manifest["sources"].get(unique_id)
        if node is None or node["resource_type"] == "source":
            return spec
        layer = node["schema"]
        return spec.replace_attributes(
            key=dg.AssetKey([layer, node["name"]]),
            group_name=layer,
            owners=["team:atom"],
            kinds={"dbt", "duckdb"},
        ).merge_attributes(metadata={"materialized": node["config"]["materialized"]})

    def get_asset_check_spec(
        self,
        asset_spec: dg.AssetSpec,
        manifest: Mapping[str, Any],
        unique_id: str,
        project: DbtProject | None,
    ) -> dg.AssetCheckSpec | None:
        """The check spec of one dbt data test, with a description where dbt gives it none."""
        spec = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        return spec and spec._replace(description=_description(manifest["nodes"][unique_id]))


def _description(test: Mapping[str, Any]) -> str:
    """What a data test asks, for people: its comment, or the words for its generic kind."""
    if not test.get("test_metadata"):
        comment = takewhile(lambda line: line.startswith("--"), test["raw_code"].splitlines())
        text = " ".join(line.removeprefix("--").strip() for line in comment)
        return text[:1].upper() + text[1:]
    name, column = test["test_metadata"]["name"], test.get("column_name")
    arguments = test["test_metadata"]["kwargs"]
    if name == "keyed":
        key, filled = (", ".join(arguments.get(part, [])) for part in ("key", "required"))
        sentences = [f"{key} identify a row and are never missing." if key else ""]
        sentences += [f"Never missing: {filled}." if filled else ""]
        return " ".join(filter(None, sentences))
    if name == "accepted_values":
        return f"{column} is one of {', '.join(map(str, arguments['values']))}, or NULL."
    if name == "relationships":
        return f"{column} is a {arguments['field']} of {test['refs'][0]['name']}, or NULL."
    words = {"not_null": "is never missing", "unique": "is unique"}
    return f"{column} {words.get(name, name)}."


TRANSLATOR = Translator(DagsterDbtTranslatorSettings(enable_code_references=False))


@cache
def dbt_project() -> DbtProject:
    """The dbt project with its parsed manifest."""
    ensure_manifest()
    return DbtProject(project_dir=DBT_PROJECT, profiles_dir=DBT_PROJECT, target_path=DBT_TARGET)


def dbt_resource() -> DbtCliResource:
    """dbt, started through the launcher that holds the writer's lock."""
    launcher = Path(sys.executable).parent / "atom-dbt"
    return DbtCliResource(project_dir=dbt_project(), dbt_executable=str(launcher))


def build_arguments(settings: Settings, *, full_refresh: bool) -> list[str]:
    """The arguments of the one dbt call; unit tests are the test command's business."""
    anew = ["--full-refresh"] if full_refresh else []
    return ["build", "--exclude-resource-type", "unit_test", "--vars", build_vars(settings), *anew]


def complaint(settings: Settings) -> str:
    """What the last dbt call failed at, to follow "because"."""
    target, wrong = settings.home / "dbt", _wrong(settings)
    log = f"dbt's log is {target / 'dbt.log'}."
    if not wrong:
        return f"dbt ended before it built anything; {log}"
    kind, _, name = wrong[0]["unique_id"].split(".")[:3]
    lines = [line.strip() for line in str(wrong[0]["message"] or "").splitlines() if line.strip()]
    what = f"dbt's {kind} {name} failed ({'; '.join(lines[:2]).rstrip('.')})"
    more = f", and {len(wrong) - 1} more with it" if wrong[1:] else ""
    return f"{what}{more}; {log}"


def is_violated(settings: Settings) -> bool:
    """Whether all that the last dbt call failed at are data tests that found rows, and nothing broke."""
    return {result["status"] for result in _wrong(settings)} == {"fail"}


def _wrong(settings: Settings) -> list[dict[str, Any]]:
    try:
        results = json.loads((settings.home / "dbt" / "run_results.json").read_text())["results"]
    except (OSError, ValueError, KeyError):
        return []
    return [result for result in results if result["status"] in {"error", "fail"}]


def dbt_models_asset() -> dg.AssetsDefinition:
    """The asset definition of the whole dbt project (made when definitions are loaded)."""
    project = dbt_project()

    @dbt_assets(
        manifest=project.manifest_path,
        project=project,
        dagster_dbt_translator=TRANSLATOR,
        pool=WRITER_POOL,
        name=STEP,
    )
    def dbt_models(context: dg.AssetExecutionContext, home: Home, dbt: DbtCliResource) -> Iterator[Any]:
        settings = home.settings
        target = settings.home / "dbt"
        parents = {
            _name(key): {_name(dep) for dep in deps} for key, deps in context.assets_def.asset_deps.items()
        }
        views = {
            _name(key)
            for key, metadata in context.assets_def.metadata_by_key.items()
            if metadata["materialized"] == "view"
        }
        incremental = {
            _name(key)
            for key, metadata in context.assets_def.metadata_by_key.items()
            if metadata["materialized"] == "incremental"
        }
        total = len(context.selected_asset_keys) + len(context.selected_asset_check_keys)
        # What is announced must be what dbt then computes: one build at a time, whatever loads in between.
        with WriterLock(settings.home / "build").held("a build"):
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            with home.warehouse.writing("start of a build") as connection:
                # A run may build a part: Dagster builds what needs no month at once, the rest after the
                # months.
                built = {_name(key) for key in context.selected_asset_keys}
                origins = inputs.origins(connection, parents, built, build_vars(settings), views)
                span = inputs.rebuild(connection, incremental & built, build_vars(settings))
                inputs.announce(connection, span)
                inputs.forget(connection, built)
            invocation = dbt.cli(
                build_arguments(settings, full_refresh=span.is_full), context=context, target_path=target
            )
            yield from _results(invocation, total)
            # Reached only when every model was built and every test passed.
            with home.warehouse.writing("end of a build") as connection:
                inputs.note(connection, origins)

    return dbt_models


def _name(key: dg.AssetKey) -> str:
    return ".".join(key.path)


def _results(invocation: DbtCliInvocation, total: int) -> Iterator[Any]:
    """Yield dbt's results as Dagster's events; those of tables with their row count and first rows."""
    done = 0
    for message in invocation.stream_raw_events():
        for event in message.to_default_asset_events(
            manifest=invocation.manifest,
            dagster_dbt_translator=invocation.dagster_dbt_translator,
            context=invocation.context,
            target_path=invocation.target_path,
            project=invocation.project,
        ):
            done += 1
            progress.report("dbt", min(done, total), total)
            # What the macro tell_dagster said of this table. dagster-dbt's own fetch_row_counts would open
            # the warehouse once more for each of them.
            told = getattr(message, "_event_history_metadata", {})
            if isinstance(event, dg.Output) and "row_count" in told:
                event = event.with_metadata({**event.metadata, **_shown(told["row_count"], told["preview"])})
            yield event
    progress.report("dbt", total, total)


def _shown(row_count: int, preview: list[dict[str, Any]]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"dagster/row_count": row_count}
    if preview:
        table = markdown_table(list(preview[0]), [list(row.values()) for row in preview])
        metadata["preview"] = dg.MetadataValue.md(table)
    return metadata
