"""`atom-dbt`: dbt under the writer's lock, ending when the process that started it ends.

Belongs here: only that. A dbt that outlived its killed parent would hold the warehouse against the
next run; one without the lock could meet another writer.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from importlib.metadata import version

_READS_ONLY_FILES = {"parse", "deps", "clean", "list", "ls"}


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)


def main() -> None:
    """Run dbt with the command line's arguments against the warehouse of the configured world."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        # dbt would ask the package index whether it is the newest.
        print(f"dbt-core {version('dbt-core')}")  # noqa: T201
        return
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    from atom_dagster.settings import DBT_PROJECT, Settings
    from atom_dagster.warehouse import WriterLock

    settings = Settings.from_env()
    warehouse = settings.home / "warehouse.duckdb"
    os.environ["ATOM_WAREHOUSE"] = str(warehouse)
    os.environ.setdefault("DBT_PROJECT_DIR", str(DBT_PROJECT))
    os.environ.setdefault("DBT_PROFILES_DIR", str(DBT_PROJECT))
    from dbt.cli.main import cli

    if not _READS_ONLY_FILES.intersection(arguments):
        WriterLock(warehouse).acquire("dbt " + " ".join(arguments[:1]))
    cli(arguments)


if __name__ == "__main__":
    main()
