"""The real daemon as a process of its own, its devices emulated byte for byte on ptys."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.clock import SystemClock
from agent.errors import DaemonUnreachable
from agent.local.client import ask
from hil.bench_process import BenchSpec
from hil.plant.world import Pose
from hil.pty_rig import PtyRig
from hil.scenario import ROBOT
from tests.agent.room import TOML, write_robot

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CLOCK = SystemClock()
MOUNT = ROBOT.lidar.base_from_lidar
CONFIG = TOML.replace(
    "[base]\n", f"mount = [{MOUNT.x_m}, {MOUNT.y_m}, {MOUNT.yaw_rad}]\n\n[base]\n"
)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PtyRig]:
    directory: Path = tmp_path_factory.mktemp("rig")
    config = write_robot(directory, CONFIG)
    spec = BenchSpec(
        directory=directory, map=directory / "room.yaml", start=Pose(0.0, 0.0, 0.0), robot=ROBOT
    )
    with PtyRig(spec, config, CLOCK) as rig:
        wait_for(rig, is_healthy, 150.0)
        yield rig


def wait_for(
    rig: PtyRig, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 20.0
) -> dict[str, Any]:
    """Return the first status that meets a condition."""
    deadline_ns = CLOCK.now_ns() + round(timeout_s * 1e9)
    status: dict[str, Any] = {}
    while CLOCK.now_ns() < deadline_ns:
        if rig.daemon.poll() is not None:
            pytest.fail(rig.log.read_text(encoding="utf-8"))
        if socket(rig).exists():
            status = rig.status()
            if condition(status):
                return status
        CLOCK.wait_until_ns(CLOCK.now_ns() + 50_000_000)
    pytest.fail(f"in vain: {json.dumps(status, indent=1)}")


def is_healthy(status: dict[str, Any]) -> bool:
    """Whether nothing is wrong but the broker, which this robot does not have."""
    return [complaint.split(":")[0] for complaint in status["complaints"]] == ["broker"]


def socket(rig: PtyRig) -> Path:
    return rig.log.with_name("haulier.sock")


def haulier(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=90.0,
        check=False,
    )


def journal(rig: PtyRig) -> list[dict[str, Any]]:
    lines = rig.log.read_text(encoding="utf-8").splitlines()
    return [json.loads(line[3:]) for line in lines]


def test_a_healthy_daemon_tells_what_it_does(rig):
    status = rig.status()
    assert {name: device["phase"] for name, device in status["devices"].items()} == {
        "lidar.front": "streaming",
        "base": "streaming",
    }
    assert status["broker_error"]["code"] == "BROKER_UNAVAILABLE"
    assert status["loop"]["cycles"] > 0
    assert (status["order"]["idle"], status["command"]["forward_mps"]) == (True, 0.0)
    assert status["battery"]["voltage_v"] > 20.0
    truth = rig.bench.truth()["pose"]
    assert status["pose"]["x_m"] == pytest.approx(truth[0], abs=0.1)
    assert status["pose"]["y_m"] == pytest.approx(truth[1], abs=0.1)
    assert len(rig.scan_points()) > 100


def test_status_is_aligned_and_complete(rig):
    result = haulier("status", "--socket", socket(rig))
    print(result.stdout)
    assert result.returncode == 1, "the broker is missing"
    lines = result.stdout.splitlines()
    labels = [line[:13].strip() for line in lines]
    assert [label for label in labels if label] == [
        "robot", "lidar.front", "base", "pose", "command", "order", "broker", "battery", "loop",
        "!",
    ]  # fmt: skip
    assert all(line[12] == " " and line[13] != " " for line in lines)
    assert not [line for line in lines if line != line.rstrip()]
    assert "R1" in lines[0]
    shown = json.loads(haulier("status", "--json", "--socket", socket(rig)).stdout)
    assert shown["robot"] == "R1"


@pytest.mark.parametrize("device", ["lidar.front", "base"])
def test_an_unplugged_device_is_named_with_the_time_and_comes_back(rig, device):
    rig.bench.unplug(device)
    unplugged_ns = CLOCK.now_ns()
    status = wait_for(rig, lambda status: status["devices"][device]["phase"] == "lost")
    assert status["command"]["forward_mps"] == 0.0
    assert status["devices"][device]["error"]["code"] == "PORT_LOST"
    CLOCK.wait_until_ns(unplugged_ns + 2_500_000_000)
    shown = haulier("status", "--socket", socket(rig)).stdout
    print(shown)
    since_s = rig.status()["devices"][device]["since_s"]
    assert since_s == pytest.approx((CLOCK.now_ns() - unplugged_ns) * 1e-9, abs=0.5)
    assert f"\n{device:13}lost for " in f"\n{shown}"
    assert "hint: " in shown
    rig.bench.replug(device)
    wait_for(rig, is_healthy)
    losses = [e for e in journal(rig) if e["event"] == "device.lost" and e["device"] == device]
    # The port was lost, and since then it is not there: two lines, whatever the time.
    assert [loss["code"] for loss in losses] == ["PORT_LOST", "PORT_UNAVAILABLE"]


def pose(rig: PtyRig, *words: object) -> subprocess.CompletedProcess[str]:
    return haulier("pose", *words, "--socket", socket(rig))


def test_the_pose_is_shown(rig):
    wait_for(rig, is_healthy)
    result = pose(rig, "show")
    assert result.returncode == 0, result.stderr
    assert "on map hall" in result.stdout
    shown = json.loads(pose(rig, "show", "--json").stdout)
    assert shown["localized"]
    assert (shown["map_id"], shown["reason"]) == ("hall", "")
    assert 0.0 < shown["stddev_x_m"] < 0.2


def test_the_pose_is_told_and_taken(rig):
    result = pose(rig, "set", "0.2,-0.1,0.1", "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    answer = json.loads(result.stdout)
    assert (answer["outcome"], answer["pose"]["localized"]) == ("done", True)
    assert answer["pose"]["x_m"] == pytest.approx(rig.bench.truth()["pose"][0], abs=0.1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "-99,0,0"), "(-99.00, 0.00) lies outside the map"),
        (("set", "0,0,0", "--map", "attic"), "there is no map attic; known: hall"),
    ],
)
def test_a_pose_that_cannot_be_is_refused(rig, words, said):
    result = pose(rig, *words)
    assert result.returncode == 1
    assert said in result.stderr
    assert pose(rig, "show").returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"pose": [1, 2]},
        {"pose": "123"},
        {"pose": [0, 0, None]},
        {"pose": [0, 0, 0], "map_id": 1},
    ],
)
def test_nonsense_at_the_socket_is_refused(rig, arguments):
    with pytest.raises(DaemonUnreachable, match="set_pose takes pose"):
        ask(socket(rig), "set_pose", **arguments)


def test_the_robot_searches_and_finds_itself(rig):
    result = pose(rig, "relocalize")
    assert result.returncode == 0, result.stdout + result.stderr
    truth = rig.bench.truth()["pose"]
    assert rig.status()["pose"]["x_m"] == pytest.approx(truth[0], abs=0.1)
    assert {"pose.set", "pose.lost", "pose.recovered"} <= {e["event"] for e in journal(rig)}


def test_a_second_daemon_is_refused_and_the_first_goes_on(rig):
    result = haulier("run", "--config", rig.log.with_name("haulier.toml"))
    assert result.returncode == 69
    assert "DAEMON_RUNNING" in result.stderr
    assert "Traceback" not in result.stderr
    assert is_healthy(rig.status())


def test_sigterm_ends_it_in_order(rig):
    assert rig.stop_daemon() == 0
    assert not socket(rig).exists()
    events = [entry["event"] for entry in journal(rig)]
    assert events[0] == "agent.started"
    assert events[-1] == "agent.stopped"
    assert "Traceback" not in rig.log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "status", "code"),
    [
        (lambda d: (d / "room.pgm").write_bytes(b"P5\n20 20\n255\nshort"), 65, "MAP_INVALID"),
        (lambda d: (d / "haulier.toml").write_text("[robot]\n"), 78, "CONFIG_INVALID"),
        (lambda d: (d / "haulier.sock").write_text("no socket"), 78, "CONFIG_INVALID"),
    ],
    ids=["map cut short", "bad configuration", "socket is a file"],
)
def test_what_cannot_start_says_why(tmp_path, damage, status, code):
    config = write_robot(tmp_path, CONFIG)
    damage(tmp_path)
    result = haulier("run", "--config", config)
    assert result.returncode == status
    assert result.stderr.count("haulier: ") == 1
    assert f"haulier: {code}: " in result.stderr
    assert "hint: " in result.stderr
    assert "Traceback" not in result.stderr
