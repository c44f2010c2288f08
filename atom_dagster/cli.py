"""`atom`: a thin face over the Dagster jobs.

Belongs here: the group, the commands that run something, and one line for each command of
``commands``. Does not belong here: any work; that is the jobs' (``schedules``) and assets'.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import click

from atom_dagster import __version__, partitions
from atom_dagster.commands import baselines, inspecting, publishing
from atom_dagster.commands.face import (
    BUG,
    DONE,
    REFUSED,
    SOURCE_FAILED,
    USAGE,
    CliError,
    accept_shrink,
    err,
    open_published,
    out,
    progress_bars,
    say,
    say_world,
    short,
    violations,
    world_options,
)
from atom_dagster.settings import ROOT, Settings, parse_as_of


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
@accept_shrink
@world_options
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
@accept_shrink
@world_options
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

    say_world(settings)
    with progress_bars(debug) as reporter:
        if settings.as_of:
            say(f"As of {settings.as_of:%Y-%m-%dT%H:%M:%SZ}: nothing is pulled.")
            outcome = pipeline.run_as_of(settings, reporter=reporter, debug=debug)
        else:
            outcome = pipeline.run(settings, months, reporter=reporter, debug=debug)
    for line in outcome.lines():
        say(line)
    if outcome.unobservable_everywhere and not everything:
        say(
            "atom: no source can observe "
            + (
                f"{months[0]:%Y-%m}"
                if len(months) == 1
                else f"any month from {months[0]:%Y-%m} to {months[-1]:%Y-%m}"
            )
            + f"; {outcome.why_unobservable}"
        )
    if outcome.refused:
        say(f"atom: {outcome.refused}")
    if outcome.fault:
        say(f"atom: {outcome.fault}")
    for failure in outcome.failures:
        say(f"atom: {failure}")
    if outcome.build:
        state = "Published" if outcome.is_new else "Still published:"
        if not (outcome.is_new or outcome.refused or outcome.fault or outcome.failures):
            state = "Nothing new; still published:"
        _say_built(settings, outcome.build, state)
    if outcome.refused:
        return REFUSED
    if outcome.fault:
        return BUG
    if outcome.failures or (outcome.unobservable_everywhere and not everything):
        return SOURCE_FAILED
    return DONE


def _say_built(settings: Settings, build: dict[str, Any], state: str) -> None:
    published = settings.home / "published" / "atom.duckdb"
    with open_published(settings) as connection:
        tables = connection.execute(
            "select count(*) from duckdb_tables() where schema_name = 'marts'"
        ).fetchone()
        span = connection.execute(
            "select min(month), max(month), count(distinct model_id)"
            " from marts.downloads_by_model_monthly where downloads is not null"
        ).fetchone()
        warnings = violations(connection)
    synthetic = " · synthetic" if build["is_synthetic"] else ""
    as_of = f" · as of {build['as_of']}" if build.get("as_of") else ""
    out.print(f"\n{state} build [bold]{build['build_id']}[/]{synthetic}{as_of}", soft_wrap=True)
    if tables and span and span[0]:
        out.print(f"  {tables[0]} marts · {span[2]} models measured · {span[0]:%Y-%m} to {span[1]:%Y-%m}")
    out.print(f"  {short(published)}", soft_wrap=True)
    out.print(f"  {short(published.parent / 'report' / 'index.html')}", soft_wrap=True)
    for warning in warnings:
        out.print(f"  [yellow]warns[/] {warning}", soft_wrap=True)
    if state.startswith("Still"):
        return
    world = "" if settings.kind == "sample" else f" --world {settings.world}"
    seed = f" --seed {settings.seed}" if settings.kind == "sample" and settings.seed != 1 else ""
    question = (
        "select month, region, round(share, 3) as share from marts.downloads_by_region_monthly"
        " where region in ('china', 'us') and share is not null order by month desc, region limit 6"
    )
    atom = "atom" if shutil.which("atom") else short(Path(sys.executable).parent / "atom")
    out.print("\nThree things to try next:")
    out.print(f'  {atom} sql{world}{seed} "{question}"', soft_wrap=True)
    out.print(f"  {atom} status{world}{seed}", soft_wrap=True)
    out.print(f"  {atom} ui{world}{seed}      (or: make ui)", soft_wrap=True)


@main.command()
@world_options
def serve(settings: Settings, debug: bool) -> None:
    """Serve the world's endpoints on loopback until interrupted."""
    from atom_dagster.worlds import open_world

    del debug
    if settings.kind == "live":
        raise CliError("The live world is the real services; there is nothing to serve.", USAGE)
    with open_world(settings) as endpoints:
        out.print(f"Hub          {endpoints.hub or 'none in this world'}")
        for archive in endpoints.archives:
            out.print(f"{archive.name:<12} {archive.url} ({archive.repo})")
        out.print(f"OpenRouter   {endpoints.openrouter}")
        for catalogue in endpoints.catalogues:
            out.print(f"catalogue    {catalogue}")
        out.print(f"registry     {endpoints.registry}")
        out.print("Ctrl-C ends it.")
        with contextlib.suppress(KeyboardInterrupt):
            import threading

            threading.Event().wait()


@main.command()
@click.option("--port", type=int, default=3000, show_default=True)
@world_options
def ui(settings: Settings, debug: bool, port: int) -> None:
    """Open Dagster on 127.0.0.1 over this world's home (webserver, daemon and schedules)."""
    from atom_dagster.assets.dbt import ensure_manifest
    from atom_dagster.instance import open_instance

    del debug
    say_world(settings)
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
    err.print(f"Dagster is starting on http://127.0.0.1:{port} (Ctrl-C ends it).")
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(subprocess.call(command, cwd=home))  # noqa: S603


main.add_command(inspecting.sql)
main.add_command(inspecting.status)
main.add_command(inspecting.verify)
main.add_command(inspecting.prune)
main.add_command(inspecting.doctor)
main.add_command(baselines.baselines)
main.add_command(publishing.publish)

if __name__ == "__main__":
    main()
