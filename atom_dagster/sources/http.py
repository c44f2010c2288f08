"""How every source talks: timeouts, patience, quotas, and answers that are not what they should be.

Belongs here: the waiting rules shared by all sources, and the client of the services that are not
the Hub. Does not belong here: the Hub's client (``hub_client``), or what an answer means.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from atom_dagster import __version__
from atom_dagster.sources import BadAnswer, Missing, RateLimited, Refused, SourceError, Unreachable

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0
LOOK = 0.5
"""Seconds between two looks at whether a wait is still wanted."""
RATE_LIMIT = re.compile(r'"(?P<bucket>[^"]+)"\s*;\s*r\s*=\s*(?P<left>\d+)\s*;\s*t\s*=\s*(?P<reset>\d+)')
RATE_POLICY = re.compile(r"q\s*=\s*(?P<quota>\d+)")


@dataclass(frozen=True)
class Service:
    """Whom we talk to, for sentences and limits.

    ``variable`` is the environment variable that holds its credential, None when it needs none;
    ``per_minute`` a documented quota that its answers do not announce.
    """

    name: str
    variable: str | None = None
    per_minute: int | None = None


@dataclass(frozen=True)
class Answer:
    """One answer, its body decoded from the transport. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str = ""


class Broken(Exception):
    """An attempt that did not bring a whole answer. ``reached`` tells a torn answer from none."""

    def __init__(self, what: str, *, reached: bool) -> None:
        super().__init__(what)
        self.reached = reached


