"""Telling whoever watches how far a step is.

Belongs here: one reporter a process, silent unless the command line installs one. Does not belong
here: logging (Dagster's context does that) or drawing (``cli``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Reporter = Callable[[str, int, int | None], None]
"""Called with what is going on, how much is done, and of how much (None: not known)."""


def _silent(what: str, done: int, total: int | None) -> None:
    del what, done, total


_reporter: Reporter = _silent


def report(what: str, done: int, total: int | None = None) -> None:
    """Tell the installed reporter; costs nothing when there is none."""
    _reporter(what, done, total)


@contextmanager
def reporting_to(reporter: Reporter) -> Iterator[None]:
    """Install a reporter for the length of a ``with`` block."""
    global _reporter
    before, _reporter = _reporter, reporter
    try:
        yield
    finally:
        _reporter = before
