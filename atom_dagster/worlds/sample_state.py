"""The sample world on a day: its files read into memory, and every repository's state by date.

Belongs here: readings (who is there, under which name, with which counters) and the archive's
files. Does not belong here: HTTP (``sample``), how growth came about (``sample_generate``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from atom_dagster.worlds.sample_curves import Curves
from atom_dagster.worlds.sample_facts import RENAMED_ON, rows

FIRST_FOLDER = date(2023, 11, 1)
SIZES_SINCE, LINEAGE_SINCE, STRUCTS_SINCE = date(2024, 7, 24), date(2025, 2, 5), date(2025, 8, 6)
"""Folders from which the archive has safetensors, baseModels, and baseModels as a struct."""
FIRST_REVISION, LAST_REVISION = date(2024, 4, 20), date(2024, 6, 10)
"""Days from and to which hub-stats has a commit a day."""
FIRST_OF_SERIES, LAST_OF_SERIES = date(2025, 2, 5), date(2025, 6, 25)
"""Days from and to which the series has every week."""
DIP_DAYS = 14
SPIKE_DAYS = 10


class State:
    """A generated world: ``folder`` is what ``sample_generate.ensure`` returns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = pl.read_parquet(folder / "models.parquet")
        self.curves = Curves(pl.read_parquet(folder / "curves.parquet"), self.models)
        self.corrections: list[dict[str, str]] = json.loads((folder / "corrections.json").read_text())
        self._faults = [
            (date.fromisoformat(row["on"]), float(row["value"]))
            for row in rows("quirks")
            if row["kind"] == "hub_fault"
        ]
        self._quirks = {row["folder"]: row["kind"] for row in rows("archive_quirks")}
        self.readings = lru_cache(maxsize=4)(self._readings)

    @property
    def tokens(self) -> pl.LazyFrame:
        """Daily tokens: day, model_permaslug, total_tokens."""
        return pl.scan_parquet(self.folder / "tokens.parquet")

    def _readings(self, day: date) -> pl.DataFrame:
        """Every repository that stands on the Hub at 00:00 of ``day``, oldest first.

        ``models`` with id, author, downloads, downloadsAllTime, likes, lastModified as of the day.
        """
        counter = self.curves.at(day)
        window = counter - self.curves.at(day - timedelta(days=30))
        frame = self.models.with_columns(downloadsAllTime=counter, downloads=window.clip(0))
        frame = self._with_quirks(frame, day)
        is_renamed = pl.lit(day >= RENAMED_ON)
        created, start = pl.col("created_at"), datetime(day.year, day.month, day.day)
        return (
            frame.filter(created < start, pl.col("gone_on").is_null() | (pl.col("gone_on") > day))
            .with_columns(
                id=pl.when(is_renamed).then("model_id").otherwise(pl.coalesce("old_id", "model_id")),
                likes=(pl.col("downloadsAllTime").sqrt() * pl.col("liking") / 3).cast(pl.Int64),
                lastModified=pl.min_horizontal(created + timedelta(days=3), pl.lit(start, pl.Datetime("ms"))),
            )
            .with_columns(author=pl.col("id").str.split("/").list.first())
            .sort("created_at", "row")
        )

    def _with_quirks(self, frame: pl.DataFrame, day: date) -> pl.DataFrame:
        for quirk in self.models.filter(pl.col("quirk").is_not_null()).iter_rows(named=True):
            kind, on, value = quirk["quirk"], quirk["quirk_on"], quirk["quirk_value"]
            if day < on or (kind == "dip" and day >= on + timedelta(days=DIP_DAYS)):
                continue
            all_time, window = pl.col("downloadsAllTime"), pl.col("downloads")
            changed: dict[str, pl.Expr] = {}
            if kind == "spike":
                came = _spiked(value, on, day)
                changed["downloadsAllTime"] = all_time + came
                changed["downloads"] = window + came - _spiked(value, on, day - timedelta(days=30))
            elif kind == "reset":
                before = int(self.curves.at(on)[quirk["row"]])
                changed["downloadsAllTime"] = (all_time - before).clip(0)
                changed["downloads"] = pl.min_horizontal(window, (all_time - before).clip(0))
                changed["created_at"] = pl.lit(datetime(on.year, on.month, on.day), pl.Datetime("ms"))
                changed["hub_id"] = pl.col("hub_id").str.reverse()
            else:
                lost = int(self.curves.at(on)[quirk["row"]] * (1 - value))
                changed["downloadsAllTime"] = all_time - lost
            is_it = pl.col("row") == quirk["row"]
            frame = frame.with_columns(
                **{name: pl.when(is_it).then(new).otherwise(name) for name, new in changed.items()}
            )
        fault = self._fault(day)
        return frame if fault is None else frame.with_columns((pl.col("downloads") * fault).cast(pl.Int64))

    def _fault(self, day: date) -> float | None:
        """The part of all 30-day counts the Hub shows on ``day``, if not all."""
        return next((part for on, part in self._faults if on <= day < on + timedelta(days=7)), None)

    def folders(self, today: date) -> list[date]:
        """The archive's folders: Wednesdays up to ``today``, less the one never copied."""
        count = max(0, (today - FIRST_FOLDER).days // 7 + 1)
        days = [FIRST_FOLDER + timedelta(weeks=n) for n in range(count)]
        return [day for day in days if self._quirks.get(day.isoformat()) != "absent"]

    def snapshot(self, folder: date) -> Path:
        """The file of one folder, made when it is first asked for."""
        is_copy = self._quirks.get(folder.isoformat()) == "repeats"
        day = folder - timedelta(weeks=1) if is_copy else folder
        return self._kept("archive", folder, lambda: self._archived(day))

    def revisions(self, today: date) -> list[date]:
        """The days up to ``today`` on which hub-stats was committed to."""
        count = (min(today, LAST_REVISION) - FIRST_REVISION).days + 1
        return [FIRST_REVISION + timedelta(days=n) for n in range(count)]

    def revision(self, day: date) -> Path:
        """The models.parquet of hub-stats as it was committed on a day."""
        return self._kept("revisions", day, lambda: self._archived(day))

    def series_days(self, today: date) -> list[date]:
        """The days up to ``today`` that the series holds."""
        count = (min(today, LAST_OF_SERIES) - FIRST_OF_SERIES).days // 7 + 1
        return [FIRST_OF_SERIES + timedelta(weeks=n) for n in range(count)]

    def series(self, days: Sequence[date]) -> Path:
        """The series' file, which ends on the last of these days."""

        def made() -> pl.DataFrame:
            return pl.concat([self._of_series(day) for day in days])

        return self._kept("series", days[-1], made)

    def _kept(self, room: str, day: date, make: Callable[[], pl.DataFrame]) -> Path:
        path = self.folder / room / f"{day}.parquet"
        if path.exists():
            return path
        frame = make()
        path.parent.mkdir(exist_ok=True)
        draft = path.with_name(f".{path.name}.{id(frame)}")
        frame.write_parquet(draft, compression="zstd", compression_level=1)
        draft.replace(path)
        return path

    def _of_series(self, day: date) -> pl.DataFrame:
        """One day's rows of the series: all-time counters and what is said of the model's organization."""
        return self._readings(day).select(
            pl.col("hub_id").alias("_id"),
            pl.col("id").alias("model"),
            "author",
            time=pl.lit(datetime(day.year, day.month, day.day), pl.Datetime("us")),
            created=pl.when(~pl.col("hides_creation")).then("created_at"),
            downloadsAllTime=pl.col("downloadsAllTime"),
            annotator=pl.lit("sample"),
            org_model=pl.col("author"),
        )

    def _archived(self, folder: date) -> pl.DataFrame:
        """A folder's columns, which came and went over the years as in the real archive."""
        frame = self._readings(folder)
        created = pl.when(~pl.col("hides_creation")).then("created_at")
        times = {"createdAt": created, "lastModified": pl.col("lastModified")}
        if folder < SIZES_SINCE:
            times = {k: v.dt.strftime("%Y-%m-%dT%H:%M:%S.000Z") for k, v in times.items()}
        else:
            times = {k: v.dt.replace_time_zone("UTC") for k, v in times.items()}
        columns: dict[str, Any] = {
            "_id": pl.col("hub_id"),
            "id": pl.col("id"),
            "author": pl.col("author"),
            **times,
            "likes": pl.col("likes"),
            "downloads": pl.col("downloads"),
            "downloadsAllTime": pl.col("downloadsAllTime"),
            "tags": pl.col("tags"),
            "pipeline_tag": pl.col("pipeline_tag"),
            "library_name": pl.col("library_name"),
        }
        if folder >= SIZES_SINCE:
            columns["safetensors"] = pl.when(pl.col("params").is_not_null()).then(pl.struct(total="params"))
        if folder >= LINEAGE_SINCE:
            lineage = pl.struct("relation", models="base_models")
            if folder < STRUCTS_SINCE:
                lineage = lineage.struct.json_encode()
            columns["baseModels"] = pl.when(pl.col("base_models").is_not_null()).then(lineage)
        return frame.select(**columns)


def _spiked(total: float, on: date, day: date) -> int:
    """What of a spike of ``total`` downloads in the days from ``on`` has come by ``day``."""
    return int(total * min(1.0, max(0, (day - on).days) / SPIKE_DAYS))
