"""A small HTTP server on this machine that answers as a test says, over real sockets."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from atom_dagster.settings import Archive, Endpoints
from atom_dagster.sources.http import Patience

NOW = datetime(2026, 5, 23, 9, 30, tzinfo=UTC)
DATE = "Sat, 23 May 2026 09:30:00 GMT"


@dataclass(frozen=True)
class Reply:
    """One answer. ``cut`` bytes are left out of the body after its length was announced."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0

    @classmethod
    def json(cls, value: Any, **more: Any) -> Reply:
        return cls(json.dumps(value).encode(), **more)

    def gzipped(self, *, lose: int = 0) -> Reply:
        """The same answer compressed; ``lose`` bytes are missing, unannounced."""
        packed = gzip.compress(self.body, mtime=0)
        headers = {**self.headers, "Content-Encoding": "gzip"}
        return replace(self, body=packed[: len(packed) - lose], headers=headers)


HTML = Reply(b"<!DOCTYPE html><html>Sign in</html>", headers={"Content-Type": "text/html"})


@dataclass
class Asked:
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    target: str


class Loopback:
    """``answer`` is called with each request; ``asked`` keeps them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Reply] = lambda asked: Reply(status=404)

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def replies(self, *replies: Reply) -> None:
        """Answer in this order, the last one for ever."""
        left = list(replies)
        self.answer = lambda asked: left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def serving(answer: Callable[[Asked], Reply] | None = None) -> Iterator[Loopback]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # head and body in one packet: no delayed acknowledgement

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(parts.path, parse_qs(parts.query), headers, self.path)
            loopback.asked.append(asked)
            reply = loopback.answer(asked)
            self.send_response_only(reply.status)
            sent = {"Date": DATE, "Content-Length": str(len(reply.body)), **reply.headers}
            for name, value in sent.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) - reply.cut])
            if reply.cut:
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    loopback = Loopback(f"http://127.0.0.1:{server.server_port}")
    if answer:
        loopback.answer = answer
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield loopback
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Clock:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    def __call__(self) -> float:
        return self.seconds

    def patience(self, **more: Any) -> Patience:
        """Patience on this clock. A base of zero, since huggingface_hub sleeps by itself."""
        return Patience(**{"base": 0.0, "sleep": self.sleep, "clock": self, **more})


def endpoints(url: str, **more: Any) -> Endpoints:
    """Every service at one address."""
    given: dict[str, Any] = {
        "world": "test",
        "is_synthetic": True,
        "hub": url,
        "archives": (Archive(url, "owner/weekly", "complete", "week_start"),),
        "openrouter": url,
        "catalogues": (f"{url}/api/v1/models",),
        "registry": f"{url}/lists",
    }
    return Endpoints(**{**given, **more})


def at(instant: datetime = NOW) -> Callable[[], datetime]:
    return lambda: instant
