"""`atom`: a thin face over the Dagster jobs.

Belongs here: arguments, progress bars, exit codes, sentences for people. Does not belong here: any
work; that is the jobs' (``schedules``) and assets'.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from atom_dagster import __version__, partitions
from atom_dagster.settings import ROOT, Settings, SettingsError, parse_as_of

DONE, REFUSED, USAGE, SOURCE_FAILED = 0, 1, 2, 3
BUG, INTERRUPTED = 70, 130
"""What should not happen (as in sysexits.h), and Ctrl-C: none of the contract's codes may lie."""

_err = Console(stderr=True, highlight=False)
_out = Console(highlight=False)

F = TypeVar("F", bound=Callable[..., Any])


class CliError(click.ClickException):
    """One sentence on stderr and an exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        """Print the sentence."""
        click.echo(f"atom: {self.message}", file=file or sys.stderr)


def _world_options(command: F) -> F:
    """`--world`, `--home`, `--seed` and `--debug`, written to the environment that settings read."""

    @click.option("--world", help="sample (default), live, or recorded:DIR.")
    @click.option("--home", type=click.Path(path_type=Path), help="Where this world's data lives.")
    @click.option("--seed", type=int, help="Another story of the sample world.")
    @click.option("--debug", is_flag=True, help="Show tracebacks and Dagster's log.")
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        world: str | None,
        home: Path | None,
        seed: int | None,
        debug: bool,
        **kwargs: Any,
    ) -> Any:
        for name, value in (("ATOM_WORLD", world), ("ATOM_HOME", home), ("ATOM_SEED", seed)):
            if value is not None:
                os.environ[name] = str(value)
        try:
            settings = Settings.from_env()
            # Subprocesses must see the same home wherever they start.
            os.environ["ATOM_HOME"], os.environ["ATOM_WORLD"] = str(settings.home), settings.world
            return command(*args, settings=settings, debug=debug, **kwargs)
        except SettingsError as error:
            raise CliError(str(error), USAGE) from error
        except KeyboardInterrupt as error:
            said = "Interrupted; what was committed stays. Run again to go on."
            raise CliError(said, INTERRUPTED) from error
        except (CliError, click.ClickException, click.exceptions.Exit):
            raise
        except Exception as error:
            if debug:
                raise
            first = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise CliError(f"{first} (--debug shows where)", BUG) from error

    return wrapped  # type: ignore[return-value]


def _accept_shrink(command: F) -> F:
    """`--accept-shrink`, written to the environment that settings read."""

    @click.option(
        "--accept-shrink",
        "shrinks",
        multiple=True,
        type=click.DateTime(["%Y-%m-%d"]),
        metavar="YYYY-MM-DD",
        help="Record the archive's snapshot of this day although it holds less than half of the one before.",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, shrinks: Sequence[datetime], **kwargs: Any) -> Any:
        if shrinks:
            os.environ["ATOM_ACCEPT_SHRINK"] = ",".join(day.date().isoformat() for day in shrinks)
        return command(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="atom")
def main() -> None:
    """Measure who builds the open language models people use, and how fast that changes."""


@main.command()
@click.option(
    "--as-of",
    metavar="WHEN",
    help="Pull nothing; build and publish from what had been fetched by then: a UTC day, meaning its end,"
    " or an ISO instant. The next run without it publishes the present again.",
)
@_accept_shrink
@_world_options
def run(settings: Settings, debug: bool, as_of: str | None) -> None:
    """Pull every source, load every observable month, build the marts, check and publish them."""
    if as_of is not None:
        if settings.accepted_shrinks:
            raise CliError("--as-of pulls nothing, so --accept-shrink has no use; leave one out.", USAGE)
        settings = replace(settings, as_of=parse_as_of(as_of))
        sys.exit(_run(settings, [], debug=debug, everything=True))
    months = partitions.months_between(partitions.FIRST_MONTH, settings.today())
    sys.exit(_run(settings, months, debug=debug, everything=True))


@main.command()
@click.option("--from", "first", required=True, metavar="YYYY-MM", help="First month.")
@click.option("--to", "last", required=True, metavar="YYYY-MM", help="Last month, included.")
@_accept_shrink
@_world_options
def backfill(settings: Settings, debug: bool, first: str, last: str) -> None:
    """Fill a range of months again, then build the marts, check and publish them."""
    try:
        start, end = partitions.parse_month(first), partitions.parse_month(last)
    except ValueError as error:
        raise CliError(str(error), USAGE) from error
    if end < start:
        raise CliError(f"--from {first} lies after --to {last}; swap them.", USAGE)
    if end > partitions.month_of(settings.today()):
        raise CliError(f"{last} has not begun; choose a month up to the current one.", USAGE)
    months = partitions.months_between(start, end)
    sys.exit(_run(settings, months, debug=debug, everything=False))


def _run(settings: Settings, months: Sequence[date], *, debug: bool, everything: bool) -> int:
    from atom_dagster import pipeline

    _say_world(settings)
    with _progress(debug) as reporter:
        if settings.as_of:
            _say(f"As of {settings.as_of:%Y-%m-%dT%H:%M:%SZ}: nothing is pulled.")
            outcome = pipeline.run_as_of(settings, reporter=reporter, debug=debug)
        else:
            outcome = pipeline.run(settings, months, reporter=reporter, debug=debug)
    for line in outcome.lines():
        _say(line)
    if outcome.unobservable_everywhere and not everything:
        _say(
            "atom: no source can observe "
            + (
                f"{months[0]:%Y-%m}"
                if len(months) == 1
                else f"any month from {months[0]:%Y-%m} to {months[-1]:%Y-%m}"
            )
            + f"; {outcome.why_unobservable}"
        )
    if outcome.refused:
        _say(f"atom: {outcome.refused}")
    for failure in outcome.failures:
        _say(f"atom: {failure}")
    if outcome.build:
        state = "Published" if outcome.is_new else "Still published:"
        if not (outcome.is_new or outcome.refused or outcome.failures):
            state = "Nothing new; still published:"
        _say_built(settings, outcome.build, state)
    if outcome.refused:
        return REFUSED
    if outcome.failures or (outcome.unobservable_everywhere and not everything):
        return SOURCE_FAILED
    return DONE


def _say(sentence: str) -> None:
    """A line on stderr as it stands: names in it are no markup, and it is not wrapped."""
    click.echo(sentence, err=True)


def _say_waiting(who: str) -> None:
    _say(f"atom: waiting for {who} …")


def _say_world(settings: Settings) -> None:
    what = {
        "sample": f"sample world (seed {settings.seed}): every number is synthetic",
        "live": "live world: the real services",
        "recorded": f"recorded world: answers kept in {settings.world.partition(':')[2]}",
    }[settings.kind]
    _err.print(f"[bold]atom[/] · {what}")


def _say_built(settings: Settings, build: dict[str, Any], state: str) -> None:
    published = settings.home / "published" / "atom.duckdb"
    with _open_published(settings) as connection:
        tables = connection.execute(
            "select count(*) from duckdb_tables() where schema_name = 'marts'"
        ).fetchone()
        span = connection.execute(
            "select min(month), max(month), count(distinct model_id)"
            " from marts.downloads_by_model_monthly where downloads is not null"
        ).fetchone()
        warnings = _warnings(connection)
    synthetic = " · synthetic" if build["is_synthetic"] else ""
    as_of = f" · as of {build['as_of']}" if build.get("as_of") else ""
    _out.print(f"\n{state} build [bold]{build['build_id']}[/]{synthetic}{as_of}", soft_wrap=True)
    if tables and span and span[0]:
        _out.print(f"  {tables[0]} marts · {span[2]} models measured · {span[0]:%Y-%m} to {span[1]:%Y-%m}")
    _out.print(f"  {_short(published)}", soft_wrap=True)
    for warning in warnings:
        _out.print(f"  [yellow]warns[/] {warning}", soft_wrap=True)
    if state.startswith("Still"):
        return
    world = "" if settings.kind == "sample" else f" --world {settings.world}"
    seed = f" --seed {settings.seed}" if settings.kind == "sample" and settings.seed != 1 else ""
    question = (
        "select month, region, round(share, 3) as share from marts.downloads_by_region_monthly"
        " where region in ('china', 'us') and share is not null order by month desc, region limit 6"
    )
    atom = "atom" if shutil.which("atom") else _short(Path(sys.executable).parent / "atom")
    _out.print("\nThree things to try next:")
    _out.print(f'  {atom} sql{world}{seed} "{question}"', soft_wrap=True)
    _out.print(f"  {atom} status{world}{seed}", soft_wrap=True)
    _out.print(f"  {atom} ui{world}{seed}      (or: make ui)", soft_wrap=True)


def _warnings(connection: Any) -> list[str]:
    """The rules the build violates that do not block it, such as freshness."""
    rows = connection.execute(
        "select table_name, rule, description from meta.checks where not passed order by all"
    ).fetchall()
    return [f"{table}.{rule} is violated: {text}." for table, rule, text in rows]


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@contextlib.contextmanager
def _progress(debug: bool) -> Iterator[Callable[[str, int, int | None], None]]:
    """Bars on a terminal, a line per stage elsewhere; nothing when Dagster's log is shown."""
    if debug:
        yield lambda _what, _done, _total: None
        return
    if not _err.is_terminal:
        said: set[str] = set()

        def line(what: str, done: int, total: int | None) -> None:
            if total is not None and done >= total and what not in said:
                said.add(what)
                _err.print(f"  {what}: {total}")

        yield line
        return
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        console=_err,
    ) as bars:
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield report


