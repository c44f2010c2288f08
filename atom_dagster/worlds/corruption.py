"""Ways to spoil an answer's rows, for tests of bad input.

Belongs here: turning a good parquet file or JSON answer into a bad one. Does not belong here: when
that happens (fault rules, ``server``).

Ways, for parquet files of models and for JSON answers with rows (a Hub page, ``{"data": […]}``):

====================  ============================================================================
``no_rows``           no row is left
``half_rows``         every second row is left
``duplicates``        the first row comes twice, the second time with another count
``counters``          every all-time counter is half of its 30-day window
``negative``          the first row's count is −1
``overflow``          the first row's count is 2⁶³
``not_a_number``      the first row's count is the text ``many`` (JSON only)
``future``            the first row is dated 400 days later
``no_ids``            the first row has no id
``rename:old=new``    a column has another name
``drop:name``         a column is missing
====================  ============================================================================
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

_COUNTS = ("downloadsAllTime", "downloads", "total_tokens")
_IDS = ("id", "model_permaslug")
_DATES = ("createdAt", "date", "created")


def spoil(body: bytes, content_type: str, ways: Sequence[str]) -> bytes:
    """The body, spoilt in each of the named ways; bodies without rows stay as they are.

    Raises:
        ValueError: a way is not known.
    """
    if not content_type.startswith(("application/json", "text/")):
        frame = pl.read_parquet(io.BytesIO(body))
        for way in ways:
            frame = _frame(frame, way)
        out = io.BytesIO()
        frame.write_parquet(out)
        return out.getvalue()
    value = json.loads(body)
    rows = value.get("data") if isinstance(value, dict) else value
    if not isinstance(rows, list):
        return body
    for way in ways:
        rows = _rows(rows, way)
    if isinstance(value, dict):
        rows = {**value, "data": rows}
    return json.dumps(rows, ensure_ascii=False).encode()


def _frame(frame: pl.DataFrame, way: str) -> pl.DataFrame:
    name, _, argument = way.partition(":")
    first = pl.int_range(pl.len()) == 0
    count = next(c for c in (*_COUNTS, *frame.columns) if c in frame.columns)
    if name == "no_rows":
        return frame.clear()
    if name == "half_rows":
        return frame.gather_every(2)
    if name == "duplicates":
        again = frame.head(1).with_columns(pl.col("downloads") + 1)
        return pl.concat([frame, again])
    if name == "counters":
        return frame.with_columns(downloadsAllTime=pl.col("downloads") // 2)
    if name == "negative":
        return frame.with_columns(pl.when(first).then(-1).otherwise(pl.col(count)).alias(count))
    if name == "overflow":
        large = pl.lit(2**63, pl.UInt64)
        value = pl.when(first).then(large).otherwise(pl.col(count).cast(pl.UInt64))
        return frame.with_columns(value.alias(count))
    if name == "future":
        later = pl.col("createdAt")
        if frame.schema["createdAt"] == pl.String:
            later = pl.lit("2035-01-01T00:00:00.000Z")
        else:
            later = later + pl.duration(days=4000)
        return frame.with_columns(
            pl.when(first).then(later).otherwise(pl.col("createdAt")).alias("createdAt")
        )
    if name == "no_ids":
        return frame.with_columns(pl.when(~first).then(pl.col("id")).alias("id"))
    if name == "rename":
        old, _, new = argument.partition("=")
        return frame.rename({old: new})
    if name == "drop":
        return frame.drop(argument)
    raise ValueError(f"no way to spoil a file is called {way!r}")


def _rows(rows: list[dict[str, Any]], way: str) -> list[dict[str, Any]]:
    name, _, argument = way.partition(":")
    if name == "no_rows" or not rows:
        return []
    first, rest = dict(rows[0]), rows[1:]
    count = next((c for c in _COUNTS if c in first), _COUNTS[0])
    as_sent = str if isinstance(first.get(count), str) else int
    if name == "half_rows":
        return rows[::2]
    if name == "duplicates":
        return [*rows, {**first, count: as_sent(int(first[count]) + 1)}]
    if name == "counters":
        return [{**row, "downloadsAllTime": row["downloads"] // 2} for row in rows]
    if name in {"negative", "overflow", "not_a_number"}:
        bad = {"negative": as_sent(-1), "overflow": as_sent(2**63), "not_a_number": "many"}[name]
        return [{**first, count: bad}, *rest]
    if name == "future":
        key = next(key for key in _DATES if key in first)
        return [{**first, key: _later(first[key])}, *rest]
    if name == "no_ids":
        return [{**first, next(key for key in _IDS if key in first): None}, *rest]
    if name == "rename":
        old, _, new = argument.partition("=")
        return [{new if key == old else key: v for key, v in row.items()} for row in rows]
    if name == "drop":
        return [{key: v for key, v in row.items() if key != argument} for row in rows]
    raise ValueError(f"no way to spoil an answer is called {way!r}")


def _later(value: str | int) -> str | int:
    if isinstance(value, int):
        return value + 4000 * 86400
    is_day = len(value) == 10
    later = datetime.fromisoformat(value.replace("Z", "+00:00")) + timedelta(days=4000)
    return later.date().isoformat() if is_day else later.strftime("%Y-%m-%dT%H:%M:%S.000Z")
