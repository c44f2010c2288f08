"""Verification: what is advised, and pulls that are taken out while it looks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from atom_dagster import removal, verify
from atom_dagster.landing import Landing, LandingError, Pull
from atom_dagster.settings import ARCHIVES, Settings
from tests.unit.test_retention import DAY, NOW, Home

SOURCES = (*ARCHIVES, "hub_live", "openrouter_rankings", "openrouter_models", "registry")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(Settings("sample", tmp_path, seed=1, fixed_now=NOW, hub_scope="all", faults=None))


def _spoil_page(pull: Pull) -> None:
    pull.file(pull.pages[0]).write_bytes(b"torn")


def _spoil_manifest(pull: Pull) -> None:
    (pull.path / "manifest.json").write_text("{")


def _lose_manifest(pull: Pull) -> None:
    (pull.path / "manifest.json").unlink()


@pytest.mark.parametrize("spoil", [_spoil_page, _spoil_manifest, _lose_manifest])
@pytest.mark.parametrize("source", SOURCES)
def test_only_what_is_there_for_good_may_be_deleted(
    home: Home, source: str, spoil: Callable[[Pull], None]
) -> None:
    spoil(home.land(source, "scope", 5, {}))
    [finding] = verify.verify(home.settings).damaged
    assert ("delete that folder" in finding.text) == (source == "hub_archive"), finding.text
    assert ("from a backup, or move it aside" in finding.text) == (source != "hub_archive"), finding.text


@pytest.mark.parametrize("source", SOURCES)
def test_a_loaded_pull_that_is_gone_is_pulled_again_by_one_source_alone(home: Home, source: str) -> None:
    pull = home.land(source, "scope", 5, {})
    home.load(pull, months=[DAY.replace(day=1)])
    for file in pull.path.iterdir():
        file.unlink()
    pull.path.rmdir()
    [finding] = verify.verify(home.settings).damaged
    assert ("which pulls it again" in finding.text) == (source == "hub_archive"), finding.text


@pytest.mark.parametrize("spoil", [_spoil_page, _spoil_manifest])
def test_reading_promises_nothing_that_only_verification_can(
    home: Home, spoil: Callable[[Pull], None]
) -> None:
    spoil(home.land("hub_live", "scope", 5, {}))
    with pytest.raises(LandingError, match=re.escape("; `atom verify` says what to do.") + "$"):
        for pull in Landing(home.landing.root).pulls():
            pull.read(pull.pages[0])


Take = Callable[[], None]


def _before_it_is_hashed(monkeypatch: pytest.MonkeyPatch, take: Take) -> None:
    rehash = verify._rehash
    monkeypatch.setattr(verify, "_rehash", lambda *args: (take(), rehash(*args))[1])


def _before_it_is_read(monkeypatch: pytest.MonkeyPatch, take: Take) -> None:
    load = Landing.load

    def late(landing: Landing, folder: Path) -> Pull:
        take()
        return load(landing, folder)

    monkeypatch.setattr(Landing, "load", late)


def _before_it_is_measured(monkeypatch: pytest.MonkeyPatch, take: Take) -> None:
    stat = Path.stat

    def late(path: Path, **options: bool) -> object:
        if path.suffix == ".gz":
            take()
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", late)


@pytest.mark.parametrize("moment", [_before_it_is_hashed, _before_it_is_read, _before_it_is_measured])
def test_a_pull_that_is_pruned_meanwhile_is_no_damage(
    home: Home, monkeypatch: pytest.MonkeyPatch, moment: Callable[[pytest.MonkeyPatch, Take], None]
) -> None:
    pull = home.crawl(5, "lab/a")
    waiting = [pull]

    def take() -> None:
        if waiting:
            removal.take_out(home.landing, waiting.pop(), "a test", NOW)

    moment(monkeypatch, take)
    found = verify.verify(home.settings)
    assert not waiting and not pull.path.exists()
    assert found.damaged == []
