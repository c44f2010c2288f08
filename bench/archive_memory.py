"""How much memory it takes to pull and load one file of an archive.

    python bench/archive_memory.py [--models 2200000] [--layout folders|series] [--months 1] [--limit-mb 1000]

Writes a file of the real one's shape (a row a model, wide text columns that nobody reads, lineage and
tags that are read), serves it on loopback, and lets a process of its own pull it into landing and load
its month, or a series' months, into a warehouse. Prints that process's peak resident memory, before it
began and in all, as JSON; ends with 1 when it exceeds the limit.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
INSTANT = pa.timestamp("ms", "UTC")
DAY = date(2026, 9, 30)
NOW = datetime(2026, 10, 2, tzinfo=UTC)
GROUP = 122_880
"""Rows a row group, as DuckDB writes them."""
WIDE = 220
"""Bytes of each of the three wide text columns as compressed: the real file has 1.6 GB for 2.2 M models."""
ROW = ["license:apache-2.0", "transformers", "safetensors", "text-generation", "conversational", "en"]


def write_snapshot(file: Path, models: int, group: int = GROUP) -> None:
    """A ``models.parquet`` of hub-stats."""
    dice = random.Random(7)
    pool = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz ", k=WIDE)) for _ in range(200)]
    base = pa.struct([("_id", pa.string()), ("id", pa.string())])
    lineage = pa.struct([("relation", pa.string()), ("models", pa.list_(base))])
    writer = None
    for start in range(0, models, group):
        rows = range(start, min(start + group, models))
        text = [pool[n % 200] for n in rows]
        table = pa.table(
            {
                "_id": [f"{n:024x}" for n in rows],
                "id": [f"organization-{n % 90_000}/A-model-of-some-length-{n}" for n in rows],
                "author": [f"organization-{n % 90_000}" for n in rows],
                "createdAt": pa.array(
                    [1_650_000_000_000 + n * 60_000 for n in rows], pa.timestamp("ms", "UTC")
                ),
                "likes": [n % 50 for n in rows],
                "downloads": [n % 100_000 for n in rows],
                "downloadsAllTime": [n % 1_000_000 + 100_000 for n in rows],
                "tags": [[*ROW, f"arxiv:{n}", f"dataset:x/{n % 5000}", "region:us"] for n in rows],
                "pipeline_tag": ["text-generation"] * len(rows),
                "library_name": ["transformers"] * len(rows),
                "safetensors": pa.array(
                    [{"parameters": {"BF16": n}, "total": n} for n in rows],
                    pa.struct([("parameters", pa.struct([("BF16", pa.int64())])), ("total", pa.int64())]),
                ),
                "baseModels": pa.array(
                    [
                        {"relation": "finetune", "models": [{"_id": f"{n:024x}", "id": f"x/{n % 999}"}]}
                        if n % 4 == 0
                        else None
                        for n in rows
                    ],
                    lineage,
                ),
                "cardData": text,
                "config": text,
                "siblings": text,
            }
        )
        writer = writer or pq.ParquetWriter(
            file, table.schema, use_dictionary=["pipeline_tag", "library_name"], compression="snappy"
        )
        writer.write_table(table, row_group_size=group)
    assert writer
    writer.close()


def weeks_of(months: int) -> list[date]:
    return [DAY - timedelta(weeks=n) for n in range(round(months * 52 / 12))]


def write_series(file: Path, models: int, group: int = GROUP, months: int = 1) -> None:
    """A series of so many months, a day a week, so many models in each, not sorted by day."""
    days = [datetime.combine(day, datetime.min.time()) for day in weeks_of(months)]
    count, writer = len(days), None
    for start in range(0, models * count, group):
        rows = range(start, min(start + group, models * count))
        table = pa.table(
            {
                "_id": [f"{n // count:024x}" for n in rows],
                "model": [f"organization-{n % 9_000}/A-model-of-some-length-{n // count}" for n in rows],
                "author": [f"organization-{n % 9_000}" for n in rows],
                "time": pa.array([days[n % count] for n in rows]),
                "created": pa.array([1_650_000_000_000 + n for n in rows], pa.timestamp("ms")),
                "downloadsAllTime": list(rows),
                "annotator": ["x" * 200 for _ in rows],
                "merged_derived_from": [f"{n}" * 20 for n in rows],
            }
        )
        writer = writer or pq.ParquetWriter(file, table.schema, compression="snappy")
        writer.write_table(table, row_group_size=group)
    assert writer
    writer.close()


def serve(file: Path) -> str:
    """The base URL of a server that answers every path with the file."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            size = file.stat().st_size
            self.send_response_only(200)
            if "/tree/" in self.path:
                name = "all_downloads_with_annotations.parquet"
                body = json.dumps([{"type": "file", "path": name, "size": size, "oid": "1"}]).encode()
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            self.send_header("Content-Length", str(size))
            self.end_headers()
            with file.open("rb") as stream:
                while piece := stream.read(1 << 20):
                    self.wfile.write(piece)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def peak_mb() -> float:
    # ru_maxrss would begin with what the parent had when it forked.
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) / 1024


