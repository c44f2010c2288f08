"""The commands that ask or inspect: `sql`, `status`, `verify`, `prune`, `doctor`.

Belongs here: arguments, tables and sentences. Does not belong here: what they examine (``status``,
``verify``, ``retention``, ``pipeline``).
"""

from __future__ import annotations

import contextlib
import json
import sys

import click

from atom_dagster.commands.face import (
    DONE,
    REFUSED,
    USAGE,
    CliError,
    open_published,
    out,
    progress_bars,
    say,
    say_waiting,
    say_world,
    violations,
    world_options,
)
from atom_dagster.commands.tables import FORMS, write_rows
from atom_dagster.settings import Settings


@click.command()
@click.argument("query")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMS),
    default="table",
    show_default=True,
)
@click.option("--warehouse", is_flag=True, help="Ask the working file (waits for its writer).")
@world_options
def sql(settings: Settings, debug: bool, query: str, form: str, warehouse: bool) -> None:
    """Ask the published file a question in SQL (read-only)."""
    import duckdb

    from atom_dagster.warehouse import Warehouse

    del debug
    with contextlib.ExitStack() as stack:
        if warehouse:
            try:
                connection = stack.enter_context(
                    Warehouse(settings.home / "warehouse.duckdb").reading("atom sql", on_wait=say_waiting)
                )
            except FileNotFoundError as error:
                raise CliError(str(error), USAGE) from error
        else:
            connection = stack.enter_context(open_published(settings))
        try:
            result = connection.execute(query)
            names = [column[0] for column in result.description or []]
            rows = result.fetchall()
        except duckdb.Error as error:
            said = " ".join(str(error).partition("\n\n")[0].split())
            raise CliError(f"DuckDB refused the query: {said}", USAGE) from error
    write_rows(names, rows, form)
    if settings.kind == "sample":
        say("(synthetic: the sample world measures nothing)")


@click.command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@world_options
def status(settings: Settings, debug: bool, form: str) -> None:
    """Months by source: what is held, what is missing and why, and what to run to fill it."""
    from atom_dagster import drawing
    from atom_dagster.status import survey

    del debug
    say_world(settings)
    report = survey(settings, on_wait=say_waiting)
    if form == "json":
        click.echo(json.dumps(report.as_json(), default=lambda value: value.isoformat(), indent=2))
        return
    drawing.draw(report, out)
    if report.published:
        with open_published(settings) as connection:
            for warning in violations(connection):
                out.print(f"[yellow]warns[/] {warning}", soft_wrap=True)


@click.command()
@world_options
def verify(settings: Settings, debug: bool) -> None:
    """Re-hash everything in landing against its manifests, and compare landing with what is loaded.

    Exit code 0: all good. 1: something is damaged; each line says what to do.
    """
    from atom_dagster import drawing, progress
    from atom_dagster.verify import verify as examine

    say_world(settings)
    with progress_bars(debug) as reporter, progress.reporting_to(reporter):
        found = examine(settings, on_wait=say_waiting)
    for line in drawing.verified(found):
        click.echo(line)
    sys.exit(REFUSED if found.damaged else DONE)


@click.command()
@click.option(
    "--vintages-older-than",
    "days",
    type=click.IntRange(1, 36_500),
    metavar="DAYS",
    help="Also OpenRouter's answers older than this that newer ones hold in full; kept by default.",
)
@click.option("--apply", "is_applied", is_flag=True, help="Remove; without it, only say what would go.")
@world_options
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
    say_world(settings)
    try:
        pruned = retention.prune(
            settings, vintages_older_than=days, is_applied=is_applied, on_wait=say_waiting
        )
    except LandingError as error:
        wrong = str(error).partition(";")[0]
        raise CliError(f"{wrong}; nothing was pruned, `atom verify` says what to do.", REFUSED) from error
    for line in drawing.pruned(pruned):
        click.echo(line)


@click.command()
@world_options
def doctor(settings: Settings, debug: bool) -> None:
    """Check this machine, the configuration and what each credential unlocks."""
    from atom_dagster import pipeline

    del debug
    worst = DONE
    for finding in pipeline.examine(settings):
        mark = {"good": "[green]ok[/]  ", "note": "[yellow]note[/]", "bad": "[red]bad[/] "}[finding.kind]
        out.print(f"{mark} {finding.text}", soft_wrap=True)
        if finding.kind == "bad":
            worst = USAGE
    sys.exit(worst)
