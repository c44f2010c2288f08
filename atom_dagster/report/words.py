"""Numbers and lists as text, for sentences.

Belongs here: wording that several figures share. Does not belong here: what is said (``figures``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

REGIONS = {"us": "United States", "china": "China", "eu": "Europe", "other": "Other", "unknown": "Unknown"}
_IN_TEXT = {
    "us": "the United States",
    "other": "other regions",
    "unknown": "publishers without a known region",
}


def count(value: float | None) -> str:
    """A number of downloads, models or tokens: ``1.15 billion``, ``312 million``, ``4,210``."""
    if value is None:
        return "unknown"
    for unit, size in (("trillion", 1e12), ("billion", 1e9), ("million", 1e6)):
        if abs(value) >= size:
            scaled = value / size
            return f"{scaled:,.{2 if scaled < 10 else 1 if scaled < 100 else 0}f} {unit}"
    return f"{value:,.0f}"


def percent(value: float | None) -> str:
    """A share (0-1) in percent."""
    return "unknown" if value is None else f"{value * 100:.1f}%"


def month(value: date | None) -> str:
    """A month: ``October 2026``."""
    return "no month" if value is None else f"{value:%B %Y}"


def region(key: str) -> str:
    """A region inside a sentence."""
    return _IN_TEXT.get(key, REGIONS.get(key, key))


def listed(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def models(number: int) -> str:
    """A number of models: ``1 model``, ``1,593 models``."""
    return f"{number:,} model" + ("" if number == 1 else "s")
