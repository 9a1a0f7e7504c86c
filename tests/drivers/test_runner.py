import math
import threading
from itertools import pairwise

import pytest

from drivers.base.roboteq import Roboteq, RoboteqOptions
from drivers.driver import PortSpec
from drivers.errors import PortUnavailable
from drivers.lidar.rplidar import Rplidar, RplidarOptions
from drivers.measurement import BaseStatus, Odometry, Scan, VelocityCommand
from drivers.port import MemoryPort, SerialPort
from drivers.runner import DeviceRunner, DeviceState, IoLoop, Phase
from tests.drivers.bench import (
    MS,
    MemoryBench,
    PtyDevice,
    RealClock,
    build_base,
    build_lidar,
    build_plant,
)

STOP = b"!M 0 0\r"


@pytest.fixture
def base():
    plant = build_plant()
    return MemoryBench(Roboteq(RoboteqOptions()), build_base(plant), plant)


@pytest.fixture
def lidar():
    plant = build_plant()
    return MemoryBench(Rplidar(RplidarOptions()), build_lidar(plant), plant)


def of(kind, outputs):
    return [output for _, output in outputs if isinstance(output, kind)]


def phases(outputs):
    return [
        (state.phase, state.error.code if state.error else None)
        for state in of(DeviceState, outputs)
    ]


def motor_lines(bench, since_ns=0):
    sent = b"".join(data for at_ns, data in bench.sent if at_ns > since_ns)
    return [line for line in sent.split(b"\r") if line.startswith(b"!")]


def forward(bench, mps, duration_ms):
    bench.runner.submit(VelocityCommand(mps, 0.0, bench.now_ns + duration_ms * MS))


@pytest.mark.parametrize("mode", ["express", "standard"])
def test_a_lidar_comes_up_and_delivers(mode):
    plant = build_plant()
    bench = MemoryBench(Rplidar(RplidarOptions(mode=mode)), build_lidar(plant), plant)
    outputs = bench.run(3000)
    assert phases(outputs) == [(Phase.STARTING, None), (Phase.STREAMING, None)]
    scans = of(Scan, outputs)
    assert len(scans) >= 12
    assert bench.runner.driver.codec.stats.bad_checksums == 0
    for earlier, later in pairwise(scans):
        assert later.stamp_ns - earlier.stamp_ns == pytest.approx(100 * MS, abs=2 * MS)


def test_a_base_comes_up_with_its_watchdog_armed(base):
    outputs = base.run(1000)
    assert phases(outputs) == [(Phase.STARTING, None), (Phase.STREAMING, None)]
    assert b"^RWD 100\r" in b"".join(data for _, data in base.sent)
    assert len(of(Odometry, outputs)) == pytest.approx(46, abs=3)
    status = of(BaseStatus, outputs)
    assert len(status) == pytest.approx(9, abs=2)
    assert status[-1].battery_v == pytest.approx(25.2, abs=0.2)


def test_states_tell_when_they_began(base):
    outputs = base.run(300)
    for at_ns, state in outputs:
        if isinstance(state, DeviceState):
            assert (state.device, state.since_ns) == ("device", at_ns)
    assert base.runner.state.phase is Phase.STREAMING


def test_the_base_does_what_it_is_told_until_the_command_expires(base):
    base.run(300)
    forward(base, 0.5, 900)
    expires_ns = base.now_ns + 900 * MS
    base.run(850)
    assert base.plant.truth.forward_mps == pytest.approx(0.5, abs=0.02)
    base.run(700)
    assert base.plant.truth.forward_mps == pytest.approx(0.0, abs=1e-3)
    after = [
        line
        for at_ns, data in base.sent
        if at_ns > expires_ns + 2 * MS
        for line in data.split(b"\r")
        if line.startswith(b"!")
    ]
    assert len(after) > 20
    assert set(after) == {b"!M 0 0"}


