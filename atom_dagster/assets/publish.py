"""Publication: the marts as one DuckDB file and Parquet, let out only if every blocking rule holds.

Belongs here: evaluating the rules, making a build, swapping the link. Does not belong here: the
rules (``rules``) or the tables (``dbt_project``).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from atom_dagster import __version__, dbt_docs, exports, inputs, overtaken, report, rules
from atom_dagster.assets import dbt
from atom_dagster.pool import WRITER_POOL
from atom_dagster.preview import markdown_table
from atom_dagster.quoting import literal
from atom_dagster.resources import Home
from atom_dagster.settings import Settings
from atom_dagster.warehouse import STORAGE_VERSION, Warehouse, WriterLock

BUILDS_KEPT = 3
PUBLISHED_SCHEMA = "marts"
REFUSAL = "Nothing was published, because a blocking rule is violated."


class Refused(RuntimeError):
    """A blocking rule is violated; the message names the rules and their first violations."""


class Stale(Refused):
    """The standing marts are not those of what is loaded now."""


@dataclass(frozen=True)
class Build:
    """What ``builds/<id>/build.json`` and ``meta.build`` say of a build."""

    build_id: str
    world: str
    is_synthetic: bool
    built_at: str
    inputs: str
    """Digest of loaded pulls, code and seeds: with the same vars, the same inputs give the same marts."""
    code: str
    """Digest of the package and the dbt project."""
    vars: str
    as_of: str | None
    """The UTC instant whose state of knowledge this build is of; None: all that was loaded."""
    atom_version: str
    duckdb_version: str
    dbt_version: str
    dagster_version: str


def published_build(home: Path) -> dict[str, Any] | None:
    """What the published build says of itself, or None when nothing is published."""
    try:
        return dict(json.loads((home / "published" / "build.json").read_text()))
    except (OSError, ValueError):
        return None


def publish(
    home: Path,
    warehouse: Warehouse,
    settings: Settings,
    rendered: Callable[[report.Rendered], None] | None = None,
) -> Build:
    """Evaluate every rule, then make a build of the marts and let readers see it.

    One at a time, and while nobody builds marts. The warehouse is held for as long as tables are copied from
    it; what is made of the copy takes longer, so what is loaded is compared once more before the swap.

    Args:
        home: The world's home.
        warehouse: That home's; nobody holds its lock in this thread.
        settings: This process's settings.
        rendered: Is told what the report page shows.

    Raises:
        Stale: the marts are not of what is loaded now.
        Refused: a blocking rule is violated, or they stand as of another instant. What was published stays.
    """
    with WriterLock(home / "build").held("publication"):
        with warehouse.writing("publication") as connection:
            built_from, verdicts = _checked(connection, settings)
            build, draft = _drafted(home, built_from, settings)
            _write_database(connection, draft, build, verdicts)
            columns = dbt_docs.columns_of(connection)
        (draft / "build.json").write_text(json.dumps(asdict(build), indent=2) + "\n")
        dbt_docs.write(draft / "docs" / "index.html", dbt.built_manifest(home), columns)
        page = report.render(draft / "atom.duckdb", draft / "report" / "index.html")
        if rendered:
            rendered(page)
        # Last but the checksums: the card links what lies there.
        _write_checksums(draft, exports.write(draft))
        final = draft.with_name(build.build_id)
        # Nobody writes while this reads, nor before the swap is made.
        with warehouse.reading("the swap of a publication") as connection:
            if inputs.of_marts(connection) != built_from:
                shutil.rmtree(draft)
                raise Stale(
                    "Nothing was published, because more was loaded while the build was written;"
                    " run `atom run`, or materialize the dbt models and publish."
                )
            draft.rename(final)
            _point_to(home / "published", final)
        _prune(final.parent, final)
    return build


def _checked(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> tuple[inputs.BuiltFrom, list[rules.Verdict]]:
    """What the marts were built from, and every rule's verdict on them; none of them blocks.

    Raises:
        Stale, Refused: as ``publish`` does.
    """
    # First, since rules that compare marts with what is loaded would say it in other words.
    built_from = inputs.of_marts(connection)
    if built_from is None:
        raise Stale(
            "Nothing was published, because the marts were not built whole from what is loaded now;"
            " materialize the dbt models (or run `atom run`), then publish."
        )
    verdicts = rules.evaluate(connection, rules.RULES, settings.today(), settings.as_of)
    broken = [verdict for verdict in verdicts if verdict.rule.is_blocking and not verdict.passed]
    if broken:
        raise Refused(f"{REFUSAL} {' '.join(verdict.sentence() for verdict in broken)}")
    as_of = inputs.as_of(built_from.vars)
    if as_of != inputs.as_of(inputs.build_vars(settings)):
        raise Refused(
            f"Nothing was published, because the marts stand as of {as_of or 'the present'}; materialize the"
            " dbt models (or run `atom run`), then publish."
        )
    return built_from, verdicts


def _drafted(home: Path, built_from: inputs.BuiltFrom, settings: Settings) -> tuple[Build, Path]:
    """A build with a name of its own, and the folder it is written in."""
    now = settings.now().astimezone(UTC)
    build = Build(
        build_id=f"{now:%Y%m%dT%H%M%SZ}-{built_from.digest[:8]}",
        world=settings.world_name,
        is_synthetic=settings.kind == "sample",
        built_at=now.isoformat(timespec="seconds"),
        inputs=built_from.digest,
        code=inputs.code_digest(),
        vars=built_from.vars,
        as_of=inputs.as_of(built_from.vars),
        atom_version=__version__,
        duckdb_version=duckdb.__version__,
        dbt_version=version("dbt-core"),
        dagster_version=version("dagster"),
    )
    builds = home / "builds"
    # A finished build is never touched: it may be the published one, and somebody may be reading it.
    build = _under_a_free_name(build, builds)
    draft = builds / f".{build.build_id}.draft"
    for leftover in builds.glob(".*.draft"):
        shutil.rmtree(leftover)
    (draft / "parquet").mkdir(parents=True)
    return build, draft


def _under_a_free_name(build: Build, builds: Path) -> Build:
    again = 1
    name = build.build_id
    while (builds / name).exists():
        again += 1
        name = f"{build.build_id}-{again}"
    return replace(build, build_id=name)


def _write_database(
    connection: duckdb.DuckDBPyConnection,
    draft: Path,
    build: Build,
    verdicts: Sequence[rules.Verdict],
) -> None:
    tables = connection.execute(
        "select table_name, sql, comment, estimated_size from duckdb_tables()"
        f" where schema_name = '{PUBLISHED_SCHEMA}' and database_name = current_database() order by 1"
    ).fetchall()
    source = connection.execute("select current_database()").fetchone()
    assert source is not None  # noqa: S101 - a connection has a database
    connection.execute(
        f"attach {literal(draft / 'atom.duckdb')} as published (storage_version '{STORAGE_VERSION}')"
    )
    try:
        connection.execute(f"create schema published.{PUBLISHED_SCHEMA}")
        connection.execute("create schema published.meta")
        connection.execute("use published")
        marks = (
            f"world: {literal(build.world)}, is_synthetic: '{str(build.is_synthetic).lower()}',"
            f" build_id: '{build.build_id}'" + (f", as_of: '{build.as_of}'" if build.as_of else "")
        )
        for name, ddl, comment, _ in tables:
            _copy_table(connection, source[0], name, ddl, comment)
            # The copy lies in total order already.
            connection.execute(
                f"copy {PUBLISHED_SCHEMA}.{name}"
                f" to {literal(draft / 'parquet' / f'{name}.parquet')}"
                f" (format parquet, compression zstd, kv_metadata {{{marks}}})"
            )
        _write_meta(connection, source[0], build, verdicts)
    finally:
        connection.execute(f"use {source[0]}")
        connection.execute("detach published")


def _copy_table(
    connection: duckdb.DuckDBPyConnection, source: str, name: str, ddl: str, comment: str | None
) -> None:
    """Create a table from its own DDL, with comments, and fill it in total order."""
    prefix = f"CREATE TABLE {PUBLISHED_SCHEMA}."
    if not ddl.startswith(prefix):
        raise RuntimeError(f"marts.{name} has a DDL that cannot be copied: {ddl[:80]}")
    connection.execute(ddl)
    target = f"published.{PUBLISHED_SCHEMA}.{name}"
    if comment:
        connection.execute(f"comment on table {target} is {literal(comment)}")
    columns = connection.execute(
        "select column_name, comment from duckdb_columns() where database_name = ?"
        " and schema_name = ? and table_name = ? and comment is not null",
        [source, PUBLISHED_SCHEMA, name],
    ).fetchall()
    for column, text in columns:
        connection.execute(f'comment on column {target}."{column}" is {literal(text)}')
    connection.execute(f"insert into {target} {_in_total_order(connection, source, name)}")


def _in_total_order(connection: duckdb.DuckDBPyConnection, source: str, name: str) -> str:
    """A select of the working table's rows, by its primary key or else by all columns."""
    table = f"{source}.{PUBLISHED_SCHEMA}.{name}"
    if name == "observations":
        # Sorting millions of rows by their texts costs more than the copy: sort the few texts, then the rows.
        return (
            f"with places as (select source, model_id, row_number() over (order by source, model_id) as place"
            f" from (select distinct source, model_id from {table}))"
            f" select observations.* from {table} inner join places using (source, model_id)"
            " order by places.place, observations.observed_on"
        )
    key = connection.execute(
        "select constraint_column_names from duckdb_constraints() where schema_name = ?"
        " and table_name = ? and constraint_type = 'PRIMARY KEY' limit 1",
        [PUBLISHED_SCHEMA, name],
    ).fetchone()
    order = ", ".join(f'"{column}"' for column in key[0]) if key else "all"
    return f"select * from {table} order by {order}"


