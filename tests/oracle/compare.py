"""Two tables side by side: where oracle and warehouse differ, as a message for people.

Belongs here: the comparison and its tolerances; rows for examples. Does not belong here:
any definition.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import polars as pl

from atom_dagster.sources.tables import TABLES

Row = Mapping[str, object]
SHOWN = 10


def near(expected: object, actual: object) -> bool:
    """Equal; doubles within a relative 1e-9; a double stored as a whole number within a half."""
    if expected is None or actual is None or isinstance(expected, bool):
        return expected is actual or expected == actual
    if isinstance(expected, float) and isinstance(actual, int) and not isinstance(actual, bool):
        return abs(expected - actual) <= 0.5 + 1e-9 * abs(expected)
    if isinstance(expected, float) and isinstance(actual, float):
        return math.isclose(expected, actual, rel_tol=1e-9, abs_tol=1e-12)
    return expected == actual


def differences(
    expected: pl.DataFrame,
    actual: pl.DataFrame,
    keys: Sequence[str],
    columns: Sequence[str],
    *,
    is_optional: Callable[[Row], bool] = lambda row: False,
    is_tie: Callable[[str, Row], bool] = lambda column, row: False,
) -> str:
    """ "" when both agree, else the first ten differing rows with both values.

    Args:
        expected: the oracle's rows, unique by ``keys``.
        actual: the warehouse's rows.
        keys: the grain.
        columns: what is compared; all must exist on both sides.
        is_optional: oracle rows that the warehouse may leave out.
        is_tie: (column, oracle row) where rounding may differ by one.
    """
    lacking = [name for name in (*keys, *columns) if name not in actual.columns]
    if lacking:
        return f"the warehouse lacks the columns {', '.join(lacking)}"
    mine = _by_key(expected, keys)
    theirs = _by_key(actual, keys)
    if len(theirs) != actual.height:
        return f"the warehouse has {actual.height - len(theirs)} rows with a repeated key {keys}"
    found: list[str] = []
    counts: Counter[str] = Counter()
    for key in sorted(mine.keys() | theirs.keys(), key=str):
        oracle, warehouse = mine.get(key), theirs.get(key)
        label = ", ".join(str(part) for part in key)
        if oracle is None:
            counts["only in the warehouse"] += 1
            found.append(f"{label}: only in the warehouse {_values(warehouse, columns)}")
        elif warehouse is None:
            if not is_optional(oracle):
                counts["only in the oracle"] += 1
                found.append(f"{label}: only in the oracle {_values(oracle, columns)}")
        else:
            wrong = [
                name
                for name in columns
                if not near(oracle[name], warehouse[name])
                and not (is_tie(name, oracle) and _within_one(oracle[name], warehouse[name]))
            ]
            counts.update(wrong)
            if wrong:
                pairs = ", ".join(
                    f"{name} oracle {oracle[name]!r} warehouse {warehouse[name]!r}" for name in wrong
                )
                found.append(f"{label}: {pairs}")
    if not found:
        return ""
    summary = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    head = f"{len(found)} of {len(mine)} rows differ ({summary}); the first:"
    return "\n".join([head, *found[:SHOWN]])


def unequal(
    expected: pl.DataFrame, actual: pl.DataFrame, keys: Sequence[str], columns: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of both tables that are not exactly equal: what ``differences`` has to look at.

    For tables too long to be walked row by row. Keys without a NULL; rows whose key is repeated
    are kept, so that the repetition is found.
    """
    lacking = [name for name in (*keys, *columns) if name not in actual.columns]
    if lacking:
        return expected, actual
    types = {name: type_ for name, type_ in expected.schema.items() if name in (*keys, *columns)}
    theirs = actual.select(pl.col(name).cast(type_) for name, type_ in types.items())
    equal = (
        expected.filter(pl.struct(keys).is_unique())
        .join(theirs.filter(pl.struct(keys).is_unique()), on=[*keys, *columns], nulls_equal=True)
        .select(keys)
    )
    return expected.join(equal, on=keys, how="anti"), actual.join(equal, on=keys, how="anti")


def _by_key(frame: pl.DataFrame, keys: Sequence[str]) -> dict[tuple[object, ...], Row]:
    return {tuple(row[key] for key in keys): row for row in frame.iter_rows(named=True)}


def _within_one(expected: object, actual: object) -> bool:
    return isinstance(expected, int) and isinstance(actual, int) and abs(expected - actual) <= 1


def _values(row: Row | None, columns: Sequence[str]) -> str:
    return ", ".join(f"{name}={row[name]!r}" for name in columns) if row else ""


def raw_rows(table: str, *rows: Mapping[str, object]) -> pl.DataFrame:
    """Rows of a raw table for an example; columns that are not given are NULL."""
    schema = TABLES[table].schema
    return pl.DataFrame([dict.fromkeys(schema) | dict(row) for row in rows], schema=schema)
