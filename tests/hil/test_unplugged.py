"""The real daemon loses a device while it drives: real ptys, real time, the whole path."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.clock import SystemClock
from hil.bench_process import BenchSpec
from hil.pty_rig import PtyRig
from hil.scenario import CORNERS, MAP_ID, ROBOT, factory_tour

pytest.importorskip("amqtt")

from agent.vda5050.identity import Identity
from hil.broker import LOOPBACK, BrokerProcess
from hil.master_control import MasterControl, MqttMaster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CLOCK = SystemClock()
LIMIT_S = 0.3
DEVICES = ["lidar.front", "lidar.rear", "base"]


class Drive:
    """A rig whose robot is on its way along the tour."""

    def __init__(self, rig: PtyRig, master: MqttMaster) -> None:
        self.rig = rig
        self.master = master

    def wait_for(self, condition: Callable[[], bool], timeout_s: float, what: str) -> int:
        deadline_ns = CLOCK.now_ns() + round(timeout_s * 1e9)
        while not condition():
            assert CLOCK.now_ns() < deadline_ns, f"{what}: {self.rig.status()}"
            CLOCK.wait_until_ns(CLOCK.now_ns() + 2_000_000)
        return CLOCK.now_ns()

    def speed(self) -> float:
        return float(self.rig.status()["command"]["forward_mps"])

    def wait_until_fast(self) -> None:
        self.wait_for(lambda: self.speed() > 0.7, 60.0, "the robot does not drive")


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drive]:
    directory: Path = tmp_path_factory.mktemp("rig")
    scenario = replace(factory_tour(1), scanners=CORNERS)
    with BrokerProcess() as broker:
        config = scenario.write_config(directory, broker_port=broker.port)
        spec = BenchSpec(
            directory=directory,
            map=directory / "hall.yaml",
            start=scenario.start,
            robot=ROBOT,
            lidars=scenario.lidars,
        )
        identity = Identity("haulier", "demo-01")
        core = MasterControl(identity, CLOCK)
        with (
            PtyRig(spec, config, CLOCK) as rig,
            MqttMaster(core, identity, LOOPBACK, broker.port) as master,
        ):
            rig.wait_until_ready()
            assert master.wait_for(lambda core: core.state is not None, 30.0)
            master.order(scenario.stations, MAP_ID)
            yield Drive(rig, master)


@pytest.mark.parametrize("device", DEVICES)
def test_an_unplugged_device_stops_the_robot_and_a_replugged_one_lets_it_go_on(
    drive: Drive, device: str
) -> None:
    drive.wait_until_fast()
    drive.rig.bench.unplug(device)
    unplugged_ns = CLOCK.now_ns()
    stopped_ns = drive.wait_for(lambda: drive.speed() == 0.0, 2.0, "the robot drives on")
    assert (stopped_ns - unplugged_ns) * 1e-9 < LIMIT_S
    print(f"{device}: zero after {(stopped_ns - unplugged_ns) * 1e-6:.0f} ms")
    drive.wait_for(lambda: drive.rig.bench.truth()["forward_mps"] == 0.0, 3.0, "wheels turn on")

    CLOCK.wait_until_ns(unplugged_ns + 2_000_000_000)
    status = drive.rig.status()["devices"]
    assert status[device]["phase"] == "lost"
    assert status[device]["since_s"] == pytest.approx(
        (CLOCK.now_ns() - unplugged_ns) * 1e-9, abs=0.3
    )
    for other in DEVICES:
        assert other == device or status[other]["phase"] == "streaming"
    assert drive.master.wait_for(
        lambda core: any(device in (e.error_description or "") for e in core.state.errors), 5.0
    ), "the platform does not learn which device is lost"

    drive.rig.bench.replug(device)
    drive.wait_until_fast()
    assert drive.rig.bench.truth()["contact"] is None


def test_a_lidar_that_falls_silent_on_an_open_port_stops_the_robot(drive: Drive) -> None:
    drive.wait_until_fast()
    drive.rig.bench.set_fault("lidar.front", "mute", True)
    muted_ns = CLOCK.now_ns()
    stopped_ns = drive.wait_for(lambda: drive.speed() == 0.0, 2.0, "the robot drives on")
    assert (stopped_ns - muted_ns) * 1e-9 < LIMIT_S
    print(f"mute lidar: zero after {(stopped_ns - muted_ns) * 1e-6:.0f} ms")
    drive.wait_for(
        lambda: drive.rig.status()["devices"]["lidar.front"]["phase"] == "lost",
        3.0,
        "silence unnoticed",
    )
    assert drive.rig.status()["devices"]["lidar.front"]["error"]["code"] == "STREAM_STALE"
    drive.rig.bench.set_fault("lidar.front", "mute", False)
    drive.wait_until_fast()


def test_noise_on_the_line_stops_the_robot_or_is_survived_but_never_ends_the_daemon(
    drive: Drive,
) -> None:
    for device in ("lidar.front", "base"):
        drive.rig.bench.set_fault(device, "garbage", True)
        CLOCK.wait_until_ns(CLOCK.now_ns() + 3_000_000_000)
        assert drive.rig.daemon.poll() is None
        drive.rig.bench.set_fault(device, "garbage", False)
    status = drive.rig.status()["codecs"]
    assert status["lidar.front"]["skipped_bytes"] > 0
    assert status["base"]["skipped_bytes"] > 0
    drive.wait_until_fast()
    assert drive.rig.bench.truth()["contact"] is None
    assert "Traceback" not in drive.rig.log.read_text(encoding="utf-8")
