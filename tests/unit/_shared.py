"""Recorded answers of real services, which lie beside a checkout and are not part of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "recorded"


def recorded(name: str) -> Path:
    """A recorded file; the test is skipped where it is missing, and fails there under CI."""
    file = RECORDED / name
    if not file.exists():
        reason = f"recorded answers are not beside this checkout ({name})"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return file
