"""A streamed order is rolled through on the lock-step rig."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from hil.stream_bench import StreamResult, loop_stations, stream

GOOD = StreamResult(
    nodes=200, piece=5, length_m=145.8, drive_s=160.0, finished=True, updates=38, refused=0,
    nodes_in_order=True, stops=0, least_share=0.95, mean_share=1.0, hindered_s=0.0,
)  # fmt: skip


def test_the_loop_has_its_nodes_at_equal_distances() -> None:
    stations = loop_stations(200)
    assert len(stations) == 200
    steps = [abs(b.x_m - a.x_m) + abs(b.y_m - a.y_m) for a, b in pairwise(stations)]
    assert max(steps) - min(steps) < 1e-9


@pytest.mark.parametrize(
    "change",
    [
        {"finished": False},
        {"updates": 37},
        {"refused": 1},
        {"nodes_in_order": False},
        {"stops": 1},
        {"least_share": 0.79},
    ],
)
def test_the_bench_sees_what_is_amiss(change: dict) -> None:
    assert GOOD.passed
    assert not replace(GOOD, **change).passed


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_hundred_nodes_are_rolled_through(tmp_path: Path) -> None:
    result = stream(tmp_path, 200, 5, 1)
    print(result)
    assert result.passed