_META_COMMENTS = {
    "world": "Which world this build measures, and whether its numbers are invented.",
    "build": "This build: when, from what, with which versions.",
    "pulls": "Every pull behind this build: what was asked, when, and where the bytes are.",
    "checks": "Every rule with its verdict for this build.",
}

_META_COLUMNS = {
    "world": {
        "world": "sample, live or recorded:DIR",
        "is_synthetic": "true: every number is simulated and none was measured",
    },
    "build": {
        "build_id": "name of the build's folder",
        "world": "the world measured",
        "is_synthetic": "whether the numbers are simulated",
        "built_at": "UTC instant of publication, ISO 8601",
        "inputs": "sha256 of loaded pulls, code and seeds",
        "code": "sha256 of the package and the dbt project",
        "vars": "dbt vars passed, JSON",
        "as_of": "UTC instant, ISO 8601: nothing fetched later is in this build; NULL: all that was loaded",
        "atom_version": "version of this project",
        "duckdb_version": "version of DuckDB",
        "dbt_version": "version of dbt-core",
        "dagster_version": "version of Dagster",
    },
    "checks": {
        "rule": "name of the rule",
        "table_name": "the table it is shown at",
        "description": "what must hold",
        "is_blocking": "whether a violation keeps a build from being published",
        "passed": "whether nothing violates it",
        "violations": "rows that violate it",
        "examples": "the first violations, as text",
    },
}


