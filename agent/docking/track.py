"""Where a carrier is, over many scans and the odometry between them.

The carrier stands still and the odometry drifts, so the estimate is a Kalman filter of the pose of
the carrier in the base frame, carried along with the odometry. What does not fit is left out.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from agent.docking.detection import CarrierDetector, CarrierSighting, Prior, Returns
from agent.geometry.angle import wrap
from agent.geometry.pose import Pose2

FloatArray = NDArray[np.float64]

CHI_SQUARED_999 = 16.27  # of three degrees of freedom
STANDING_VARIANCE = np.square((2e-4, 2e-4, 2e-4))  # per scan: errors of a standing robot repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackParams:
    """How a carrier is followed.

    Attributes:
        within_m: How far from where it is expected the carrier may stand.
        within_rad: How far it may be turned.
        confirmations: Sightings that agree before there is an estimate.
        rejections: Sightings in a row that disagree before the estimate is given up.
        drift_m_per_sqrt_m: Of the odometry's way, growing with the root of the distance.
        drift_rad_per_sqrt_m: Of its heading, likewise.
        drift_rad_per_sqrt_rad: Of its heading, while it turns.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    within_m: Annotated[float, Gt(0), Le(2)] = 0.4
    within_rad: Annotated[float, Gt(0), Le(1.5)] = math.radians(20.0)
    confirmations: Annotated[int, Ge(1), Le(50)] = 4
    rejections: Annotated[int, Ge(1), Le(200)] = 20
    drift_m_per_sqrt_m: Annotated[float, Gt(0), Le(0.2)] = 0.005
    drift_rad_per_sqrt_m: Annotated[float, Gt(0), Le(0.2)] = 0.01
    drift_rad_per_sqrt_rad: Annotated[float, Gt(0), Le(0.2)] = 0.01


class CarrierTrack:
    """The estimate of one standing carrier.

    Args:
        detector: Finds it in a scan.
        odom_from_expected: Where it is expected.
        params: How it is followed.

    Attributes:
        covariance: Of the estimate in the base frame of the newest scan, shape ``(3, 3)``.
        accepted: Sightings that went into the estimate.
        refused: Sightings that did not.
    """

    def __init__(
        self,
        detector: CarrierDetector,
        odom_from_expected: Pose2,
        params: TrackParams | None = None,
    ) -> None:
        self.detector = detector
        self._odom_from_expected = odom_from_expected
        self._params = params or TrackParams()
        self._odom_from_base = Pose2.identity()
        self._base_from_carrier = Pose2.identity()
        self.covariance: FloatArray = np.eye(3)
        self._agreeing = self._disagreeing = 0
        self._seen_ns: int | None = None
        self.accepted = self.refused = 0

    @property
    def confirmed(self) -> bool:
        """Whether there is an estimate."""
        return self._agreeing >= self._params.confirmations

    @property
    def seen_ns(self) -> int | None:
        """When the newest sighting that went into the estimate was measured."""
        return self._seen_ns

    def base_from_carrier(self, odom_from_base: Pose2) -> Pose2 | None:
        """Return where the carrier is, seen from the base, ``None`` before it is confirmed."""
        return self._carried(odom_from_base) if self.confirmed else None

    def see(self, returns: Returns, odom_from_base: Pose2, stamp_ns: int) -> CarrierSighting | None:
        """Take a scan.

        Args:
            returns: The scan, de-skewed to one moment.
            odom_from_base: Where the base was at that moment.
            stamp_ns: The moment.

        Returns:
            What was seen of the carrier, whether it went into the estimate or not.
        """
        self._predict(odom_from_base)
        sighting = self.detector.detect(returns, self._prior())
        if sighting is None:
            return None
        if not self._agreeing:
            self._begin(sighting)
        elif not self._correct(sighting):
            self.refused += 1
            self._disagreeing += 1
            # Before it is confirmed, the newer of two that disagree is as good as the older.
            if not self.confirmed:
                self._begin(sighting)
            elif self._disagreeing >= self._params.rejections:
                self._agreeing = self._disagreeing = 0
            return sighting
        self.accepted += 1
        self._disagreeing = 0
        self._seen_ns = stamp_ns
        return sighting

    def _carried(self, odom_from_base: Pose2) -> Pose2:
        return odom_from_base.inverse() @ self._odom_from_base @ self._base_from_carrier

    def _prior(self) -> Prior:
        params = self._params
        if not self.confirmed:
            expected = self._odom_from_base.inverse() @ self._odom_from_expected
            return Prior(expected, params.within_m, params.within_rad)
        sigmas = np.sqrt(np.diag(self.covariance))
        within_m = 0.05 + 4.0 * float(np.hypot(sigmas[0], sigmas[1]))
        within_rad = math.radians(4.0) + 4.0 * float(sigmas[2])
        return Prior(
            self._base_from_carrier,
            min(within_m, params.within_m),
            min(within_rad, params.within_rad),
        )

    def _begin(self, sighting: CarrierSighting) -> None:
        self._base_from_carrier = sighting.base_from_carrier
        self.covariance = sighting.covariance.copy()
        self._agreeing = 1

    def _predict(self, odom_from_base: Pose2) -> None:
        """Carry the estimate along with the odometry, and doubt it by how far that was."""
        params = self._params
        step = self._odom_from_base.inverse() @ odom_from_base
        self._base_from_carrier = self._carried(odom_from_base)
        self._odom_from_base = odom_from_base
        cos, sin = math.cos(step.yaw_rad), math.sin(step.yaw_rad)
        turn = np.array(((cos, sin, 0.0), (-sin, cos, 0.0), (0.0, 0.0, 1.0)))
        self.covariance = turn @ self.covariance @ turn.T
        way_m, turned_rad = math.hypot(step.x_m, step.y_m), abs(step.yaw_rad)
        variance_rad = (
            params.drift_rad_per_sqrt_m**2 * way_m + params.drift_rad_per_sqrt_rad**2 * turned_rad
        )
        # A base that has turned by more than it says sees the carrier swing about itself.
        swing = np.array((self._base_from_carrier.y_m, -self._base_from_carrier.x_m, -1.0))
        noise = variance_rad * np.outer(swing, swing) + np.diag(STANDING_VARIANCE)
        noise[:2, :2] += params.drift_m_per_sqrt_m**2 * way_m * np.eye(2)
        self.covariance = self.covariance + noise

    def _correct(self, sighting: CarrierSighting) -> bool:
        """Correct the estimate, unless the sighting is too far off."""
        seen, held = sighting.base_from_carrier, self._base_from_carrier
        off = np.array(
            (seen.x_m - held.x_m, seen.y_m - held.y_m, wrap(seen.yaw_rad - held.yaw_rad))
        )
        doubt = self.covariance + sighting.covariance
        if float(off @ np.linalg.solve(doubt, off)) > CHI_SQUARED_999:
            return False
        gain = np.linalg.solve(doubt, self.covariance).T
        shift = gain @ off
        self._base_from_carrier = Pose2(
            held.x_m + float(shift[0]),
            held.y_m + float(shift[1]),
            wrap(held.yaw_rad + float(shift[2])),
        )
        # Joseph's form stays symmetric and positive.
        rest = np.eye(3) - gain
        self.covariance = rest @ self.covariance @ rest.T + gain @ sighting.covariance @ gain.T
        self._agreeing += 1
        return True
