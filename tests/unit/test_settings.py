"""Settings come from ATOM_* variables, are typed, and complain in one sentence."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from atom_dagster.settings import SCHEDULES, Endpoints, Settings, SettingsError


def test_defaults_are_the_sample_world_with_its_own_home():
    settings = Settings.from_env({})
    assert settings.world == "sample"
    assert settings.home.parts[-2:] == ("data", "sample")
    assert settings.home.is_absolute()


def test_worlds_never_share_a_home(tmp_path: Path):
    (tmp_path / "world.yml").write_text("")
    worlds = [
        {},
        {"ATOM_SEED": "2"},
        {"ATOM_WORLD": "live"},
        {"ATOM_WORLD": f"recorded:{tmp_path}"},
    ]
    assert len({Settings.from_env(world).home for world in worlds}) == 4


@pytest.mark.parametrize(
    "variables",
    [
        {"ATOM_WORLD": "simple"},
        {"ATOM_WORLD": "recorded"},
        {"ATOM_WORLD": "recorded:/nowhere"},
        {"ATOM_WORLD": "live:now"},
        {"ATOM_SEED": "two"},
        {"ATOM_NOW": "yesterday"},
        {"ATOM_NOW": "9999-12-31"},
        {"ATOM_NOW": "1999-12-31T00:00:00Z"},
        {"ATOM_HUB_SCOPE": "some"},
        {"ATOM_SCHEDULES": "observe_daily,close"},
        {"ATOM_ARCHIVES": "hub_archive,hub_stats"},
        {"ATOM_ARCHIVES": "hub_archive,hub_archive"},
        {"ATOM_ARCHIVES": ","},
        {"ATOM_ARCHIVE_DAYS": "0"},
        {"ATOM_PULL_WORKERS": "many"},
        {"ATOM_ACCEPT_SHRINK": "2026-08-12,then"},
        {"HF_ENDPOINT": "foo"},
        {"HF_ENDPOINT": "ftp://huggingface.co"},
        {"HF_ENDPOINT": "https://"},
        {"HF_ENDPOINT": "https://[::1"},
        {"HF_ENDPOINT": "https://hub.example:port"},
        {"HF_ENDPOINT": "https://hub.example/?x=1"},
        {"HF_ENDPOINT": "https://hub.\nexample"},
    ],
)
def test_a_wrong_value_is_one_sentence(variables):
    with pytest.raises(SettingsError) as error:
        Settings.from_env(variables)
    assert "\n" not in str(error.value)


def test_the_clock_can_be_held():
    settings = Settings.from_env({"ATOM_NOW": "2026-04-08T23:30:00-02:00"})
    assert settings.now() == datetime(2026, 4, 9, 1, 30, tzinfo=UTC)
    assert settings.today() == date(2026, 4, 9)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", set()),
        ("close_month", {"close_month"}),
        (" observe_daily, close_month,", {"observe_daily", "close_month"}),
        ("all", set(SCHEDULES)),
    ],
)
def test_schedules_are_turned_on_by_name(text: str, names: set[str]):
    assert Settings.from_env({"ATOM_SCHEDULES": text}).schedules == names


def test_secrets_are_not_shown():
    settings = Settings.from_env({"HF_TOKEN": "hf_secret", "OPENROUTER_API_KEY": "or_secret"})
    endpoints = Endpoints(
        "live", False, "h", (), "o", (), "r", hub_token="hf_secret", openrouter_key="or_secret"
    )
    assert "secret" not in repr(settings) + repr(endpoints)


def test_archives_are_chosen_and_ordered():
    assert Settings.from_env({}).archives == ("hub_archive", "hub_revisions", "hub_series")
    settings = Settings.from_env(
        {
            "ATOM_ARCHIVES": "hub_series, hub_archive",
            "ATOM_ACCEPT_SHRINK": "2026-08-12, 2026-08-19",
            "ATOM_ARCHIVE_DAYS": "14",
            "ATOM_PULL_WORKERS": "2",
        }
    )
    assert settings.archives == ("hub_series", "hub_archive")
    assert settings.accepted_shrinks == {date(2026, 8, 12), date(2026, 8, 19)}
    assert (settings.archive_days, settings.pull_workers) == (14, 2)


@pytest.mark.parametrize("name", ["HF_TOKEN", "OPENROUTER_API_KEY"])
@pytest.mark.parametrize("value", ["hf_SEC RET", "hf_SEC\nRET", "hf_SÉCRET", "hf_SECRET\0"])
def test_a_credential_no_header_can_hold_is_refused_unseen(name: str, value: str):
    with pytest.raises(SettingsError, match=f"{name} holds characters that no key has") as error:
        Settings.from_env({name: value})
    assert "hf_" not in str(error.value)


def test_the_line_end_of_a_copied_credential_is_not_part_of_it():
    settings = Settings.from_env({"HF_TOKEN": "hf_secret\n", "OPENROUTER_API_KEY": " \n"})
    assert (settings.hf_token, settings.openrouter_key) == ("hf_secret", None)


def test_an_endpoint_with_a_password_is_refused_unseen():
    with pytest.raises(SettingsError, match="leave them out and set HF_TOKEN") as error:
        Settings.from_env({"HF_ENDPOINT": "https://user:hidden@hub.example"})
    assert "hidden" not in str(error.value)


def test_a_token_goes_in_clear_nowhere_but_on_this_machine():
    with pytest.raises(SettingsError, match="send HF_TOKEN in clear"):
        Settings.from_env({"HF_ENDPOINT": "http://hub.example"})
    for host in ("127.0.0.1:8000", "localhost", "[::1]:8000"):
        assert Settings.from_env({"HF_ENDPOINT": f"http://{host}/hub/"}).hub_endpoint == f"http://{host}/hub"


@pytest.mark.parametrize(
    ("endpoint", "token", "given"),
    [
        ("https://huggingface.co", "hf_secret", "hf_secret"),
        ("http://127.0.0.1:8000/hub", "hf_secret", None),
        ("http://127.0.0.1:8000/hub", "hf_sample_invented", "hf_sample_invented"),
        ("http://127.0.0.1:8000/hub", "", None),
    ],
)
def test_loopback_receives_invented_tokens_only(endpoint: str, token: str, given: str | None):
    assert Settings.from_env({"HF_ENDPOINT": endpoint, "HF_TOKEN": token}).hub_token == given
