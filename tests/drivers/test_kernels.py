"""Decoding kernels against plain readings of the manuals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import kernels
from drivers.kernels import rplidar
from tests.reference import roboteq_reference
from tests.reference import rplidar_reference as reference
from tests.reference.rplidar_reference import (
    capsule,
    express_points,
    find_nodes,
    find_sound_capsules,
    node,
)


def frozen(data):
    array = np.frombuffer(bytes(data), np.uint8)
    array.setflags(write=False)
    return array


def decode_nodes(data, room=512):
    ends, starts = np.zeros(room, np.int64), np.zeros(room, np.bool_)
    angles, ranges, quality = np.zeros(room), np.zeros(room), np.zeros(room, np.uint8)
    counts = kernels.decode_standard_nodes(frozen(data), ends, starts, angles, ranges, quality)
    n = counts[0]
    return counts, ends[:n], starts[:n], angles[:n], ranges[:n], quality[:n]


def decode_lines(data, room=512):
    columns = [np.zeros(room, np.int64) for _ in range(4)]
    values = np.zeros((room, kernels.MOST_VALUES), np.int64)
    counts = kernels.decode_replies(frozen(data), *columns, values)
    return counts, *(column[: counts[0]] for column in columns), values[: counts[0]]


NODES = st.builds(
    node,
    st.booleans(),
    st.integers(0, 63),
    st.integers(0, 23_039).map(lambda q6: q6 / 64.0),
    st.integers(0, 65_535).map(lambda q2: q2 / 4.0),
)
SAMPLES = st.lists(st.tuples(st.integers(0, 16_383), st.integers(0, 63)), min_size=32, max_size=32)
CAPSULES = st.builds(capsule, st.integers(0, 23_039).map(lambda q6: q6 / 64.0), SAMPLES)
NOISE = st.binary(max_size=12)


def streams(frames, most):
    parts = st.lists(st.tuples(NOISE, frames), max_size=most)
    return st.tuples(parts, NOISE).map(
        lambda both: b"".join(noise + frame for noise, frame in both[0]) + both[1]
    )


@pytest.mark.parametrize(("frame", "starts"), [("3d012da00f", True), ("3e012da00f", False)])
def test_published_nodes(frame, starts):
    counts, ends, begins, angles, ranges, quality = decode_nodes(bytes.fromhex(frame))
    assert counts == (1, 5, 0, 0)
    assert ends.tolist() == [5]
    assert begins.tolist() == [starts]
    assert angles[0] == pytest.approx(-np.pi / 2)
    assert ranges[0] == 1.0
    assert quality[0] == 15


@pytest.mark.parametrize("frame", ["3f012da00f", "3c012da00f", "3d002da00f", "3d01ffa00f"])
def test_published_damaged_nodes_cost_one_byte(frame):
    counts, *_ = decode_nodes(bytes.fromhex(frame))
    assert counts == (0, 1, 1, 1)


@given(streams(NODES, 20))
def test_nodes_agree_with_the_reference(stream):
    counts, ends, starts, angles, ranges, quality = decode_nodes(stream)
    expected, noise = find_nodes(stream)
    assert counts[0] == len(expected)
    assert counts[2] == counts[3] == noise
    assert counts[1] == 5 * len(expected) + noise
    assert ends.tolist() == [offset + 5 for offset, _, _ in expected]
    assert starts.tolist() == [point.start for _, point, _ in expected]
    assert quality.tolist() == [strength for _, _, strength in expected]
    degrees = [-point.angle_deg for _, point, _ in expected]
    np.testing.assert_allclose(angles, np.radians(degrees), atol=1e-12)
    metres = [point.distance_m or np.nan for _, point, _ in expected]
    np.testing.assert_array_equal(ranges, metres)


@given(streams(CAPSULES, 4), st.data())
def test_found_capsules_agree_with_the_reference(stream, data):
    damaged = bytearray(stream)
    if damaged and data.draw(st.booleans()):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    begins = np.zeros(64, np.int64)
    frames, consumed, skipped, bad = kernels.find_capsules(frozen(damaged), begins, 84)
    offsets, noise, failed = find_sound_capsules(bytes(damaged))
    assert begins[:frames].tolist() == offsets
    assert (skipped, bad) == (noise, failed)
    assert consumed == 84 * len(offsets) + noise


@given(CAPSULES, CAPSULES)
def test_decoded_capsules_agree_with_the_reference(first, second):
    angles, ranges = np.zeros(32), np.zeros(32)
    cut = kernels.decode_capsule(frozen(first), frozen(second), angles, ranges)
    points = express_points(first + second)
    turned = np.exp(1j * angles)
    expected = np.exp(-1j * np.radians([point.angle_deg for point in points]))
    np.testing.assert_allclose(turned, expected, atol=1e-9)
    metres = [point.distance_m or np.nan for point in points]
    np.testing.assert_array_equal(ranges, metres)
    wraps = [i + 1 for i, point in enumerate(points) if point.start]
    assert cut == (wraps[0] if wraps else 0)


def test_an_offset_of_16_turns_back_by_two_degrees():
    samples = [(1000, 0)] * 32
    samples[4] = (1000, 16)
    angles, ranges = np.zeros(32), np.zeros(32)
    kernels.decode_capsule(
        frozen(capsule(0.0, samples)), frozen(capsule(32.0, samples)), angles, ranges
    )
    assert np.degrees(angles[3:6]) == pytest.approx([-3.0, -2.0, -5.0])
    assert ranges.tolist() == [1.0] * 32


@pytest.mark.parametrize(
    ("start_deg", "next_deg", "cut"),
    [
        (350.0, 14.0, 14),
        (336.75, 0.75, 31),
        # The mark lies between the last sample and the next capsule.
        (336.5, 0.5, 32),
        (336.0, 0.0, 32),
        # The capsule before this one told of a mark right at its end.
        (0.0, 24.0, 0),
        (300.0, 324.0, 0),
    ],
)
def test_a_revolution_begins_behind_the_zero_mark(start_deg, next_deg, cut):
    samples = [(1000, 0)] * 32
    first, second = capsule(start_deg, samples), capsule(next_deg, samples)
    found = kernels.decode_capsule(frozen(first), frozen(second), np.zeros(32), np.zeros(32))
    assert found == cut


REPLIES = st.one_of(
    st.builds(
        lambda name, values: f"{name}={':'.join(map(str, values))}\r".encode(),
        st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=5),
        st.lists(st.integers(-(2**33), 2**33), min_size=1, max_size=5),
    ),
    st.sampled_from([b"+\r", b"-\r", b"\r", b"C=\r", b"C=1:\r", b"C=-\r", b"C=1:-2\r", b"=1\r"]),
    st.text("C=:-+0123 \r", max_size=12).map(str.encode),
)


@given(st.lists(st.one_of(REPLIES, st.binary(max_size=200)), max_size=12).map(b"".join))
def test_replies_agree_with_the_reference(stream):
    counts, begins, ends, names, values_found, values = decode_lines(stream)
    expected, dropped = roboteq_reference.read_lines(stream)
    assert counts[0] == len(expected)
    assert counts[2] == dropped
    assert list(zip(begins.tolist(), ends.tolist(), strict=True)) == [
        (line.begin, line.end) for line in expected
    ]
    for i, line in enumerate(expected):
        if line.values is None:
            assert values_found[i] == -1
        else:
            assert names[i] == int.from_bytes(line.name, "big")
            assert tuple(values[i, : values_found[i]].tolist()) == line.values


def test_full_columns_leave_the_rest_for_the_next_call():
    assert decode_nodes(node(False, 15, 90.0, 1000.0) * 3, room=2)[0] == (2, 10, 0, 0)
    assert decode_lines(b"+\r+\r+\r", room=2)[0] == (2, 4, 0, 0)
    begins = np.zeros(1, np.int64)
    frame = capsule(10.0, [(1000, 0)] * 32)
    assert kernels.find_capsules(frozen(frame * 2), begins, 84) == (1, 84, 0, 0)


def test_warm_up_names_every_kernel():
    compiled = [
        f"{family.__name__.rpartition('.')[2]}.{name}"
        for family in kernels.FAMILIES
        for name, value in vars(family).items()
        if hasattr(value, "py_func") and not name.startswith("_")
    ]
    assert sorted(kernels.warm_up()) == sorted(compiled)


OTHERS = {
    "ultra": (rplidar.decode_ultra_capsule, reference.ultra_samples, 132, 96),
    "dense": (rplidar.decode_dense_capsule, reference.dense_samples, 84, 40),
}


@pytest.mark.parametrize("kind", OTHERS)
@given(data=st.data())
def test_other_capsules_agree_with_the_reference(kind, data):
    decode, expected, size, samples = OTHERS[kind]
    first, second = (data.draw(st.binary(min_size=size, max_size=size)) for _ in range(2))
    angles, ranges = np.empty(samples), np.empty(samples)
    decode(frozen(first), frozen(second), angles, ranges)
    told = np.array(expected(first, second))
    np.testing.assert_allclose(-np.degrees(angles), told[:, 0], atol=1e-3)
    np.testing.assert_allclose(np.nan_to_num(ranges), told[:, 1], atol=1e-9)


@given(st.binary(min_size=170, max_size=170), st.binary(min_size=170, max_size=170))
def test_ultra_dense_capsules_agree_with_the_reference(first, second):
    angles, ranges, quality = np.empty(64), np.empty(64), np.empty(64, np.uint8)
    rplidar.decode_ultra_dense_capsule(frozen(first), frozen(second), angles, ranges, quality)
    told = np.array(reference.ultra_dense_samples(first, second))
    np.testing.assert_allclose(-np.degrees(angles), told[:, 0], atol=1e-9)
    np.testing.assert_allclose(np.nan_to_num(ranges), told[:, 1], atol=1e-9)
    np.testing.assert_array_equal(quality, told[:, 2])
