"""What most tests of the sources start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atom_dagster.landing import Landing
from tests.unit._loopback import Loopback, serving


@pytest.fixture
def server() -> Iterator[Loopback]:
    """A server that knows nothing until the test says what it answers."""
    with serving() as loopback:
        yield loopback


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(tmp_path / "landing")
