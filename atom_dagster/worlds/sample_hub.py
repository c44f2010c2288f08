"""The sample world's Hub API: lists of models and single models.

Belongs here: the wire format of ``/api/models``. Does not belong here: the Hub's datasets
(``sample_archives``), the numbers (``sample_state``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import urlencode

import polars as pl

from atom_dagster.worlds.sample_facts import RENAMED_ON
from atom_dagster.worlds.sample_state import State
from atom_dagster.worlds.server import Answer, Request, cursor_of, json_answer, offset_of

MOST = 1000
"""Largest page."""
LISTABLE = [
    "author",
    "baseModels",
    "cardData",
    "config",
    "createdAt",
    "disabled",
    "downloads",
    "downloadsAllTime",
    "evalResults",
    "gated",
    "gguf",
    "inference",
    "inferenceProviderMapping",
    "lastModified",
    "library_name",
    "likes",
    "mask_token",
    "model-index",
    "pipeline_tag",
    "private",
    "resourceGroup",
    "safetensors",
    "sha",
    "siblings",
    "spaces",
    "tags",
    "transformersInfo",
    "trendingScore",
    "widgetData",
    "xetEnabled",
]
"""What ``expand`` accepts on the list; ``childrenModelCount`` and ``usedStorage`` it refuses."""
ON_ONE = [*(name for name in LISTABLE if name != "xetEnabled"), "childrenModelCount", "usedStorage"]
DEFAULT = [
    "likes",
    "trendingScore",
    "private",
    "downloads",
    "tags",
    "pipeline_tag",
    "library_name",
    "createdAt",
    "modelId",
]
FULL = [*DEFAULT, "author", "sha", "lastModified", "gated", "siblings"]
SORTS = {
    "createdAt": "created_at",
    "lastModified": "lastModified",
    "downloads": "downloads",
    "likes": "likes",
    "trendingScore": "downloads",
}


class Hub:
    """Answers of the Hub's API below ``/hub``."""

    def __init__(self, state: State) -> None:
        self._state = state

    def answer(self, request: Request, rest: str, today: date) -> Answer | None:
        """The answer to ``rest``, the path below /hub; None where there is none."""
        if rest == "api/models":
            return self._list(request, today)
        if rest.startswith("api/models/"):
            return self._one(request, rest.removeprefix("api/models/"), today)
        return None

    def _list(self, request: Request, today: date) -> Answer:
        asked = [*request.all("expand"), *request.all("expand[]")]
        refusal = _refused(asked, LISTABLE)
        if refusal:
            return refusal
        if request.one("full") == "true":
            asked = asked or FULL
        limit = _limit(request)
        frame = self._state.readings(today)
        author, search = request.one("author"), request.one("search")
        pipeline = request.one("pipeline_tag")
        wanted = [
            *([pl.col("author") == author] if author else []),
            *([pl.col("id").str.contains(search, literal=True)] if search else []),
            *([pl.col("pipeline_tag") == pipeline] if pipeline else []),
            *(pl.col("tags").list.contains(tag) for tag in request.all("filter")),
        ]
        frame = frame.filter(*wanted) if wanted else frame
        sort = SORTS.get(request.one("sort", "trendingScore") or "")
        if sort is None:
            return json_answer({"error": f"Invalid sort: {request.one('sort')}"}, 400, bucket="api")
        descending = request.one("direction", "-1") != "1"
        frame = frame.sort(sort, "row", descending=[descending, descending], nulls_last=True)
        start = offset_of(request.one("cursor"))
        if start is None:
            return json_answer({"error": "Invalid cursor"}, 400, bucket="api")
        page = frame.slice(start, limit)
        headers = {}
        if start + limit < frame.height:
            query = [(k, v) for k, v in request.query if k != "cursor"]
            query.append(("cursor", cursor_of(start + limit)))
            headers["Link"] = f'<{request.base}{request.path}?{urlencode(query)}>; rel="next"'
        return json_answer(
            [_model(row, asked or DEFAULT) for row in page.iter_rows(named=True)],
            headers=headers,
            bucket="api",
        )

    def _one(self, request: Request, model_id: str, today: date) -> Answer:
        asked = [*request.all("expand"), *request.all("expand[]")]
        refusal = _refused(asked, ON_ONE)
        if refusal:
            return refusal
        parts = model_id.split("/revision/")[0]
        found = self._state.readings(today).filter(pl.col("id") == parts)
        if found.height:
            row = found.row(0, named=True)
            row["children"] = self._children(parts, today) if "childrenModelCount" in asked else {}
            return json_answer(_model(row, asked or [*FULL, "safetensors"]), bucket="api")
        known = self._state.models.filter((pl.col("old_id") == parts) | (pl.col("model_id") == parts))
        if known.height:
            row = known.row(0, named=True)
            is_gone = row["gone_on"] is not None and row["gone_on"] <= today
            if not is_gone and row["old_id"] == parts and today >= RENAMED_ON:
                query = f"?{urlencode(request.query)}" if request.query else ""
                new = f"{request.base}/hub/api/models/{row['model_id']}{query}"
                return Answer(
                    b"",
                    307,
                    headers={"Location": new, "X-Linked-Id": row["model_id"]},
                    bucket="api",
                )
            if is_gone and row["is_private"]:
                return json_answer({"error": "Invalid username or password."}, 401, bucket="api")
        return json_answer({"error": "Repository not found"}, 404, bucket="api")

    def _children(self, model_id: str, today: date) -> dict[str, int]:
        counts = (
            self._state.readings(today)
            .filter(pl.col("base_models").list.eval(pl.element().struct["id"] == model_id).list.any())
            .group_by("relation")
            .len()
        )
        return dict(counts.iter_rows())


