import struct

import numpy as np
import pytest

from hil.emulator.sick_lms2xx import SickLms2xxEmulator, SickLms2xxModel
from hil.errors import BenchError
from tests.reference.sick_lms2xx_reference import find_telegrams, telegram

MS = 1_000_000
START = bytes.fromhex("0200020020243408")
STOP = bytes.fromhex("0200020020253508")


def room(stamps_ns, bearings):
    return np.where(bearings > 1.2, np.nan, 4.0 + np.sin(bearings))


def device(**model):
    return SickLms2xxEmulator(room, np.random.default_rng(1), SickLms2xxModel(**model))


def run(lidar, from_ms, to_ms):
    return b"".join(lidar.transmit(now * MS) for now in range(from_ms, to_ms + 1))


def ask(lidar, request, now_ms=0, wait_ms=60):
    lidar.receive(request, now_ms * MS)
    return run(lidar, now_ms, now_ms + wait_ms)


def test_answers_byte_by_byte():
    assert ask(device(), STOP) == b"\x06" + telegram(b"\xa0\x00\x00")
    assert ask(device(), telegram(b"\x20\x99", 0)) == b"\x06" + telegram(b"\xa0\x02\x00")
    assert ask(device(), telegram(b"\x3a", 0)) == b"\x06" + telegram(b"\xbaLMS200;30106 \x00")
    assert ask(device(), telegram(b"\x77", 0)) == b"\x06" + telegram(b"\x92\x00")
    assert ask(device(), telegram(b"\x10", 0)) == b"\x06" + telegram(b"\x91\x00")
    assert ask(device(), STOP[:-1] + b"\x00") == b"\x15"
    variant = telegram(struct.pack("<BHH", 0x3B, 100, 25), 0)
    answer = telegram(struct.pack("<BBHHB", 0xBB, 1, 100, 25, 0))
    assert ask(device(), variant) == b"\x06" + answer


def test_the_status_tells_mode_field_and_unit():
    lidar = device(baud=500_000)
    ask(lidar, START)
    lidar.receive(STOP, 100 * MS)
    run(lidar, 100, 200)
    (data,) = find_telegrams(ask(lidar, bytes.fromhex("02000100311512"), 300))[0]
    assert data[:8] == b"\xb1V02.10 "
    assert data[8:10] == b"\x25\x00"
    assert struct.unpack_from("<2H", data, 107) == (180, 50)
    assert data[122] == 1


@pytest.mark.parametrize(
    ("field_deg", "resolution_deg", "rays", "period_ms"),
    [(180, 1.0, 181, 13.33), (180, 0.5, 361, 26.67), (100, 0.25, 401, 53.33)],
)
def test_scans_at_the_rate_of_the_mirror(field_deg, resolution_deg, rays, period_ms):
    lidar = device(field_deg=field_deg, resolution_deg=resolution_deg, baud=500_000)
    ask(lidar, START, 0, 40)
    telegrams, _, failed, _ = find_telegrams(run(lidar, 41, 1040))
    assert failed == 0
    scans = [data for data in telegrams if data[0] == 0xB0]
    assert len(scans) == pytest.approx(1000 / period_ms, abs=2)
    (head,) = struct.unpack_from("<H", scans[0], 1)
    assert (head & 0x3FF, head >> 14) == (rays, 1)
    values = np.frombuffer(scans[0][3:-1], "<u2")
    bearings = np.radians(np.arange(rays) * resolution_deg - field_deg / 2)
    expected = np.nan_to_num(np.rint(room(None, bearings) * 1000), nan=0x1FFF)
    assert values.tolist() == expected.tolist()


def test_a_slow_line_gets_fewer_scans_and_loses_no_byte():
    lidar = device()
    ask(lidar, START)
    telegrams, *_ = find_telegrams(run(lidar, 61, 2060))
    assert len(telegrams) == pytest.approx(2000 / 213, abs=1.5)
    assert lidar.line.overrun_bytes == 0


def test_one_scan_on_request():
    lidar = device(baud=500_000)
    telegrams, *_ = find_telegrams(ask(lidar, telegram(b"\x30\x01", 0), 0, 500))
    assert [data[0] for data in telegrams] == [0xB0]


def test_the_line_rate_is_changed_and_reset():
    lidar = device(baud=9600)
    ask(lidar, bytes.fromhex("0200020020485808"))
    assert lidar.line.baud == 500_000
    ask(lidar, telegram(b"\x10", 0), 100)
    assert lidar.line.baud == 9600


def test_faults_show_in_the_status_byte():
    lidar = device()
    lidar.set_fault("health", True, 0)
    lidar.set_fault("pollution", True, 0)
    (data,) = find_telegrams(ask(lidar, bytes.fromhex("02000100311512"), 0, 100))[0]
    assert (data[9], data[-1]) == (1, 0x83)
    lidar.set_fault("health", False, 0)
    assert ask(lidar, STOP, 200).endswith(telegram(b"\xa0\x00\x80"))
    with pytest.raises(BenchError, match="no fault named flood"):
        lidar.set_fault("flood", True, 0)