def _write_meta(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    build: Build,
    verdicts: Sequence[rules.Verdict],
) -> None:
    _create_from(connection, "build", [asdict(build)])
    _create_from(connection, "world", [{"world": build.world, "is_synthetic": build.is_synthetic}])
    _create_from(
        connection,
        "checks",
        [
            {
                "rule": verdict.rule.name,
                "table_name": ".".join(verdict.rule.asset),
                "description": verdict.rule.description,
                "is_blocking": verdict.rule.is_blocking,
                "passed": verdict.passed,
                "violations": verdict.violations,
                "examples": "; ".join(map(verdict.told, verdict.examples)),
            }
            for verdict in verdicts
        ],
    )
    by_then = "where fetched_at <= cast(? as timestamp)" if build.as_of else ""
    connection.execute(
        f"create table meta.pulls as select * from {source}.raw.pulls {by_then} order by pull_id",
        [build.as_of.removesuffix("Z")] if build.as_of else [],
    )
    for column, text in connection.execute(
        "select column_name, comment from duckdb_columns() where database_name = ?"
        " and schema_name = 'raw' and table_name = 'pulls'",
        [source],
    ).fetchall():
        connection.execute(f'comment on column meta.pulls."{column}" is {literal(text or "")}')
    for table, text in _META_COMMENTS.items():
        connection.execute(f"comment on table meta.{table} is {literal(text)}")
    for table, columns in _META_COLUMNS.items():
        for column, text in columns.items():
            connection.execute(f'comment on column meta.{table}."{column}" is {literal(text)}')


