import struct

import numpy as np
import pytest

from hil.emulator.sick_s300 import SickS300Emulator, SickS300Model, checksum
from hil.errors import BenchError
from tests.reference.sick_s300_reference import crc16, find_telegrams

MS = 1_000_000


def room(stamps_ns, bearings):
    return np.where(bearings > 2.0, np.nan, 4.0 + np.sin(bearings))


def device(**model):
    return SickS300Emulator(room, np.random.default_rng(1), SickS300Model(**model))


def run(lidar, from_ms, to_ms):
    return b"".join(lidar.transmit(now * MS) for now in range(from_ms, to_ms + 1))


def test_the_checksum_is_as_published():
    assert checksum(b"123456789") == crc16(b"123456789") == 0x29B1


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ({}, 552),
        ({"version": 0x0103}, 550),
        ({"version": 0x0103, "has_measuring_field": True}, 547),
        ({"address": 8}, 552),
    ],
)
def test_telegrams_at_the_rate_of_the_head(model, size):
    data = run(device(**model), 0, 1540)
    telegrams, noise, failed, _ = find_telegrams(data)
    assert (noise, failed) == (0, 0)
    assert len(telegrams) == pytest.approx(25, abs=1)
    assert data[:6] == bytes(6)
    assert struct.unpack_from(">H", data, 6) == (size,)
    assert data[8:10] == bytes([0xFF, model.get("address", 7)])
    assert [found.number for found in telegrams] == list(range(len(telegrams)))
    bearings = np.radians(np.arange(541) * 0.5 - 135.0)
    expected = np.nan_to_num(np.rint(room(None, bearings) * 100), nan=0x1FFF)
    assert telegrams[0].values == expected.tolist()


def test_wire_time_is_that_of_the_line():
    lidar = device()
    run(lidar, 0, 499)
    begun = next(t for t in range(500, 600) if lidar.transmit(t * MS))
    done = begun + next(t for t in range(1, 60) if not lidar.transmit((begun + t) * MS))
    assert done - begun == pytest.approx(22, abs=2)


def test_faults_show_in_the_telegrams():
    lidar = device()
    run(lidar, 0, 1000)
    lidar.set_fault("health", True, 1000 * MS)
    lidar.set_fault("standby", True, 1000 * MS)
    telegrams, *_ = find_telegrams(run(lidar, 1060, 1300))
    assert {found.status for found in telegrams} == {1}
    assert set(telegrams[-1].values) == {0x4004}
    with pytest.raises(BenchError, match="no fault named flood"):
        lidar.set_fault("flood", True, 0)
    lidar.receive(b"\x02", 0)
    assert lidar.commands_received == 0
