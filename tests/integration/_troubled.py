"""Invented readings with every trouble that definitions 1 knows, for the oracle and the warehouse.

Belongs here: a warehouse built on the raw tables of a small Hub whose snapshots come irregularly,
whose counters fall, restart and go missing, and whose models move, leave and return. Does not
belong here: any expectation, since the oracle and the SQL models are compared on it.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from datetime import date, datetime, time, timedelta
from pathlib import Path

import polars as pl

from atom_dagster.warehouse import Warehouse
from tests.conftest import ROOT, Finished, atom_environment
from tests.oracle.compare import raw_rows

TODAY = date(2026, 7, 10)
START = date(2024, 12, 4)
GAPS = (7, 7, 7, 7, 3, 7, 14, 7, 7, 30, 7, 7, 1, 6, 50, 7, 7, 7, 20)
"""Days between the archive's snapshots, over and over."""
COUNT = 320
NAMESPACES = {
    "Qwen": "china",
    "meta-llama": "us",
    "google": "us",
    "mistralai": "eu",
    "deepseek-ai": "china",
    "allenai": "us",
    "somebody": None,
}
"""Region by namespace; the last is not in the registry."""
SIZES = ("0.6B", "3B", "8B", "27B", "70B", "120B", "405B", "mini")
COPIED, FAULTY, LOW = 30, (20, 33), 27
"""Snapshots by number: dated wrongly, with a Hub fault, with counters low all over."""


def snapshot_days() -> list[date]:
    """The archive's days."""
    days = [START]
    while (gap := GAPS[(len(days) - 1) % len(GAPS)]) and days[-1] + timedelta(days=gap) < TODAY:
        days.append(days[-1] + timedelta(days=gap))
    return days


class Life:
    """One model: its downloads by day, and what happened to it."""

    def __init__(self, number: int) -> None:
        chance = random.Random(f"model {number}")
        size = SIZES[number % len(SIZES)]
        self.model_id = f"{list(NAMESPACES)[number % len(NAMESPACES)]}/Model-{number:03d}-{size}"
        age = chance.choice((-400, -300, -200, -100, 0, 40, 150, 300))
        self.created_on = START + timedelta(days=age + chance.randrange(60))
        self.list = "extra" if number % 16 == 5 else None if number % 16 == 6 else "core"
        rate = weather = 10 ** chance.uniform(2.0, 4.2)
        self._totals: list[int] = [0]
        for age in range((TODAY - self.created_on).days + 1):
            if age % 7 == 0:  # weeks differ, so that the windows of a snapshot do
                rate *= chance.uniform(0.9, 1.1)
                weather = rate * 10 ** chance.gauss(0, 0.25)
            burst = 12 if number % 23 == 3 and 250 < age <= 285 else 1
            self._totals.append(self._totals[-1] + round(weather * burst))
        self.trouble = ("none", "dip", "correction", "reset", "anew", "gone", "away", "moved")[number % 8]
        span = (TODAY - max(self.created_on, START)).days
        self.on = max(self.created_on, START) + timedelta(days=chance.randrange(20, max(21, span - 10)))
        self.lasts = chance.choice((3, 8, 14, 15, 40, 70))
        self.keeps = chance.choice((0.2, 0.8, 0.97))
        self.has_windows = number % 5 != 2
        self.hides_creation = number % 29 == 4

    def total(self, day: date) -> int:
        """Downloads from creation to ``day``."""
        return self._totals[min(max((day - self.created_on).days, 0), len(self._totals) - 1)]

    def reading(self, day: date) -> dict[str, object] | None:
        """What the Hub shows of the model on ``day``; None when it shows nothing."""
        is_after, is_during = day >= self.on, self.on <= day < self.on + timedelta(days=self.lasts)
        gone = (self.trouble == "gone" and is_after) or (self.trouble == "away" and is_during)
        if day < self.created_on or gone:
            return None
        a, w = self.total(day), self.total(day) - self.total(day - timedelta(days=30))
        lost = round(self.total(self.on) * (1 - self.keeps))
        if (self.trouble == "dip" and is_during) or (self.trouble == "correction" and is_after):
            a -= lost
        is_new = self.trouble in ("reset", "anew") and is_after
        if is_new:
            a -= self.total(self.on)
        created = self.on if is_new and self.trouble == "anew" else self.created_on
        return {
            "model_id": self.model_id.lower() if self.trouble == "moved" and not is_after else self.model_id,
            "hf_id": f"{self.model_id}{' again' if is_new else ''}",
            "created_at": datetime(2022, 3, 2) if self.hides_creation else datetime.combine(created, time(9)),
            "downloads_all_time": a,
            "downloads_30d": w if self.has_windows else None,
        }


