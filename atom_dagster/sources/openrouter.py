"""OpenRouter: tokens by model and day, and the catalogue that says whose weights a model has.

Belongs here: the rankings with a key, their public export without one, and the catalogue. Does not
belong here: who made a model, or what counts as open (``dbt_project``).

Facts: ``rankings-daily`` takes any key, at most 366 days a call, 30 calls a minute; it begins on
2025-01-01; ``total_tokens`` is a decimal string; the day in progress is partial, so only
completed days are asked for; 2025-06-15 and 2025-07-15 are missing at the source. Licence CC BY
4.0: "Source: OpenRouter (openrouter.ai/rankings), as of {as_of}".

The keyless export is not in OpenRouter's own documentation. By what others recorded in 2026-10,
``EXPORT`` answers ``{snapshot_date, retrieved_at, row_count, files: {csv: {url, bytes,
sha256}}}``, and the dated CSV it names has ``date, model_permaslug, rank, total_tokens,
share_of_daily_tokens`` for the last 30 days. The manifest is read tolerantly: any text in it that
ends in ``.csv`` will do.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urljoin, urlsplit

import polars as pl

from atom_dagster.landing import Landing, Pull
from atom_dagster.settings import Endpoints
from atom_dagster.sources import BadAnswer, NotObservable, Progress
from atom_dagster.sources.http import (
    PATIENCE,
    Answer,
    Client,
    Patience,
    Service,
    answered_at,
    is_web_page,
    origin,
    parse_json,
    refusal,
)
from atom_dagster.sources.models import instant_of_text, misfit, quarantine, whole
from atom_dagster.sources.tables import INSTANT, OPENROUTER_MODELS, OPENROUTER_TOKENS, Reading

RANKINGS = "/api/v1/datasets/rankings-daily"
EXPORT = "/api/v1/datasets/exports/rankings-daily/latest.manifest.json"
FIRST_DAY = date(2025, 1, 1)
LONGEST = 366
SERVICE = Service("OpenRouter", "OPENROUTER_API_KEY", per_minute=30)
OPEN = Service("OpenRouter")
CSV_COLUMNS = ("date", "model_permaslug", "total_tokens", "share_of_daily_tokens")
CSV_OPTIONAL = ("rank",)

_RANKING = pl.Schema(dict.fromkeys(("date", "model_permaslug", "total_tokens"), pl.String))
_CATALOGUE = pl.Schema(
    dict.fromkeys(("id", "canonical_slug", "hugging_face_id", "name", "created"), pl.String)
)


def pull_rankings(
    endpoints: Endpoints,
    landing: Landing,
    *,
    now: Callable[[], datetime],
    start: date,
    end: date,
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
) -> list[Pull]:
    """Land the days from ``start`` to ``end``, both included, a call for each calendar year.

    Without a key one pull of the public export, which holds what it holds (30 days).

    Args:
        endpoints: the world's; ``openrouter_key`` goes to ``openrouter`` and nowhere else.
        landing: where the answers go.
        now: the clock; days that are not over are not asked for.
        start: first day; the series begins on 2025-01-01.
        end: last day.
        progress: told of calls.
        patience: how long to wait for what.

    Raises:
        NotObservable: no day of the span can be had.
        SourceError: OpenRouter did not answer as it should; calls before that have landed.
    """
    start, end = max(start, FIRST_DAY), min(end, now().astimezone(UTC).date() - timedelta(days=1))
    if start > end:
        raise NotObservable(f"OpenRouter has no completed day there; its series begins on {FIRST_DAY}.")
    client = Client(patience)
    if endpoints.openrouter_key is None:
        return [_pull_export(client, endpoints, landing, now, start, end)]
    spans = list(_spans(start, end))
    pulls: list[Pull] = []
    refused: NotObservable | None = None
    for done, (first, last) in enumerate(spans, 1):
        try:
            pulls.append(_pull_span(client, endpoints, landing, now, first, last))
        except NotObservable as error:
            refused = error
        if progress:
            progress("calls", done, len(spans))
    if refused and not pulls:
        raise refused
    return pulls


def pull_catalogues(
    endpoints: Endpoints,
    landing: Landing,
    *,
    now: Callable[[], datetime],
    patience: Patience = PATIENCE,
) -> list[Pull]:
    """Land one pull for each catalogue the world knows.

    Raises:
        SourceError: one did not come, is empty, or lacks a field; the ones before it have landed.
    """
    client = Client(patience)
    pulls = []
    for url in endpoints.catalogues:
        answer = client.get(OPEN, url)
        rows = _rows(OPEN, answer, ("id", "canonical_slug"))
        with landing.open(
            source="openrouter_models", scope="catalogue", world=endpoints.world, now=now
        ) as draft:
            draft.discard()
            draft.add("models.json", answer.body, request=_relative(url))
            pulls.append(draft.commit(as_of=answered_at(answer), facts={"rows": len(rows)}))
    return pulls


def days(pull: Pull) -> tuple[date, date]:
    """First and last day a rankings pull holds rows for."""
    return date.fromisoformat(pull.facts["first"]), date.fromisoformat(pull.facts["last"])


def read_rankings(pull: Pull) -> Reading:
    """The pull's tokens by day and model: ``openrouter_tokens``.

    Raises:
        BadAnswer: the answer has another shape than the rankings.
    """
    page = pull.pages[-1]
    body = pull.read(page)
    if page.name.endswith(".csv"):
        frame = _csv(body)
    else:
        frame = _envelope(body, _RANKING, ("date", "model_permaslug", "total_tokens"))
    today, latest = pull.fetched_at.date(), pull.as_of.date() + timedelta(days=1)
    day, slug = pl.col("day"), pl.col("model_permaslug")
    rows = frame.with_columns(day=pl.col("date").str.to_date("%Y-%m-%d", strict=False)).with_columns(
        total=whole(frame, "total_tokens"),
        reason=pl.coalesce(
            pl.when(slug.is_null() | (slug == "")).then(pl.lit("missing_id")),
            pl.when(day.is_null()).then(pl.lit("not_a_date")),
            pl.when(day > latest).then(pl.lit("future_date")),
            pl.when(day >= today).then(pl.lit("incomplete_day")),
            pl.when(pl.col("total_tokens").is_null()).then(pl.lit("not_a_number")),
            misfit(frame, "total_tokens"),
            pl.lit(None, pl.String),
        ),
    )
    good, rejected = _split(rows, ["day", "model_permaslug"], frame.columns)
    tokens = good.select(
        source=pl.lit(pull.source),
        day="day",
        model_permaslug="model_permaslug",
        total_tokens="total",
        as_of=pl.lit(_naive(pull.as_of), INSTANT),
        pull_id=pl.lit(pull.pull_id),
    )
    return Reading(
        {OPENROUTER_TOKENS.name: tokens},
        quarantine(pull.source, pull.pull_id, [(OPENROUTER_TOKENS.name, *r) for r in rejected]),
    )


def read_catalogue(pull: Pull) -> Reading:
    """The pull's catalogue: ``openrouter_models``. Both generations of the envelope are read.

    Raises:
        BadAnswer: the answer has another shape than the catalogue.
    """
    frame = _envelope(pull.read(pull.pages[0]), _CATALOGUE, ("id", "canonical_slug"))
    latest = pull.as_of.date() + timedelta(days=1)
    rows = frame.with_columns(
        created_at=pl.from_epoch(whole(frame, "created"), time_unit="s").cast(INSTANT)
    ).with_columns(
        reason=pl.coalesce(
            pl.when(pl.col("id").is_null() | (pl.col("id") == "")).then(pl.lit("missing_id")),
            misfit(frame, "created"),
            pl.when(pl.col("created_at").dt.date() > latest).then(pl.lit("future_date")),
            pl.lit(None, pl.String),
        )
    )
    good, rejected = _split(rows, ["id"], frame.columns)
    models = good.select(
        model_id="id",
        canonical_slug="canonical_slug",
        hugging_face_id=pl.when(pl.col("hugging_face_id") != "").then("hugging_face_id"),
        name="name",
        created_at="created_at",
        as_of=pl.lit(_naive(pull.as_of), INSTANT),
        pull_id=pl.lit(pull.pull_id),
    )
    return Reading(
        {OPENROUTER_MODELS.name: models},
        quarantine(pull.source, pull.pull_id, [(OPENROUTER_MODELS.name, *r) for r in rejected]),
    )


def _spans(start: date, end: date) -> Iterator[tuple[date, date]]:
    """Calls of one calendar year each: at most 366 days, and the same ones whoever asks."""
    while start <= end:
        last = min(end, date(start.year, 12, 31))
        yield start, last
        start = last + timedelta(days=1)


def _pull_span(
    client: Client,
    endpoints: Endpoints,
    landing: Landing,
    now: Callable[[], datetime],
    first: date,
    last: date,
) -> Pull:
    request = f"{RANKINGS}?start_date={first}&end_date={last}"
    answer = client.ask(SERVICE, endpoints.openrouter + request, token=endpoints.openrouter_key)
    if answer.status in {400, 404}:
        error = refusal(SERVICE, answer, has_credential=True)
        raise NotObservable(f"OpenRouter cannot show {first} to {last}: {error}")
    if answer.status != 200:
        raise refusal(SERVICE, answer, has_credential=True)
    rows = _rows(SERVICE, answer, ("date", "model_permaslug", "total_tokens"))
    meta = parse_json(SERVICE, answer).get("meta") or {}
    as_of = _as_instant(meta.get("as_of")) or answered_at(answer)
    with landing.open(
        source="openrouter_rankings", scope=f"{first}_{last}", world=endpoints.world, now=now
    ) as draft:
        draft.discard()
        draft.add("rankings-daily.json", answer.body, request=request)
        return draft.commit(as_of=as_of, facts=_facts([str(r.get("date")) for r in rows], first, last))


def _pull_export(
    client: Client,
    endpoints: Endpoints,
    landing: Landing,
    now: Callable[[], datetime],
    start: date,
    end: date,
) -> Pull:
    base = endpoints.openrouter
    answer = client.get(OPEN, base + EXPORT)
    manifest = parse_json(OPEN, answer)
    entry = next(_csv_entries(manifest), None)
    if entry is None:
        raise BadAnswer("OpenRouter's export manifest names no CSV file.")
    url = urljoin(base + EXPORT, entry["url"])
    if origin(url) != origin(base):
        raise BadAnswer(f"OpenRouter's export manifest names a file at {origin(url)}.")
    table = client.get(OPEN, url)
    if is_web_page(table.body):
        raise BadAnswer("OpenRouter answered with a web page instead of its CSV export.")
    digest = entry.get("sha256")
    if isinstance(digest, str) and digest != hashlib.sha256(table.body).hexdigest():
        raise BadAnswer("OpenRouter's CSV export is not the one its manifest names; run again.")
    found = sorted(set(_csv(table.body)["date"].drop_nulls().to_list()))
    facts = _facts(found, start, end)
    first, last = date.fromisoformat(facts["first"]), date.fromisoformat(facts["last"])
    if first > end or last < start:
        raise NotObservable(f"Without a key OpenRouter shows {first} to {last} only; set OPENROUTER_API_KEY.")
    facts["start"], facts["end"] = facts["first"], facts["last"]
    told = manifest if isinstance(manifest, dict) else {}
    as_of = _as_instant(told.get("retrieved_at")) or _as_instant(told.get("snapshot_date"))
    with landing.open(
        source="openrouter_export", scope=f"{first}_{last}", world=endpoints.world, now=now
    ) as draft:
        draft.discard()
        draft.add("manifest.json", answer.body, request=EXPORT)
        draft.add("rankings-daily.csv", table.body, request=_relative(url))
        return draft.commit(as_of=as_of or answered_at(table), facts=facts)


def _csv_entries(value: Any) -> Iterator[dict[str, Any]]:
    """Whatever in a manifest names a CSV file, with the fields beside it."""
    if isinstance(value, dict):
        for text in value.values():
            if isinstance(text, str) and urlsplit(text).path.endswith(".csv"):
                yield {**value, "url": text}
        for name in sorted(value, key=lambda name: (name == "latest", name != "files")):
            yield from _csv_entries(value[name])
    elif isinstance(value, list):
        for item in value:
            yield from _csv_entries(item)


def _facts(found: Sequence[str], start: date, end: date) -> dict[str, Any]:
    """The days of a pull. A day missing inside the span is missing at the source, and noted."""
    present = sorted({day for text in set(found) if (day := _day(text))})
    if not present:
        raise BadAnswer(f"OpenRouter sent no row for {start} to {end}; nothing was recorded.")
    first, last = present[0], present[-1]
    every = (first + timedelta(days=n) for n in range((last - first).days + 1))
    missing = sorted(set(every) - set(present))
    return {
        "start": start.isoformat(),
        "end": end.isoformat(),
        "first": first.isoformat(),
        "last": last.isoformat(),
        "days": len(present),
        "missing_days": [day.isoformat() for day in missing],
    }


def _rows(service: Service, answer: Answer, required: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of ``{"data": […]}`` before they land.

    Raises:
        BadAnswer: there is no such list, it is empty, or no row has a required field.
    """
    value = parse_json(service, answer)
    rows = value.get("data") if isinstance(value, dict) else None
    if not isinstance(rows, list):
        raise BadAnswer(f"{service.name} answered without a list named 'data'.")
    dicts = [row for row in rows if isinstance(row, dict)]
    if not dicts:
        raise BadAnswer(f"{service.name} answered with an empty list; nothing was recorded.")
    for name in required:
        if not any(name in row for row in dicts):
            raise BadAnswer(
                f"{service.name}'s rows lack the field {name!r}; they have {', '.join(dicts[0])}."
            )
    return dicts


