"""The sample world: a small simulated Hub, archive, OpenRouter and registry. Synthetic throughout.

Belongs here: starting the server over the generated files, OpenRouter's and the registry's wire
formats. Does not belong here: the Hub's (``sample_hub``, ``sample_archives``), the numbers
(``sample_state``).
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl

from atom_dagster.settings import Archive, Endpoints, Settings
from atom_dagster.worlds import sample_archives, sample_openrouter
from atom_dagster.worlds.sample_facts import rows
from atom_dagster.worlds.sample_generate import ensure
from atom_dagster.worlds.sample_hub import Hub
from atom_dagster.worlds.sample_state import FIRST_OF_SERIES, FIRST_REVISION, State
from atom_dagster.worlds.server import Answer, Request, json_answer, serving
from atom_dagster.worlds.server_datasets import Datasets

KEY = "sk-or-sample-not-a-secret"
"""The invented key that the sample's OpenRouter demands."""
LONGEST = 366
EXPORT_DAYS = 30


@contextmanager
def open_sample(settings: Settings) -> Iterator[Endpoints]:
    """Serve the sample world of the settings' seed, generating its files if they are not there."""
    state = State(ensure(settings.home / "world", settings.seed))
    with serving(Sample(state, settings), settings.now, settings.faults) as base:
        yield Endpoints(
            world=settings.world_name,
            is_synthetic=True,
            hub=f"{base}/hub",
            archives=(
                Archive(f"{base}/hub", sample_archives.SNAPSHOTS, "complete"),
                Archive(
                    f"{base}/hub",
                    sample_archives.REVISIONS,
                    "complete",
                    name="hub_revisions",
                    layout="revisions",
                    since=FIRST_REVISION,
                ),
                Archive(
                    f"{base}/hub",
                    sample_archives.SERIES,
                    "selection",
                    name="hub_series",
                    layout="series",
                    since=FIRST_OF_SERIES,
                ),
            ),
            openrouter=f"{base}/openrouter",
            catalogues=(f"{base}/openrouter/api/v1/models",),
            registry=f"{base}/registry",
            openrouter_key=KEY,
        )


