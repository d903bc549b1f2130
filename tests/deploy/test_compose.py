"""deploy/compose.yaml: valid by the compose specification, hardened, and right about its programs."""

from __future__ import annotations

import re

import compose_spec
import pytest
import yaml

from tamiz_server.config.config import Config
from tamiz_server.config.flags import parse_config

from .observed import ROOT

DEPLOY = ROOT / "deploy"
TEXT = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (DEPLOY / "compose.yaml").read_text())
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
SCRAPED = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
[SOURCE] = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())[
    "datasources"
]
[PROVIDER] = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/tamiz.yaml").read_text())["providers"]


def binds(service):
    """Return path outside → path inside of a service's folders, without its volumes."""
    return {outside: inside for outside, inside, _ in mounts(service) if outside.startswith(".")}


def mounts(service):
    """Return the path or volume outside, the path inside, and whether it is read-only, for both forms."""
    for each in service.get("volumes", ()):
        if isinstance(each, str):
            outside, inside, *mode = each.split(":")
            yield outside, inside, mode == ["ro"]
        else:
            yield each["source"], each["target"], each["read_only"]


def seconds(text):
    return float(text.removesuffix("s"))


def test_it_is_valid_by_the_specification():
    """The merged form: the library (0.2.1) knows neither YAML's merge keys nor variables."""
    compose_spec.PyCompose.from_yaml(yaml.safe_dump(COMPOSE)).to_spec()


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())
def test_every_service_is_shut_in_and_shows_itself_to_this_machine_only(service):
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "user"} & service.keys()
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["healthcheck"]["test"][0] == "CMD", "there may be no shell"
    assert service["mem_limit"]
    assert service["pids_limit"]
    _, colon, tag = service["image"].rpartition(":")
    assert colon
    assert tag[0] in "v0123456789"


def test_what_is_mounted_is_read_only_and_there():
    """But for the models, which the user brings."""
    for name, service in SERVICES.items():
        for outside, _, is_read_only in mounts(service):
            if outside.startswith("."):
                assert is_read_only, outside
                if name != "server":
                    assert (DEPLOY / outside).is_dir(), outside
            else:
                assert outside in COMPOSE["volumes"], outside


def test_the_server_takes_its_settings(tmp_path):
    server = SERVICES["server"]
    known = {"TAMIZ_" + name.upper() for name in Config.__dataclass_fields__}
    assert server["environment"].keys() <= known
    assert list(binds(server).values()) == ["/models"]
    config = parse_config(
        [], server["environment"] | {"TAMIZ_MODEL_REPOSITORY": str(tmp_path), "TAMIZ_HOST": "0.0.0.0"}
    )
    assert [port.rpartition(":")[2] for port in server["ports"]] == [
        str(config.grpc_port),
        str(config.metrics_port),
    ]
    assert seconds(server["stop_grace_period"]) > config.drain_delay_s + config.drain_timeout_s
    assert server["healthcheck"]["test"] == ["CMD", "tamiz-server", "health"]


def test_prometheus_takes_its_settings_and_scrapes_the_server(run, tmp_path):
    run("promtool", "check", "config", DEPLOY / "prometheus/prometheus.yml")
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in SCRAPED["scrape_configs"]}
    port = Config(model_repository=tmp_path).metrics_port
    assert targets["tamiz"] == [f"server:{port}"]
    mounted = binds(SERVICES["prometheus"])
    assert f"--config.file={mounted['./prometheus']}/prometheus.yml" in SERVICES["prometheus"]["command"]
    assert SCRAPED["rule_files"] == ["rules/*.yml"]


def test_grafana_finds_prometheus_and_the_dashboards():
    assert SOURCE["url"] == "http://prometheus:9090"
    assert SOURCE["jsonData"]["timeInterval"] == SCRAPED["global"]["scrape_interval"]
    mounted = binds(SERVICES["grafana"])
    assert mounted["./grafana/provisioning"] == "/etc/grafana/provisioning"
    assert PROVIDER["options"]["path"] == mounted["./grafana/dashboards"]