@contextlib.contextmanager
def _open_published(settings: Settings) -> Iterator[Any]:
    import duckdb

    path = (settings.home / "published" / "atom.duckdb").resolve()
    if not path.exists():
        raise CliError(
            f"Nothing is published under {_short(settings.home)} yet; run `atom run` first.", USAGE
        )
    connection = duckdb.connect(str(path), read_only=True)
    try:
        yield connection
    finally:
        connection.close()


@main.command()
@click.argument("query")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
)
@click.option("--warehouse", is_flag=True, help="Ask the working file (waits for its writer).")
@_world_options
def sql(settings: Settings, debug: bool, query: str, form: str, warehouse: bool) -> None:
    """Ask the published file a question in SQL (read-only)."""
    import duckdb

    from atom_dagster.warehouse import Warehouse

    del debug
    with contextlib.ExitStack() as stack:
        if warehouse:
            try:
                connection = stack.enter_context(
                    Warehouse(settings.home / "warehouse.duckdb").reading("atom sql", on_wait=_say_waiting)
                )
            except FileNotFoundError as error:
                raise CliError(str(error), USAGE) from error
        else:
            connection = stack.enter_context(_open_published(settings))
        try:
            result = connection.execute(query)
            names = [column[0] for column in result.description or []]
            rows = result.fetchall()
        except duckdb.Error as error:
            said = " ".join(str(error).partition("\n\n")[0].split())
            raise CliError(f"DuckDB refused the query: {said}", USAGE) from error
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
    elif form == "json":
        click.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows], default=str, indent=2))
    else:
        table = Table(*names, box=None, header_style="bold")
        for row in rows:
            table.add_row(*("NULL" if value is None else str(value) for value in row))
        console = _out if _out.is_terminal else Console(width=10_000, highlight=False)
        console.print(table)
    if settings.kind == "sample":
        _say("(synthetic: the sample world measures nothing)")