def _refused(asked: Sequence[str], allowed: Sequence[str]) -> Answer | None:
    if all(name in allowed for name in asked):
        return None
    options = "|".join(f'"{name}"' for name in allowed)
    return json_answer(
        {"error": f"✖ Invalid option: expected one of {options}\n  → at expand"}, 400, bucket="api"
    )


def _model(row: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """A model as the Hub writes it: ``_id``, ``id``, and the fields asked for that it has."""
    model: dict[str, Any] = {"_id": row["hub_id"], "id": row["id"]}
    for name in fields:
        value = _FIELDS[name](row) if name in _FIELDS else None
        if value is not None:
            model[name] = value
    return model


def _created(row: Mapping[str, Any]) -> str | None:
    return None if row["hides_creation"] else f"{row['created_at']:%Y-%m-%dT%H:%M:%S}.000Z"


def _bases(row: Mapping[str, Any]) -> dict[str, Any] | None:
    return row["base_models"] and {"relation": row["relation"], "models": row["base_models"]}


def _sizes(row: Mapping[str, Any]) -> dict[str, Any] | None:
    return row["params"] and {"parameters": {"BF16": row["params"]}, "total": row["params"]}


_FIELDS: dict[str, Any] = {
    "author": lambda row: row["author"],
    "baseModels": _bases,
    "childrenModelCount": lambda row: row["children"],
    "createdAt": _created,
    "disabled": lambda _: False,
    "downloads": lambda row: row["downloads"],
    "downloadsAllTime": lambda row: row["downloadsAllTime"],
    "gated": lambda row: False if row["gated"] == "false" else row["gated"],
    "lastModified": lambda row: f"{row['lastModified']:%Y-%m-%dT%H:%M:%S}.000Z",
    "library_name": lambda row: row["library_name"],
    "likes": lambda row: row["likes"],
    "modelId": lambda row: row["id"],
    "pipeline_tag": lambda row: row["pipeline_tag"],
    "private": lambda _: False,
    "safetensors": _sizes,
    "sha": lambda row: hashlib.sha1(row["hub_id"].encode(), usedforsecurity=False).hexdigest(),
    "siblings": lambda _: [{"rfilename": "config.json"}],
    "tags": lambda row: row["tags"],
    "trendingScore": lambda row: row["downloads"] // 10_000,
    "usedStorage": lambda row: 2 * (row["params"] or 0),
}


def _limit(request: Request) -> int:
    """The page's size: what is asked for, at most the server's own."""
    asked = request.one("limit") or ""
    return max(1, min(int(asked), MOST)) if asked.isdigit() else MOST
