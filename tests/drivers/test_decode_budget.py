"""What decoding costs: ns per point of kernel, codec and plain Python, and the share of a core.

``pytest -m slow -s tests/drivers/test_decode_budget.py`` prints the table.
"""

import time
from typing import NamedTuple

import numpy as np
import pytest

from drivers.kernels import ld06, scip, sick_lms2xx, sick_s300, ydlidar
from drivers.lidar.ld06 import Ld06Codec, Ld06Options
from drivers.lidar.scip import ScipCodec, ScipOptions
from drivers.lidar.sick_lms2xx import SickLms2xxCodec, SickLms2xxOptions
from drivers.lidar.sick_s300 import SickS300Codec, SickS300Options
from drivers.lidar.ydlidar import SCAN, YdlidarCodec, YdlidarOptions
from tests.reference import (
    ld06_reference,
    scip_reference,
    sick_lms2xx_reference,
    sick_s300_reference,
    ydlidar_reference,
)

UTM = [
    "MODL:x",
    "DMIN:23",
    "DMAX:60000",
    "ARES:1440",
    "AMIN:0",
    "AMAX:1080",
    "AFRT:540",
    "SCAN:2400",
]


class Case(NamedTuple):
    """A device at full rate: its stream, and three ways to decode it."""

    stream: bytes
    points: int
    points_per_s: int
    chunk_bytes: int
    kernel: object
    reference: object
    codec: object
    hello: bytes = b""


def frozen(stream):
    array = np.frombuffer(stream, np.uint8)
    array.setflags(write=False)
    return array


def ld06_case(points_per_s, model):
    step_deg = 3600.0 / points_per_s
    frames = []
    for i in range(1500):
        start_deg = 12 * i * step_deg % 360
        stamp_ms = 12_000 * (i + 1) // points_per_s % 30_000
        end_deg = (start_deg + 11 * step_deg) % 360
        samples = [(1000 + i, 9)] * 12
        frames.append(ld06_reference.frame(start_deg, end_deg, samples, stamp_ms))
    stream, n = b"".join(frames), 1500
    columns = (np.zeros((n, 12)), np.zeros((n, 12)), np.zeros((n, 12), "u1"))
    heads = (np.zeros(n, "i8"), np.zeros((n, 4), "i8"), np.zeros(n, "i8"))
    data = frozen(stream)
    return Case(
        stream,
        12 * n,
        points_per_s,
        47,
        lambda: ld06.decode_frames(data, *heads, *columns),
        lambda: ld06_reference.find_frames(stream),
        lambda: Ld06Codec(Ld06Options(model=model)),
    )


def scip_case():
    values = [1000 + i for i in range(1081)]
    block = scip_reference.scan(b"MD000010800100" + b"0", 5, values)
    stream = b"".join(
        scip_reference.scan(b"MD000010800100" + b"0", 25 * i, values) for i in range(20)
    )
    data, ranges, quality = frozen(block[26:-1]), np.zeros(1081, "f4"), np.zeros(1081, "u1")
    return Case(
        stream,
        20 * 1081,
        43_240,
        512,
        lambda: [scip.decode_scan(data, 23, 60_000, False, ranges, quality) for _ in range(20)],
        lambda: [scip_reference.values_of(block[26:-1], 1081) for _ in range(20)],
        lambda: ScipCodec(ScipOptions()),
        scip_reference.reply("PP", "00", UTM),
    )


def ydlidar_case():
    packets = []
    for i in range(450):
        turn = i % 30 * 12.0
        packets.append(ydlidar_reference.packet(turn, turn + 11.7, [(8000, 0)] * 40, i % 30 == 0))
    stream = b"".join(packets)
    n = len(packets)
    heads = (np.zeros(n, "i8"), np.zeros((n, 3), "i8"), np.zeros(n, "i8"))
    columns = (np.zeros((n, 255)), np.zeros((n, 255)), np.zeros((n, 255), "u1"))
    data = frozen(stream)
    return Case(
        stream,
        40 * n,
        9_000,
        90,
        lambda: ydlidar.decode_packets(data, 2, *heads, *columns),
        lambda: ydlidar_reference.find_packets(stream),
        lambda: YdlidarCodec(YdlidarOptions(model="g4")),
        SCAN,
    )


def telegram_case(kernels, telegrams, rays, points_per_s, decode, reference, codec):
    stream, n = b"".join(telegrams), len(telegrams)
    begins, ends = np.zeros(n, "i8"), np.zeros(n, "i8")
    data = frozen(stream)

    def kernel():
        kernels.find_telegrams(data, begins, ends)
        for begin, end in zip(begins, ends, strict=True):
            decode(data[begin:end])

    return Case(stream, n * rays, points_per_s, 512, kernel, lambda: reference(stream), codec)


def lms_case():
    ranges = np.zeros(361, "f4")
    return telegram_case(
        sick_lms2xx,
        [sick_lms2xx_reference.scan([1000] * 361)] * 40,
        361,
        13_540,
        lambda data: sick_lms2xx.decode_values(data[3:-1], 13, 0.001, ranges),
        lambda stream: [
            [
                sick_lms2xx_reference.metres(int.from_bytes(data[i : i + 2], "little"), 13, 0.001)
                for i in range(3, len(data) - 1, 2)
            ]
            for data in sick_lms2xx_reference.find_telegrams(stream)[0]
        ],
        lambda: SickLms2xxCodec(SickLms2xxOptions(baud=500_000)),
    )


def s300_case():
    ranges, quality = np.zeros(541, "f4"), np.zeros(541, "u1")
    return telegram_case(
        sick_s300,
        [sick_s300_reference.telegram([200] * 541, i) for i in range(30)],
        541,
        13_525,
        lambda data: sick_s300.decode_values(data[24:-2], ranges, quality),
        lambda stream: [
            [sick_s300_reference.metres(value) for value in found.values]
            for found in sick_s300_reference.find_telegrams(stream)[0]
        ],
        lambda: SickS300Codec(SickS300Options()),
    )


CASES = {
    "ld06": lambda: ld06_case(4_500, "ld06"),
    "stl27l": lambda: ld06_case(21_600, "stl27l"),
    "scip utm-30lx": scip_case,
    "ydlidar g4": ydlidar_case,
    "sick_lms2xx 0.5 deg": lms_case,
    "sick_s300": s300_case,
}


def best_ns(work, points, rounds=5):
    """Return ns per point of the fastest round, the first of which compiles."""
    work()
    spent = []
    for _ in range(rounds):
        begun_ns = time.process_time_ns()
        work()
        spent.append(time.process_time_ns() - begun_ns)
    return min(spent) / points


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_decoding_is_cheap(name):
    case = CASES[name]()

    def live():
        """In chunks as they come from a line, a frame or a USB packet at a time."""
        codec = case.codec()
        codec.feed(case.hello, 0)
        for begin in range(0, len(case.stream), case.chunk_bytes):
            codec.feed(case.stream[begin : begin + case.chunk_bytes], 10**6 + begin)

    kernel_ns = best_ns(case.kernel, case.points)
    reference_ns = best_ns(case.reference, case.points, 2)
    live_ns = best_ns(live, case.points)
    share = live_ns * case.points_per_s / 1e9
    print(
        f"\n{name:20} kernel {kernel_ns:6.1f}  python {reference_ns:7.0f}  "
        f"codec, live {live_ns:6.0f} ns/point, {100 * share:5.2f} % of a core"
    )
    assert kernel_ns < 100
    assert reference_ns > 10 * kernel_ns
    assert share < 0.05
