"""Worlds: where the outside is. Live services, a simulated sample, or recorded answers.

Belongs here: choosing a world and handing out its endpoints. Does not belong here: how its answers
are read (``sources``; worlds and sources meet on the wire only).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date

from atom_dagster.settings import Archive, Endpoints, Settings
from atom_dagster.worlds.sample_truth import Truth, truth

__all__ = ["Truth", "has_live_hub", "open_world", "truth"]

OPENROUTER = "https://openrouter.ai"
REGISTRY = "https://raw.githubusercontent.com/Interconnects-AI/tracked-models/main"
SNAPSHOTS = "hfmlsoc/hub_weekly_snapshots"
REVISIONS = "cfahlgren1/hub-stats"
SERIES = "mmpr/open_model_evolution_data"


@contextmanager
def open_world(settings: Settings) -> Iterator[Endpoints]:
    """The configured world's endpoints; a loopback server runs while the context lasts.

    Of the world's archives those that settings name, in their order.

    Raises:
        SettingsError: a recorded world or a fault file is not as it should be.
    """
    with _opened(settings) as endpoints:
        found = {archive.name: archive for archive in endpoints.archives}
        yield replace(endpoints, archives=tuple(found[name] for name in settings.archives if name in found))


def has_live_hub(settings: Settings) -> bool:
    """Whether the configured world has a Hub that knows the present: what was recorded has none."""
    return settings.kind != "recorded"


@contextmanager
def _opened(settings: Settings) -> Iterator[Endpoints]:
    if settings.kind == "live":
        yield live(settings)
    elif settings.kind == "recorded":
        from atom_dagster.worlds.recorded import open_recorded

        with open_recorded(settings) as endpoints:
            yield endpoints
    else:
        from atom_dagster.worlds.sample import open_sample

        with open_sample(settings) as endpoints:
            yield endpoints


def live(settings: Settings) -> Endpoints:
    """The real services, with the credentials that settings hold."""
    return Endpoints(
        world=settings.world_name,
        is_synthetic=False,
        hub=settings.hub_endpoint,
        archives=(
            Archive(settings.hub_endpoint, SNAPSHOTS, "complete", "week_start", since=date(2024, 7, 24)),
            Archive(
                settings.hub_endpoint,
                REVISIONS,
                "complete",
                name="hub_revisions",
                layout="revisions",
                since=date(2024, 7, 24),
            ),
            Archive(
                settings.hub_endpoint,
                SERIES,
                "selection",
                name="hub_series",
                layout="series",
                since=date(2025, 2, 1),
            ),
        ),
        openrouter=OPENROUTER,
        catalogues=(f"{OPENROUTER}/api/v1/models",),
        registry=REGISTRY,
        hub_token=settings.hub_token,
        openrouter_key=settings.openrouter_key,
    )
