"""docker-compose.yml: what it starts, where it listens, and the Dagster instance it configures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import yaml
from dagster._config import process_config  # Dagster offers no other way to try a dagster.yaml out
from dagster._core.instance.config import dagster_instance_config

from tests.conftest import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def _written_by_the_image(name: str) -> str:
    """The text of a file that the image's Dockerfile holds."""
    dockerfile = SERVICES["code"]["build"]["dockerfile_inline"]
    found = re.search(
        rf"^COPY <<(\w+) /opt/dagster/home/{name}\n(.*?)^\1$", dockerfile, re.DOTALL | re.MULTILINE
    )
    assert found, f"the image writes no {name}"
    return found[2]


def test_it_starts_postgres_code_webserver_and_daemon():
    assert set(SERVICES) == {"postgres", "code", "webserver", "daemon"}
    programs = {name: service["command"][:2] for name, service in SERVICES.items() if "command" in service}
    assert programs == {
        "code": ["dagster", "code-server"],
        "webserver": ["dagster-webserver", "--host"],
        "daemon": ["dagster-daemon", "run"],
    }
    assert "build" not in SERVICES["webserver"]
    assert {SERVICES[name]["image"] for name in programs} == {"atom-dagster"}


def test_nothing_listens_beyond_this_machine_and_no_docker_socket_is_mounted():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:3000:3000"]
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert not any("docker.sock" in mount for mount in mounts)
    assert {mount.split(":")[0] for mount in mounts} <= set(COMPOSE["volumes"])
    assert not any("network_mode" in service for service in SERVICES.values())


def test_services_wait_for_what_they_need():
    healthy = {"condition": "service_healthy"}
    assert SERVICES["code"]["depends_on"] == {"postgres": healthy}
    assert SERVICES["webserver"]["depends_on"] == SERVICES["daemon"]["depends_on"] == {"code": healthy}
    assert "healthcheck" in SERVICES["postgres"]
    assert "healthcheck" in SERVICES["code"]


def test_runs_write_to_the_volume_through_the_containers_instance():
    environment = SERVICES["code"]["environment"]
    assert environment["ATOM_DAGSTER_HOME"] == environment["DAGSTER_HOME"] == "/opt/dagster/home"
    assert environment["ATOM_HOME"].startswith("/data/")
    assert "data:/data" in SERVICES["code"]["volumes"]


def test_the_workspace_is_the_code_service():
    [entry] = yaml.safe_load(_written_by_the_image("workspace.yaml"))["load_from"]
    command = SERVICES["code"]["command"]
    assert entry == {"grpc_server": {"host": "code", "port": 4000, "location_name": "atom"}}
    assert command[command.index("--port") + 1] == "4000"


def test_the_instance_is_the_committed_one_with_another_storage(tmp_path: Path):
    text = _written_by_the_image("dagster.yaml")
    mine, committed = yaml.safe_load(text), yaml.safe_load((ROOT / "dagster.yaml").read_text())
    for key in ("storage", "compute_logs", "local_artifact_storage"):
        mine.pop(key, None), committed.pop(key, None)
    assert mine == committed
    (tmp_path / "dagster.yaml").write_text(text)
    accepted, _ = dagster_instance_config(str(tmp_path))
    assert accepted["storage"].keys() == {"postgres"}


def test_dagster_postgres_accepts_the_storage(monkeypatch: pytest.MonkeyPatch):
    storage = pytest.importorskip("dagster_postgres").DagsterPostgresStorage
    from dagster_postgres.utils import pg_url_from_config

    config = yaml.safe_load(_written_by_the_image("dagster.yaml"))["storage"]["postgres"]
    for value in config["postgres_db"].values():
        if isinstance(value, dict):
            assert value["env"] in SERVICES["code"]["environment"]
            monkeypatch.setenv(value["env"], "something")
    result = process_config(storage.config_type(), config)
    assert result.success, result.errors
    # Making an engine loads the driver, and connects to nothing.
    sqlalchemy.create_engine(pg_url_from_config(result.value))
    config["postgres_db"]["hostnane"] = config["postgres_db"].pop("hostname")
    assert not process_config(storage.config_type(), config).success
