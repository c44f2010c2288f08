"""An archive's parquet files: the shapes they have had, and reading them a piece at a time.

Belongs here: which columns of which types are known, and turning a piece of a file into the columns
of ``models.RAW``. Does not belong here: which files there are and what day they stand for
(``archive``, ``archive_listing``), what a row means (``models``).

Files reach 1.6 GB, most of it in columns nobody asks for (cards, configurations, file lists): only
the columns of the table below are read, in batches of ``BATCH`` rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types as at

from atom_dagster.sources import BadAnswer
from atom_dagster.sources.models import BASE, RAW, Collector, check_spelling, instant
from atom_dagster.sources.tables import HF_MODELS

BATCH = 1 << 15
_BUFFER = 1 << 20
"""Bytes of a column's compressed pages that are held at once; without it a whole row group is."""


def _text(kind: pa.DataType) -> bool:
    if at.is_dictionary(kind):
        kind = kind.value_type
    return bool(at.is_string(kind) or at.is_large_string(kind) or at.is_string_view(kind))


def _count(kind: pa.DataType) -> bool:
    return bool(at.is_integer(kind) or at.is_floating(kind))


def _time(kind: pa.DataType) -> bool:
    return bool(at.is_timestamp(kind) or at.is_date(kind))


def _texts(kind: pa.DataType) -> bool:
    return bool(at.is_list(kind) or at.is_large_list(kind)) and _text(kind.value_type)


def _with(*names: str) -> Callable[[pa.DataType], bool]:
    return lambda kind: at.is_struct(kind) and set(names) <= {field.name for field in kind}


@dataclass(frozen=True)
class Shape:
    """One type that a column has had.

    ``seen`` says when a file with it was met: the days of such files, or that it is only known from
    what others say of the archive. A file is judged by its columns, never by its date.
    """

    column: str
    is_type: Callable[[pa.DataType], bool]
    seen: str
    is_required: bool = False


_SAID = "said of the archive, no file met"
HUB_STATS = (
    Shape("_id", _text, "2024-07-24 on"),
    Shape("id", _text, "2024-07-24 on", is_required=True),
    Shape("createdAt", _text, "2026-02-15 to 2026-06-23, in copies of the archive"),
    Shape("createdAt", _time, "2024-07-24 on"),
    Shape("downloads", _count, "2024-07-24 on", is_required=True),
    Shape("downloadsAllTime", _count, "2025 on; older files lack it"),
    Shape("likes", _count, "2024-07-24 on"),
    Shape("tags", _texts, "2024-07-24 on"),
    Shape("tags", _text, f"as JSON: {_SAID}"),
    Shape("pipeline_tag", _text, "2024-07-24 on"),
    Shape("library_name", _text, "2024-07-24 on"),
    Shape("gated", _text, _SAID),
    Shape("gated", at.is_boolean, _SAID),
    Shape("safetensors", _with("total"), "2025 on; older files lack it"),
    Shape("safetensors", _text, f"as JSON: {_SAID}"),
    Shape("safetensors_total", _count, "2026-02-15 to 2026-06-23, in copies of the archive"),
    Shape("baseModels", _with("relation", "models"), "2025 on; older files lack it"),
    Shape("baseModels", _text, f"as JSON: {_SAID}"),
)
"""A ``models.parquet`` of hub-stats, of which the weekly folders are copies."""
SERIES = (
    Shape("_id", _text, "2025-02 on"),
    Shape("model", _text, "2025-02 on", is_required=True),
    Shape("time", _time, "2025-02 on", is_required=True),
    Shape("time", _text, f"as ISO text: {_SAID}", is_required=True),
    Shape("created", _time, "2025-02 on"),
    Shape("created", _text, f"as ISO text: {_SAID}"),
    Shape("downloadsAllTime", _count, "2025-02 on", is_required=True),
)
"""``all_downloads_with_annotations.parquet``: a row a model and day."""
SHAPES: Mapping[str, tuple[Shape, ...]] = {
    "folders": HUB_STATS,
    "revisions": HUB_STATS,
    "series": SERIES,
}
"""Every type a column has had, by the archive's layout. What is not required may be missing or wholly
empty; columns that are not named are not read."""


def opened(file: Path) -> pq.ParquetFile:
    """The file, checked to be whole as far as its footer tells.

    Raises:
        BadAnswer: it is no whole parquet file.
    """
    try:
        return pq.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise BadAnswer(f"{file.name} is not a whole parquet file; pull it again.") from error


def understood(schema: pa.Schema, layout: str, what: str) -> pa.Schema:
    """The schema, when every column that is read has a known type.

    Raises:
        BadAnswer: naming the column that is missing, renamed or of another type.
    """
    known: dict[str, list[Shape]] = {}
    for shape in SHAPES[layout]:
        known.setdefault(shape.column, []).append(shape)
    required = [name for name, shapes in known.items() if shapes[0].is_required]
    check_spelling(what, schema.names, required, among=frozenset(known))
    for column in schema:
        shapes = known.get(column.name)
        empty = at.is_null(column.type) and column.name not in required
        if shapes and not empty and not any(shape.is_type(column.type) for shape in shapes):
            raise BadAnswer(f"{what} has a column {column.name!r} of the unknown type {column.type}.")
    return schema


