"""Hub models as rows: from the fields as the Hub spells them to typed readings and edges.

Belongs here: what a live page and an archive's file have in common. Does not belong here: how
either is fetched or opened (``hub``, ``archive``).

Everything is columnar. A row that cannot be believed is set aside with its reason; its neighbours
stay.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from atom_dagster.sources import BadAnswer
from atom_dagster.sources.tables import (
    HF_DERIVATIVES,
    HF_MODELS,
    INSTANT,
    QUARANTINE,
    Reading,
)

BASE = pl.Struct({"_id": pl.String, "id": pl.String})
RELATIONS = ("finetune", "adapter", "quantized", "merge")
FIELDS = frozenset(
    [
        "_id",
        "id",
        "createdAt",
        "downloads",
        "downloadsAllTime",
        "likes",
        "tags",
        "pipeline_tag",
        "library_name",
        "gated",
        "safetensors",
        "safetensors_total",
        "baseModels",
    ]
)
"""What is read of a model, as the Hub and its archives spell it."""

_FIELDS: dict[str, pl.DataType | type[pl.DataType]] = {
    "_id": pl.String,
    "id": pl.String,
    "createdAt": INSTANT,
    "downloads": pl.Int64,
    "downloadsAllTime": pl.Int64,
    "likes": pl.Int64,
    "tags": pl.List(pl.String),
    "pipeline_tag": pl.String,
    "library_name": pl.String,
    "gated": pl.String,
    "safetensors_total": pl.Int64,
    "relation": pl.String,
    "bases": pl.List(BASE),
}
RAW = pl.Schema(_FIELDS)
"""The columns of a page given to ``Collector.add``. The instant and the counts may also be text,
and the counts any number; whatever does not fit is set aside."""

_ONCE = ("model_id", "observed_on")
"""What one pull may say once."""
_COUNTS = ("downloads", "downloadsAllTime", "likes")
_LARGEST = 2.0**63


@dataclass
class Collector:
    """Gathers pages into readings: all of them at the end, or piece by piece.

    Attributes:
        source: hub_live, or the archive's name.
        pull_id: where the rows come from.
        observed_on: the day the counters stand at; None when each row says so itself.
        latest: the last day a model may claim to be created, or read, on.
        folder_date: the archive's folder or revision, None for live pulls and series.
    """

    source: str
    pull_id: str
    observed_on: date | None
    latest: date
    folder_date: date | None = None
    _seen: pl.DataFrame | None = None
    _models: list[pl.DataFrame] = field(default_factory=list)
    _edges: list[pl.DataFrame] = field(default_factory=list)
    _rejects: list[tuple[str, str, str]] = field(default_factory=list)
    _payloads: list[Callable[[Sequence[int]], list[str]]] = field(default_factory=list)

    def add(self, raw: pl.DataFrame, payloads: Callable[[Sequence[int]], list[str]]) -> None:
        """Take one page.

        Args:
            raw: columns of ``RAW`` and ``position``, the row's place in its page; ``observed_on`` as well
                when the collector has none.
            payloads: the rows at some positions as JSON, as received.
        """
        number = len(self._payloads)
        self._payloads.append(payloads)
        if self.observed_on is not None:
            raw = raw.with_columns(observed_on=pl.lit(self.observed_on, pl.Date))
        rows = raw.with_columns(
            created=instant(raw, "createdAt"),
            **{f"{name}_value": whole(raw, name) for name in (*_COUNTS, "safetensors_total")},
            size_reason=misfit(raw, "safetensors_total"),
        ).with_columns(reason=self._reason(raw), page=pl.lit(number, pl.UInt32))
        bad = rows.filter(pl.col("reason").is_not_null())
        if bad.height:
            self._reject(HF_MODELS.name, bad)
        good = rows.filter(pl.col("reason").is_null())
        misfits = good.filter(pl.col("size_reason").is_not_null())
        if misfits.height:  # the reading stands without its size
            self._reject(HF_MODELS.name, misfits.with_columns(reason=pl.lit("unusable_size", pl.String)))
        self._models.append(
            good.select(
                "page",
                "position",
                "observed_on",
                "created",
                model_id="id",
                hf_id="_id",
                downloads_30d="downloads_value",
                downloads_all_time="downloadsAllTime_value",
                likes="likes_value",
                pipeline_tag="pipeline_tag",
                library_name="library_name",
                license=pl.col("tags")
                .list.eval(pl.element().filter(pl.element().str.starts_with("license:")))
                .list.first()
                .str.strip_prefix("license:"),
                gated="gated",
                safetensors_total=pl.when(pl.col("size_reason").is_null()).then("safetensors_total_value"),
            )
        )
        self._edges.append(edges(good))

    def reject(self, table: str, reason: str, payload: str) -> None:
        """Set aside a row that never became one."""
        self._rejects.append((table, reason, payload))

    def known(self) -> pl.Series:
        """The ids collected so far."""
        return pl.concat([page["model_id"] for page in self._models] or [pl.Series([], dtype=pl.String)])

    def take(self) -> Reading:
        """The typed rows since the last call, so that a large file never stands in memory as a whole.

        Of several rows with one id and day the first stays, the others are set aside, whatever piece
        they are in.
        """
        reading = self.reading()
        new = reading.frames[HF_MODELS.name].select(**_fingerprint()).sort("first")
        self._seen = new if self._seen is None else self._seen.merge_sorted(new, "first")
        self._models, self._edges, self._rejects, self._payloads = [], [], [], []
        return reading

    def reading(self) -> Reading:
        """The typed rows. Of several rows with one id and day the first stays, the others are set aside."""
        if not self._models:
            return Reading(
                {t.name: t.schema.to_frame() for t in (HF_MODELS, HF_DERIVATIVES)},
                QUARANTINE.schema.to_frame(),
            )
        models = pl.concat(self._models).with_columns(is_again=~pl.struct(_ONCE).is_first_distinct())
        if self._seen is not None and self._seen.height:
            asked = models.select(**_fingerprint())
            at = self._seen["first"].search_sorted(asked["first"]).clip(0, self._seen.height - 1)
            is_known = (self._seen[at] == asked).fold(lambda first, second: first & second)
            models = models.with_columns(pl.col("is_again") | is_known)
        repeated = models.filter("is_again")
        if repeated.height:
            self._reject(HF_MODELS.name, repeated.with_columns(reason=pl.lit("duplicate", pl.String)))
            models = models.filter(~pl.col("is_again"))
        found = pl.concat(self._edges).join(
            models, on=["page", "position"], how="inner", maintain_order="left"
        )
        is_unknown = ~pl.col("relation").is_in([*RELATIONS, "unspecified"])
        for row in found.filter(is_unknown).sort("model_id").iter_rows(named=True):
            payload = pl.DataFrame([{k: row[k] for k in ("model_id", "relation", "base_model_id")}])
            self.reject(HF_DERIVATIVES.name, "unknown_relation", payload.write_ndjson().strip())
        constants = {
            "source": pl.lit(self.source),
            "folder_date": pl.lit(self.folder_date, pl.Date),
            "pull_id": pl.lit(self.pull_id),
            "created_at": pl.col("created"),
        }
        return Reading(
            {
                table.name: frame.with_columns(**constants).select(table.schema.names())
                for table, frame in (
                    (HF_MODELS, models),
                    (HF_DERIVATIVES, found.filter(~is_unknown)),
                )
            },
            self.quarantine(),
        )

    def quarantine(self) -> pl.DataFrame:
        """Everything set aside so far."""
        return quarantine(self.source, self.pull_id, self._rejects)

    def _reject(self, table: str, rows: pl.DataFrame) -> None:
        for page in rows.partition_by("page", maintain_order=True):
            payloads = self._payloads[page["page"][0]](page["position"].to_list())
            self._rejects += [
                (table, reason, payload) for reason, payload in zip(page["reason"], payloads, strict=True)
            ]

    def _reason(self, raw: pl.DataFrame) -> pl.Expr:
        """Why a row cannot be believed, NULL if it can."""
        counts = [misfit(raw, name) for name in _COUNTS]
        return pl.coalesce(
            pl.when(pl.col("id").is_null() | (pl.col("id").str.strip_chars() == "")).then(
                pl.lit("missing_id")
            ),
            *counts,
            pl.when(pl.col("createdAt").is_not_null() & pl.col("created").is_null()).then(
                pl.lit("not_a_date")
            ),
            pl.when(pl.col("observed_on").is_null()).then(pl.lit("not_a_date")),
            pl.when(pl.col("created").dt.date() > self.latest).then(pl.lit("future_date")),
            # The day of a whole pull was judged when it was pulled.
            pl.when(pl.lit(self.observed_on is None) & (pl.col("observed_on") > self.latest)).then(
                pl.lit("future_date")
            ),
            pl.lit(None, pl.String),
        )


def _fingerprint() -> dict[str, pl.Expr]:
    """128 bits of what one pull may say once: millions of ids as text would take most of the memory."""
    key = pl.struct(_ONCE)
    return {"first": key.hash(seed=1), "second": key.hash(seed=2)}


def edges(rows: pl.DataFrame) -> pl.DataFrame:
    """The bases that models name: page, position, relation, base_model_id, base_hf_id.

    ``bases`` speaks for a model where it is given; else its tags ``base_model:<relation>:<id>``,
    and ``base_model:<id>`` (unspecified) for a base that no relation tag names.
    """
    at = ["page", "position"]
    told = (
        rows.filter(pl.col("bases").list.len() > 0)
        .select(*at, pl.col("relation").fill_null("unspecified"), "bases")
        .explode("bases")
        .select(
            *at,
            "relation",
            base_model_id=pl.col("bases").struct.field("id"),
            base_hf_id=pl.col("bases").struct.field("_id"),
        )
    )
    tags = (
        rows.filter((pl.col("bases").list.len() > 0).fill_null(False).not_())
        .select(
            *at,
            tag=pl.col("tags").list.eval(pl.element().filter(pl.element().str.starts_with("base_model:"))),
        )
        .filter(pl.col("tag").list.len() > 0)
        .explode("tag")
        .with_columns(said=pl.col("tag").str.extract_groups(r"^base_model:(?:([^:/]+):)?(.+)$"))
        .select(
            *at,
            relation=pl.col("said").struct.field("1"),
            base_model_id=pl.col("said").struct.field("2"),
            base_hf_id=pl.lit(None, pl.String),
        )
    )
    related = tags.filter(pl.col("relation").is_not_null())
    bare = tags.filter(pl.col("relation").is_null()).join(related, on=[*at, "base_model_id"], how="anti")
    bare = bare.with_columns(relation=pl.lit("unspecified"))
    return (
        pl.concat([told, related, bare.select(related.columns)])
        .filter(pl.col("base_model_id").is_not_null() & (pl.col("base_model_id") != ""))
        .unique([*at, "relation", "base_model_id"], keep="first", maintain_order=True)
    )


def quarantine(source: str, pull_id: str, rejects: Sequence[tuple[str, str, str]]) -> pl.DataFrame:
    """Rows of ``raw.quarantine`` from (table, reason, payload)."""
    columns = list(zip(*rejects, strict=True)) or [(), (), ()]
    frame = pl.DataFrame(
        dict(zip(("table_name", "reason", "payload"), columns, strict=True)),
        schema={"table_name": pl.String, "reason": pl.String, "payload": pl.String},
    )
    return frame.with_columns(source=pl.lit(source), pull_id=pl.lit(pull_id)).select(
        QUARANTINE.schema.names()
    )


def whole(frame: pl.DataFrame, name: str) -> pl.Expr:
    """A column as whole numbers; NULL where it holds none that fits 64 bits."""
    column, dtype = pl.col(name), frame.schema[name]
    if dtype.is_float():
        return pl.when(column == column.floor()).then(column.cast(pl.Int64, strict=False))
    return column.cast(pl.Int64, strict=False)


def misfit(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Why a count cannot be believed: negative_count, overflow, not_a_number; NULL if it can."""
    column, dtype = pl.col(name), frame.schema[name]
    if dtype == pl.Null:
        return pl.lit(None, pl.String)
    number = column.cast(pl.Float64, strict=False)
    if dtype.is_float():  # NaN is how some writers spell a missing integer
        column = column.fill_nan(None)
    return (
        pl.when(column.is_null())
        .then(None)
        .when(number < 0)
        .then(pl.lit("negative_count"))
        .when(number >= _LARGEST)
        .then(pl.lit("overflow"))
        .when(whole(frame, name).is_null())
        .then(pl.lit("not_a_number"))
    )


