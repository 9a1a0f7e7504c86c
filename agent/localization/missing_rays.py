"""Rays that the map should have returned, and did not: the lidar is covered, or there is glass.

Glass to the side is nothing to stop for. Where nothing at all comes back from where the robot
drives to, and beside it not even what the map has there, that is no proof of free space.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.geometry.points import thinned
from agent.geometry.pose import Pose2
from agent.localization.scan_matcher import ScanMatcher
from agent.localization.sweep import Sweep

SECTORS = 12
LEAST_RAYS = 6  # of a sector, to say anything of it
DARK_SHARE = 0.8
MISSING_SECTORS = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class MissingRays:
    """Shares of the rays of a scan that the map should have returned, but did not.

    Attributes:
        total: Of all rays.
        by_sector: Shape ``(12,)``, of those in each sector around the robot; the middle of the
            first is straight ahead.
        dark: Shape ``(12,)``, share of the rays in each sector that did not come back at all.
    """

    total: float
    by_sector: NDArray[np.float64]
    dark: NDArray[np.float64]


NOTHING_MISSING = MissingRays(0.0, np.zeros(SECTORS), np.zeros(SECTORS))


def missing_rays(
    sweep: Sweep, pose: Pose2, matcher: ScanMatcher, most_rays: int, sure_range_m: float
) -> MissingRays:
    """Compare the rays without return with the map.

    Args:
        sweep: What the lidars saw.
        pose: ``grid_from_base``.
        matcher: Knows the map.
        most_rays: More are thinned out evenly.
        sure_range_m: A surface nearer than this returns every ray, unless it is of glass.
    """
    count = len(sweep.unreturned)
    if not count:
        return NOTHING_MISSING
    unreturned = thinned(sweep.unreturned, most_rays)
    bearings = np.arctan2(sweep.points_m[:, 1], sweep.points_m[:, 0])
    returned = np.bincount(_sectors(bearings), minlength=SECTORS)
    at = _sectors(unreturned[:, 2])
    lost = np.bincount(at, minlength=SECTORS) * (count / len(unreturned))
    dark = lost / np.maximum(lost + returned, LEAST_RAYS)
    shares = dark.copy()
    for sector in np.flatnonzero(shares).tolist():
        shares[sector] *= matcher.owed_share(pose, unreturned[at == sector], sure_range_m)
    owed = matcher.owed_share(pose, unreturned, sure_range_m)
    return MissingRays(owed * count / sweep.rays, shares, dark)


class DarkSectors:
    """Remembers where around the robot nothing comes back, and what of it should."""

    def __init__(self) -> None:
        """Begin with nothing missing."""
        self._last = self._before = NOTHING_MISSING

    def reset(self) -> None:
        """Forget everything."""
        self._last = self._before = NOTHING_MISSING

    def observe(self, missing: MissingRays) -> None:
        """Take what is missing in a sweep."""
        self._last, self._before = missing, self._last

    def cover(self, heading_rad: float) -> bool:
        """Return whether a direction in the base frame lies in what must be covered.

        Straight ahead there may be nothing to see; then the sectors beside it tell, as far as they
        are dark without a gap. One sweep alone does not tell.
        """
        dark = np.minimum(self._last.dark, self._before.dark) >= DARK_SHARE
        missing = np.minimum(self._last.by_sector, self._before.by_sector)
        at = int(_sectors(np.array([heading_rad]))[0])
        if not dark[at]:
            return False
        total = float(missing[at])
        for step in (1, -1):
            for k in range(1, SECTORS // 2):
                sector = (at + step * k) % SECTORS
                total += float(missing[sector])
                if not dark[sector]:
                    break
        return total >= MISSING_SECTORS


def _sectors(headings_rad: NDArray[np.float64]) -> NDArray[np.int64]:
    turns = (headings_rad / math.tau + 0.5 / SECTORS) % 1.0
    return np.minimum(turns * SECTORS, SECTORS - 1).astype(np.int64)