def pull_and_load(url: str, layout: str, home: Path, months: int) -> None:
    """What the process that is measured does."""
    sys.path.insert(0, str(ROOT))
    from atom_dagster.landing import Landing
    from atom_dagster.settings import Archive, Endpoints
    from atom_dagster.sources import archive, archive_series
    from atom_dagster.sources.archive import Snapshot
    from atom_dagster.warehouse import Warehouse, replace_month

    idle, began = peak_mb(), time.perf_counter()
    name = "hub_series" if layout == "series" else "hub_archive"
    source = Archive(url, "some/archive", "selection", name=name, layout=layout)  # type: ignore[arg-type]
    world = Endpoints("bench", True, None, (source,), url, (), url)
    path = f"models/{DAY}/models.parquet"
    snapshot = Snapshot(DAY, path, None)
    if layout == "series":
        [snapshot] = archive.snapshots(world, source)
    landing = Landing(home / "landing")
    pull = archive.pull(world, landing, snapshot, archive=source, now=lambda: NOW)
    pulled, pulled_s = peak_mb(), time.perf_counter() - began
    asked = {day.replace(day=1) for day in weeks_of(months)}
    with (
        Warehouse(home / "warehouse.duckdb").writing("bench") as connection,
        archive_series.Divided(home / ".divided", asked) as archives,
    ):
        for month in sorted(asked):
            loaded = replace_month(
                connection,
                scope="hub",
                month=month,
                tables=("hf_models", "hf_derivatives"),
                pulls=[pull.record()],
                reader="bench",
                read=lambda _, month=month: archives.read(pull, month),
            )
    print(
        json.dumps(
            {
                "rows": loaded.rows,
                "months": len(asked),
                "quarantined": loaded.quarantined,
                "file_mb": round(pull.pages[0].bytes / 1e6),
                "idle_mb": round(idle),
                "after_pull_mb": round(pulled),
                "peak_mb": round(peak_mb()),
                "pull_s": round(pulled_s, 1),
                "load_s": round(time.perf_counter() - began - pulled_s, 1),
            }
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=2_200_000)
    parser.add_argument("--layout", choices=["folders", "series"], default="folders")
    parser.add_argument("--months", type=int, default=1, help="months of a series")
    parser.add_argument("--group", type=int, default=GROUP, help="rows a row group")
    parser.add_argument("--limit-mb", type=float, default=1000)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.url:
        pull_and_load(given.url, given.layout, given.home, given.months)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "models.parquet"
        if given.layout == "series":
            write_series(file, given.models, given.group, given.months)
        else:
            write_snapshot(file, given.models, given.group)
        command = [sys.executable, __file__, "--url", serve(file), "--layout", given.layout]
        command += ["--months", str(given.months), "--home", folder]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    print(done.stdout, end="")
    return int(json.loads(done.stdout)["peak_mb"] > given.limit_mb)


if __name__ == "__main__":
    sys.exit(main())