def instant(frame: pl.DataFrame, name: str) -> pl.Expr:
    """A column as UTC instants without zone; NULL where it holds none."""
    column, dtype = pl.col(name), frame.schema[name]
    if dtype == pl.String:
        return instant_of_text(column)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return column.cast(INSTANT)


def instant_of_text(column: pl.Expr) -> pl.Expr:
    """ISO text as UTC instants without zone; NULL where it is none. A bare day is its 00:00."""
    text = column.str.replace(r"(Z|\+00:?00)$", "").str.replace(" ", "T", literal=True)
    return pl.coalesce(
        text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us"),
        text.str.to_date("%Y-%m-%d", strict=False).cast(INSTANT),
    )


def check_spelling(
    who: str, names: Sequence[str], required: Sequence[str], among: Collection[str] = FIELDS
) -> None:
    """Refuse fields that are missing, or spelled as they never were.

    Args:
        who: named in the sentence.
        names: the fields there are.
        required: those that must be there.
        among: those that are read, as they are spelled.

    Raises:
        BadAnswer: a required field is missing, or a known one was renamed (``pipelineTag``).
    """
    plain = {_plain(name): name for name in among}
    for name in names:
        meant = plain.get(_plain(name))
        if meant and name not in among:
            raise BadAnswer(f"{who} has a field {name!r} where {meant!r} was expected.")
    missing = [name for name in required if name not in names]
    if missing:
        raise BadAnswer(f"{who} lacks the field {missing[0]!r}; it has {', '.join(names) or 'none'}.")


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
