"""The typed columns every source's ``read`` half returns: one definition of each raw table.

Belongs here: names, types, keys and meanings of the ``raw`` tables. Does not belong here: how a
service's answer becomes these columns (the source modules), or how they are stored (``warehouse``).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

INSTANT = pl.Datetime("us")
"""UTC instants are stored without a zone."""


@dataclass(frozen=True)
class Column:
    """One column: its type, its meaning with unit, and whether a row may lack it."""

    type: pl.DataType | type[pl.DataType]
    comment: str
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """One raw table. ``key`` ends in ``pull_id``; ``dated_by`` is the column whose month partitions it."""

    name: str
    comment: str
    key: tuple[str, ...]
    columns: dict[str, Column]
    dated_by: str | None = None

    @property
    def schema(self) -> pl.Schema:
        """The polars schema a ``read`` half must return, columns in this order."""
        return pl.Schema({name: column.type for name, column in self.columns.items()})


def _required(type_: pl.DataType | type[pl.DataType], comment: str) -> Column:
    return Column(type_, comment, nullable=False)


PULL_ID = _required(pl.String, "The pull this row came from; see raw.pulls.")
SOURCE = _required(
    pl.String,
    "hub_live, hub_archive, hub_revisions, hub_series, openrouter_rankings, openrouter_export,"
    " openrouter_models or registry.",
)
OBSERVED_ON = _required(pl.Date, "UTC day whose 00:00 the counters stand at (definitions 0.2, 1.1).")
DOWNLOADS_30D = Column(pl.Int64, "Downloads in the 30 days before observed_on (Hub: downloads).")
DOWNLOADS_ALL_TIME = Column(pl.Int64, "Downloads since creation (Hub: downloadsAllTime).")
CREATED_AT = Column(INSTANT, "UTC creation instant; 2022-03-02 is the Hub's floor, kept as sent.")
AS_OF = _required(INSTANT, "UTC instant the answer stands for: the vintage of this row.")

HF_MODELS = Table(
    "hf_models",
    "One reading: a Hub model as one pull saw it on one day.",
    ("source", "model_id", "observed_on", "pull_id"),
    {
        "source": SOURCE,
        "model_id": _required(pl.String, "Repository id, organization/name, as read."),
        "hf_id": Column(pl.String, "The Hub's own _id, which survives renames."),
        "observed_on": OBSERVED_ON,
        "folder_date": Column(
            pl.Date, "Day of the archive's folder or revision; NULL for live pulls and series."
        ),
        "created_at": CREATED_AT,
        "downloads_30d": DOWNLOADS_30D,
        "downloads_all_time": DOWNLOADS_ALL_TIME,
        "likes": Column(pl.Int64, "Likes on that day."),
        "pipeline_tag": Column(pl.String, "Task as the Hub names it."),
        "library_name": Column(pl.String, "Library the card names."),
        "license": Column(pl.String, "From the tag license:…"),
        "gated": Column(pl.String, "false, auto or manual."),
        "safetensors_total": Column(pl.Int64, "Parameters summed over dtypes (safetensors.total)."),
        "pull_id": PULL_ID,
    },
    dated_by="observed_on",
)

HF_DERIVATIVES = Table(
    "hf_derivatives",
    "One edge: a model that names another as its base, as one pull saw it.",
    ("source", "model_id", "relation", "base_model_id", "observed_on", "pull_id"),
    {
        "source": SOURCE,
        "model_id": _required(pl.String, "The child's repository id."),
        "hf_id": Column(pl.String, "The child's Hub _id."),
        "relation": _required(pl.String, "finetune, adapter, quantized, merge; unspecified if not said."),
        "base_model_id": _required(pl.String, "The base's repository id as declared."),
        "base_hf_id": Column(pl.String, "The base's Hub _id, when the source gives it."),
        "observed_on": OBSERVED_ON,
        "created_at": CREATED_AT,
        "downloads_30d": DOWNLOADS_30D,
        "downloads_all_time": DOWNLOADS_ALL_TIME,
        "pull_id": PULL_ID,
    },
    dated_by="observed_on",
)

HF_PROBES = Table(
    "hf_probes",
    "A tracked model missing from a live crawl, asked for by name.",
    ("model_id", "observed_on", "pull_id"),
    {
        "model_id": _required(pl.String, "The id that was asked for."),
        "observed_on": OBSERVED_ON,
        "status_code": _required(pl.Int32, "HTTP status: 200, 401 or 404."),
        "resolved_id": Column(pl.String, "The id the Hub answered with: another one after a rename."),
        "hf_id": Column(pl.String, "The Hub's _id of the answer."),
        "pull_id": PULL_ID,
    },
    dated_by="observed_on",
)

OPENROUTER_TOKENS = Table(
    "openrouter_tokens",
    "Tokens of one model on one day, as one pull saw it; past days are restated.",
    ("source", "day", "model_permaslug", "pull_id"),
    {
        "source": SOURCE,
        "day": _required(pl.Date, "UTC day the tokens were used."),
        "model_permaslug": _required(
            pl.String, "Model with :variant and date suffix; other = all beyond the top 50."
        ),
        "total_tokens": _required(pl.Int64, "Prompt + completion tokens, provider's tokenizer."),
        "as_of": AS_OF,
        "pull_id": PULL_ID,
    },
    dated_by="day",
)

OPENROUTER_MODELS = Table(
    "openrouter_models",
    "One entry of OpenRouter's catalogue in one vintage.",
    ("model_id", "pull_id"),
    {
        "model_id": _required(pl.String, "Catalogue id."),
        "canonical_slug": Column(pl.String, "What the rankings call model_permaslug."),
        "hugging_face_id": Column(pl.String, "Repository of the weights; NULL when none is named."),
        "name": Column(pl.String, "Display name."),
        "created_at": CREATED_AT,
        "as_of": AS_OF,
        "pull_id": PULL_ID,
    },
)

TRACKED_MODELS = Table(
    "tracked_models",
    "One model of the ATOM authors' list in one vintage.",
    ("model_id", "pull_id"),
    {
        "model_id": _required(pl.String, "Repository id."),
        "hf_org": _required(pl.String, "Namespace as the list gives it."),
        "list": _required(pl.String, "core (models.csv) or extra (extra_models.csv)."),
        "as_of": AS_OF,
        "pull_id": PULL_ID,
    },
)

MODEL_PARAMETERS = Table(
    "model_parameters",
    "Reviewed parameter counts in one vintage.",
    ("model_id", "pull_id"),
    {
        "model_id": _required(pl.String, "Repository id."),
        "total_params_b": Column(pl.Float64, "Total parameters, billions."),
        "active_params_b": Column(pl.Float64, "Parameters active per token, billions."),
        "is_moe": Column(pl.Boolean, "Whether a mixture of experts; NULL when not reviewed."),
        "notes": Column(pl.String, "The authors' remark."),
        "as_of": AS_OF,
        "pull_id": PULL_ID,
    },
)

ORGANIZATION_REGIONS = Table(
    "organization_regions",
    "Reviewed region of a Hub namespace in one vintage.",
    ("hf_org", "pull_id"),
    {
        "hf_org": _required(pl.String, "Namespace, exact and case-sensitive."),
        "region": _required(pl.String, "us, china, eu, other or unknown."),
        "notes": Column(pl.String, "The authors' remark."),
        "as_of": AS_OF,
        "pull_id": PULL_ID,
    },
)

RELEASE_DATE_CORRECTIONS = Table(
    "release_date_corrections",
    "Public launch dates that differ from the repository's creation, in one vintage.",
    ("model_id", "pull_id"),
    {
        "model_id": _required(pl.String, "Repository id."),
        "hf_created_on": Column(pl.Date, "Creation day on the Hub as the authors noted it."),
        "released_on": _required(pl.Date, "Day of the public launch."),
        "notes": Column(pl.String, "The authors' remark."),
        "as_of": AS_OF,
        "pull_id": PULL_ID,
    },
)

QUARANTINE = Table(
    "quarantine",
    "A row that could not be believed, kept beside the good ones.",
    ("table_name", "reason", "payload", "pull_id"),
    {
        "source": SOURCE,
        "table_name": _required(pl.String, "The raw table the row was meant for."),
        "reason": _required(pl.String, "Why: e.g. negative_count, overflow, future_date, duplicate."),
        "payload": _required(pl.String, "The row as JSON, as received."),
        "pull_id": PULL_ID,
    },
)

PULLS = Table(
    "pulls",
    "One completed pull: what was asked, when, and what came.",
    ("pull_id",),
    {
        "pull_id": PULL_ID,
        "source": SOURCE,
        "world": _required(pl.String, "The world the pull was made in."),
        "scope": _required(pl.String, "What was asked for: a day, a folder, a range of days."),
        "fetched_at": _required(INSTANT, "UTC instant the pull was completed."),
        "as_of": AS_OF,
        "is_complete": _required(
            pl.Boolean, "Whether it saw the whole Hub, so that a model's absence says something."
        ),
        "requests": _required(pl.Int32, "Answers landed."),
        "bytes": _required(pl.Int64, "Bytes received, summed."),
        "path": _required(pl.String, "Folder below the world's home that holds the bytes."),
    },
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        HF_MODELS,
        HF_DERIVATIVES,
        HF_PROBES,
        OPENROUTER_TOKENS,
        OPENROUTER_MODELS,
        TRACKED_MODELS,
        MODEL_PARAMETERS,
        ORGANIZATION_REGIONS,
        RELEASE_DATE_CORRECTIONS,
        QUARANTINE,
        PULLS,
    )
}


@dataclass(frozen=True)
class Reading:
    """What a ``read`` half returns: typed frames by raw table name, and the rows it could not believe."""

    frames: dict[str, pl.DataFrame]
    quarantine: pl.DataFrame

    def __post_init__(self) -> None:
        for name, frame in self.frames.items():
            if frame.schema != TABLES[name].schema:
                raise TypeError(f"frame for raw.{name} has {frame.schema}, not the table's columns")
