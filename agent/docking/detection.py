"""Finding a load carrier in one planar scan.

What could be a mark becomes a candidate. Every pair of candidates whose distance is that of a pair
of marks says where the carrier could be; the place that explains most marks wins, if no other does
as well. There are few candidates, so all pairs are tried and chance plays no part. The pose is then
refined on all points of the marks' surfaces and on the middles between the marks' edges.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from agent.docking.carrier import Carrier
from agent.geometry.angle import difference, wrap
from agent.geometry.points import moved
from agent.geometry.pose import Pose2
from agent.kernels.marks import (
    HALF,
    KIND,
    PLATE,
    SQUARE,
    YAW,
    bearing_residuals,
    surface_residuals,
)
from agent.kernels.segments import convex_pieces, free_ends, joints

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BREAK_ANGLE_RAD = math.radians(25.0)
MOST_ASSIGNMENTS = 160  # in a scan that is nothing but candidates, the nearest are tried
GATES_M = (0.08, 0.06, 0.04, 0.04, 0.04, 0.04)
LEAST_INCIDENCE = 0.25  # flatter rays tell of the surface what they tell at this cosine
EDGE_SIGMA_SPACINGS = 0.3  # of a middle between edges, each somewhere between two rays
EDGE_SIGMA_M = 0.001
SIGMAS = 4.0
CHORD_SIGMAS = 6.0  # between a point and a chord, the ends of which err too
SAME_M, SAME_RAD = 0.10, math.radians(8.0)  # nearer poses are one hypothesis
WORST_SIGMA = np.array((0.10, 0.10, math.radians(10.0)))
FAR_M = 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorParams:
    """How marks are told in a scan.

    Attributes:
        range_sigma_m: Standard deviation of a range.
        bright_quality: Least ``Scan.quality`` of a retro-reflector; depends on the lidar.
        reach_m: Farther points are not looked at.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    range_sigma_m: Annotated[float, Gt(0), Le(0.1)] = 0.01
    bright_quality: Annotated[int, Ge(1), Le(255)] = 200
    reach_m: Annotated[float, Gt(0), Le(30)] = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Returns:
    """The returns of one scan, in the base frame of one moment.

    Attributes:
        points_m: Shape ``(points, 2)``, in the order of the rays, counter-clockwise.
        quality: uint8, shape ``(points,)``, strength of each.
        rays: int64, shape ``(points,)``, ascending number of the ray of each.
        ray_count: Rays of the scan, with and without return.
        origin_m: The lidar.
    """

    points_m: FloatArray
    quality: NDArray[np.uint8]
    rays: IntArray
    ray_count: int
    origin_m: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Prior:
    """Where a carrier is expected.

    Attributes:
        base_from_carrier: The pose.
        within_m: How far its origin may be from there.
        within_rad: How far it may be turned.
    """

    base_from_carrier: Pose2
    within_m: float
    within_rad: float

    def allows(self, pose: Pose2) -> bool:
        """Return whether a pose is within the bounds."""
        return self.base_from_carrier.is_near(pose, self.within_m, self.within_rad)


@dataclass(frozen=True, slots=True, eq=False)
class CarrierSighting:
    """A carrier in one scan.

    Attributes:
        base_from_carrier: Where it is.
        covariance: Shape ``(3, 3)``, of x, y (m) and yaw (rad), in the base frame.
        inliers: Points on its marks.
        marks_seen: Marks with such points.
        residual_m: Root mean square distance of these points from the surfaces.
    """

    base_from_carrier: Pose2
    covariance: FloatArray
    inliers: int
    marks_seen: int
    residual_m: float


class _Candidate(NamedTuple):
    """What could be a mark, seen from the lidar.

    ``points`` are indices into the returns; ``whole`` tells whether both edges are seen.
    """

    centre_m: FloatArray
    slack_m: float
    normal_rad: float
    could_be: NDArray[np.bool_]
    points: IntArray
    bearing_rad: float
    whole: bool


