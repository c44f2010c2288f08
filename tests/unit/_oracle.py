"""Small inputs for the tests of the oracle.

Belongs here: readings, curves, models and months as those tests write them down. Does not belong
here: any expectation.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from tests.oracle import Switches, cleaning, downloads, identity
from tests.oracle.cleaning import Reading
from tests.oracle.compare import raw_rows as frame
from tests.oracle.curve import Curve

SWITCHES = Switches()
TODAY = date(2026, 8, 1)
US = identity.Organization("Lab", "US", "us", True)


def reading(day: date, a: int | None = None, w: int | None = None, **facts: object) -> Reading:
    """A reading with ``a`` downloads since creation and ``w`` in 30 days."""
    return Reading(day.toordinal(), a, w, **facts)  # type: ignore[arg-type]


def drawn(*readings: Reading, created: date | None = None) -> Curve:
    """The curve of a model from its candidates."""
    return Curve(created.toordinal() if created else None, readings)


def a_model(name: str = "lab/m", **facts: object) -> identity.Model:
    """A core model of an organization in the US."""
    given: dict[str, object] = {
        "tracked_list": "core",
        "organization": US,
        "created_on": None,
        "release_date": None,
        "last_seen": None,
        "is_gone": False,
    }
    return identity.Model(name, **(given | facts))  # type: ignore[arg-type]


def month_of(
    curve: Curve, month: date, model: identity.Model | None = None, today: date = TODAY
) -> downloads.Measure:
    """Downloads of one month of ``curve``."""
    return downloads.measure(curve, month, model or a_model(), today, SWITCHES)


Flags = dict[tuple[str, str, date], tuple[bool, str | None]]


def flags_of(
    *rows: dict[str, object],
    pulls: Iterable[dict[str, object]] = (),
    names: dict[str, str] | None = None,
    accepted: Iterable[tuple[str, date]] = (),
) -> Flags:
    """(source, model_id, observed_on) → (is_used, flag)."""
    judged = cleaning.judged(
        frame("hf_models", *rows), frame("pulls", *pulls), names or {}, accepted, SWITCHES
    )
    return {
        (source, model_id, day): (is_used, flag)
        for source, model_id, day, is_used, flag in cleaning.observations(judged).iter_rows()
    }


def seen(day: date, a: int | None = None, w: int | None = None, **facts: object) -> dict[str, object]:
    """A raw reading of lab/m by the archive, unless ``facts`` say otherwise."""
    given: dict[str, object] = {"source": "hub_archive", "model_id": "lab/m", "observed_on": day}
    return given | {"downloads_all_time": a, "downloads_30d": w} | facts
