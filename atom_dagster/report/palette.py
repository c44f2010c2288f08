"""Which colour and dash each region, organization and family has, everywhere on the page.

Belongs here: giving keys their styles. Does not belong here: the colours themselves (``charts``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from atom_dagster.report import charts
from atom_dagster.report.figure import Style

# A place in this list is a colour and a dash, so that a lab keeps its own from build to build.
_KNOWN = (
    "Qwen",
    "Meta",
    "Mistral AI",
    "DeepSeek",
    "Google",
    "Microsoft",
    "NVIDIA",
    "OpenAI",
    "Moonshot AI",
    "Ai2",
    "Z.ai",
    "MiniMax",
    "IBM",
    "Hugging Face",
    "Shanghai AI Lab",
    "TII",
)


class Palette:
    """Styles by sort of key: ``region``, ``organization`` or ``family``."""

    def __init__(self, organizations: Sequence[str], families: Mapping[str, str]) -> None:
        """Give every key a style.

        Args:
            organizations: All of them; those without a place of their own take the next free one, in
                this order.
            families: The organization a family belongs to, those most used first. The first family of an
                organization looks like it.
        """
        places = {name: place for place, name in enumerate(_KNOWN)}
        for name in organizations:
            places.setdefault(name, len(places))
        self._places = {"organization": places, "family": self._of_families(places, families)}

    @staticmethod
    def _of_families(places: Mapping[str, int], families: Mapping[str, str]) -> dict[str, int]:
        found: dict[str, int] = {}
        taken: set[int] = set()
        for family, organization in families.items():
            place = places.get(organization, len(places))
            while place in taken:
                place = max(len(places), *taken) + 1 if taken else len(places)
            taken.add(place)
            found[family] = place
        return found

    def styles(self, sort: str, keys: Sequence[str]) -> list[Style]:
        """Styles of the keys, in the order given."""
        if sort == "region":
            return charts.region_styles(keys)
        places = self._places[sort]
        return [self._style(key, places.get(key)) for key in keys]

    @staticmethod
    def _style(key: str, place: int | None) -> Style:
        if place is None or key == "unknown":
            return Style(key, key, charts.GREY)
        turn, color = divmod(place, len(charts.PALETTE))
        return Style(key, key, charts.PALETTE[color], charts.DASHES[turn % len(charts.DASHES)])


def of(connection: duckdb.DuckDBPyConnection) -> Palette:
    """The palette of a published file."""
    organizations = connection.execute(
        "select organization from marts.downloads_by_organization_monthly group by organization"
        " order by max(coalesce(downloads_cumulative, downloads)) desc nulls last, organization"
    ).fetchall()
    families = connection.execute(
        "select family, organization from marts.models where family is not null and alias_of is null"
        " group by family, organization"
        " qualify row_number() over (partition by family order by count(*) desc, organization) = 1"
        " order by count(*) desc, family"
    ).fetchall()
    return Palette([name for (name,) in organizations], dict(families))
