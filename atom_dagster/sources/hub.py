"""The Hub: models by organization or all of them, as the live API knows them now.

Belongs here: what is asked of ``/api/models`` and how its pages become rows. Does not belong
here: the Hub's past (``archive``), or how requests wait (``hub_client``, ``http``).

Facts: the list API shows at most 1 000 models a page and names the next one in ``Link``;
``expand`` is restrictive (only ``_id``, ``id`` and the named fields come), and
``childrenModelCount`` is refused on lists with 400. A name that is gone answers 404, a private or
unknown one 401, a renamed one redirects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import polars as pl

from atom_dagster.landing import Landing, Page, Pull, PullWriter
from atom_dagster.settings import Endpoints
from atom_dagster.sources import BadAnswer, NotObservable, Progress
from atom_dagster.sources.http import PATIENCE, Answer, Patience, answered_at, parse_json
from atom_dagster.sources.hub_client import HubClient
from atom_dagster.sources.models import BASE, Collector, check_spelling
from atom_dagster.sources.tables import HF_MODELS, HF_PROBES, Reading

SOURCE = "hub_live"
EXPAND = (
    "baseModels", "createdAt", "downloads", "downloadsAllTime", "gated", "lastModified",
    "library_name", "likes", "pipeline_tag", "safetensors", "tags",
)  # fmt: skip
ALWAYS = ("_id", "id", "createdAt", "downloads", "downloadsAllTime", "likes", "tags")
"""What every model has: a page on which one of these is nowhere to be found was not understood."""
PAGE_SIZE = 1000

_WIRE_FIELDS: dict[str, pl.DataType | type[pl.DataType]] = {
    "_id": pl.String,
    "id": pl.String,
    "createdAt": pl.String,
    # As text, since a JSON number too large for 64 bits would silently become NULL.
    "downloads": pl.String,
    "downloadsAllTime": pl.String,
    "likes": pl.String,
    "tags": pl.List(pl.String),
    "pipeline_tag": pl.String,
    "library_name": pl.String,
    "gated": pl.String,
    "safetensors": pl.Struct({"total": pl.String}),
    "baseModels": pl.Struct({"relation": pl.String, "models": pl.List(BASE)}),
}
_WIRE = pl.Schema(_WIRE_FIELDS)


def pull(
    endpoints: Endpoints,
    landing: Landing,
    *,
    now: Callable[[], datetime],
    scope: str = "all",
    organizations: Sequence[str] = (),
    tracked: Sequence[str] = (),
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
) -> Pull:
    """Crawl the Hub as it is now and land every page; a second call of the same day goes on.

    Args:
        endpoints: the world's; ``hub_token`` goes to ``hub`` and nowhere else.
        landing: where the pages go.
        now: the clock; its UTC day names the pull.
        scope: ``all`` models, or those of ``organizations``.
        organizations: Hub namespaces, for the scope of that name.
        tracked: ids to ask for by name when the crawl does not show them.
        progress: told of pages and probes.
        patience: how long to wait for what.

    Raises:
        NotObservable: the world has no live Hub.
        SourceError: the Hub did not answer as it should; what has landed is kept for the next call.
    """
    if endpoints.hub is None:
        raise NotObservable("This world has no live Hub, so the current month has no reading.")
    client = HubClient(endpoints.hub, endpoints.hub_token, patience=patience)
    starts = _starts(scope, organizations)
    day = now().astimezone(UTC).date()
    with landing.open(source=SOURCE, scope=day.isoformat(), world=endpoints.world, now=now) as draft:
        if not _continues(draft, starts):
            draft.discard()
        missing = dict.fromkeys(tracked)
        rows = 0
        for done, ids in enumerate(_crawl(client, draft, starts), 1):
            rows += len(ids)
            for name in ids:
                missing.pop(name, None)
            if progress:
                progress("pages", done, None)
        if rows == 0:
            draft.discard()
            raise BadAnswer("The Hub listed no model at all; nothing was recorded for today.")
        _probe(client, draft, list(missing), progress)
        return draft.commit(
            as_of=_instant(draft.pages[0].notes.get("date")),
            facts={
                "observed_on": day.isoformat(),
                "scope": scope,
                "is_complete": scope == "all",
                "organizations": sorted(organizations) if scope == "organizations" else [],
                "rows": rows,
                "probed": len(missing),
            },
        )


def read(pull: Pull) -> Reading:
    """The pull's readings, edges and probes: ``hf_models``, ``hf_derivatives``, ``hf_probes``.

    Raises:
        BadAnswer: a page is not the Hub's list of models.
    """
    observed_on = date.fromisoformat(pull.facts.get("observed_on") or pull.fetched_at.date().isoformat())
    collector = Collector(SOURCE, pull.pull_id, observed_on, latest=pull.as_of.date() + timedelta(days=1))
    probes: list[tuple[Page, dict[str, Any]]] = []
    for page in pull.pages:
        if page.name.startswith("probe"):
            body = json.loads(pull.read(page)) if page.status == 200 else {}
            probes.append((page, body if isinstance(body, dict) else {}))
        else:
            _collect(collector, pull.read(page), _teller(pull, page))
    # A model the crawl missed and that answers by name is a reading like any other.
    known = set(collector.known().to_list()) if probes else set()
    for page, body in probes:
        if body.get("id") and body["id"] not in known and "downloads" in body:
            known.add(body["id"])
            _collect(collector, json.dumps([body]).encode(), _teller(pull, page))
    reading = collector.reading()
    frame = pl.DataFrame(
        {
            "model_id": [page.notes["asked"] for page, _ in probes],
            "observed_on": [observed_on] * len(probes),
            "status_code": [page.status for page, _ in probes],
            "resolved_id": [body.get("id") for _, body in probes],
            "hf_id": [body.get("_id") for _, body in probes],
            "pull_id": [pull.pull_id] * len(probes),
        },
        schema=HF_PROBES.schema,
    )
    return Reading({**reading.frames, HF_PROBES.name: frame}, reading.quarantine)


def _starts(scope: str, organizations: Sequence[str]) -> list[str]:
    """The first request of every list to follow."""
    query: list[tuple[str, str]] = [
        ("limit", str(PAGE_SIZE)),
        ("sort", "createdAt"),
        ("direction", "-1"),
        *(("expand", name) for name in EXPAND),
    ]
    if scope == "all":
        return [f"/api/models?{urlencode(query)}"]
    if scope != "organizations" or not organizations:
        raise ValueError("scope is 'all', or 'organizations' with at least one of them")
    return [f"/api/models?{urlencode([('author', name), *query])}" for name in sorted(set(organizations))]


def _continues(draft: PullWriter, starts: Sequence[str]) -> bool:
    """Whether the draft's pages are the first ones of this very crawl."""
    begun = [page.request for page in draft.pages if page.notes.get("first")]
    return begun == list(starts[: len(begun)])


