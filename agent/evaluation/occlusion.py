"""People around the robot, put into a recording that has none."""

from dataclasses import replace

import numpy as np

from agent.evaluation.carmen import CarmenLog, CarmenScan

NEAREST_M = 0.4
FARTHEST_M = 4.0
SURFACE_STDDEV_M = 0.05
WIDTHS = (1 / 60, 1 / 12)  # of an occluder, as shares of the scan


def occlude(log: CarmenLog, share: float, generator: np.random.Generator) -> CarmenLog:
    """Return a log in which a share of the rays of each scan end at something else.

    The occluders are arcs, new ones in every scan, at distances drawn evenly; a ray that ends
    nearer than its occluder stays what it was.

    Args:
        log: The recording.
        share: Of the rays, in [0, 1).
        generator: Source of the arcs.
    """
    return replace(log, scans=tuple(_occluded(scan, share, generator) for scan in log.scans))


def _occluded(scan: CarmenScan, share: float, generator: np.random.Generator) -> CarmenScan:
    rays = scan.ranges_m.size
    ranges_m = scan.ranges_m.copy()
    covered = np.zeros(rays, np.bool_)
    narrow, wide = (max(1, round(width * rays)) for width in WIDTHS)
    while covered.mean() < share:
        begin = int(generator.integers(rays))
        arc = slice(begin, begin + int(generator.integers(narrow, wide + 1)))
        surface_m = generator.uniform(NEAREST_M, FARTHEST_M)
        noise_m = generator.normal(0.0, SURFACE_STDDEV_M, ranges_m[arc].size)
        # fmin takes the occluder where the ray had no return at all.
        ranges_m[arc] = np.fmin(ranges_m[arc], surface_m + noise_m)
        covered[arc] = True
    ranges_m.setflags(write=False)
    return replace(scan, ranges_m=ranges_m)
