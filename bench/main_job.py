"""How the main job's costs relate to each other: ratios within one run of this script.

    python bench/main_job.py [--world sample|recorded:DIR]

Prints the wall time of a first run in an empty home, of a second run with nothing new, and of one in
which one month has to be loaded again, each as a ratio to the first. Absolute seconds depend on the
machine; the ratios are what to compare before and after a change.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb


def timed(*arguments: str, environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "atom_dagster", *arguments],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", default="sample")
    world = parser.parse_args().world
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        environment = os.environ | {"ATOM_HOME": str(home), "ATOM_WORLD": world}
        environment.pop("DAGSTER_HOME", None)
        first = timed("run", environment=environment)
        second = timed("run", environment=environment)
        with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
            connection.execute(
                "delete from raw.loads where scope = 'hub'"
                " and month = (select max(month) from raw.loads where scope = 'hub')"
            )
        one_month = timed("run", environment=environment)
    print(f"first run              1.00  ({first:.1f} s here)")
    print(f"second, nothing new    {second / first:.2f}")
    print(f"one month loaded again {one_month / first:.2f}")


if __name__ == "__main__":
    main()
