"""The registry: the ATOM authors' public lists of models, regions, sizes and launch dates.

Belongs here: the five CSV files and their columns. Does not belong here: our own reviewed facts,
which are dbt seeds.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from atom_dagster.landing import Landing, Pull
from atom_dagster.settings import Endpoints
from atom_dagster.sources import BadAnswer, Progress
from atom_dagster.sources.http import (
    PATIENCE,
    Client,
    Patience,
    Service,
    answered_at,
    is_web_page,
)
from atom_dagster.sources.models import quarantine
from atom_dagster.sources.tables import (
    INSTANT,
    MODEL_PARAMETERS,
    ORGANIZATION_REGIONS,
    RELEASE_DATE_CORRECTIONS,
    TRACKED_MODELS,
    Reading,
    Table,
)

SOURCE = "registry"
SERVICE = Service("The registry")
REGIONS = ("us", "china", "eu", "other", "unknown")


@dataclass(frozen=True)
class Listing:
    """One file: where it lies, its header, and the raw table it fills."""

    path: str
    header: tuple[str, ...]
    table: Table


LISTINGS = (
    Listing("models.csv", ("org", "model", "modelId"), TRACKED_MODELS),
    Listing("extra_models.csv", ("org", "model", "modelId"), TRACKED_MODELS),
    Listing("metadata/organization_regions.csv", ("hf_org", "region", "notes"), ORGANIZATION_REGIONS),
    Listing(
        "metadata/model_parameters.csv",
        ("model_id", "total_params_b", "active_params_b", "is_moe", "notes"),
        MODEL_PARAMETERS,
    ),
    Listing(
        "metadata/release_date_corrections.csv",
        ("model_id", "hf_created_at", "actual_release_date", "notes"),
        RELEASE_DATE_CORRECTIONS,
    ),
)

Reject = tuple[str, str, str]


def pull(
    endpoints: Endpoints,
    landing: Landing,
    *,
    now: Callable[[], datetime],
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
) -> Pull:
    """Land the five files as one pull; the same files again are the same pull.

    Raises:
        SourceError: a file did not come, is empty, or has another header; nothing was recorded.
    """
    client = Client(patience)
    answers = []
    for done, listing in enumerate(LISTINGS, 1):
        answer = client.get(SERVICE, f"{endpoints.registry}/{listing.path}")
        if _frame(listing, answer.body, []).height == 0:
            raise BadAnswer(f"The registry's {listing.path} has no row; nothing was recorded.")
        answers.append(answer)
        if progress:
            progress("files", done, len(LISTINGS))
    with landing.open(source=SOURCE, scope="lists", world=endpoints.world, now=now) as draft:
        draft.discard()
        for listing, answer in zip(LISTINGS, answers, strict=True):
            draft.add(_page(listing), answer.body, request=f"/{listing.path}")
        return draft.commit(as_of=answered_at(answers[0]))


def read(pull: Pull) -> Reading:
    """The lists: ``tracked_models``, ``model_parameters``, ``organization_regions``,
    ``release_date_corrections``.

    Raises:
        BadAnswer: a file has another header than ours.
    """  # noqa: D205
    rejects: list[Reject] = []
    pages = {page.name: page for page in pull.pages}
    found: dict[str, list[pl.DataFrame]] = {}
    for listing in LISTINGS:
        if _page(listing) not in pages:
            raise BadAnswer(f"The pull {pull.pull_id} lacks {listing.path}.")
        frame = _frame(listing, pull.read(pages[_page(listing)]), rejects)
        latest = pull.as_of.date() + timedelta(days=1)
        rows = _typed(listing, frame, latest)
        found.setdefault(listing.table.name, []).append(rows.with_columns(payload=_json(frame)))
    constants = {
        "as_of": pl.lit(pull.as_of.astimezone(UTC).replace(tzinfo=None), INSTANT),
        "pull_id": pl.lit(pull.pull_id),
    }
    frames = {}
    for listing in LISTINGS[1:]:
        table = listing.table
        good = _believed(table, pl.concat(found[table.name]), rejects)
        frames[table.name] = good.with_columns(**constants).select(table.schema.names())
    return Reading(frames, quarantine(SOURCE, pull.pull_id, rejects))


def _page(listing: Listing) -> str:
    return listing.path.rpartition("/")[2]


def _frame(listing: Listing, body: bytes, rejects: list[Reject]) -> pl.DataFrame:
    """A file as text columns; lines of another length are set aside.

    Raises:
        BadAnswer: the header is not the expected one.
    """
    if is_web_page(body):
        raise BadAnswer(f"The registry answered with a web page instead of {listing.path}.")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadAnswer(f"The registry's {listing.path} is not UTF-8 text.") from error
    while text.startswith("#"):
        text = text.partition("\n")[2]
    header = text.partition("\n")[0].strip()
    if header != ",".join(listing.header):
        raise BadAnswer(
            f"The registry's {listing.path} has the header {header[:120]!r}; "
            f"expected {','.join(listing.header)!r}."
        )
    try:
        return pl.read_csv(io.StringIO(text), infer_schema=False)
    except pl.exceptions.PolarsError:
        return _line_by_line(listing, text, rejects)


def _line_by_line(listing: Listing, text: str, rejects: list[Reject]) -> pl.DataFrame:
    good = []
    for line in list(csv.reader(io.StringIO(text)))[1:]:
        if len(line) == len(listing.header):
            good.append(line)
        elif line:
            rejects.append((listing.table.name, "unknown_shape", json.dumps(line)))
    return pl.DataFrame(good, schema=dict.fromkeys(listing.header, pl.String), orient="row")


def _json(frame: pl.DataFrame) -> pl.Series:
    lines = frame.write_ndjson().splitlines() if frame.height else []
    return pl.Series("payload", lines, dtype=pl.String)


def _typed(listing: Listing, frame: pl.DataFrame, latest: object) -> pl.DataFrame:
    """The table's own columns, with ``reason`` where a row cannot be believed."""
    text = {name: pl.col(name).str.strip_chars() for name in frame.columns}
    full = {name: pl.when(value != "").then(value) for name, value in text.items()}
    if listing.table is TRACKED_MODELS:
        kind = "core" if listing.path == "models.csv" else "extra"
        return frame.select(
            model_id=full["modelId"],
            hf_org=full["org"],
            list=pl.lit(kind),
            reason=_reasons(
                (full["modelId"].is_null() | full["org"].is_null(), "missing_id"),
            ),
        )
    if listing.table is ORGANIZATION_REGIONS:
        return frame.select(
            hf_org=full["hf_org"],
            region=full["region"],
            notes=full["notes"],
            reason=_reasons(
                (full["hf_org"].is_null(), "missing_id"),
                (full["region"].is_null() | ~full["region"].is_in(REGIONS), "unknown_region"),
            ),
        )
    if listing.table is MODEL_PARAMETERS:
        total, active = (full[f"{n}_params_b"].cast(pl.Float64, strict=False) for n in ("total", "active"))
        flag = full["is_moe"].str.to_lowercase()
        return frame.select(
            model_id=full["model_id"],
            total_params_b=total,
            active_params_b=active,
            is_moe=flag == "true",
            notes=full["notes"],
            reason=_reasons(
                (full["model_id"].is_null(), "missing_id"),
                (_is_no_number(full["total_params_b"], total), "not_a_number"),
                (_is_no_number(full["active_params_b"], active), "not_a_number"),
                ((total < 0) | (active < 0), "negative_count"),
                (~flag.is_in(["true", "false"]), "not_a_flag"),
            ),
        )
    created, released = (
        full[name].str.to_date("%Y-%m-%d", strict=False) for name in ("hf_created_at", "actual_release_date")
    )
    return frame.select(
        model_id=full["model_id"],
        hf_created_on=created,
        released_on=released,
        notes=full["notes"],
        reason=_reasons(
            (full["model_id"].is_null(), "missing_id"),
            (released.is_null(), "not_a_date"),
            (full["hf_created_at"].is_not_null() & created.is_null(), "not_a_date"),
            ((released > latest) | (created > latest), "future_date"),
        ),
    )


def _is_no_number(text: pl.Expr, number: pl.Expr) -> pl.Expr:
    return text.is_not_null() & (number.is_null() | ~number.is_finite())


def _reasons(*rules: tuple[pl.Expr, str]) -> pl.Expr:
    """The first rule that holds, NULL if none does."""
    return pl.coalesce(*(pl.when(rule).then(pl.lit(name)) for rule, name in rules), pl.lit(None, pl.String))


def _believed(table: Table, rows: pl.DataFrame, rejects: list[Reject]) -> pl.DataFrame:
    """The rows without a reason, the first of each key; the others are set aside."""
    good = rows.filter(pl.col("reason").is_null())
    is_first = pl.struct(_key(table)).is_first_distinct()
    bad = pl.concat(
        [
            rows.filter(pl.col("reason").is_not_null()),
            good.filter(~is_first).with_columns(reason=pl.lit("duplicate", pl.String)),
        ]
    )
    rejects += [(table.name, reason, payload) for reason, payload in bad.select("reason", "payload").rows()]
    return good.filter(is_first)


def _key(table: Table) -> Sequence[str]:
    return [name for name in table.key if name != "pull_id"]
