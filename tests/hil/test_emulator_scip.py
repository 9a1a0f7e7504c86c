import numpy as np
import pytest

from drivers.lidar.scip import Scip, ScipOptions
from drivers.measurement import Scan
from hil.contract import PlugBench, Subject
from hil.emulator.scip import URG_04LX, ScipEmulator
from hil.errors import BenchError
from tests.reference.scip_reference import decoded, reply, values_of

MS = 1_000_000


def room(stamps_ns, bearings):
    """Round, but for a door behind which there is nothing."""
    return np.where(np.abs(bearings - 1.0) < 0.1, np.nan, 3.0 + np.sin(bearings))


def device(model=None):
    return ScipEmulator(room, np.random.default_rng(1), model)


def ask(lidar, command, now_ms=0, wait_ms=100):
    lidar.receive(command.encode(), now_ms * MS)
    return b"".join(lidar.transmit(now * MS) for now in range(now_ms, now_ms + wait_ms))


def test_plates():
    told = ask(device(), "PP\n").decode().split("\n")
    assert told[:2] == ["PP", "00P"]
    assert told[2] == "MODL:UTM-30LX(Hokuyo Automatic Co.,Ltd.);U"
    assert told[-2:] == ["", ""]
    assert "PROT:SCIP 2.0;N" in ask(device(), "VV\n").decode()
    urg = ask(device(URG_04LX), "SCIP2.0\nPP\n").decode()
    # These lines are printed in the maker's documents, sums included.
    for line in (
        "MODL:URG-04LX(Hokuyo Automatic Co.,Ltd.);N",
        "DMIN:20;4",
        "DMAX:5600;_",
        "ARES:1024;\\",
        "AMIN:44;7",
        "AMAX:725;o",
        "AFRT:384;6",
        "SCAN:600;e",
    ):
        assert line in urg.split("\n")
    assert "STAT:Sensor works well.;8" in ask(device(), "II\n").decode()


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("QT\n", "00"),
        ("BM\n", "00"),
        ("SCIP2.0\n", "0E"),
        ("QT;hello\n", "00"),
        ("BM\r\n", "00"),
        ("XX\n", "0E"),
        ("SS115200\n", "04"),
        ("CR05\n", "04"),
        ("HS0\n", "00"),
        ("TM0\n", "00"),
        ("GD0000108001\n", "10"),
        ("MD0000108101000\n", "04"),
        ("MD0500040001000\n", "05"),
        ("MD0000108001\n", "0C"),
    ],
)
def test_statuses(command, status):
    assert ask(device(), command) == reply(command.strip(), status)


def test_states_and_time_adjustment():
    lidar = device()

    def state(now_ms):
        return ask(lidar, "%ST\n", now_ms).split(b"\n")[2][:3]

    assert state(0) == b"000"
    assert ask(lidar, "TM1\n", 100) == reply("TM1", "04")
    assert ask(lidar, "TM2\n", 200) == reply("TM2", "03")
    assert ask(lidar, "TM0\n", 300) == reply("TM0", "00")
    assert ask(lidar, "TM0\n", 400) == reply("TM0", "02")
    stamp = ask(lidar, "TM1\n", 500).split(b"\n")[2]
    assert decoded(stamp[:4]) == 500
    assert state(600) == b"002"
    assert ask(lidar, "TM2\n", 700) == reply("TM2", "00")
    ask(lidar, "BM\n", 800)
    assert state(900) == b"003"
    ask(lidar, "MD0000108001000\n", 1000)
    assert b"%ST\n00P\n004" in ask(lidar, "%ST\n", 1100)
    lidar.set_fault("motor", True, 1300 * MS)
    ask(lidar, "\n", 1300)
    assert state(1500) == b"900"


def test_a_scan_byte_by_byte():
    lidar = device()
    ask(lidar, "BM\n")
    data = ask(lidar, "GD0000108001\n", 100)
    assert len(data) == 3369
    echo, status, stamp, rest = data.split(b"\n", 3)
    assert (echo, status) == (b"GD0000108001", b"00P")
    assert decoded(stamp[:4]) == pytest.approx(125, abs=1)
    values = values_of(rest[:-1], 1081)
    bearings = (np.arange(1081) - 540) * np.pi / 720
    expected = np.nan_to_num(np.rint(room(None, bearings) * 1000))
    assert values == expected.tolist()


