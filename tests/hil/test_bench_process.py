import json
import os
import select
import subprocess
import sys
import time

import pytest

from agent.clock import SystemClock
from hil.bench_process import BenchClient, main, read_spec
from hil.errors import BenchError
from hil.plant.world import Box, Disc


def write_spec(path, **spec):
    path.write_text(json.dumps(spec))
    return path


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bench")
    spec = write_spec(directory / "spec.json", directory=str(directory / "dev"), seed=3)
    command = [sys.executable, "-m", "hil.bench_process", "--spec", str(spec)]
    with subprocess.Popen(command) as process:
        try:
            with BenchClient(directory / "dev", SystemClock(), timeout_s=60.0) as client:
                yield directory / "dev", client
                client.quit()
            assert process.wait(10.0) == 0
        finally:
            process.kill()
    assert list((directory / "dev").iterdir()) == []


def open_node(path):
    return os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)


def read_for(descriptor, duration_s):
    data, end_s = bytearray(), time.monotonic() + duration_s
    while (left_s := end_s - time.monotonic()) > 0:
        if select.select([descriptor], [], [], left_s)[0]:
            data += os.read(descriptor, 4096)
    return bytes(data)


def test_base_answers_and_drives(bench):
    directory, client = bench
    before = client.truth()
    base = open_node(directory / "base")
    try:
        os.write(base, b"^ECHOF 1\r!M 300 300\r?FID\r")
        assert b"+\r+\rFID=Roboteq" in read_for(base, 0.6)
        assert client.truth()["forward_mps"] > 0.1
        os.write(base, b"!M 0 0\r")
        read_for(base, 0.5)
    finally:
        os.close(base)
    after = client.truth()
    assert after["pose"][0] > before["pose"][0] + 0.05
    assert after["contact"] is None


def test_lidar_streams_and_survives_its_cable(bench):
    directory, client = bench
    lidar = open_node(directory / "lidar.front")
    try:
        os.write(lidar, bytes.fromhex("a58205000000000022"))
        assert len(read_for(lidar, 1.5)) > 2000
        client.unplug("lidar.front")
        assert not (directory / "lidar.front").exists()
        with pytest.raises(OSError, match="Input/output"):
            os.write(lidar, b"x")
    finally:
        os.close(lidar)
    client.replug("lidar.front")
    lidar = open_node(directory / "lidar.front")
    try:
        os.write(lidar, bytes.fromhex("a525"))
        read_for(lidar, 0.1)
        os.write(lidar, bytes.fromhex("a552"))
        assert read_for(lidar, 0.2)[-10:].hex() == "a55a0300000006000000"
    finally:
        os.close(lidar)
    assert client.stats()["devices"]["lidar.front"]["commands_received"] == 3


def test_obstacles_come_and_go(bench):
    _, client = bench
    x_m, y_m, _ = client.truth()["pose"]

    def nearest_ahead_m():
        points = client.lidar_points()
        ahead = (px - x_m for px, py in points if px > x_m and abs(py - y_m) < 0.3)
        return min(ahead, default=16.0)

    free_m = nearest_ahead_m()
    client.add_obstacle("crate", Box(0.5, 0.8), [(0.0, x_m + 3.0, y_m, 0.0)])
    client.add_obstacle("person", Disc(0.3), [(0.0, x_m, y_m + 2.0, 0), (9.0, x_m, y_m + 3.0, 0)])
    assert nearest_ahead_m() == pytest.approx(2.75, abs=0.05)
    assert free_m > 3.0
    with pytest.raises(BenchError, match="crate is there already"):
        client.add_obstacle("crate", Disc(0.5), [(0.0, 0.0, 0.0, 0.0)])
    client.remove_obstacle("crate")
    client.remove_obstacle("person")
    assert nearest_ahead_m() == pytest.approx(free_m, abs=0.05)


@pytest.mark.parametrize(
    ("verb", "arguments", "reason"),
    [
        ("dance", {}, "no verb dance"),
        ("unplug", {}, "malformed request"),
        ("unplug", {"name": "arm"}, "no device arm"),
        ("fault", {"name": "base", "kind": "flood", "active": True}, "no fault named flood"),
        ("obstacle.remove", {"name": "ghost"}, "no obstacle named ghost"),
        ("obstacle.add", {"name": "x", "radius_m": 1.0, "waypoints": [[1]]}, "malformed request"),
        ("played", {}, "no log"),
    ],
)
def test_refusals_have_reasons(bench, verb, arguments, reason):
    _, client = bench
    with pytest.raises(BenchError, match=reason):
        client.ask(verb, **arguments)
    assert client.stats()["ticks"] > 0


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"directory": "d", "sed": 1}', "sed"),
        ('{"directory": "d", "robot": {"drive": {"trak_m": 1}}}', "robot.drive.trak_m"),
        ('{"directory": "d", "start": [1, 2]}', "start"),
        ("{}", "directory"),
        ("{", "the file"),
    ],
)
def test_wrong_spec_names_the_key(tmp_path, text, key):
    path = tmp_path / "spec.json"
    path.write_text(text)
    with pytest.raises(BenchError, match=f"{key}"):
        read_spec(path)


def test_unusable_benches_end_with_a_reason(tmp_path, capsys):
    assert main(["--spec", str(tmp_path / "none.json")]) == 65
    assert "No such file" in capsys.readouterr().err
    spec = write_spec(tmp_path / "spec.json", directory=str(tmp_path), log=str(tmp_path / "none"))
    assert main(["--spec", str(spec)]) == 65
    spec = write_spec(tmp_path / "spec.json", directory=str(tmp_path), start=[-0.1, 2.0, 0.0])
    assert main(["--spec", str(spec)]) == 65
    assert "touches: wall" in capsys.readouterr().err


def test_client_without_a_bench_gives_up(tmp_path):
    with pytest.raises(BenchError, match="no bench at"):
        BenchClient(tmp_path, SystemClock(), timeout_s=0.1)