def _envelope(body: bytes, schema: pl.Schema, required: Sequence[str]) -> pl.DataFrame:
    """The rows of ``{"data": […]}`` as text columns."""
    if not body.lstrip().startswith(b"{"):
        raise BadAnswer("OpenRouter's answer is no JSON object with a list named 'data'.")
    try:
        table = pl.read_json(body, schema={"data": pl.List(pl.Struct(schema))})
        frame = table.explode("data").unnest("data") if table.height else schema.to_frame()
    except pl.exceptions.PolarsError:
        frame = _row_by_row(body, schema)
    for name in required:
        if frame[name].null_count() == frame.height:
            raise BadAnswer(f"OpenRouter's rows lack the field {name!r}.")
    return frame


def _row_by_row(body: bytes, schema: pl.Schema) -> pl.DataFrame:
    """As ``_envelope``; a value that is no text becomes its JSON, to be set aside later."""
    try:
        rows = json.loads(body)["data"]
        flat = [
            {
                name: None
                if row.get(name) is None
                else row[name]
                if isinstance(row[name], str)
                else json.dumps(row[name])
                for name in schema
            }
            for row in (row if isinstance(row, dict) else {} for row in rows)
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise BadAnswer("OpenRouter's answer has no list named 'data'.") from error
    return pl.DataFrame(flat, schema=schema)


def _csv(body: bytes) -> pl.DataFrame:
    header = body.partition(b"\n")[0].decode("utf-8-sig", "replace").strip()
    names = header.split(",")
    if not set(CSV_COLUMNS) <= set(names) <= {*CSV_COLUMNS, *CSV_OPTIONAL}:
        raise BadAnswer(
            f"OpenRouter's CSV export has the columns {header[:120]!r}; expected {', '.join(CSV_COLUMNS)}."
        )
    try:
        return pl.read_csv(io.BytesIO(body), infer_schema=False, truncate_ragged_lines=True)
    except pl.exceptions.PolarsError as error:
        raise BadAnswer("OpenRouter's CSV export cannot be read; run again.") from error


def _split(
    rows: pl.DataFrame, key: list[str], columns: Sequence[str]
) -> tuple[pl.DataFrame, list[tuple[str, str]]]:
    """The rows to believe, and (reason, row as JSON) of the others; the first of a key stays."""
    good = rows.filter(pl.col("reason").is_null())
    is_first = pl.struct(key).is_first_distinct()
    bad = pl.concat(
        [
            rows.filter(pl.col("reason").is_not_null()),
            good.filter(~is_first).with_columns(reason=pl.lit("duplicate", pl.String)),
        ]
    )
    payloads = bad.select(columns).write_ndjson().splitlines() if bad.height else []
    return good.filter(is_first), list(zip(bad["reason"], payloads, strict=True))


def _relative(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _as_instant(text: Any) -> datetime | None:
    if not isinstance(text, str):
        return None
    found = pl.select(instant_of_text(pl.lit(text))).item()
    return found.replace(tzinfo=UTC) if isinstance(found, datetime) else None


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