class _Candidates:
    """Candidates as arrays, one a row, in the base frame."""

    def __init__(self, found: list[_Candidate], origin_m: tuple[float, float]) -> None:
        self.centres_m = np.array([one.centre_m for one in found]) + origin_m
        self.slacks_m = np.array([one.slack_m for one in found])
        self.normals_rad = np.array([one.normal_rad for one in found])
        self.could_be = np.array([one.could_be for one in found])
        self.points = [one.points for one in found]
        self.bearings_rad = np.array([one.bearing_rad for one in found])
        self.whole = np.array([one.whole for one in found])


class CarrierDetector:
    """Finds one kind of carrier.

    Args:
        carrier: What to look for.
        params: How.
    """

    def __init__(self, carrier: Carrier, params: DetectorParams | None = None) -> None:
        self.carrier = carrier
        self._params = params or DetectorParams()
        marks = carrier.marks
        self._is_plate = marks[:, KIND].astype(int) == PLATE
        diagonal = np.where(marks[:, KIND].astype(int) == SQUARE, math.sqrt(2.0), 1.0)
        self._widest_m = 2.0 * diagonal * marks[:, HALF]
        self._enough = min(2, len(marks))

    def detect(self, returns: Returns, prior: Prior | None = None) -> CarrierSighting | None:
        """Find the carrier.

        Without a prior all marks must be seen, and nothing else in the scan, nor the same carrier
        turned around, may fit as well. With one, two marks are enough (one, of a carrier with only
        one), if what hides each of the others is seen too.

        Args:
            returns: The scan.
            prior: Where the carrier is expected.

        Returns:
            The sighting, ``None`` where there is no such carrier or more than one.
        """
        spacing_rad = _spacing_rad(returns.points_m - returns.origin_m, returns.rays)
        found = self._candidates(returns, spacing_rad)
        if not found:
            return None
        candidates = _Candidates(found, returns.origin_m)
        best = self._best_hypothesis(candidates, prior)
        if best is None:
            return None
        pose, owners = best
        sighting = self._refined(pose, owners, candidates, returns, spacing_rad)
        if sighting is None or (prior and not prior.allows(sighting.base_from_carrier)):
            return None
        missing = np.flatnonzero(owners < 0)
        if any(self._should_show(int(mark), sighting, returns) for mark in missing):
            return None
        return sighting

    def _candidates(self, returns: Returns, spacing_rad: float) -> list[_Candidate]:
        """Cut the scan into pieces and keep those of the size of a mark."""
        away_m = np.hypot(*(returns.points_m - returns.origin_m).T)
        near = away_m <= self._params.reach_m
        bright = near & (returns.quality >= self._params.bright_quality)
        found: list[_Candidate] = []
        for is_bright in np.unique(self.carrier.bright):
            chosen = np.flatnonzero(bright if is_bright else near)
            if chosen.size:
                of_these = self.carrier.bright == is_bright
                found += self._of_size(returns, chosen, of_these, spacing_rad)
        return found

    def _of_size(
        self, returns: Returns, chosen: IntArray, of_these: NDArray[np.bool_], spacing_rad: float
    ) -> list[_Candidate]:
        points_m, rays = returns.points_m[chosen], returns.rays[chosen]
        origin_m = np.array(returns.origin_m)
        sigma_m = self._params.range_sigma_m
        joined, ranges_m, _, closed = joints(points_m, rays, origin_m, BREAK_ANGLE_RAD, sigma_m)
        # A piece that goes on from the last ray to the first must not be cut there.
        start = int(np.argmin(joined))
        order = np.roll(np.arange(len(chosen)), -start)
        points_m, rays, ranges_m = points_m[order], rays[order], ranges_m[order]
        joined, chosen = joined[order], chosen[order]
        joined[0] = False
        pieces, bent = convex_pieces(points_m, joined, CHORD_SIGMAS * sigma_m)
        ends = free_ends(pieces, bent, rays, returns.ray_count, ranges_m, closed)
        found = []
        for (first, last), (left, right) in zip(pieces.tolist(), ends.tolist(), strict=True):
            for begin, end in self._straight(points_m, first, last, of_these):
                whole = left and right and (begin, end) == (first, last)
                candidate = self._candidate(
                    points_m[begin:end] - origin_m, chosen[begin:end], spacing_rad, of_these, whole
                )
                if candidate is not None:
                    found.append(candidate)
        return found

    def _straight(
        self, points_m: FloatArray, first: int, last: int, of_these: NDArray[np.bool_]
    ) -> list[tuple[int, int]]:
        """Cut a convex piece at its corners, if plates are looked for (Duda and Hart, 1973)."""
        if not (self._is_plate & of_these).any():
            return [(first, last)]
        waiting, straight = [(first, last)], []
        while waiting:
            begin, end = waiting.pop()
            chord = points_m[end - 1] - points_m[begin]
            off = points_m[begin:end] - points_m[begin]
            aside_m = np.abs(chord[0] * off[:, 1] - chord[1] * off[:, 0])
            aside_m /= max(float(np.hypot(*chord)), 1e-6)
            cut = int(aside_m.argmax())
            if end - begin > 4 and aside_m[cut] > CHORD_SIGMAS * self._params.range_sigma_m:
                waiting += [(begin + cut, end), (begin, begin + cut + 1)]
            else:
                straight.append((begin, end))
        return straight

    def _candidate(
        self,
        sights_m: FloatArray,
        points: IntArray,
        spacing_rad: float,
        of_these: NDArray[np.bool_],
        whole: bool,
    ) -> _Candidate | None:
        """Return what a piece, seen from the lidar, could be, ``None`` if it has no mark's size."""
        mean = sights_m.mean(axis=0)
        step_m = float(np.hypot(*mean)) * spacing_rad
        bearing = _middle_bearing(sights_m)
        toward = np.array((math.cos(bearing), math.sin(bearing)))
        across_m = float(np.ptp(sights_m @ np.array((-toward[1], toward[0]))))
        depth_m = float(np.ptp(sights_m @ toward))
        width_m = 2.0 * self.carrier.marks[:, HALF]
        blur_m = SIGMAS * self._params.range_sigma_m
        legs = ~self._is_plate & of_these & (depth_m <= self._widest_m + blur_m)
        legs &= across_m <= self._widest_m + step_m + 0.25 * blur_m
        legs &= across_m >= 0.5 * width_m - 2.0 * step_m
        extent_m = math.hypot(across_m, depth_m)
        plates = self._is_plate & of_these & (extent_m <= width_m + step_m + blur_m)
        plates &= extent_m >= 0.7 * width_m - 2.0 * step_m - blur_m
        if not (legs | plates).any():
            return None
        centre, normal_rad = mean, wrap(bearing + math.pi)
        if legs.any():
            # The front of a leg is seen; a circle's is pi/8 of its width before the middle.
            centre = mean + math.pi / 8.0 * float(width_m[legs].mean()) * toward
        elif len(sights_m) > 2:
            centre, normal_rad = 0.5 * (sights_m[0] + sights_m[-1]), _normal_rad(sights_m)
        slack_m = 0.5 * step_m + blur_m
        return _Candidate(centre, slack_m, normal_rad, legs | plates, points, bearing, whole)

    def _best_hypothesis(
        self, candidates: _Candidates, prior: Prior | None
    ) -> tuple[Pose2, IntArray] | None:
        """Return the pose that explains most marks, and the candidate of each mark, -1 for none."""
        poses = self._hypotheses(candidates, prior)
        if prior is not None:
            expected = prior.base_from_carrier
            off_m = np.hypot(poses[:, 0] - expected.x_m, poses[:, 1] - expected.y_m)
            off_rad = np.abs((poses[:, 2] - expected.yaw_rad + math.pi) % math.tau - math.pi)
            near = (off_m < prior.within_m + SAME_M) & (off_rad < prior.within_rad + SAME_RAD)
            poses = poses[near]
        if not len(poses):
            return None
        counts, costs, owners = self._explained(poses, candidates)
        enough = len(self.carrier.marks) if prior is None else self._enough
        order = np.lexsort((costs, -counts))
        best = int(order[0])
        if counts[best] < enough:
            return None
        pose = Pose2(*poses[best].tolist()) @ Pose2.identity()
        rivals = poses[(counts == counts[best]) & (costs < costs[best] + 1.0)]
        for rival in rivals.tolist():
            if not pose.is_near(Pose2(*rival), SAME_M, SAME_RAD):
                return None
        return pose, owners[best]

    def _hypotheses(self, candidates: _Candidates, prior: Prior | None) -> FloatArray:
        """Return the poses, shape ``(n, 3)``, that pairs and single plates suggest."""
        marks = self.carrier.marks
        which, who = np.nonzero(candidates.could_be.T)
        if prior is not None:
            expected = moved(prior.base_from_carrier, marks[:, :2])[which]
            arm_m = np.hypot(marks[which, 0], marks[which, 1])
            off_m = np.hypot(*(candidates.centres_m[who] - expected).T)
            near = off_m <= prior.within_m + prior.within_rad * arm_m + candidates.slacks_m[who]
            which, who = which[near], who[near]
        if len(which) > MOST_ASSIGNMENTS:
            away_m = np.hypot(*candidates.centres_m[who].T)
            nearest = np.sort(np.argsort(away_m, kind="stable")[:MOST_ASSIGNMENTS])
            which, who = which[nearest], who[nearest]
        one, other = np.triu_indices(len(which), 1)
        distinct = (which[one] != which[other]) & (who[one] != who[other])
        one, other = one[distinct], other[distinct]
        span = marks[which[other], :2] - marks[which[one], :2]
        seen = candidates.centres_m[who[other]] - candidates.centres_m[who[one]]
        slack_m = candidates.slacks_m[who[one]] + candidates.slacks_m[who[other]]
        fits = np.abs(np.hypot(*seen.T) - np.hypot(*span.T)) <= slack_m
        one, other, span, seen = one[fits], other[fits], span[fits], seen[fits]
        yaws = np.arctan2(seen[:, 1], seen[:, 0]) - np.arctan2(span[:, 1], span[:, 0])
        middles = 0.5 * (candidates.centres_m[who[one]] + candidates.centres_m[who[other]])
        bases = 0.5 * (marks[which[one], :2] + marks[which[other], :2])
        pairs = _placed(middles, bases, yaws)
        single = self._is_plate[which]
        yaws = candidates.normals_rad[who[single]] - marks[which[single], YAW]
        singles = _placed(candidates.centres_m[who[single]], marks[which[single], :2], yaws)
        return np.concatenate((pairs, singles))

    def _explained(
        self, poses: FloatArray, candidates: _Candidates
    ) -> tuple[IntArray, FloatArray, IntArray]:
        """Return how many marks each pose explains, how badly, and by which candidates."""
        marks = self.carrier.marks
        cos, sin = np.cos(poses[:, 2])[:, None], np.sin(poses[:, 2])[:, None]
        x_m = poses[:, 0:1] + cos * marks[:, 0] - sin * marks[:, 1]
        y_m = poses[:, 1:2] + sin * marks[:, 0] + cos * marks[:, 1]
        places_m = candidates.centres_m
        off = np.hypot(x_m[:, :, None] - places_m[:, 0], y_m[:, :, None] - places_m[:, 1])
        off /= candidates.slacks_m
        off[:, ~candidates.could_be.T] = FAR_M
        nearest = off.argmin(axis=2)
        least = np.take_along_axis(off, nearest[:, :, None], axis=2)[:, :, 0]
        found = least <= 1.0
        counts = found.sum(axis=1)
        costs = np.where(found, np.square(least), 0.0).sum(axis=1) / np.maximum(counts, 1)
        return counts, costs, np.where(found, nearest, -1)

    def _refined(
        self,
        pose: Pose2,
        owners: IntArray,
        candidates: _Candidates,
        returns: Returns,
        spacing_rad: float,
    ) -> CarrierSighting | None:
        """Fit the pose to surfaces and edges by Gauss and Newton's method, gating outliers."""
        seen = np.flatnonzero(owners >= 0)
        members = [candidates.points[owners[mark]] for mark in seen]
        points_m = returns.points_m[np.concatenate(members)]
        of_mark = np.repeat(seen, [len(member) for member in members])
        edged = seen[candidates.whole[owners[seen]]]
        fit = _Fit(self.carrier.marks, points_m, of_mark, edged, np.array(returns.origin_m))
        fit.bearings_rad = candidates.bearings_rad[owners[edged]]
        away_m = np.hypot(*(candidates.centres_m[owners[edged]] - fit.origin_m).T)
        fit.edge_sigmas_m = EDGE_SIGMA_M + EDGE_SIGMA_SPACINGS * spacing_rad * away_m
        at = np.array((pose.x_m, pose.y_m, pose.yaw_rad))
        information = np.eye(3)
        for gate_m in GATES_M:
            information, gradient = fit.linearized(at, gate_m, self._params.range_sigma_m)
            if not _tells(information):
                return None
            at = at - np.linalg.solve(information, gradient)
        kept = fit.kept
        marks_seen = len(np.unique(of_mark[kept]))
        if marks_seen < len(seen):
            return None
        residual_m = float(np.sqrt(np.mean(np.square(fit.residuals_m[kept]))))
        if residual_m > 2.5 * self._params.range_sigma_m:
            return None
        excess = max(1.0, (residual_m / self._params.range_sigma_m) ** 2)
        covariance = np.asarray(excess * np.linalg.inv(information), np.float64)
        refined = Pose2(*at.tolist()) @ Pose2.identity()
        return CarrierSighting(refined, covariance, int(kept.sum()), marks_seen, residual_m)

    def _should_show(self, mark: int, sighting: CarrierSighting, returns: Returns) -> bool:
        """Whether a ray went through where a mark that was not found ought to stand."""
        x_m, y_m, yaw, half_m, kind = self.carrier.marks[mark].tolist()
        pose = sighting.base_from_carrier
        at = np.array(pose.transform(x_m, y_m)) - returns.origin_m
        distance_m = float(np.hypot(*at))
        left = np.array((-at[1], at[0])) / max(distance_m, 1e-9)
        if int(kind) == PLATE:
            normal_rad = pose.yaw_rad + yaw
            facing = -math.cos(difference(math.atan2(at[1], at[0]), normal_rad))
            half_m *= max(facing, 0.0)
        arm = np.array(pose.transform(x_m, y_m)) - (pose.x_m, pose.y_m)
        slope = np.array((left[0], left[1], -left[0] * arm[1] + left[1] * arm[0]))
        core_m = half_m - 2.0 * math.sqrt(float(slope @ sighting.covariance @ slope))
        sights = returns.points_m - returns.origin_m
        ranges_m = np.hypot(sights[:, 0], sights[:, 1])
        aside_m = distance_m * (sights @ left) / np.maximum(ranges_m, 1e-9)
        through = (np.abs(aside_m) < core_m) & (sights @ at > 0.0)
        beyond_m = distance_m + half_m + SIGMAS * self._params.range_sigma_m
        return bool((through & (ranges_m > beyond_m)).any())


