"""Places where the planner did not get through, although they looked wide enough.

The cost to go knows a way by its width alone; whether a footprint gets around the corner in it, at
the heading that it comes with, only the rollouts tell. A robot that comes no farther therefore
remembers the narrowest place ahead for a while, and tries another way if there is one.
"""

import math

import numpy as np
from numpy.typing import NDArray

from agent.geometry.pose import Pose2

PATIENCE_S = 2.0
STIRRED_M, STIRRED_RAD = 0.25, 0.5  # who has moved by that has not given up
AHEAD_M = 2.0  # within which the place is looked for
RADIUS_M = 0.3
MEMORY_S = 30.0
X, Y, RADIUS, AGE = 0, 1, 2, 3


class Impasses:
    """Watches for standstill, and remembers where it was."""

    def __init__(self) -> None:
        self._places = np.empty((0, 4))
        self._anchor: Pose2 | None = None
        self._since_s = 0.0

    @property
    def discs_m(self) -> NDArray[np.float64]:
        """Where the robot shall not try again, shape ``(discs, 3)``: x, y and radius."""
        return self._places[:, :AGE]

    def reset(self) -> None:
        """Begin to watch anew; what is known stays known."""
        self._anchor = None

    def clear(self) -> None:
        """Forget everything, as for another footprint."""
        self._places = self._places[:0]
        self._anchor = None

    def is_stuck(self, odom_from_base: Pose2, step_s: float) -> bool:
        """Let time pass, and return whether the robot has come no farther for too long.

        Args:
            odom_from_base: Where it is.
            step_s: Time since the last call.
        """
        self._places[:, AGE] += step_s
        self._places = self._places[self._places[:, AGE] <= MEMORY_S]
        if self._anchor is None or not odom_from_base.is_near(self._anchor, STIRRED_M, STIRRED_RAD):
            self._anchor, self._since_s = odom_from_base, 0.0
        self._since_s += step_s
        return self._since_s > PATIENCE_S

    def remember(self, way_m: NDArray[np.float64], prices: NDArray[np.float64]) -> None:
        """Take the dearest place of the way ahead for one where the robot does not get through.

        Args:
            way_m: Shape ``(points, 2)``, from the robot on.
            prices: Shape ``(points,)``, what a metre costs there; nothing is remembered where it is
                the same everywhere.
        """
        self._anchor = None
        ahead = [math.dist(point, way_m[0]) <= AHEAD_M for point in way_m]
        within = prices[: ahead.index(False)] if False in ahead else prices
        if not len(within) or within.max() <= within.min():
            return
        place = (*way_m[int(within.argmax())], RADIUS_M, 0.0)
        self._places = np.vstack((self._places, place))