def needed(schema: pa.Schema, layout: str) -> list[str]:
    """The columns to read; of safetensors only the total."""
    columns = []
    for name in dict.fromkeys(shape.column for shape in SHAPES[layout]):
        if name in schema.names:
            is_struct = name == "safetensors" and at.is_struct(schema.field(name).type)
            columns.append(f"{name}.total" if is_struct else name)
    return columns


def batches(parquet: pq.ParquetFile, group: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """One row group in pieces of at most ``BATCH`` rows, as they are stored.

    Raises:
        BadAnswer: the file is damaged.
    """
    try:
        yield from parquet.iter_batches(BATCH, row_groups=[group], columns=list(columns), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise BadAnswer("A snapshot's parquet file is damaged; pull it again.") from error


def frames(parquet: pq.ParquetFile, group: int, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """``batches`` as frames, whose texts are texts however they are stored."""
    for batch in batches(parquet, group, columns):
        frame = pl.from_arrow(batch)
        if isinstance(frame, pl.DataFrame):
            yield frame.with_columns(pl.col(pl.Categorical).cast(pl.String))


def teller(
    file: Path, group: int, number: int, columns: Sequence[str]
) -> Callable[[Sequence[int]], list[str]]:
    """The rows at some positions of one piece of the file, as JSON of the columns that are read."""

    def tell(positions: Sequence[int]) -> list[str]:
        with opened(file) as parquet:
            for at_number, frame in enumerate(frames(parquet, group, columns)):
                if at_number == number:
                    rows = frame[list(positions)].to_dicts()
                    return [json.dumps(row, default=str, ensure_ascii=False) for row in rows]
        return []

    return tell


def raw_models(collector: Collector, frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of ``models.RAW`` from whatever shape a file of hub-stats has."""
    frame = frame.with_row_index("position")
    absent = {s.column: pl.lit(None) for s in HUB_STATS if s.column not in frame.columns}
    frame = frame.with_columns(**absent)
    frame = _decoded(collector, frame, "tags", pl.List(pl.String))
    frame = _decoded(collector, frame, "safetensors", pl.Struct({"total": pl.Int64}))
    frame = _decoded(
        collector, frame, "baseModels", pl.Struct({"relation": pl.String, "models": pl.List(BASE)})
    )
    total = pl.col("safetensors").struct.field("total")
    if frame.schema["safetensors_total"] != pl.Null:
        total = pl.coalesce("safetensors_total", total.cast(frame.schema["safetensors_total"]))
    numbers = [n for n in ("downloadsAllTime", "likes") if frame.schema[n] == pl.Null]
    texts = ("_id", "pipeline_tag", "library_name", "gated", "createdAt")
    return frame.with_columns(
        *(pl.col(name).cast(pl.Int64) for name in numbers),
        *(pl.col(n).cast(pl.String) for n in texts if n != "createdAt" or frame.schema[n] == pl.Null),
        safetensors_total=total,
        relation=pl.col("baseModels").struct.field("relation"),
        bases=pl.col("baseModels").struct.field("models").cast(pl.List(BASE)),
    )


def raw_series(frame: pl.DataFrame, days: Sequence[date], latest: date) -> pl.DataFrame:
    """The columns of ``models.RAW``, with the day of each row, for the rows of these days.

    Rows without a day, or with one after ``latest``, belong to no month; they come along to be set aside.
    """
    frame = (
        frame.with_row_index("position")
        .with_columns(observed_on=day_of(frame))
        .filter(pl.col("observed_on").is_in(list(days)).fill_null(True) | (pl.col("observed_on") > latest))
        .rename({"model": "id"})
    )
    given = {"createdAt": "created", "_id": "_id"}
    told = {
        name: pl.col(column).cast(pl.String) if frame.schema[column] == pl.Null else pl.col(column)
        for name, column in given.items()
        if column in frame.columns
    }
    absent = {
        name: pl.lit(None, dtype)
        for name, dtype in RAW.items()
        if name not in told and name not in {"id", "downloadsAllTime"}
    }
    return frame.with_columns(**told, **absent)


def day_of(frame: pl.DataFrame) -> pl.Expr:
    """The day of a series' row; NULL where its time is none."""
    return instant(frame, "time").dt.date()


def days_in(batch: pa.RecordBatch) -> pl.Series:
    """The days of a piece of a series."""
    frame = pl.DataFrame({"time": pl.from_arrow(batch.column("time"))})
    frame = frame.with_columns(pl.col(pl.Categorical).cast(pl.String))
    return frame.select(day=day_of(frame))["day"]


def _decoded(collector: Collector, frame: pl.DataFrame, name: str, dtype: pl.DataType) -> pl.DataFrame:
    """A column as its structured type, where a file holds it as JSON text or not at all."""
    column = pl.col(name)
    if frame.schema[name] == pl.Null:
        return frame.with_columns(column.cast(dtype))
    if frame.schema[name] != pl.String:
        return frame
    try:
        return frame.with_columns(column.str.json_decode(dtype))
    except pl.exceptions.PolarsError:
        values = []
        for text in frame[name]:
            try:
                values.append(pl.Series([text]).str.json_decode(dtype)[0])
            except pl.exceptions.PolarsError:
                values.append(None)
                collector.reject(HF_MODELS.name, f"unreadable_{name}", json.dumps({name: text}))
        return frame.with_columns(pl.Series(name, values, dtype=dtype))
