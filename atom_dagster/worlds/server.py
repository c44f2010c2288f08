"""The loopback server of the sample and recorded worlds, and how tests make it misbehave.

Belongs here: HTTP itself (keep-alive, gzip, ranges, quotas) and fault rules. Does not belong here:
what is answered (``sample``, ``recorded``) or how a body is spoilt (``corruption``).

Fault rules: the file named by ``ATOM_FAULTS`` is a JSON list of objects, read again for each
request. A rule applies to a request whose ``path?query`` its regular expression ``path`` matches
somewhere; all rules that apply do so in order. Counting is by server, so by process.

==============  ==================================================================================
``path``        regular expression; without it every request
``after``       let so many matching requests pass first
``times``       apply to so many matching requests, then no more
``delay_s``     wait before answering
``drop``        true: close the connection without an answer
``status``      answer with this status instead; the body is then ``body`` or a short JSON error
``body``        answer with this text; ``html`` is short for a web page
``headers``     headers added to the answer
``retry_after`` short for a ``Retry-After`` header, in seconds
``replace``     {old: new}, replaced in the body's text
``corrupt``     a list of ways to spoil the rows of a parquet file or JSON answer (``corruption``)
``truncate``    true: send half of the (compressed) body as if it were whole
``torn``        true: announce the whole body, send half of it, close the connection
``quota``       requests per ``window`` (seconds, 300): beyond it 429, and the headers say so before
==============  ==================================================================================
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from atom_dagster.settings import SettingsError
from atom_dagster.worlds.corruption import spoil

WEB_PAGE = "<!DOCTYPE html><html><head><title>Just a moment</title></head><body>Wait.</body></html>"
QUOTA = 100_000
"""Requests per window of 300 s that a bucket has unless a fault rule says less."""
_TEXT = ("application/json", "text/")


@dataclass(frozen=True)
class Request:
    """What was asked: decoded path, query pairs in order, headers in lower case, own base URL."""

    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    base: str
    target: str
    """Path and query as sent."""
    method: str = "GET"
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        """All values of a query parameter."""
        return [value for key, value in self.query if key == name]

    def one(self, name: str, default: str | None = None) -> str | None:
        """The last value of a query parameter."""
        values = self.all(name)
        return values[-1] if values else default


@dataclass(frozen=True)
class Answer:
    """What is answered. ``date`` is the Date header's instant, None for the world's clock."""

    body: bytes
    status: int = 200
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    date: datetime | None = None
    bucket: str | None = None
    """The quota the request counts towards: api, resolvers; None for none."""


class App(Protocol):
    """A world's answers."""

    def answer(self, request: Request) -> Answer:
        """The answer to one request; never raises for anything a client can send."""


class Receiver(Protocol):
    """A world that can also be written to; one without this answers 405."""

    def receive(self, request: Request) -> Answer:
        """The answer to one POST or PUT."""


def json_answer(value: object, status: int = 200, **fields: Any) -> Answer:
    """A JSON answer."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Answer(text.encode(), status, **fields)


def cursor_of(start: int) -> str:
    """A page's cursor, opaque as the Hub's are."""
    return base64.urlsafe_b64encode(json.dumps({"$after": start}).encode()).decode()


def offset_of(cursor: str | None) -> int | None:
    """Where a cursor's page begins: 0 without one, None when it is none of ours."""
    if cursor is None:
        return 0
    try:
        return int(json.loads(base64.urlsafe_b64decode(cursor))["$after"])
    except (ValueError, KeyError, TypeError, binascii.Error):
        return None


