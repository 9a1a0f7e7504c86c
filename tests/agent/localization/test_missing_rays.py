import math

import numpy as np
import pytest

from agent.localization.missing_rays import NOTHING_MISSING, SECTORS, DarkSectors, MissingRays

AHEAD, BEHIND = 0.0, math.pi


def sweep(dark: tuple[int, ...], missing: tuple[int, ...]) -> MissingRays:
    """Sectors without any return, and those of them where the map has something."""
    shares = np.zeros((2, SECTORS))
    shares[0, list(dark)] = 1.0
    shares[1, list(missing)] = 1.0
    return MissingRays(0.1, shares[1], shares[0])


def sectors_after(*sweeps: MissingRays) -> DarkSectors:
    sectors = DarkSectors()
    for missing in sweeps:
        sectors.observe(missing)
    return sectors


@pytest.mark.parametrize("missing", [(0,), (1,), (11,), (1, 2)])
def test_a_lidar_that_is_covered_ahead_is_noticed_by_what_the_map_has_beside(missing) -> None:
    covered = sweep((10, 11, 0, 1, 2), missing)
    assert sectors_after(covered, covered).cover(AHEAD)
    assert not sectors_after(covered, covered).cover(BEHIND)
    assert sectors_after(covered, covered).cover(math.radians(-25.0))


def test_one_sweep_does_not_tell_nor_one_long_ago() -> None:
    covered = sweep((11, 0, 1), (11, 1))
    assert not sectors_after(covered).cover(AHEAD)
    assert not sectors_after(covered, covered, NOTHING_MISSING).cover(AHEAD)
    sectors = sectors_after(covered, covered)
    sectors.reset()
    assert not sectors.cover(AHEAD)


def test_neither_an_open_hall_nor_glass_beside_the_way_is_a_cover() -> None:
    open_hall = sweep((10, 11, 0, 1, 2), ())
    assert not sectors_after(open_hall, open_hall).cover(AHEAD)
    glass = sweep((2, 3, 4), (2, 3, 4))
    assert not sectors_after(glass, glass).cover(AHEAD)