class Sample:
    """All answers of the sample world."""

    def __init__(self, state: State, settings: Settings) -> None:
        self._state, self._settings = state, settings
        self._hub, self._archives = Hub(state), sample_archives.Archives(state)
        self._datasets = Datasets(settings.now)

    def answer(self, request: Request) -> Answer:
        """One answer; 404 for a path no service has."""
        room, _, rest = request.path.removeprefix("/").partition("/")
        today = self._settings.today()
        found: Answer | None = None
        if room == "hub":
            found = (
                self._hub.answer(request, rest, today)
                or self._archives.answer(request, rest, today)
                or self._datasets.answer(request, rest)
            )
        elif room == "openrouter":
            found = self._openrouter(request, rest, today)
        elif room == "registry":
            found = self._registry(rest, today)
        return found or json_answer({"error": "Not found"}, 404)

    def receive(self, request: Request) -> Answer:
        """The answer to an upload: the Hub takes datasets, and keeps them as long as the server runs."""
        room, _, rest = request.path.removeprefix("/").partition("/")
        found = self._datasets.receive(request, rest) if room == "hub" else None
        return found or json_answer({"error": "Not found"}, 404)

    def _openrouter(self, request: Request, rest: str, today: date) -> Answer | None:
        if rest == "api/v1/models":
            entries = sample_openrouter.catalogue(today)
            return json_answer({"data": entries, "total_count": len(entries), "links": {"next": None}})
        if rest == "api/v1/datasets/rankings-daily":
            return self._rankings(request, today)
        _, is_export, name = rest.partition("datasets/exports/rankings-daily/")
        if is_export:
            return self._export(request, name, today)
        return None

    def _as_of(self, today: date) -> datetime:
        refreshed = datetime.combine(today, time(0, 10), UTC)
        is_early = self._settings.now() < refreshed
        return datetime.combine(today, time(0), UTC) if is_early else refreshed

    def _rankings(self, request: Request, today: date) -> Answer:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _error(401, "No auth credentials found")
        yesterday = today - timedelta(days=1)
        try:
            last = date.fromisoformat(request.one("end_date") or yesterday.isoformat())
            first = date.fromisoformat(request.one("start_date") or (last - timedelta(days=29)).isoformat())
        except ValueError:
            return _error(400, "start_date and end_date must be YYYY-MM-DD")
        if last < sample_openrouter.FIRST_DAY or first > last:
            return _error(400, "The range ends before 2025-01-01 or before it starts")
        if (last - first).days + 1 > LONGEST:
            return _error(400, f"The range must not exceed {LONGEST} days")
        first, last = max(first, sample_openrouter.FIRST_DAY), min(last, yesterday)
        meta = {
            "as_of": f"{self._as_of(today):%Y-%m-%dT%H:%M:%S}.000Z",
            "version": "v1",
            "start_date": first.isoformat(),
            "end_date": last.isoformat(),
        }
        return json_answer({"data": self._days(first, last), "meta": meta}, bucket="data")

    def _days(self, first: date, last: date) -> list[dict[str, str]]:
        return (
            self._state.tokens.filter(pl.col("day").is_between(first, last))
            .select(
                date=pl.col("day").dt.to_string("%Y-%m-%d"),
                model_permaslug="model_permaslug",
                total_tokens=pl.col("total_tokens").cast(pl.String),
            )
            .collect()
            .to_dicts()
        )

    def _export(self, request: Request, name: str, today: date) -> Answer | None:
        """The keyless export: a manifest, and the dated CSV it names."""
        newest = today - timedelta(days=1)
        dated = f"rankings-daily-{newest}.csv"
        if name not in {"latest.manifest.json", "latest.csv", dated}:
            return None
        found = self._days(newest - timedelta(days=EXPORT_DAYS - 1), newest)
        totals: dict[str, int] = {}
        for row in found:
            totals[row["date"]] = totals.get(row["date"], 0) + int(row["total_tokens"])
        lines: list[Sequence[Any]] = []
        rank, day = 0, ""
        for row in found:
            rank = rank + 1 if row["date"] == day else 1
            day = row["date"]
            share = int(row["total_tokens"]) / totals[day]
            is_other = row["model_permaslug"] == "other"
            shown = "" if is_other else rank
            lines.append((day, row["model_permaslug"], shown, row["total_tokens"], f"{share:.6f}"))
        header = ("date", "model_permaslug", "rank", "total_tokens", "share_of_daily_tokens")
        body = _csv(header, lines)
        if name != "latest.manifest.json":
            return Answer(body, content_type="text/csv; charset=utf-8")
        url = f"{request.base}{request.path.rpartition('/')[0]}/{dated}"
        return json_answer(
            {
                "snapshot_date": newest.isoformat(),
                "retrieved_at": f"{self._as_of(today):%Y-%m-%dT%H:%M:%S}.000Z",
                "row_count": len(lines),
                "files": {
                    "csv": {
                        "url": url,
                        "bytes": len(body),
                        "sha256": hashlib.sha256(body).hexdigest(),
                    }
                },
            }
        )

    def _registry(self, name: str, today: date) -> Answer | None:
        """The authors' lists as they would stand on a day."""
        if name in {"models.csv", "extra_models.csv"}:
            body = self._list(today, "core" if name == "models.csv" else "extra")
        elif name == "metadata/organization_regions.csv":
            body = _csv(
                ("hf_org", "region", "notes"),
                [
                    (row["hf_org"], row["region"], row["notes"])
                    for row in sorted(rows("organizations"), key=lambda row: row["hf_org"].lower())
                    if row["in_registry"] == "true"
                ],
            )
        elif name == "metadata/model_parameters.csv":
            body = self._parameters(today)
        elif name == "metadata/release_date_corrections.csv":
            body = self._corrections(today)
        else:
            return None
        return Answer(body, content_type="text/plain; charset=utf-8")

    def _known(self, today: date) -> pl.DataFrame:
        midnight = datetime(today.year, today.month, today.day)
        return self._state.models.filter(pl.col("created_at") < midnight)

    def _list(self, today: date, name: str) -> bytes:
        known = self._known(today).filter(pl.col("list_name") == name)
        ids = [*known["model_id"], *known["old_id"].drop_nulls()]
        split = sorted((i.split("/") for i in ids), key=lambda p: (p[0].lower(), p[1].lower()))
        return _csv(("org", "model", "modelId"), [(o, m, f"{o}/{m}") for o, m in split])

    def _parameters(self, today: date) -> bytes:
        known = self._known(today).filter(pl.col("in_parameters")).sort("model_id")
        lines = [
            (
                row["model_id"],
                f"{row['total_b']:g}",
                f"{row['active_b']:g}" if row["active_b"] else "",
                "true" if row["active_b"] else "false",
                "",
            )
            for row in known.iter_rows(named=True)
        ]
        return _csv(("model_id", "total_params_b", "active_params_b", "is_moe", "notes"), lines)

    def _corrections(self, today: date) -> bytes:
        columns = ("model_id", "hf_created_at", "actual_release_date", "notes")
        lines = [
            (c["model_id"], c["created_on"], c["released_on"], c["notes"])
            for c in self._state.corrections
            if max(c["released_on"], c["created_on"]) < today.isoformat()
        ]
        comments = (
            "# Manual release date corrections (synthetic, sample world)\n"
            "# HF created_at can differ from actual public release date\n"
            f"# Format: {','.join(columns)}\n"
        )
        return comments.encode() + _csv(columns, lines)


def _error(status: int, message: str) -> Answer:
    return json_answer({"error": {"message": message, "code": status}}, status, bucket="data")


def _csv(header: Sequence[str], lines: Sequence[Sequence[Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return out.getvalue().encode()
