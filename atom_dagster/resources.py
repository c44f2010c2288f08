"""What the steps need from outside: the world they pull from and the places they write to.

Belongs here: Dagster resources, made anew in each step's process. Does not belong here: how a world
works (``worlds``) or how anything is written (``landing``, ``warehouse``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from atom_dagster.landing import Landing
from atom_dagster.settings import Endpoints, Settings, SettingsError, parse_as_of
from atom_dagster.warehouse import Warehouse
from atom_dagster.worlds import open_world


class Home(dg.ConfigurableResource):
    """The configured world's settings, landing and warehouse; nothing is opened until it is used."""

    as_of: str | None = Field(
        default=None,
        description=(
            "Build and publish from what had been fetched by this UTC instant; a bare day, such as"
            " 2026-04-08, means its end. Nothing can be pulled as of then."
        ),
    )

    @property
    def settings(self) -> Settings:
        """This process's settings, from its ``ATOM_*`` variables."""
        settings = Settings.from_env()
        return replace(settings, as_of=parse_as_of(self.as_of)) if self.as_of else settings

    @property
    def landing(self) -> Landing:
        """The record of every pull of this world.

        Raises:
            SettingsError: the run is one as of an earlier instant, which pulls and loads nothing.
        """
        if self.as_of:
            raise SettingsError(
                f"Nothing can be pulled or loaded as of {self.as_of}; give as_of to build_and_publish alone."
            )
        return Landing(self.settings.home / "landing")

    @property
    def warehouse(self) -> Warehouse:
        """The working DuckDB file of this world."""
        return Warehouse(self.settings.home / "warehouse.duckdb")


class World(dg.ConfigurableResource):
    """The configured world's endpoints; a loopback world is started for as long as the run lasts."""

    _endpoints: Endpoints = PrivateAttr()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Any]:
        """Start the world's server, if it has one, for the length of the run."""
        del context
        with open_world(Settings.from_env()) as endpoints:
            self._endpoints = endpoints
            yield self

    @property
    def endpoints(self) -> Endpoints:
        """Where the outside is."""
        return self._endpoints