def _crawl(client: HubClient, draft: PullWriter, starts: Sequence[str]) -> Iterator[list[str]]:
    """Land what is not landed yet; the ids of every page, landed before or now."""
    request: str | None = None
    begun = 0
    for page in [page for page in draft.pages if page.name.startswith("crawl")]:
        begun += bool(page.notes.get("first"))
        request = page.notes.get("next")
        yield _ids(json.loads(draft.read(page)), page.request)
    asked = {page.request for page in draft.pages}
    number = len(asked)
    while request or begun < len(starts):
        is_first = request is None
        if request is None:
            request, begun = starts[begun], begun + 1
        if request in asked:
            raise BadAnswer("The Hub's next page is one it already gave; run again.")
        asked.add(request)
        answer, value = client.json(request)
        ids = _ids(value, request)
        following = client.next_request(answer)
        notes = {"first": is_first, "next": following, "date": _date(answer)}
        draft.add(f"crawl-{number:05d}.json", answer.body, request=request, notes=notes)
        number += 1
        request = following
        yield ids


def _ids(value: Any, request: str) -> list[str]:
    """The ids on a page, after making sure that it is one."""
    who = f"The Hub's answer to {request.partition('?')[0]}"
    if not isinstance(value, list):
        raise BadAnswer(f"{who} is no list of models.")
    rows = [row for row in value if isinstance(row, dict)]
    if value and not rows:
        raise BadAnswer(f"{who} is a list of something else than models.")
    if rows:
        check_spelling(who, sorted(set().union(*rows)), ALWAYS)
    return [row["id"] for row in rows if isinstance(row.get("id"), str)]


