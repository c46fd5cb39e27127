"""The Compose file in `deploy/compose` is valid by the specification's schema; so is what it mounts and builds."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from ruamel.yaml import YAML

from richpanel.config import Role, read_settings
from richpanel.source import asgi as door
from tests.sdk.network import LOOPBACK, free_port

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "compose"
CHECK = (str(Path(sys.executable).parent / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec")
NODES = ("ingest", "process", "deliver", "web")
GIVEN = {"POSTGRES_PASSWORD": "open-sesame", "RICHPANEL_SECRET_KEY": "0" * 64}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file with its anchors followed."""
    found: dict[str, Any] = YAML(typ="safe").load(FOLDER / "compose.yaml")
    return found


def filled(text: str) -> str:
    """A value with its variables in place, as Compose fills them in."""
    return re.sub(r"\$\{(\w+)(?::[?-]([^}]*))?\}", lambda found: GIVEN.get(found[1], found[2] or ""), text)


def test_it_is_valid_by_the_schema_of_the_specification() -> None:
    done = subprocess.run([*CHECK, str(FOLDER / "compose.yaml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_key_is_found(tmp_path: Path, compose: dict[str, Any]) -> None:
    """The check above can fail."""
    compose = {**compose, "services": {**compose["services"], "web": {"imagine": "richpanel"}}}
    YAML(typ="safe").dump(compose, tmp_path / "compose.yaml")
    assert subprocess.run([*CHECK, str(tmp_path / "compose.yaml")], capture_output=True, check=False).returncode == 1


def test_what_services_wait_for_and_keep_is_there(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for needed, condition in service.get("depends_on", {}).items():
            assert needed in services, name
            assert condition != {"condition": "service_healthy"} or "healthcheck" in services[needed], needed
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (FOLDER / source).is_file() if source.startswith(".") else source in compose["volumes"], volume
    assert sum(name.startswith("nats-") for name in services) == 3


@pytest.mark.parametrize("name", NODES)
def test_a_node_starts_with_settings_of_a_cluster(name: str, compose: dict[str, Any]) -> None:
    node = compose["services"][name]
    option, role = node["command"]
    assert (option, role) == ("--role", name)
    assert role in get_args(Role)
    environment = {key: filled(value) for key, value in node["environment"].items()}
    settings = read_settings({"role": role}, environment).settings
    assert settings.database_url == "postgresql://richpanel:open-sesame@postgres:5432/richpanel"
    assert settings.log_url is not None
    hosts = {server.split("//")[1].split(":")[0] for server in settings.log_url.split(",")}
    assert hosts == {service for service in compose["services"] if service.startswith("nats-")}


def test_the_image_is_built_from_files_that_exist(compose: dict[str, Any]) -> None:
    build = compose["services"]["web"]["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT
    dockerfile = (ROOT / build["dockerfile"]).read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), line


def test_nats_takes_its_configuration(tmp_path: Path) -> None:
    text = (FOLDER / "nats.conf").read_text(encoding="utf-8").replace("/data", str(tmp_path / "data"))
    program = shutil.which("nats-server") or "/usr/sbin/nats-server"
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if "v2.9." in version:  # It cannot be told to sync each record; the image's can.
        text = text.replace("sync_interval: always\n", "\n")
    (tmp_path / "nats.conf").write_text(text)
    command = [program, "-t", "-c", str(tmp_path / "nats.conf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"NATS_NAME": "nats-1"})
    assert done.returncode == 0, done.stdout + done.stderr


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    text = (
        (FOLDER / "nginx.conf").read_text(encoding="utf-8").replace("listen 80;", f"listen {LOOPBACK}:{free_port()};")
    )
    for name in ("ingest", "web"):
        assert f"server {name}:8000" in text
        text = text.replace(f"server {name}:8000", f"server {LOOPBACK}:8000")
    (tmp_path / "site.conf").write_text(text)
    around = f"pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}} http {{ include {tmp_path}/site.conf; }}"
    (tmp_path / "nginx.conf").write_text(around)
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    done = subprocess.run([program, "-t", "-c", tmp_path / "nginx.conf"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/track", "/v1/b", "/v1/pixel/page", "/v1/projects/KEY/settings", "/segment", "/segment/KEY"),
        *("/v2/t", "/v3/t", "/v2/bt", "/v2", "/v4/t"),
        *("/analytics.js/v1/KEY/analytics.min.js", "/analytics-next/bundles/x.js", "/", "/api/v1/status", "/login"),
        *("/segments", "/ready", "/health", "/static/app.css", "/v1"),
    ],
)
def test_the_balancer_sends_to_the_door_what_is_the_doors(path: str) -> None:
    (pattern,) = re.findall(r"location ~ (\S+) \{", (FOLDER / "nginx.conf").read_text(encoding="utf-8"))
    assert bool(re.match(pattern, path)) == door.owns(path)
