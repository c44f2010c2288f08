"""The outside: one module per service, each with a half that pulls and a half that reads.

Belongs here: what can go wrong with a source, shared by all of them. Does not belong here: Dagster,
DuckDB, or the environment.
"""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""Called as work goes on with what is counted, how much is done, and the total when it is known."""


class SourceError(Exception):
    """A source could not be pulled or read; the message is one sentence for people."""


class Unreachable(SourceError):
    """Nobody answered, or only with server errors, however often we asked."""


class Refused(SourceError):
    """The service answered 401 or 403."""


class RateLimited(SourceError):
    """The quota is used up and frees later than we are willing to wait."""


class BadAnswer(SourceError):
    """What came is not what the service's interface promises."""


class Shrunk(BadAnswer):
    """A complete archive's snapshot holds far fewer rows than the one before it."""


class Missing(BadAnswer):
    """The service answers that it has no such thing (404, 410)."""


class NotObservable(SourceError):
    """The source cannot observe what was asked for, and never will."""