def _create_from(
    connection: duckdb.DuckDBPyConnection, table: str, records: Sequence[Mapping[str, Any]]
) -> None:
    kinds = {bool: "boolean", int: "bigint", str: "varchar"}
    columns = ", ".join(f'"{name}" {kinds.get(type(value), "varchar")}' for name, value in records[0].items())
    connection.execute(f"create table meta.{table} ({columns})")
    marks = ", ".join("?" for _ in records[0])
    connection.executemany(
        f"insert into meta.{table} values ({marks})", [list(record.values()) for record in records]
    )


def _write_checksums(folder: Path, known: Mapping[str, str]) -> None:
    """Write ``SHA256SUMS`` of all files; ``known`` has digests that are known already, by path."""
    lines = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        digest = known.get(name)
        if digest is None:
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        lines.append(f"{digest}  {name}\n")
    (folder / "SHA256SUMS").write_text("".join(lines))


def _point_to(link: Path, target: Path) -> None:
    """Swap the link in one step: readers keep the build they opened."""
    draft = link.with_name(f".{link.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target.relative_to(link.parent))
    draft.replace(link)


def _prune(builds: Path, current: Path) -> None:
    whole = sorted(
        (path for path in builds.iterdir() if path.is_dir() and not path.name.startswith(".")),
        key=lambda path: path.stat().st_mtime,
    )
    for old in [path for path in whole if path != current][: -(BUILDS_KEPT - 1)]:
        shutil.rmtree(old)


def publish_asset(upstream: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """The asset that publishes; ``upstream`` are the marts."""

    @dg.asset(
        key=["published"],
        deps=list(upstream),
        group_name="published",
        kinds={"duckdb", "parquet"},
        owners=["team:atom"],
        pool=WRITER_POOL,
        output_required=False,  # a build that gives way to the next one publishes nothing
        description=(
            "The marts as one DuckDB file and Parquet under published/, swapped in one step and only"
            " if every blocking rule holds."
        ),
    )
    def published(context: dg.AssetExecutionContext, home: Home) -> Iterator[dg.MaterializeResult]:
        settings = home.settings
        pages: list[report.Rendered] = []
        try:
            build = publish(settings.home, home.warehouse, settings, pages.append)
        except Refused as error:
            if isinstance(error, Stale) and overtaken.may_give_way(context.run, context.instance):
                overtaken.give_way(context.run, context.instance)
                context.log_event(
                    dg.AssetObservation(["published"], metadata={"not_published": overtaken.SENTENCE})
                )
                return
            raise dg.Failure(
                description=str(error), metadata={"refused": True}, allow_retries=False
            ) from error
        file = settings.home / "builds" / build.build_id / "atom.duckdb"
        with duckdb.connect(str(file), read_only=True) as connection:
            counts = connection.execute(
                "select table_name, estimated_size from duckdb_tables()"
                f" where schema_name = '{PUBLISHED_SCHEMA}' order by 1"
            ).fetchall()
        context.log.info(f"Published {build.build_id}.")
        for figure, fault in pages[0].faults.items():
            context.log.warning(f"The report's figure {figure} could not be made: {fault}")
        yield dg.MaterializeResult(
            metadata={
                "build_id": build.build_id,
                "world": build.world,
                "synthetic": build.is_synthetic,
                **({"as_of": build.as_of} if build.as_of else {}),
                "path": dg.MetadataValue.path(str(settings.home / "published")),
                "report": dg.MetadataValue.url((settings.home / "published/report/index.html").as_uri()),
                "figures": pages[0].drawn,
                "figures_empty": dg.MetadataValue.md(
                    markdown_table(["figure", "why it has no data"], pages[0].empty.items())
                ),
                "figures_at_fault": dg.MetadataValue.md(
                    markdown_table(["figure", "what went wrong"], pages[0].faults.items())
                ),
                "dagster/row_count": sum(rows for _, rows in counts),
                "tables": dg.MetadataValue.md(markdown_table(["table", "rows"], counts)),
            }
        )

    return published
