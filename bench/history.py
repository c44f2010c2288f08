"""Whether one more month costs the same however long the history is: a ratio within one run.

    python bench/history.py [--repeat 3] [--keep FOLDER]

Two homes of the sample world's size, one with 36 months and one with 120 (the 36, and before them copies of
them moved into the past), each already built and published. Then a month passes, and the whole of
`atom run` (pull, load, build, check, publish) is timed in both, in turn. Issue: the ratio stays below 1.2.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import NamedTuple

import duckdb

BEFORE, AFTER = "2026-11-02T06:00:00+00:00", "2026-12-02T06:00:00+00:00"
FIRST, LONG_FIRST = date(2023, 11, 1), date(2016, 11, 1)
BLOCKS = [(36, date(2020, 11, 1)), (72, date(2017, 11, 1)), (108, date(2016, 11, 1))]
"""Months by which a copy is moved, and its first month that is kept; it ends where the one before begins."""
DATED = {"hf_models": "observed_on", "hf_derivatives": "observed_on", "openrouter_tokens": "day"}


class Cost(NamedTuple):
    """Of a whole `atom run`: what a person waits, and what both cores work (steadier on a busy machine)."""

    elapsed_s: float
    cpu_s: float


def run(home: Path, now: str, first: date, *, quiet: bool = True) -> Cost:
    """A whole `atom run` in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER")}
    environment |= {"ATOM_HOME": str(home), "ATOM_NOW": now, "ATOM_WORLD": "sample"}
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, __file__, "--child", first.isoformat()],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL if quiet else None,
        stderr=subprocess.DEVNULL if quiet else None,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(
        time.perf_counter() - started,
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


def child(first: date) -> None:
    """`atom run` over a series that begins in another month."""
    import dagster as dg

    from atom_dagster import partitions

    partitions.FIRST_MONTH = first
    partitions.MONTHLY = dg.MonthlyPartitionsDefinition(first.isoformat(), end_offset=1)
    from atom_dagster.cli import main

    sys.argv = ["atom", "run"]
    main()


def lengthen(warehouse: Path) -> None:
    """Put copies of the warehouse's raw months before them, until it begins in ``LONG_FIRST``."""
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(
            "create temp table first_counters as select model_id,"
            " arg_min(downloads_all_time, observed_on) as first_counter from raw.hf_models group by model_id"
        )
        end = FIRST
        for months, start in BLOCKS:
            mark = f"-before-{months}"
            for table, dated in DATED.items():
                moved = f"({dated} - interval {months} month)::date"
                # A copy's counter grows towards the first true reading, or it would fall at every seam.
                counter = (
                    f"(first_counter * date_diff('day', date '{LONG_FIRST}', {moved})"
                    f" // date_diff('day', date '{LONG_FIRST}', date '{FIRST}'))::bigint"
                )
                counters = (
                    f", {counter} as downloads_all_time, least(downloads_30d, {counter}) as downloads_30d"
                    if table == "hf_models"
                    else ""
                )
                first_counters = "left join first_counters using (model_id)" if counters else ""
                unwanted = " exclude (first_counter)" if counters else ""
                connection.execute(
                    f"insert into raw.{table} select *{unwanted} replace ({moved} as {dated},"
                    f" pull_id || '{mark}' as pull_id{counters}) from raw.{table} {first_counters}"
                    f" where {moved} >= date '{start}' and {moved} < date '{end}'"
                    f" and pull_id not like '%-before-%'"
                    # The 31st of a longer month and the 30th fall on one day.
                    f" and {dated} = {moved} + interval {months} month"
                )
            connection.execute(
                f"insert into raw.pulls select * replace (pull_id || '{mark}' as pull_id,"
                f" fetched_at - interval {months} month as fetched_at,"
                f" as_of - interval {months} month as as_of)"
                f" from raw.pulls where pull_id || '{mark}' in (select pull_id from raw.hf_models"
                " union select pull_id from raw.openrouter_tokens)"
            )
            connection.execute(
                f"insert into raw.loads select scope, (month - interval {months} month)::date, reader,"
                f" list_transform(pull_ids, lambda p: p || '{mark}')"
                " from raw.loads where scope in ('hub', 'openrouter') and not list_contains("
                "list_transform(pull_ids, lambda p: contains(p, '-before-')), true)"
                f" and (month - interval {months} month)::date >= date '{start}'"
                f" and (month - interval {months} month)::date < date '{end}'"
            )
            end = start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="keep the homes here, and use those that are there")
    parser.add_argument("--child", type=date.fromisoformat, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        firsts = {"36": FIRST, "120": LONG_FIRST}
        homes = {name: folder / name for name in firsts}
        if not homes["120"].exists():
            run(homes["36"], BEFORE, FIRST)
            shutil.copytree(homes["36"], homes["120"], symlinks=True)
            lengthen(homes["120"] / "warehouse.duckdb")
        for name, home in homes.items():
            # Marts of other code would be built anew, whole, when the month is added.
            run(home, BEFORE, firsts[name])
            with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
                found = connection.execute(
                    "select count(distinct month) filter (where scope = 'hub'),"
                    " (select count(*) from raw.hf_models) from raw.loads"
                ).fetchone()
            print(f"{name} months: {found}")
        costs: dict[str, list[Cost]] = {name: [] for name in homes}
        for turn in range(arguments.repeat):
            for name in sorted(homes, reverse=bool(turn % 2)):
                home = Path(scratch) / f"turn-{turn}-{name}"
                shutil.copytree(homes[name], home, symlinks=True)
                costs[name].append(run(home, AFTER, firsts[name]))
                shutil.rmtree(home)
    for measure in Cost._fields:
        seconds = {name: [getattr(cost, measure) for cost in found] for name, found in costs.items()}
        for name, values in seconds.items():
            print(f"{name} months, {measure}: {', '.join(f'{value:.1f}' for value in values)}")
        ratios = [long / short for short, long in zip(seconds["36"], seconds["120"], strict=True)]
        span = f"{min(ratios):.2f} … {max(ratios):.2f}"
        print(f"one month added, 120 months to 36, {measure}: {statistics.median(ratios):.2f} ({span})")


if __name__ == "__main__":
    main()