@main.command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@_world_options
def status(settings: Settings, debug: bool, form: str) -> None:
    """Months by source: what is held, what is missing and why, and what to run to fill it."""
    from atom_dagster import drawing
    from atom_dagster.status import survey

    del debug
    _say_world(settings)
    report = survey(settings, on_wait=_say_waiting)
    if form == "json":
        click.echo(json.dumps(report.as_json(), default=lambda value: value.isoformat(), indent=2))
        return
    drawing.draw(report, _out)
    if report.published:
        with _open_published(settings) as connection:
            for warning in _warnings(connection):
                _out.print(f"[yellow]warns[/] {warning}", soft_wrap=True)


@main.command()
@_world_options
def verify(settings: Settings, debug: bool) -> None:
    """Re-hash everything in landing against its manifests, and compare landing with what is loaded.

    Exit code 0: all good. 1: something is damaged; each line says what to do.
    """
    from atom_dagster import drawing, progress
    from atom_dagster.verify import verify as examine

    _say_world(settings)
    with _progress(debug) as reporter, progress.reporting_to(reporter):
        found = examine(settings, on_wait=_say_waiting)
    for line in drawing.verified(found):
        click.echo(line)
    sys.exit(REFUSED if found.damaged else DONE)


@main.command()
@click.option(
    "--vintages-older-than",
    "days",
    type=click.IntRange(min=1),
    metavar="DAYS",
    help="Also OpenRouter's answers older than this that newer ones hold in full; kept by default.",
)
@click.option("--apply", "is_applied", is_flag=True, help="Remove; without it, only say what would go.")
@_world_options
def prune(settings: Settings, debug: bool, days: int | None, is_applied: bool) -> None:
    """Remove what later pulls have replaced from landing, never the only copy of an observation.

    \b
    These may go:
      same_day      a live crawl of a day that was crawled again later that day
      pulled_again  an archive's pull that was pulled again with other content
      old_vintage   OpenRouter's answers, only with --vintages-older-than
      draft         what an attempt of an earlier day left

    A pull goes only if it is wholly loaded and a later, undamaged pull of the same source says again
    everything it says. The next `atom run` takes its rows out of the warehouse.
    """  # noqa: D301 - click's mark for lines that are not to be joined
    from atom_dagster import drawing, retention
    from atom_dagster.landing import LandingError

    del debug
    _say_world(settings)
    try:
        pruned = retention.prune(
            settings, vintages_older_than=days, is_applied=is_applied, on_wait=_say_waiting
        )
    except LandingError as error:
        wrong = str(error).partition(";")[0]
        raise CliError(f"{wrong}; nothing was pruned, `atom verify` says what to do.", REFUSED) from error
    for line in drawing.pruned(pruned):
        click.echo(line)


