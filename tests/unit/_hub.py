"""A Hub that lists what a test says, and a crawl of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from atom_dagster.landing import Landing, Pull
from atom_dagster.sources import hub
from tests.unit._loopback import Asked, Clock, Loopback, Reply, at, endpoints

Rows = Sequence[Any]


def model(name: str, **more: Any) -> dict[str, Any]:
    return {
        "_id": f"id-{name}",
        "id": name,
        "createdAt": "2025-03-01T10:00:00.000Z",
        "downloads": 10,
        "downloadsAllTime": 100,
        "gated": False,
        "lastModified": "2025-03-02T10:00:00.000Z",
        "library_name": "transformers",
        "likes": 1,
        "pipeline_tag": "text-generation",
        "safetensors": {"parameters": {"BF16": 7}, "total": 7},
        "tags": ["transformers", "license:mit"],
        **more,
    }


def listing(*pages: Rows, names: dict[str, Reply] | None = None) -> Callable[[Asked], Reply]:
    """A Hub whose list has these pages, and that knows some models by name."""

    def answer(asked: Asked) -> Reply:
        if asked.path.startswith("/api/models/"):
            missing = Reply.json({"error": "Repository not found"}, status=404)
            return (names or {}).get(asked.path.removeprefix("/api/models/"), missing)
        number = int(asked.query.get("cursor", ["0"])[0])
        headers = {}
        if number + 1 < len(pages):
            base = f"http://{asked.headers['host']}/api/models?limit=1000"
            headers["Link"] = f'<{base}&cursor={number + 1}>; rel="next"'
        return Reply.json(pages[number], headers=headers)

    return answer


def crawl(server: Loopback, landing: Landing, **more: Any) -> Pull:
    given = {"now": at(), "patience": Clock().patience(), **more}
    token = given.pop("token", None)
    return hub.pull(endpoints(server.url, hub_token=token), landing, **given)
