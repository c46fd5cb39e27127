"""The systemd units in `deploy/systemd`: systemd takes each line of them, and the settings beside them are settings."""

import configparser
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from richpanel.config import Role, read_settings, table, variable

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
INSTALLED = "/opt/richpanel"


def parsed(unit: Path) -> configparser.SectionProxy:
    """The [Service] part."""
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names are as they are written
    parser.read_string(unit.read_text(encoding="utf-8"))
    assert parser.sections() == ["Unit", "Service", "Install"]
    return parser["Service"]


def given() -> dict[str, str]:
    """The settings of the environment file."""
    lines = (FOLDER / "richpanel.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_there_is_a_unit_for_each_role() -> None:
    roles = {parsed(unit)["ExecStart"].split("--role ")[1].split()[0] for unit in UNITS}
    assert roles == {"ingest", "process", "deliver", "web"}
    assert roles <= set(get_args(Role))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_reads_the_settings_and_may_do_little(unit: Path) -> None:
    service = parsed(unit)
    assert service["EnvironmentFile"] == "/etc/richpanel/richpanel.env"
    assert service["ExecStart"].startswith(f"{INSTALLED}/.venv/bin/richpanel serve --role ")
    assert service["Restart"] == "on-failure"
    for name in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "RestrictNamespaces"):
        assert service[name] == "yes", name
    assert service["ProtectSystem"] == "strict"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_every_line(unit: Path, tmp_path: Path) -> None:
    instance = tmp_path / unit.name.replace("@", "@8001")
    command = tmp_path / "richpanel"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    text = unit.read_text(encoding="utf-8").replace(f"{INSTALLED}/.venv/bin/richpanel", str(command))
    instance.write_text(text.replace(INSTALLED, str(tmp_path)))
    done = subprocess.run(["systemd-analyze", "verify", instance], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line or unit.name.split("@")[0] in line]
    assert done.returncode == 0, done.stderr
    assert not complaints


def test_the_settings_are_those_of_a_cluster() -> None:
    settings = given()
    assert settings["RICHPANEL_SECRET_KEY"] == "", "nobody's key stands in a file that everybody has"
    assert settings.keys() <= {variable(name) for name in table()}
    read = read_settings({}, settings | {"RICHPANEL_SECRET_KEY": "0" * 64}).settings
    assert read.database_url is not None
    assert read.log_url is not None
    assert read.log_url.count("nats://") == 3
