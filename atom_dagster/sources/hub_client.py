"""The Hub's client: huggingface_hub's session, authentication and backoff, with limits of our own.

Belongs here: requests to a Hub endpoint, following ``Link``, and downloads that go on where they
broke. Does not belong here: what is asked (``hub``, ``archive``) and the waiting rules
(``http``).

``http_backoff`` retries what never became an answer. Answers with a status are waited for here,
since ``http_backoff`` sleeps as long as any header tells it to.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
from huggingface_hub import set_client_factory
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    http_backoff,
    http_stream_backoff,
)
from huggingface_hub.utils._http import hf_request_event_hook

from atom_dagster import __version__
from atom_dagster.sources import BadAnswer, SourceError, Unreachable
from atom_dagster.sources.http import (
    CONNECT_TIMEOUT,
    PATIENCE,
    READ_TIMEOUT,
    Answer,
    Broken,
    Patience,
    Service,
    describe,
    is_web_page,
    origin,
    parse_json,
    refusal,
    should_retry,
)

HUB = Service("The Hub", "HF_TOKEN")
TIMEOUT = httpx2.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT)
_NEVER = (httpx2.TimeoutException, httpx2.NetworkError)
_TORN = (httpx2.RemoteProtocolError, httpx2.DecodingError)

_session_lock = threading.Lock()
_session_ready = False


class HubClient:
    """Requests below one Hub endpoint. ``request`` is always relative to it: path and query."""

    def __init__(
        self,
        endpoint: str,
        token: str | None,
        *,
        service: Service = HUB,
        patience: Patience = PATIENCE,
    ) -> None:
        prepare_session()
        self.endpoint, self.service, self.patience = endpoint.rstrip("/"), service, patience
        self._has_credential = token is not None
        # False, not None: a token lying about on this machine must not reach an endpoint unasked.
        self._headers = build_hf_headers(
            token=token or False, library_name="atom-dagster", library_version=__version__
        ) | {"accept-encoding": "gzip"}

    def get(self, request: str) -> Answer:
        """One whole answer, whatever its status, unless waiting may improve it.

        Raises:
            SourceError: no such answer came; see ``Patience.run``.
        """
        return self.patience.run(self.service, self._bucket(request), lambda: self._attempt(request))

    def json(self, request: str) -> tuple[Answer, Any]:
        """One answer with status 200 and its JSON. Torn JSON is asked for again.

        Raises:
            SourceError: whatever else came, in one sentence.
        """
        value: Any = None

        def attempt() -> Answer:
            nonlocal value
            answer = self._attempt(request)
            if answer.status == 200:
                try:
                    value = parse_json(self.service, answer)
                except BadAnswer as error:
                    if is_web_page(answer.body):
                        raise
                    raise Broken("its JSON ends early or is damaged", reached=True) from error
            return answer

        answer = self.patience.run(self.service, self._bucket(request), attempt)
        if answer.status != 200:
            raise self.refusal(answer)
        return answer, value

    def refusal(self, answer: Answer) -> SourceError:
        """The error for an answer that is not what was asked for."""
        return refusal(self.service, answer, has_credential=self._has_credential)

    def next_request(self, answer: Answer) -> str | None:
        """The next page by the answer's ``Link``, relative to the endpoint; None at the end.

        Raises:
            BadAnswer: the link leads off the endpoint.
        """
        links = httpx2.Response(200, headers={"link": answer.headers.get("link", "")}).links
        target = links.get("next", {}).get("url")
        if target is None:
            return None
        url = urljoin(answer.url or self.endpoint, target)
        if origin(url) != origin(self.endpoint) or not url.startswith(self.endpoint + "/"):
            raise BadAnswer(
                f"{self.service.name} links its next page to {origin(url)}, "
                "which is not the endpoint that was asked."
            )
        return url[len(self.endpoint) :]

    def download(self, request: str, *, start: int = 0) -> Download:
        """A file as it comes, from its byte ``start`` on, going on where a transfer broke.

        Raises:
            SourceError: nothing came that could be begun with.
        """
        return Download(self, request, start)

    def _bucket(self, request: str) -> str:
        return origin(self.endpoint) + (" resolvers" if "/resolve/" in request else " api")

    def _attempt(self, request: str) -> Answer:
        try:
            response = http_backoff(
                "GET",
                self.endpoint + request,
                headers=self._headers,
                timeout=TIMEOUT,
                max_retries=self.patience.tries - 1,
                base_wait_time=self.patience.backoff(1),
                max_wait_time=self.patience.most,
                retry_on_status_codes=(),
            )
        except Exception as error:
            raise self._final(error) from error
        return Answer(response.status_code, _lower(response.headers), response.content, str(response.url))

    def _final(self, error: Exception) -> Exception:
        return final(error, self.service.name, self.endpoint)


def final(error: Exception, name: str, endpoint: str) -> Exception:
    """What an exception of the client comes to once it has given up; itself if it is none of those.

    Args:
        error: The exception.
        name: What a sentence calls the Hub.
        endpoint: The address that was asked.
    """
    if isinstance(error, OfflineModeIsEnabled):
        return Unreachable("HF_HUB_OFFLINE keeps huggingface_hub from asking anything; unset it.")
    if isinstance(error, httpx2.DecodingError):
        return Broken("its gzip stream is damaged", reached=True)
    if isinstance(error, _TORN):
        return BadAnswer(f"{name} keeps sending a torn answer ({describe(error)}); run again later.")
    if isinstance(error, httpx2.TooManyRedirects):
        return BadAnswer(f"{name} redirects in a circle.")
    if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol):
        return BadAnswer(f"{name} has no usable address: {endpoint!r}.")
    if isinstance(error, httpx2.TransportError):
        return Unreachable(
            f"{name} cannot be reached ({describe(error)}); check the address and the network."
        )
    return error


class Download:
    """The chunks of one file; ``answer``, without body, is there before the first is taken."""

    def __init__(self, client: HubClient, request: str, start: int = 0) -> None:
        self.answer = Answer(0, {}, b"")
        self._client, self._request, self._start = client, request, start
        self._chunks = self._stream()
        self._first = next(self._chunks, b"")

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        yield from self._chunks

    def _stream(self) -> Iterator[bytes]:
        client, patience, got, turn = self._client, self._client.patience, self._start, 1
        while True:
            key = client._bucket(self._request)
            patience.pace(client.service, key)
            headers = client._headers | {"accept-encoding": "identity"}
            if got:
                headers |= {"range": f"bytes={got}-"}
            broken = None
            try:
                # Failures while a body is read must not reach http_stream_backoff: it would begin
                # the body again without telling us.
                with http_stream_backoff(
                    "GET",
                    client.endpoint + self._request,
                    headers=headers,
                    timeout=TIMEOUT,
                    max_retries=0,
                    retry_on_status_codes=(),
                ) as response:
                    answer = Answer(response.status_code, _lower(response.headers), b"", str(response.url))
                    patience.learn(key, answer.headers)
                    if answer.status in {200, 206}:
                        skip = self._goes_on(answer, got)
                        try:
                            for chunk in response.iter_raw():
                                if len(chunk) <= skip:
                                    skip -= len(chunk)
                                    continue
                                piece = chunk[skip:]
                                skip = 0
                                got += len(piece)
                                turn = 1
                                yield piece
                        except (*_NEVER, *_TORN) as error:
                            broken = Broken(describe(error), reached=True)
                        else:
                            return
            except (*_NEVER, *_TORN) as error:
                broken = Broken(describe(error), reached=got > self._start)
            except httpx2.HTTPError as error:
                raise client._final(error) from error
            except OfflineModeIsEnabled as error:
                raise client._final(error) from error
            if broken is None and not should_retry(answer.status):
                raise client.refusal(answer)
            patience.again(client.service, turn, answer=None if broken else answer, broken=broken)
            turn += 1

    def _goes_on(self, answer: Answer, got: int) -> int:
        """Check that an answer continues the same file; bytes to skip of it."""
        if self.answer.status == 0:
            self.answer = answer
            if got == 0:
                return 0
        elif answer.headers.get("etag") != self.answer.headers.get("etag"):
            raise BadAnswer(
                f"{self._client.service.name} changed {urlsplit(self._request).path} while it was "
                "downloaded; run again."
            )
        if answer.status == 200:
            return got
        if not answer.headers.get("content-range", "").startswith(f"bytes {got}-"):
            raise BadAnswer(
                f"{self._client.service.name} went on at the wrong byte of "
                f"{urlsplit(self._request).path}; run again."
            )
        return 0


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def prepare_session() -> None:
    """Give huggingface_hub a client with a timeout that reaches this machine without a proxy."""
    global _session_ready
    with _session_lock:
        if not _session_ready:
            set_client_factory(
                lambda: httpx2.Client(
                    event_hooks={"request": [hf_request_event_hook]},
                    follow_redirects=True,
                    timeout=TIMEOUT,
                    mounts={"all://127.0.0.1": None, "all://localhost": None},
                )
            )
            # What it would warn of, we say once, in the error.
            logging.getLogger("huggingface_hub.utils._http").setLevel(logging.ERROR)
            _session_ready = True