def readings() -> list[dict[str, object]]:
    """``raw.hf_models``: the archive's snapshots, and live pulls on some of the same days."""
    lives = [Life(number) for number in range(COUNT)]
    days = snapshot_days()
    live_days = {*days[40::6], TODAY - timedelta(days=16), TODAY - timedelta(days=1), TODAY}
    rows = []
    for day in sorted({*days, *live_days}):
        at = days.index(day) if day in days else -1
        for number, life in enumerate(lives):
            shown = life.reading(days[at - 1] if at == COPIED else day)
            if shown is None:
                continue
            chance = random.Random(f"{number} on {day}")
            a, w = shown["downloads_all_time"], shown["downloads_30d"]
            assert isinstance(a, int)
            if at == COPIED and isinstance(w, int):
                a, w = a + 1, w + 3
            if at in FAULTY and isinstance(w, int):
                w = round(w * (0.7 if at == FAULTY[0] else 1.3))
            if at == LOW and number % 3 == 0:
                a = round(a * 0.995)
            if at >= 0 and chance.random() < 0.01:
                previous = life.reading(days[at - 1]) or shown  # a refresh that skipped the model
                a, w = previous["downloads_all_time"], previous["downloads_30d"]
            row = shown | {"observed_on": day, "likes": 1, "pull_id": f"{day} archive"}
            row |= {"source": "hub_archive", "downloads_all_time": a, "downloads_30d": w}
            if number % 11 == 7 and day.month % 2:
                row["downloads_all_time"] = None
            if number % 13 == 7 and day.day % 3 == 0:
                row["downloads_30d"] = None
            if at >= 0 and chance.random() > 0.02:
                rows.append(row)
            if life.trouble == "moved" and at >= 0 and 0 <= (day - life.on).days < 10:
                a = row["downloads_all_time"]
                low = None if a is None else round(a * 0.9)  # type: ignore[operator]
                rows.append(row | {"model_id": life.model_id.lower(), "downloads_all_time": low})
            if day in live_days:
                factor = chance.choice((1, 1, 1.004, 1.02))
                counter = row["downloads_all_time"]
                other = None if counter is None else round(counter * factor)  # type: ignore[operator]
                live = {"source": "hub_live", "pull_id": f"{day} live", "downloads_all_time": other}
                rows.append(row | live)
    return rows


def tables() -> dict[str, pl.DataFrame]:
    """Raw table → its rows; tables that are not named are empty."""
    hf_models = raw_rows("hf_models", *readings())
    lives = [Life(number) for number in range(COUNT)]
    as_of = datetime.combine(TODAY, time())
    registry = {"as_of": as_of, "pull_id": "registry"}
    asked = [life for life in lives if life.trouble == "gone" and life.on < TODAY - timedelta(days=20)][::2]
    pulls = [
        {"pull_id": pull_id, "source": source, "world": "troubled", "scope": pull_id,
         "fetched_at": datetime.combine(day, time(6)), "as_of": datetime.combine(day, time()),
         "is_complete": source == "hub_live", "requests": 1, "bytes": 1, "path": pull_id}
        for pull_id, source, day in hf_models.select("pull_id", "source", "observed_on").unique().iter_rows()
    ]  # fmt: skip
    return {
        "hf_models": hf_models,
        "hf_probes": raw_rows(
            "hf_probes",
            *(
                {"model_id": life.model_id, "observed_on": TODAY, "status_code": 404, "pull_id": "probes"}
                for life in asked
            ),
        ),
        "tracked_models": raw_rows(
            "tracked_models",
            *(
                {"model_id": life.model_id, "hf_org": life.model_id.split("/")[0], "list": life.list}
                | registry
                for life in lives
                if life.list
            ),
        ),
        "organization_regions": raw_rows(
            "organization_regions",
            *({"hf_org": name, "region": region} | registry for name, region in NAMESPACES.items() if region),
        ),
        "release_date_corrections": raw_rows(
            "release_date_corrections",
            *(
                {"model_id": life.model_id, "released_on": life.created_on + timedelta(days=9)} | registry
                for life in lives[::9]
            ),
        ),
        "pulls": raw_rows("pulls", *pulls),
    }


def build(home: Path) -> Finished:
    """The warehouse of these readings in ``home``: no world, only raw tables and dbt's seeds and models."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    with Warehouse(home / "warehouse.duckdb").writing("test") as connection:
        for name, rows in tables().items():
            connection.register("rows", rows)
            connection.execute(f"insert into raw.{name} by name from rows")
    return run_dbt(home)


def run_dbt(home: Path, *options: str) -> Finished:
    """Build the seeds and models of the warehouse in ``home``, or those that ``options`` select."""
    environment = atom_environment(home)
    arguments = ["build", "--resource-type", "seed", "--resource-type", "model", *options]
    arguments += ["--vars", json.dumps({"today": TODAY.isoformat()})]
    arguments += ["--target-path", str(home / "target"), "--log-path", str(home / "logs")]
    done = subprocess.run(
        [sys.executable, "-m", "atom_dagster.dbt_launcher", *arguments],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return Finished(home, environment, done.returncode, done.stdout, done.stderr, TODAY)