def test_streams_count_down_and_end():
    lidar = device()
    data = ask(lidar, "MD0000108001003\n", 0, 400)
    heads = [block.split(b"\n")[:2] for block in data.split(b"\n\n") if block]
    assert heads == [
        [b"MD0000108001003", b"00P"],
        [b"MD0000108001002", b"99b"],
        [b"MD0000108001001", b"99b"],
        [b"MD0000108001000", b"99b"],
    ]


def test_endless_streams_run_at_the_rate_of_the_head_until_quit():
    lidar = device()
    data = ask(lidar, "ME0000108001000;me\n", 0, 1000)
    assert data.count(b"ME0000108001000;me\n99b\n") == pytest.approx(38, abs=1)
    quit_reply = ask(lidar, "QT\n", 1000, 300)
    assert quit_reply.endswith(reply("QT", "00"))
    assert ask(lidar, "\n", 1300) == b""


def test_clusters_and_intervals():
    lidar = device()
    data = ask(lidar, "MS0000108003100\n", 0, 1000)
    block = next(block for block in data.split(b"\n\n") if b"99b" in block)
    lines = block.split(b"\n")[3:]
    assert sum(len(line) - 1 for line in lines) == 361 * 2
    assert data.count(b"99b") == pytest.approx(19, abs=1)


def test_a_slow_line_gets_fewer_scans_and_loses_no_byte():
    lidar = device(URG_04LX)
    data = ask(lidar, "SCIP2.0\nMD0044072501000\n", 0, 3000)
    assert lidar.line.overrun_bytes == 0
    assert data.count(b"99b") == pytest.approx(14, abs=1)


def test_old_devices_are_silent_until_told_to_speak_2():
    lidar = device(URG_04LX)
    assert ask(lidar, "VV\n") == b""
    assert ask(lidar, "SCIP2.0\n", 100) == reply("SCIP2.0", "00")
    assert ask(lidar, "SS019200\n", 200) == reply("SS019200", "00")
    assert lidar.line.baud == 19_200


def test_trouble_ends_a_stream_with_its_status():
    lidar = device()
    ask(lidar, "MD0000108001000\n", 0, 200)
    lidar.set_fault("health", True, 200 * MS)
    assert ask(lidar, "\n", 200).endswith(reply("MD0000108001000", "50"))
    assert ask(lidar, "BM\n", 300) == reply("BM", "01")
    assert b"STAT:Malfunction 50" in ask(lidar, "II\n", 400)
    with pytest.raises(BenchError, match="no fault named flood"):
        lidar.set_fault("flood", True, 0)


@pytest.mark.parametrize(
    ("options", "model", "scans"),
    [
        (ScipOptions(), None, 75),
        (ScipOptions(intensity=True), None, 75),
        (ScipOptions(mode="single"), None, 19),
        (ScipOptions(link="serial", baud=115_200), URG_04LX, 9),
    ],
)
def test_the_driver_measures_the_hall(options, model, scans):
    class Ours(Scip):
        """Hokuyo."""

        options = ScipOptions

        def __init__(self, ignored):
            super().__init__(chosen)

    chosen = options
    bench = PlugBench(Subject("scip", Ours, lambda source, rng: ScipEmulator(source, rng, model)))
    found = [output for output in bench.run(2500) if isinstance(output, Scan)]
    assert len(found) >= scans
    stamps = np.diff([scan.stamp_ns for scan in found])
    assert stamps.min() > 20 * MS
    for scan in found:
        # A hall of 12 m by 10 m, the lidar in its middle.
        along_x = 5.95 / np.maximum(np.abs(np.cos(scan.angles_rad)), 1e-9)
        along_y = 4.95 / np.maximum(np.abs(np.sin(scan.angles_rad)), 1e-9)
        walls = np.minimum(along_x, along_y)
        seen = np.isfinite(scan.ranges_m)
        assert seen.mean() > (0.9 if model is None else 0.2)
        assert np.median(np.abs(scan.ranges_m - walls)[seen]) < 0.03