class _Fit:
    """Surfaces and edges of one scan, linearized about a pose."""

    def __init__(
        self,
        marks: FloatArray,
        points_m: FloatArray,
        owners: IntArray,
        edged: IntArray,
        origin_m: FloatArray,
    ) -> None:
        self._marks, self._points_m, self._owners = marks, points_m, owners
        self._edged, self.origin_m = edged, origin_m
        self.bearings_rad = np.empty(len(edged))
        self.edge_sigmas_m = np.empty(len(edged))
        self.residuals_m = np.empty(len(points_m))
        self._incidence = np.empty(len(points_m))
        self._slopes = np.empty((len(points_m), 3))
        self._edge_residuals_m = np.empty(len(edged))
        self._edge_slopes = np.empty((len(edged), 3))
        self.kept = np.zeros(len(points_m), np.bool_)

    def linearized(
        self, pose: FloatArray, gate_m: float, sigma_m: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return the normal equations: information, shape ``(3, 3)``, and gradient."""
        surface_residuals(
            pose,
            self._marks,
            self._points_m,
            self._owners,
            self.origin_m,
            self.residuals_m,
            self._slopes,
            self._incidence,
        )
        bearing_residuals(
            pose,
            self._marks,
            self._edged,
            self.bearings_rad,
            self.origin_m,
            self._edge_residuals_m,
            self._edge_slopes,
        )
        self.kept = np.abs(self.residuals_m) <= gate_m
        weights = self.kept / np.square(sigma_m * np.maximum(self._incidence, LEAST_INCIDENCE))
        edge_weights = (np.abs(self._edge_residuals_m) <= gate_m) / np.square(self.edge_sigmas_m)
        information = (self._slopes.T * weights) @ self._slopes
        information += (self._edge_slopes.T * edge_weights) @ self._edge_slopes
        gradient = (self._slopes.T * weights) @ self.residuals_m
        gradient += (self._edge_slopes.T * edge_weights) @ self._edge_residuals_m
        return information, gradient


def _tells(information: FloatArray) -> bool:
    """Whether an information matrix tells all three coordinates well enough."""
    scaled = information * np.outer(WORST_SIGMA, WORST_SIGMA)
    return bool(np.linalg.eigvalsh(scaled)[0] > 1.0)


def _placed(at_m: FloatArray, marks_m: FloatArray, yaws: FloatArray) -> FloatArray:
    """Return the poses that bring points of the carrier to places, turned by given angles."""
    cos, sin = np.cos(yaws), np.sin(yaws)
    return np.column_stack(
        (
            at_m[:, 0] - cos * marks_m[:, 0] + sin * marks_m[:, 1],
            at_m[:, 1] - sin * marks_m[:, 0] - cos * marks_m[:, 1],
            yaws,
        )
    )


def _middle_bearing(sights_m: FloatArray) -> float:
    """Return the middle of the bearings of the first and the last point."""
    first = math.atan2(sights_m[0, 1], sights_m[0, 0])
    last = math.atan2(sights_m[-1, 1], sights_m[-1, 0])
    return first + 0.5 * difference(last, first)


def _normal_rad(sights_m: FloatArray) -> float:
    """Return the direction of the normal of a line fit (total least squares) to the lidar."""
    off = sights_m - sights_m.mean(axis=0)
    along = 0.5 * math.atan2(
        2.0 * float((off[:, 0] * off[:, 1]).sum()),
        float((np.square(off[:, 0]) - np.square(off[:, 1])).sum()),
    )
    mean = sights_m.mean(axis=0)
    normal = along + 0.5 * math.pi
    toward = math.cos(normal) * mean[0] + math.sin(normal) * mean[1]
    return wrap(normal + math.pi) if toward > 0.0 else wrap(normal)


def _spacing_rad(sights_m: FloatArray, rays: IntArray) -> float:
    """Return the median angle between neighbouring rays."""
    if len(rays) < 2:
        return 0.0
    bearings = np.arctan2(sights_m[:, 1], sights_m[:, 0])
    steps = (np.diff(bearings) + math.pi) % math.tau - math.pi
    return float(np.median(np.abs(steps) / np.maximum(np.diff(rays), 1)))