class Patience:
    """How long and how often to wait, and what is left of every quota; shared by a whole process.

    Waits double from ``base`` to ``most`` seconds, each shortened at random by up to a half so that
    two clients do not march in step. A wait the service asks for is honoured up to ``longest``.
    """

    def __init__(
        self,
        *,
        tries: int = 5,
        base: float = 1.0,
        most: float = 30.0,
        longest: float = 330.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tries, self.base, self.most, self.longest = tries, base, most, longest
        self.sleep, self.clock = sleep, clock
        self.random = random.SystemRandom()
        self._lock = threading.Lock()
        self._quotas: dict[str, _Quota] = {}
        self._asked: dict[str, deque[float]] = {}

    def until(self, check: Callable[[], None]) -> Patience:
        """This patience and its quotas, with waits that end, as ``check`` does, when that raises."""

        def sleep(seconds: float) -> None:
            while seconds > 0:
                check()
                self.sleep(min(seconds, LOOK))
                seconds -= LOOK

        watched = copy(self)
        watched.sleep = sleep
        return watched

    def run(self, service: Service, key: str, attempt: Callable[[], Answer]) -> Answer:
        """Attempt until an answer comes that waiting would not improve.

        Args:
            service: named in every sentence.
            key: whose quota this draws on, such as an origin with a bucket.
            attempt: one request; raises ``Broken`` when it brought no whole answer.

        Raises:
            RateLimited: the quota frees later than ``longest`` seconds from now, or stays used up.
            Unreachable: no answer, or only server errors, in ``tries`` attempts.
            BadAnswer: only torn answers in ``tries`` attempts.
        """
        turn = 1
        while True:
            self.pace(service, key)
            try:
                answer = attempt()
            except Broken as broken:
                self.again(service, turn, broken=broken)
            else:
                self.learn(key, answer.headers)
                if not should_retry(answer.status):
                    return answer
                self.again(service, turn, answer=answer)
            turn += 1

    def again(
        self,
        service: Service,
        turn: int,
        *,
        answer: Answer | None = None,
        broken: Broken | None = None,
    ) -> None:
        """Wait before the attempt after ``turn``, or raise what this one came to."""
        if turn >= self.tries:
            raise _failure(service, answer, broken)
        asked = asked_wait(answer) if answer else None
        self._wait(service, self.backoff(turn) if asked is None else asked)

    def backoff(self, turn: int) -> float:
        """Seconds to wait after the ``turn``-th failure when the service names none."""
        return min(self.most, self.base * 2.0 ** (turn - 1)) * self.random.uniform(0.5, 1.0)

    def pace(self, service: Service, key: str) -> None:
        """Wait as long as the quota behind ``key`` needs before one more request."""
        with self._lock:
            now, wait = self.clock(), 0.0
            quota = self._quotas.get(key)
            if quota and now < quota.reset_at:
                left = quota.reset_at - now
                if quota.remaining <= 0:
                    wait = left + 1.0
                elif quota.remaining <= quota.low:
                    wait = left / (quota.remaining + 1)
                quota.remaining -= 1
            if service.per_minute:
                asked = self._asked.setdefault(key, deque(maxlen=service.per_minute))
                if len(asked) == service.per_minute:
                    wait = max(wait, asked[0] + 60.0 - now)
                asked.append(now + wait)
        if wait > 0:
            self._wait(service, wait)

    def learn(self, key: str, headers: Mapping[str, str]) -> None:
        """Note what an answer says is left of the quota behind ``key``."""
        found = RATE_LIMIT.search(headers.get("ratelimit", ""))
        if not found:
            return
        policy = RATE_POLICY.search(headers.get("ratelimit-policy", ""))
        whole = int(policy["quota"]) if policy else 100
        with self._lock:
            self._quotas[key] = _Quota(
                remaining=int(found["left"]),
                reset_at=self.clock() + int(found["reset"]),
                low=whole // 10,
            )

    def _wait(self, service: Service, seconds: float) -> None:
        if seconds > self.longest:
            raise RateLimited(
                f"{service.name} asks us to wait {seconds:.0f} s, longer than the "
                f"{self.longest:.0f} s we would; run again after that."
            )
        self.sleep(seconds)


@dataclass
class _Quota:
    remaining: int
    reset_at: float
    low: int


PATIENCE = Patience()
"""The patience of this process."""


class Client:
    """The client of every service but the Hub."""

    def __init__(self, patience: Patience = PATIENCE) -> None:
        self.patience = patience
        self._http = httpx.Client(
            timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
            follow_redirects=True,
            # Only what we can check to the last byte; a decoder that stops early says nothing.
            headers={"user-agent": f"atom-dagster/{__version__}", "accept-encoding": "gzip"},
            # A proxy of the environment never stands between us and this machine.
            mounts={"all://127.0.0.1": None, "all://localhost": None},
        )

    def get(self, service: Service, url: str, *, token: str | None = None) -> Answer:
        """One whole answer with status 200.

        Raises:
            SourceError: whatever else came, in one sentence.
        """
        answer = self.ask(service, url, token=token)
        if answer.status != 200:
            raise refusal(service, answer, has_credential=token is not None)
        return answer

    def ask(self, service: Service, url: str, *, token: str | None = None) -> Answer:
        """One whole answer, whatever its status, unless waiting may improve it.

        Raises:
            SourceError: no such answer came; see ``Patience.run``.
        """
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return self.patience.run(service, origin(url), lambda: self._attempt(service, url, headers))

    def _attempt(self, service: Service, url: str, headers: dict[str, str]) -> Answer:
        reached = False
        try:
            with self._http.stream("GET", url, headers=headers) as response:
                reached = True
                names = {name.lower(): value for name, value in response.headers.items()}
                body = unpack(b"".join(response.iter_raw()), names.get("content-encoding"))
                return Answer(response.status_code, names, body, str(response.url))
        except httpx.TooManyRedirects as error:
            raise BadAnswer(f"{service.name} redirects in a circle.") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise BadAnswer(f"{service.name} has no usable address: {url!r}.") from error
        except httpx.TransportError as error:
            raise Broken(describe(error), reached=reached) from error


def should_retry(status: int) -> bool:
    """Whether the same request may fare better later."""
    return status in {408, 429} or status >= 500


def asked_wait(answer: Answer) -> float | None:
    """Seconds the service asks us to wait: an empty quota's reset, else ``Retry-After``, else None.

    A date in ``Retry-After`` is read against the answer's own ``Date``, so our clock plays no part.
    """
    limit = RATE_LIMIT.search(answer.headers.get("ratelimit", ""))
    if answer.status == 429 and limit and int(limit["left"]) == 0:
        return float(limit["reset"]) + 1.0
    value = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    until, since = http_date(value), http_date(answer.headers.get("date", ""))
    return max(0.0, (until - since).total_seconds()) if until and since else None


def http_date(text: str) -> datetime | None:
    """An HTTP date as a UTC instant, None if it is none."""
    try:
        instant = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def answered_at(answer: Answer) -> datetime | None:
    """The instant the answer stands for by its ``Date`` header."""
    return http_date(answer.headers.get("date", ""))


def origin(url: str) -> str:
    """Scheme, host and port: what a quota and a credential belong to."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def describe(error: Exception) -> str:
    """An exception of an HTTP library in a few words that hold no header."""
    name = type(error).__name__
    # What the client itself finds wrong with a request, it quotes: a header's value among it.
    text = name if name == "LocalProtocolError" else str(error).strip().rstrip(".") or name
    return text if len(text) <= 160 else text[:157] + "…"


def unpack(body: bytes, encoding: str | None) -> bytes:
    """A body without its transport encoding.

    Raises:
        Broken: the gzip stream is damaged or ends early.
        BadAnswer: an encoding we did not ask for.
    """
    if encoding in {None, "", "identity"}:
        return body
    if encoding not in {"gzip", "x-gzip"}:
        raise BadAnswer(f"An answer came in the encoding {encoding!r}, which was not asked for.")
    inflate = zlib.decompressobj(wbits=31)
    try:
        plain = inflate.decompress(body) + inflate.flush()
    except zlib.error as error:
        raise Broken("its gzip stream is damaged", reached=True) from error
    if not inflate.eof:
        raise Broken("its gzip stream ends early", reached=True)
    return plain


def refusal(service: Service, answer: Answer, *, has_credential: bool) -> SourceError:
    """The error for an answer whose status is neither 200 nor worth another attempt."""
    path = urlsplit(answer.url).path or "/"
    if answer.status in {401, 403}:
        if service.variable is None:
            advice = "it takes no credentials, so check the address"
        elif has_credential:
            advice = f"check that {service.variable} holds a valid key with access"
        else:
            advice = f"set {service.variable}"
        return Refused(f"{service.name} refused {path} with status {answer.status}; {advice}.")
    said = _said(answer.body)
    kind = Missing if answer.status in {404, 410} else BadAnswer
    return kind(f"{service.name} answered {path} with status {answer.status}{f' ({said})' if said else ''}.")


def parse_json(service: Service, answer: Answer) -> Any:
    """The answer's JSON.

    Raises:
        BadAnswer: a web page, or anything else that is not JSON.
    """
    path = urlsplit(answer.url).path or "/"
    if is_web_page(answer.body):
        raise BadAnswer(
            f"{service.name} answered {path} with a web page instead of JSON; "
            "a proxy or a login page may stand between."
        )
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"{service.name} answered {path} with something that is not whole JSON.") from error


def is_web_page(body: bytes) -> bool:
    """Whether a body that should be data begins like HTML or XML."""
    return body[:512].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _said(body: bytes) -> str:
    """What an error answer says in its JSON, shortened to one line."""
    try:
        error = json.loads(body)["error"]
        text = str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return ""
    text = " ".join(text.split())
    return text if len(text) <= 160 else text[:157] + "…"


def _failure(service: Service, answer: Answer | None, broken: Broken | None) -> SourceError:
    if answer is not None:
        if answer.status == 429:
            return RateLimited(
                f"{service.name} keeps answering that its quota is used up (429); run again later."
            )
        return Unreachable(f"{service.name} keeps answering with status {answer.status}; run again later.")
    if broken is not None and broken.reached:
        return BadAnswer(f"{service.name} keeps sending a torn answer ({broken}); run again later.")
    return Unreachable(f"{service.name} cannot be reached ({broken}); check the address and the network.")