class Faults:
    """The rules of one server, with what each has already done."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.rules()

    def rules(self) -> list[dict[str, Any]]:
        """The rules as they stand now.

        Raises:
            SettingsError: the file cannot be read as a list of objects.
        """
        if self._file is None:
            return []
        try:
            rules = json.loads(self._file.read_text())
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise SettingsError(f"ATOM_FAULTS names {self._file}, which is no JSON list.") from error
        if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
            raise SettingsError(f"ATOM_FAULTS names {self._file}, which is no list of objects.")
        return rules

    def matching(self, target: str) -> list[dict[str, Any]]:
        """The rules that apply to this request, which counts as seen."""
        found = []
        with self._lock:
            for number, rule in enumerate(self.rules()):
                if not re.search(str(rule.get("path", "")), target):
                    continue
                key = f"{number} {json.dumps(rule, sort_keys=True)}"
                self._seen[key] += 1
                turn = self._seen[key] - int(rule.get("after", 0))
                if turn >= 1 and ("times" not in rule or turn <= int(rule["times"])):
                    found.append(rule)
        return found


class Quotas:
    """Fixed windows by bucket, as the Hub counts them."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._used: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()

    def take(self, bucket: str, quota: int, window: int) -> tuple[bool, dict[str, str]]:
        """Count one request: whether it may pass, and the headers that tell."""
        spent = time.monotonic() - self._began
        number = int(spent // window)
        with self._lock:
            self._used[bucket, number] += 1
            left = quota - self._used[bucket, number]
        reset = max(1, round((number + 1) * window - spent))
        return left >= 0, {
            "RateLimit": f'"{bucket}";r={max(0, left)};t={reset}',
            "RateLimit-Policy": f'"fixed window";"{bucket}";q={quota};w={window}',
        }


@contextmanager
def serving(app: App, clock: Callable[[], datetime], faults: Path | None) -> Iterator[str]:
    """Serve ``app`` on a free loopback port for as long as the context lasts; its base URL."""
    server = _Server(app, clock, Faults(faults))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.base
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, app: App, clock: Callable[[], datetime], faults: Faults) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.app, self.clock, self.faults, self.quotas = app, clock, faults, Quotas()
        self.base = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 120

    def do_GET(self) -> None:
        """Answer a request, whatever its method."""
        parts = urlsplit(self.path)
        request = Request(
            unquote(parts.path),
            tuple(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
            self.server.base,
            self.path,
            self.command,
            self.rfile.read(int(self.headers.get("content-length") or 0)),
        )
        try:
            rules = self.server.faults.matching(request.target)
        except SettingsError as error:  # the file was spoilt while we serve
            rules = [{"status": 500, "body": str(error)}]
        for rule in rules:
            time.sleep(float(rule.get("delay_s", 0)))
            if rule.get("drop"):
                self.close_connection = True
                return
        try:
            answer = self._misbehaving(request, rules)
        except Exception as error:
            answer = json_answer({"error": f"{type(error).__name__}: {error}"}, 500)
        self._send(request, answer, rules)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def _misbehaving(self, request: Request, rules: list[dict[str, Any]]) -> Answer:
        told = next((rule for rule in rules if "status" in rule or "body" in rule), None)
        if told is None and request.method in {"POST", "PUT"}:
            receive = getattr(self.server.app, "receive", None)
            answer = receive(request) if receive else json_answer({"error": "Method not allowed"}, 405)
        elif told is None:
            answer = self.server.app.answer(request)
        else:
            body = told.get("body")
            is_page = body == "html"
            status = int(told.get("status", 200))
            text = WEB_PAGE if is_page else body
            if text is None:
                text = json.dumps({"error": f"made up by a fault rule ({status})"})
            kind = "text/html" if is_page else "application/json; charset=utf-8"
            answer = Answer(str(text).encode(), status, kind)
        limits = next((rule for rule in rules if "quota" in rule), None)
        if answer.bucket or limits:
            quota = int(limits["quota"]) if limits else QUOTA
            window = int(limits.get("window", 300)) if limits else 300
            passes, headers = self.server.quotas.take(answer.bucket or "api", quota, window)
            if not passes:
                answer = json_answer({"error": "Too many requests"}, 429)
            answer = replace(answer, headers={**answer.headers, **headers})
        for rule in rules:
            headers = {str(k): str(v) for k, v in rule.get("headers", {}).items()}
            if "retry_after" in rule:
                headers["Retry-After"] = str(rule["retry_after"])
            body = answer.body
            for old, new in rule.get("replace", {}).items():
                body = body.replace(str(old).encode(), str(new).encode())
            if rule.get("corrupt") and answer.status == 200:
                body = spoil(body, answer.content_type, rule["corrupt"])
            answer = replace(answer, body=body, headers={**answer.headers, **headers})
        return answer

    def _send(self, request: Request, answer: Answer, rules: list[dict[str, Any]]) -> None:
        body, status = answer.body, answer.status
        headers = {"Content-Type": answer.content_type, **answer.headers}
        if status == 200 and not answer.content_type.startswith(_TEXT):
            headers["Accept-Ranges"] = "bytes"
            headers.setdefault("ETag", f'"{hashlib.sha256(body).hexdigest()[:32]}"')
            found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
            if found and int(found[1]) < len(body):
                headers["Content-Range"] = f"bytes {found[1]}-{len(body) - 1}/{len(body)}"
                body, status = body[int(found[1]) :], 206
        accepts = "gzip" in request.headers.get("accept-encoding", "")
        if accepts and len(body) > 500 and answer.content_type.startswith(_TEXT):
            body = gzip.compress(body, 1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        if any(rule.get("truncate") for rule in rules):
            body = body[: len(body) // 2]
        self.send_response_only(status)
        self.send_header("Date", format_datetime(answer.date or self.server.clock(), usegmt=True))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if any(rule.get("torn") for rule in rules):
            body = body[: len(body) // 2]
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
