"""The whole factsheet, from the configuration to the official schema (2.1, 6.15; 3.0, 7.10)."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent import config
from agent.main import build_agent, catalog_of, load_places, registry_of
from tests.agent.room import TOML, Robot, write_robot
from tests.agent.test_map_actions import STORAGE
from tests.agent.vda5050.test_wire import assert_valid, with_schemas

SHEET = """
[robot.loaded]
length_m = 1.2
width_m = 0.8

[factsheet]
description = "a carrier of the plant"
versions.plcVersion = "7"

[[factsheet.wheels]]
type = "DRIVE"
x_m = 0.0
y_m = 0.25
yaw_rad = 0.0
diameter_m = 0.2
width_m = 0.05
driven = true

[[factsheet.wheels]]
type = "CASTER"
x_m = -0.3
y_m = 0.0
diameter_m = 0.1
width_m = 0.04
offset_m = 0.03

[[factsheet.envelopes_3d]]
name = "body"
format = "STEP"
url = "https://maker.example/body.step"

[[factsheet.load_sets]]
name = "DEFAULT"
load_type = "EPAL"
length_m = 1.2
width_m = 0.8
height_m = 1.5
weight_kg = 300.0
speed_mps = 0.8
acceleration_mps2 = 0.5
deceleration_mps2 = 0.7
pick_s = 20.0
drop_s = 15.0

[factsheet.network]
dns_servers = ["10.0.0.1"]
local_ip_address = "10.0.0.17"
netmask = "255.255.255.0"
default_gateway = "10.0.0.1"

[factsheet.charging]
critical_percent = 15.0
most_percent = 90.0
least_s = 600
"""


def sheet_of(directory: Path, version: str, more: str = "") -> dict[str, Any]:
    text = TOML.replace("width_m = 0.6\n", "width_m = 0.6\nmax_load_kg = 400.0\n", 1)
    platform = f'\n[vda5050]\nversion = "{version}"\n' + STORAGE.replace("{url}", "http://x")
    settings = config.load(write_robot(directory, text + platform + more), environment={})
    robot = Robot(build_agent(settings, load_places(settings)))
    sent = {p.topic: p.payload for p in robot.tick().publications}
    tree: dict[str, Any] = json.loads(sent["factsheet"])
    return tree


@with_schemas
@pytest.mark.parametrize("version", ["2.1.0", "3.0.0"])
@pytest.mark.parametrize("more", ["", SHEET])
def test_the_factsheet_is_valid(tmp_path: Path, version: str, more: str) -> None:
    tree = sheet_of(tmp_path, version, more)
    assert_valid(version, "factsheet", json.dumps(tree).encode())


def test_what_is_configured_is_told_in_2_1(tmp_path: Path) -> None:
    tree = sheet_of(tmp_path, "2.1.0", SHEET)
    drive, caster = tree["agvGeometry"]["wheelDefinitions"]
    assert drive == {
        "type": "DRIVE", "isActiveDriven": True, "isActiveSteered": False, "diameter": 0.2,
        "width": 0.05, "position": {"x": 0.0, "y": 0.25, "theta": 0.0},
    }  # fmt: skip
    assert caster["centerDisplacement"] == 0.03
    assert [e["set"] for e in tree["agvGeometry"]["envelopes2d"]] == [
        "footprint", "footprint, loaded"
    ]  # fmt: skip
    assert tree["agvGeometry"]["envelopes3d"] == [
        {"set": "body", "format": "STEP", "url": "https://maker.example/body.step"}
    ]
    (load_set,) = tree["loadSpecification"]["loadSets"]
    assert (load_set["maxWeight"], load_set["agvSpeedLimit"]) == (300.0, 0.8)
    assert load_set["loadPositions"] == tree["loadSpecification"]["loadPositions"]
    versions = {v["key"]: v["value"] for v in tree["vehicleConfig"]["versions"]}
    assert versions["plcVersion"] == "7"
    assert versions["softwareVersion"]
    assert tree["vehicleConfig"]["network"]["localIpAddress"] == "10.0.0.17"
    assert "batteryCharging" not in tree["vehicleConfig"]
    assert "supportedZones" not in tree["typeSpecification"]
    assert tree["protocolLimits"]["maxArrayLens"]["state.loads"] == 1


def test_what_is_configured_is_told_in_3_0(tmp_path: Path) -> None:
    tree = sheet_of(tmp_path, "3.0.0", SHEET)
    assert tree["mobileRobotGeometry"]["envelopes3d"][0]["envelope3dId"] == "body"
    (load_set,) = tree["loadSpecification"]["loadSets"]
    assert (load_set["maximumWeight"], load_set["maximumSpeed"]) == (300.0, 0.8)
    assert tree["mobileRobotConfiguration"]["batteryCharging"] == {
        "criticalLowChargingLevel": 15.0, "maximumDesiredChargingLevel": 90.0,
        "minimumChargingTime": 600,
    }  # fmt: skip
    zones = tree["typeSpecification"]["supportedZones"]
    assert "RELEASE" in zones
    assert not {"PENALTY", "PRIORITY", "ACTION"} & set(zones)
    assert tree["protocolLimits"]["maximumArrayLengths"]["zoneSet.zones"] == 500
    scopes = {
        a["actionType"]: a["actionScopes"] for a in tree["protocolFeatures"]["mobileRobotActions"]
    }
    assert scopes["initializePosition"] == ["INSTANT", "NODE"]
    assert scopes["startHibernation"] == scopes["shutdown"] == ["INSTANT"]
    assert len(scopes) == len(tree["protocolFeatures"]["mobileRobotActions"])


@pytest.mark.parametrize(
    ("version", "key_file", "is_there"),
    [
        ("3.0.0", "robot.key", True),
        ("2.1.0", "robot.key", False),
        ("3.0.0", "$CREDENTIALS_DIRECTORY/robot.key", False),
    ],
)
def test_certificates_are_renewed_where_they_are_files_of_the_agent(
    tmp_path: Path, version: str, key_file: str, *, is_there: bool
) -> None:
    """What systemd gives the service is not the agent's to replace."""
    broker = f'port = 1\ntls = true\ncertificate_file = "robot.pem"\nkey_file = "{key_file}"\n'
    text = TOML.replace("port = 1\n", broker) + STORAGE.replace("{url}", "https://x")
    path = write_robot(tmp_path, text + f'\n[vda5050]\nversion = "{version}"\n')
    settings = config.load(path, environment={})
    kinds = registry_of(settings, catalog_of(settings, load_places(settings))).described()
    assert ("updateCertificate" in [kind.action_type for kind in kinds]) == is_there
