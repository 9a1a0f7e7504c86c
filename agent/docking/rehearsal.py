"""Carriers found in thought, so that the first one that is approached compiles nothing."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from agent.docking.carrier import Carrier, Leg, Plate, Section
from agent.docking.detection import CarrierDetector, Prior, Returns
from agent.geometry.pose import Pose2

RAYS = 720
WALL_M, LEG_M = 4.0, 0.06
AHEAD = Pose2(1.8, 0.0, 0.0)
PLACES = ((-0.57, -0.37), (-0.57, 0.37), (0.57, -0.37), (0.57, 0.37))
FACE_M = 0.8  # of a station, across


def rehearse() -> Iterator[str]:
    """Look for carriers on legs of either section and for a station's face.

    Yields:
        What is ready once it is.
    """
    for section in Section:
        legs = tuple(Leg(x_m=x, y_m=y, width_m=LEG_M, section=section) for x, y in PLACES)
        _look_for(Carrier(legs=legs), _legs_m())
    _look_for(Carrier(plates=(Plate(x_m=0.0, y_m=0.0, length_m=FACE_M),)), _face_m())
    yield "docking"


def _look_for(carrier: Carrier, ranges_m: NDArray[np.float64]) -> None:
    bearings = _bearings()
    points_m = np.column_stack((ranges_m * np.cos(bearings), ranges_m * np.sin(bearings)))
    returns = Returns(points_m, np.full(RAYS, 60, np.uint8), np.arange(RAYS), RAYS)
    detector = CarrierDetector(carrier)
    for prior in (None, Prior(AHEAD, 0.4, 0.3)):
        detector.detect(returns, prior)


def _bearings() -> NDArray[np.float64]:
    return np.linspace(-np.pi, np.pi, RAYS, endpoint=False)


def _legs_m() -> NDArray[np.float64]:
    """Return what is seen of the legs, as round ones, within a round wall."""
    ranges_m, bearings = np.full(RAYS, WALL_M), _bearings()
    for x_m, y_m in PLACES:
        middle = AHEAD.transform(x_m, y_m)
        along = middle[0] * np.cos(bearings) + middle[1] * np.sin(bearings)
        chord = (0.5 * LEG_M) ** 2 - (math.hypot(*middle) ** 2 - along**2)
        hit = (chord > 0.0) & (along > 0.0)
        ranges_m[hit] = along[hit] - np.sqrt(chord[hit])
    return ranges_m


def _face_m() -> NDArray[np.float64]:
    """Return what is seen of the face, within a round wall."""
    ranges_m, bearings = np.full(RAYS, WALL_M), _bearings()
    hit = np.abs(np.tan(bearings)) * AHEAD.x_m < 0.5 * FACE_M
    hit &= np.abs(bearings) < 0.5 * math.pi
    ranges_m[hit] = AHEAD.x_m / np.cos(bearings[hit])
    return ranges_m