def _probe(client: HubClient, draft: PullWriter, ids: Sequence[str], progress: Progress | None) -> None:
    """Ask by name for what the crawl did not show, and land whatever comes."""
    landed = {page.notes["asked"] for page in draft.pages if page.name.startswith("probe")}
    query = urlencode([("expand", name) for name in EXPAND])
    for done, name in enumerate(ids, 1):
        if name not in landed:
            request = f"/api/models/{quote(name)}?{query}"
            answer = client.get(request)
            # A private, gone or withdrawn model is an answer; a question not understood is none.
            if answer.status == 200:
                parse_json(client.service, answer)
            elif answer.status == 400:
                raise client.refusal(answer)
            draft.add(
                f"probe-{len(draft.pages):05d}.json",
                answer.body,
                request=request,
                status=answer.status,
                notes={"asked": name},
            )
        if progress:
            progress("probes", done, len(ids))


def _collect(collector: Collector, body: bytes, tell: Callable[[Sequence[int]], list[str]]) -> None:
    """Read one page, in one go where every row has the expected types, else row by row."""
    if not body.lstrip().startswith(b"["):
        raise BadAnswer("A page of the Hub is no list of models.")
    check_spelling("A page of the Hub", _first_names(body), ())
    try:
        frame = pl.read_json(body, schema=_WIRE).with_row_index("position")
    except pl.exceptions.PolarsError:
        frame = _row_by_row(collector, body)
    if frame.height:
        for name in ("id", "downloads"):
            if frame[name].null_count() == frame.height:
                raise BadAnswer(f"A page of the Hub lacks the field {name!r} on every model.")
        raw = frame.with_columns(
            safetensors_total=pl.col("safetensors").struct.field("total"),
            relation=pl.col("baseModels").struct.field("relation"),
            bases=pl.col("baseModels").struct.field("models"),
        )
        collector.add(raw, tell)


def _row_by_row(collector: Collector, body: bytes) -> pl.DataFrame:
    try:
        rows = json.loads(body)
    except ValueError as error:
        raise BadAnswer("A page of the Hub is not whole JSON.") from error
    good, wrong = [], 0
    for position, row in enumerate(rows):
        try:
            frame = pl.read_json(json.dumps([row]).encode(), schema=_WIRE)
        except (pl.exceptions.PolarsError, ValueError):
            wrong += 1
            collector.reject(HF_MODELS.name, "unknown_shape", json.dumps(row))
        else:
            good.append(frame.select(pl.lit(position, pl.UInt32).alias("position"), pl.all()))
    if wrong > len(rows) / 2:
        raise BadAnswer(f"{wrong} of {len(rows)} models on a page of the Hub have an unknown shape.")
    return pl.concat(good)


def _first_names(body: bytes) -> list[str]:
    """The field names of a page's first model, without parsing the rest."""
    text = body[: 1 << 20].decode("utf-8", "replace")
    start = text.find("{")
    if start < 0:
        return []
    try:
        row, _ = json.JSONDecoder().raw_decode(text, start)
    except ValueError:
        return []
    return list(row) if isinstance(row, dict) else []


def _teller(pull: Pull, page: Page) -> Callable[[Sequence[int]], list[str]]:
    """The rows at some positions of a page, as JSON, as received."""

    def tell(positions: Sequence[int]) -> list[str]:
        rows = json.loads(pull.read(page))
        rows = rows if isinstance(rows, list) else [rows]
        return [json.dumps(rows[position], ensure_ascii=False) for position in positions]

    return tell


def _date(answer: Answer) -> str | None:
    instant = answered_at(answer)
    return instant.isoformat() if instant else None


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