@main.command()
@_world_options
def doctor(settings: Settings, debug: bool) -> None:
    """Check this machine, the configuration and what each credential unlocks."""
    from atom_dagster import pipeline

    del debug
    worst = DONE
    for finding in pipeline.examine(settings):
        mark = {"good": "[green]ok[/]  ", "note": "[yellow]note[/]", "bad": "[red]bad[/] "}[finding.kind]
        _out.print(f"{mark} {finding.text}", soft_wrap=True)
        if finding.kind == "bad":
            worst = USAGE
    sys.exit(worst)


@main.command()
@_world_options
def serve(settings: Settings, debug: bool) -> None:
    """Serve the world's endpoints on loopback until interrupted."""
    from atom_dagster.worlds import open_world

    del debug
    if settings.kind == "live":
        raise CliError("The live world is the real services; there is nothing to serve.", USAGE)
    with open_world(settings) as endpoints:
        _out.print(f"Hub          {endpoints.hub or 'none in this world'}")
        for archive in endpoints.archives:
            _out.print(f"{archive.name:<12} {archive.url} ({archive.repo})")
        _out.print(f"OpenRouter   {endpoints.openrouter}")
        for catalogue in endpoints.catalogues:
            _out.print(f"catalogue    {catalogue}")
        _out.print(f"registry     {endpoints.registry}")
        _out.print("Ctrl-C ends it.")
        with contextlib.suppress(KeyboardInterrupt):
            import threading

            threading.Event().wait()


@main.command()
@click.option("--port", type=int, default=3000, show_default=True)
@_world_options
def ui(settings: Settings, debug: bool, port: int) -> None:
    """Open Dagster on 127.0.0.1 over this world's home (webserver, daemon and schedules)."""
    from atom_dagster.assets.dbt import ensure_manifest
    from atom_dagster.instance import open_instance

    del debug
    _say_world(settings)
    ensure_manifest()
    with open_instance(settings):
        home = os.environ["DAGSTER_HOME"]
    # Started from its own home, Dagster finds one dagster.yaml, the world's.
    command = [
        sys.executable,
        # Dagster recommends `dg dev` to developers; it does the same, and is no part of an installation.
        "-W",
        "ignore:Function `dev_command` is superseded:FutureWarning",
        "-m",
        "dagster",
        "dev",
        "--workspace",
        str(ROOT / "workspace.yaml"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    _err.print(f"Dagster is starting on http://127.0.0.1:{port} (Ctrl-C ends it).")
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(subprocess.call(command, cwd=home))  # noqa: S603


if __name__ == "__main__":
    main()