def test_commands_go_out_at_a_fixed_rate_even_when_unchanged(base):
    base.run(300)
    forward(base, 0.5, 5000)
    since_ns = base.now_ns
    base.run(1000)
    assert len(motor_lines(base, since_ns)) == pytest.approx(50, abs=2)


@pytest.mark.parametrize("wild", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_a_stop(base, wild):
    base.run(300)
    for command in (VelocityCommand(wild, 0.0, 2**62), VelocityCommand(0.2, wild, 2**62)):
        base.runner.submit(command)
        since_ns = base.now_ns
        base.run(200)
        assert set(motor_lines(base, since_ns + 20 * MS)) == {b"!M 0 0"}


@pytest.mark.parametrize("at_ms", [1, 7, 13, 19])
def test_a_new_command_does_not_wait_for_the_beat(base, at_ms):
    base.run(300 + at_ms)
    forward(base, 0.5, 5000)
    since_ns = base.now_ns
    assert base.runner.deadline_ns <= base.now_ns
    # One step for the runner to write it, one for the device to get it.
    base.run(2)
    assert motor_lines(base, since_ns)[-1] == b"!M 239 239"
    assert base.runner.deadline_ns > base.now_ns


def test_commands_as_often_as_the_beat_take_its_place(base):
    base.run(300)
    since_ns = base.now_ns
    for _ in range(50):
        forward(base, 0.5, 5000)
        base.run(20)
    assert len(motor_lines(base, since_ns)) == pytest.approx(50, abs=3)


def test_a_command_does_not_cut_into_the_handshake(base):
    forward(base, 0.5, 10_000)
    base.run(40)
    assert motor_lines(base) == [b"!M 0 0"]


def test_without_any_command_the_base_is_told_to_stand(base):
    base.run(1000)
    lines = motor_lines(base)
    assert len(lines) > 30
    assert set(lines) == {b"!M 0 0"}


def test_a_stop_goes_first_after_the_handshake(base):
    forward(base, 0.5, 10_000)
    base.run(200)
    lines = motor_lines(base)
    first = lines.index(b"!M 239 239")
    assert lines[first - 1] == b"!M 0 0"
    assert lines[first + 1 :].count(b"!M 0 0") == 0


def test_a_stop_goes_first_after_a_silence(base):
    base.run(300)
    forward(base, 0.5, 10_000)
    base.run(200)
    since_ns = base.now_ns
    # The host was busy for longer than half the watchdog.
    base.now_ns += 130 * MS
    base.run(100)
    lines = motor_lines(base, since_ns + 130 * MS)
    assert lines[:3] == [b"!M 0 0", b"!M 239 239", b"!M 239 239"]


def test_a_short_silence_needs_no_stop(base):
    base.run(300)
    forward(base, 0.5, 10_000)
    base.run(200)
    since_ns = base.now_ns
    base.now_ns += 20 * MS
    base.run(100)
    assert b"!M 0 0" not in motor_lines(base, since_ns)


def test_a_silent_device_is_stale_and_said_so_once(lidar):
    lidar.emulator.set_fault("mute", True, 0)
    outputs = lidar.run(20_000, step_ms=10)
    assert phases(outputs) == [(Phase.STARTING, None), (Phase.LOST, "STREAM_STALE")]
    assert lidar.runner.state.error.detail == "device: no answer to GET_INFO in 1 s"


def test_attempts_back_off_up_to_a_limit(lidar):
    lidar.run(1)
    lidar.unplug()
    outputs = lidar.run(20_000, step_ms=10)
    gaps_ms = [(later - earlier) / MS for earlier, later in pairwise(lidar.openings_ns)]
    assert gaps_ms[:6] == pytest.approx([100, 200, 400, 800, 1600, 2000], abs=12)
    assert max(gaps_ms) <= 2010
    # The reason changes once, from a lost port to one that is not there.
    assert phases(outputs) == [(Phase.LOST, "PORT_LOST"), (Phase.LOST, "PORT_UNAVAILABLE")]
    lost, gone = of(DeviceState, outputs)
    assert lost.since_ns == gone.since_ns


def test_back_off_starts_anew_after_success(base):
    base.run(300)
    for _ in range(2):
        base.unplug()
        outputs = base.run(1000)
        assert phases(outputs)[0] == (Phase.LOST, "PORT_LOST")
        base.plugged = True
        assert phases(base.run(2000)) == [(Phase.STREAMING, None)]
        opened = [at_ns for at_ns in base.openings_ns if at_ns > base.now_ns - 3000 * MS]
        assert opened[1] - opened[0] <= 201 * MS


def test_a_port_that_is_not_there_yet_is_waited_for(base):
    base.plugged = False
    outputs = base.run(1000)
    assert phases(outputs) == [(Phase.LOST, "PORT_UNAVAILABLE")]
    base.plugged = True
    outputs = base.run(1500)
    assert phases(outputs) == [(Phase.STREAMING, None)]
    assert base.runner.state.error is None


@pytest.mark.parametrize(("name", "stale_ms"), [("lidar", 1000), ("base", 500)])
def test_a_device_that_falls_silent_is_stale_and_comes_back(name, stale_ms, request):
    bench = request.getfixturevalue(name)
    bench.run(2500)
    assert bench.runner.state.phase is Phase.STREAMING
    muted_ns = bench.now_ns
    bench.emulator.set_fault("mute", True, bench.now_ns)
    outputs = bench.run(stale_ms + 200)
    assert phases(outputs) == [(Phase.LOST, "STREAM_STALE")]
    lost_ns = next(at_ns for at_ns, _ in outputs if at_ns > muted_ns + stale_ms // 2 * MS)
    assert lost_ns - muted_ns == pytest.approx(stale_ms * MS, abs=110 * MS)
    bench.emulator.set_fault("mute", False, bench.now_ns)
    assert phases(bench.run(4000)) == [(Phase.STREAMING, None)]


def test_a_blocked_motor_is_a_silent_lidar(lidar):
    lidar.emulator.set_fault("motor", True, 0)
    outputs = lidar.run(6000, step_ms=5)
    assert phases(outputs)[-1] == (Phase.LOST, "STREAM_STALE")


@pytest.mark.parametrize(("name", "rate"), [("lidar", 0.0005), ("base", 0.02)])
def test_garbage_is_counted_and_no_reason_to_stop(name, rate, request):
    bench = request.getfixturevalue(name)
    bench.run(2500)
    bench.emulator.line.garbage_rate = rate
    outputs = bench.run(3000)
    assert phases(outputs) == []
    stats = bench.runner.driver.codec.stats
    assert stats.skipped_bytes > 0
    assert stats.gaps > 0
    assert len(of(Scan if name == "lidar" else Odometry, outputs)) > 10


def test_nothing_but_garbage_is_as_good_as_silence(lidar):
    lidar.run(2500)
    lidar.emulator.set_fault("garbage", True, lidar.now_ns)
    outputs = lidar.run(3000)
    assert phases(outputs) == [(Phase.LOST, "STREAM_STALE")]
    detail = next(state.error.detail for state in of(DeviceState, outputs))
    # The text tells it from a silent line.
    assert int(detail.removeprefix("device: ").split(" bytes")[0]) > 5000
    lidar.emulator.set_fault("garbage", False, lidar.now_ns)
    assert phases(lidar.run(6000)) == [(Phase.STREAMING, None)]


def test_garbage_does_not_move_the_robot(base):
    base.run(500)
    base.emulator.set_fault("garbage", True, base.now_ns)
    odometry = of(Odometry, base.run(5000))
    assert abs(odometry[-1].x_m) < 0.1
    assert abs(odometry[-1].y_m) < 0.1


def test_a_device_fault_is_told_and_passes(lidar):
    lidar.emulator.set_fault("health", True, 0)
    outputs = lidar.run(3000)
    assert phases(outputs) == [(Phase.STARTING, None), (Phase.LOST, "DEVICE_FAULT")]
    lidar.emulator.set_fault("health", False, lidar.now_ns)
    assert phases(lidar.run(6000, step_ms=2)) == [(Phase.STREAMING, None)]


def test_shutting_down_leaves_the_base_standing(base):
    base.run(300)
    forward(base, 0.5, 10_000)
    base.run(500)
    assert base.plant.truth.forward_mps > 0.4
    ends = MemoryPort.pair()
    base.device_end, base.runner._port = ends
    base.runner.shutdown()
    # The runner cut the line behind its last words.
    assert bytes(ends[0]._incoming.buffer) == STOP
    assert base.runner.fileno() is None


def test_shutting_down_what_is_gone_is_quiet(base):
    base.runner.shutdown()
    base.run(300)
    base.unplug()
    base.runner.shutdown()
    base.runner.shutdown()


def test_two_runs_are_equal():
    runs = []
    for _ in range(2):
        plant = build_plant()
        bench = MemoryBench(Roboteq(RoboteqOptions()), build_base(plant), plant)
        bench.run(200)
        forward(bench, 0.4, 300)
        runs.append([(at_ns, repr(output)) for at_ns, output in bench.run(500)])
    assert runs[0] == runs[1]


class Daemon:
    """An I/O loop in its thread on real ptys, and everything it delivered."""

    def __init__(self, clock, **drivers):
        self.outputs = []
        self._changed = threading.Condition()
        self.runners = {
            name: DeviceRunner(name, driver, lambda spec, node=node: SerialPort(str(node), spec))
            for name, (driver, node) in drivers.items()
        }
        self.loop = IoLoop(list(self.runners.values()), clock)
        self._stop = threading.Event()
        self.thread = threading.Thread(target=self.loop.run, args=(self._take, self._stop))
        self.thread.start()

    def _take(self, name, output):
        with self._changed:
            self.outputs.append((name, output))
            self._changed.notify_all()

    def wait_for(self, condition, since=0):
        """Return the first output that fits, and its place."""
        with self._changed:

            def found():
                return next(
                    (i for i in range(since, len(self.outputs)) if condition(self.outputs[i][1])),
                    None,
                )

            assert self._changed.wait_for(lambda: found() is not None, 10.0), self.states()
            return self.outputs[found()][1], found()

    def states(self):
        return [
            (name, output.phase, output.error.code if output.error else None)
            for name, output in self.outputs
            if isinstance(output, DeviceState)
        ]

    def stop(self):
        self._stop.set()
        self.loop.wake()
        self.thread.join(5.0)
        assert not self.thread.is_alive()


def in_phase(phase):
    return lambda output: isinstance(output, DeviceState) and output.phase is phase


def test_unplugged_and_replugged_on_a_real_pty(tmp_path):
    clock, plant = RealClock(), build_plant()
    emulator = build_base(plant)
    node = tmp_path / "base"
    device = PtyDevice(node, emulator, plant, clock)
    daemon = Daemon(clock, base=(Roboteq(RoboteqOptions()), node))
    try:
        daemon.wait_for(in_phase(Phase.STREAMING))
        daemon.runners["base"].submit(VelocityCommand(0.5, 0.0, clock.now_ns() + 600 * MS))
        daemon.wait_for(lambda output: isinstance(output, Odometry) and output.x_m > 0.1)
        device.spoil(b"\x00\xff\xa5Z noise")
        _, at = daemon.wait_for(
            lambda output: isinstance(output, Odometry) and output.forward_mps == 0.0,
            len(daemon.outputs),
        )
        device.unplug()
        lost, at = daemon.wait_for(in_phase(Phase.LOST), at)
        assert lost.error.code == "PORT_LOST"
        assert lost.error.detail == f"{node}: the other end is gone"
        before = [output for _, output in daemon.outputs if isinstance(output, Odometry)][-1]
        # It comes back as another tty, with its counters somewhere else.
        emulator.receive(b"!C 1 500000\r!C 2 -70000\r", clock.now_ns())
        device = PtyDevice(node, emulator, plant, clock)
        _, at = daemon.wait_for(in_phase(Phase.STREAMING), at)
        after, at = daemon.wait_for(lambda output: isinstance(output, Odometry), at)
        assert (after.x_m, after.y_m) == pytest.approx((before.x_m, before.y_m), abs=0.02)
        assert after.forward_mps == 0.0
        assert daemon.states() in (
            [*COMING_UP, LOST, ("base", Phase.STREAMING, None)],
            [*COMING_UP, LOST, GONE, ("base", Phase.STREAMING, None)],
        )
        told = len(device.told)
        daemon.stop()
        device.unplug()
        assert device.told[told:].endswith(STOP)
    finally:
        daemon.stop()
        device.unplug()


COMING_UP = [("base", Phase.STARTING, None), ("base", Phase.STREAMING, None)]
LOST = ("base", Phase.LOST, "PORT_LOST")
GONE = ("base", Phase.LOST, "PORT_UNAVAILABLE")


def test_one_thread_serves_a_lidar_and_a_base(tmp_path):
    clock, plant = RealClock(), build_plant()
    lidar = PtyDevice(tmp_path / "lidar", build_lidar(plant), plant, clock)
    # Both devices stand on one robot, but each thread moves a robot of its own.
    other = build_plant()
    base = PtyDevice(tmp_path / "base", build_base(other), other, clock)
    daemon = Daemon(
        clock,
        lidar=(Rplidar(RplidarOptions()), tmp_path / "lidar"),
        base=(Roboteq(RoboteqOptions()), tmp_path / "base"),
    )
    try:
        daemon.wait_for(lambda output: isinstance(output, Scan))
        daemon.wait_for(lambda output: isinstance(output, Odometry))
        daemon.stop()
        # The devices are threads, and may be late to read what was written before the end.
        deadline_ns = clock.now_ns() + 5_000_000_000
        while b"\xa5\x25" not in bytes(lidar.told)[-8:] or not bytes(base.told).endswith(STOP):
            assert clock.now_ns() < deadline_ns
            clock.wait_until_ns(clock.now_ns() + 2_000_000)
    finally:
        daemon.stop()
        lidar.unplug()
        base.unplug()


def test_a_loop_waits_for_a_port_and_stops_at_once(tmp_path):
    clock = RealClock()
    (tmp_path / "file").touch()
    daemon = Daemon(
        clock,
        missing=(Roboteq(RoboteqOptions()), tmp_path / "missing"),
        file=(Rplidar(RplidarOptions()), tmp_path / "file"),
    )
    daemon.wait_for(in_phase(Phase.LOST))
    daemon.wait_for(in_phase(Phase.LOST), 1)
    begin_ns = clock.now_ns()
    daemon.stop()
    assert clock.now_ns() - begin_ns < 400 * MS
    assert {output.error.detail for _, output in daemon.outputs} == {
        f"{tmp_path / 'missing'}: no such device node",
        f"{tmp_path / 'file'}: not a serial port",
    }
    # Waking a loop that has ended writes to nobody's file.
    daemon.loop.wake()


def test_a_loop_without_devices_stops_too():
    loop = IoLoop([], RealClock())
    stop = threading.Event()
    thread = threading.Thread(target=loop.run, args=(lambda *_: None, stop))
    thread.start()
    stop.set()
    loop.wake()
    thread.join(5.0)
    assert not thread.is_alive()


def test_many_wake_ups_do_not_block():
    loop = IoLoop([], RealClock())
    for _ in range(70_000):
        loop.wake()
    stop = threading.Event()
    stop.set()
    loop.run(lambda *_: None, stop)


def test_the_opener_gets_what_the_driver_asks_for():
    asked = []

    def refuse(spec):
        asked.append(spec)
        raise PortUnavailable("nothing there")

    runner = DeviceRunner("lidar", Rplidar(RplidarOptions(baud=256_000)), refuse)
    runner.service(1)
    assert asked == [PortSpec(baud=256_000, dtr=False)]
    assert runner.deadline_ns == 1 + 100 * MS
