"""Moving objects around the robot: where they are, where they go, and how well that is known.

Every scan is cut into pieces that may be bodies, each described as a disc or a box; pieces are
paired with the tracks of earlier scans and filtered in the odometry frame. A track counts as moving
only on two witnesses: its filter is sure of a speed, and the scans contradict each other about it,
something being where free space was seen or the other way round. Walls that come out of a shadow,
and posts whose visible side changes as the robot passes, never give the second.
"""

from collections import deque
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from agent.geometry.points import moved
from agent.geometry.pose import Pose2
from agent.kernels import segments, tracking

VIEW_AGES_S = (0.2, 0.5, 1.0)  # the fast show against a young view, the slow against an old one
PROOF_POINTS, PROOF_SHARE = 3, 0.05  # of a track in space that was seen free
PROOF_MOST, PROOF_NEEDED, PROOF_DECAY = 5.0, 2.0, 0.34  # proofs that are kept, ask and fade
SURE_SPEED = 6.0  # squared Mahalanobis distance of a velocity from standstill (95 %)
BORN_HITS = 3  # scans until a track may go unseen
GONE_SCANS = 3  # scans that see through a track end it
STILL_UNSEEN_S = 0.4  # what stands and is not seen needs no memory
VOTES_MOST = 4  # scans of another shape until a track changes to it
USUAL_SIZE_M, USUAL_SIZE_SIGMA_M = 0.35, 0.25  # of bodies, before more of one is seen
HALF_DEPTH_M = 0.25  # of a long body of which only one face is seen
MOST_DISCS = 8  # of one long body
REACH_MARGIN_M = 0.5  # beyond the reach, until a track that leaves it is dropped
LOST_SIGMA_M = 1.5  # a position known no better tells nothing

X, Y, VX, VY, RADIUS, SIGMA = range(6)

_TRACK = np.dtype(
    [
        ("number", np.int64),
        ("votes", np.int64),
        ("box", np.float64, (5,)),
        ("born_ns", np.int64),
        ("seen_ns", np.int64),
        ("hits", np.int64),
        ("gone", np.int64),
        ("proof", np.float64),
        ("moving", np.bool_),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackParams:
    """What counts as a body, and how bodies move.

    Attributes:
        range_sigma_m: Standard deviation of a range of the lidar.
        break_angle_rad: The flattest incidence at which a surface still holds together.
        cut_depth_m: A surface that bends away from the lidar by more is several bodies.
        reach_m: Only what is nearer than this is tracked.
        longest_m: What shows a longer side is a wall.
        largest_radius_m: What is rounder than this is not.
        free_margin_m: How far from everything seen space must be to count as seen free; above the
            drift of the odometry in a second, and three deviations of a range.
        sure_range_m: A surface nearer than this returns every ray, unless it is of glass.
        acceleration_psd: Power spectral density of the bodies' acceleration in m²/s³.
        size_psd: That of the change of the visible size in m²/s.
        fastest_mps: Nothing is faster.
        least_mps: What is slower stands.
        coast_s: How long what moved is remembered while nothing of it is seen.
        most: Tracks that are kept: the moving ones, then the nearest.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    range_sigma_m: Annotated[float, Gt(0), Le(0.2)] = 0.01
    break_angle_rad: Annotated[float, Gt(0), Le(1)] = 0.2
    cut_depth_m: Annotated[float, Gt(0), Le(1)] = 0.05
    reach_m: Annotated[float, Gt(0), Le(50)] = 8.0
    longest_m: Annotated[float, Gt(0), Le(20)] = 4.0
    largest_radius_m: Annotated[float, Gt(0), Le(5)] = 1.0
    free_margin_m: Annotated[float, Gt(0), Le(1)] = 0.1
    sure_range_m: Annotated[float, Ge(0), Le(50)] = 8.0
    acceleration_psd: Annotated[float, Gt(0), Le(100)] = 0.05
    size_psd: Annotated[float, Ge(0), Le(1)] = 0.001
    fastest_mps: Annotated[float, Gt(0), Le(20)] = 2.5
    least_mps: Annotated[float, Gt(0), Le(2)] = 0.2
    coast_s: Annotated[float, Ge(0), Le(10)] = 2.0
    most: Annotated[int, Ge(1), Le(256)] = 32


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What a scan saw, in the odometry frame, and which tracks it belongs to."""

    stamp_ns: int
    origin_m: NDArray[np.float64]
    points_m: NDArray[np.float64]
    labels: NDArray[np.int64]
    profile_m: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Bodies:
    """The pieces of a scan that may be bodies; shapes as in the kernels."""

    pieces: NDArray[np.int64]
    measured: NDArray[np.float64]
    spreads: NDArray[np.float64]
    boxes: NDArray[np.float64]
    is_round: NDArray[np.bool_]


class ObjectTracker:
    """Follows what moves, from scan to scan. Deterministic, in bounded time."""

    def __init__(self, params: TrackParams) -> None:
        self._params = params
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a jump of the odometry."""
        self._tracks = np.zeros(0, _TRACK)
        self._states = np.zeros((0, tracking.STATES))
        self._covariances = np.zeros((0, tracking.STATES, tracking.STATES))
        self._views: deque[_View] = deque()
        self._next_number = 0
        self._stamp_ns: int | None = None

    def update(
        self,
        odom_from_base: Pose2,
        points_m: NDArray[np.float64],
        stamp_ns: int,
        *,
        rays: NDArray[np.int64] | None = None,
        ray_count: int = 0,
        origin_m: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Take one scan of one lidar. A scan older than the last one is left out.

        Args:
            odom_from_base: Where the base was at the stamp, REP-105.
            points_m: float64, shape ``(n, 2)``, the returns in the base frame of the stamp, finite,
                in the order of the rays, counter-clockwise around the lidar.
            stamp_ns: When they were measured, monotonic.
            rays: int64, shape ``(n,)``: number of the ray of each point, from which the rays
                without a return are known. Without it they are taken for not measured.
            ray_count: Number of all rays of the scan, which are numbered from 0; without it those
                before the first return and after the last are taken for not measured.
            origin_m: Where the lidar is on the base.
        """
        if self._stamp_ns is not None:
            step_s = (stamp_ns - self._stamp_ns) * 1e-9
            if step_s < 0.0:
                return
            if step_s > max(self._params.coast_s, VIEW_AGES_S[-1]):
                self.reset()
            else:
                self._predict_all(step_s)
        else:
            step_s = 0.0
        self._stamp_ns = stamp_ns
        origin = np.array(odom_from_base.transform(*origin_m))
        rays = np.arange(len(points_m)) if rays is None else rays.astype(np.int64)
        points_m, rays, bodies = self._bodies(
            moved(odom_from_base, points_m), rays, ray_count, origin
        )
        params = self._params
        profile_m = tracking.free_profile(
            points_m, rays, ray_count, origin, params.free_margin_m, params.sure_range_m
        )
        pairs = self._pair(bodies, step_s, stamp_ns)
        labels = self._label(bodies, pairs, len(points_m))
        view = _View(stamp_ns, origin, points_m, labels, profile_m)
        self._judge(view, pairs != tracking.NONE)
        self._bury(view, pairs != tracking.NONE)
        self._bear(view, bodies, pairs)
        self._remember(view)

    def predict(self, now_ns: int) -> NDArray[np.float64]:
        """Return where everything that moves is now.

        A long body is given as several discs along its longer visible face, laid behind that face,
        since one disc around all of it would close the way beside it.

        Returns:
            float64, shape ``(discs, 6)``, oldest track first: x and y in m, vx and vy in m/s
            (odometry frame), radius in m, and the standard deviation of the position in m, which
            grows while nothing of the body is seen.
        """
        moving = self._tracks["moving"]
        tracks = self._tracks[moving]
        if self._stamp_ns is None or not len(tracks):
            return np.empty((0, 6))
        states, covariances = self._states[moving], self._covariances[moving]
        ahead_s = max(0.0, (now_ns - self._stamp_ns) * 1e-9)
        params = self._params
        tracking.advance(states, covariances, ahead_s, params.acceleration_psd, params.size_psd)
        sigmas_m = np.sqrt(0.5 * (covariances[:, 0, 0] + covariances[:, 1, 1]))
        rows = np.column_stack([states, sigmas_m])
        if (tracks["votes"] >= 0).all():
            return rows
        return np.concatenate(
            [
                row[np.newaxis] if track["votes"] >= 0 else _discs_of_box(row, track["box"])
                for row, track in zip(rows, tracks, strict=True)
            ]
        )

    def _predict_all(self, step_s: float) -> None:
        params = self._params
        tracking.advance(
            self._states, self._covariances, step_s, params.acceleration_psd, params.size_psd
        )

    def _bodies(
        self,
        points_m: NDArray[np.float64],
        rays: NDArray[np.int64],
        ray_count: int,
        origin_m: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], _Bodies]:
        """Cut a scan into bodies; returns its points and rays from a break on."""
        params = self._params
        joined, ranges_m, spacing_rad, closed = segments.joints(
            points_m, rays, origin_m, params.break_angle_rad, params.range_sigma_m
        )
        if len(joined) and joined[0]:
            shift = -int(np.argmin(joined))
            points_m, rays = np.roll(points_m, shift, axis=0), np.roll(rays, shift)
            joined, ranges_m = np.roll(joined, shift), np.roll(ranges_m, shift)
            joined[0] = False
        pieces, bent = segments.convex_pieces(
            points_m, joined, max(params.cut_depth_m, segments.NOISE_SIGMAS * params.range_sigma_m)
        )
        ends = segments.free_ends(pieces, bent, rays, ray_count, ranges_m, closed)
        bounds_m = (params.reach_m, params.longest_m, params.largest_radius_m)
        kept, discs, boxes, spreads, is_round = segments.describe(
            points_m, ranges_m, origin_m, pieces, ends, spacing_rad, params.range_sigma_m, bounds_m
        )
        measured = np.empty((len(kept), 2, 3))
        measured[:, segments.BOX, :2] = boxes[:, :2]
        measured[:, segments.BOX, 2] = 0.5 * boxes[:, segments.LENGTH]
        measured[:, segments.DISC] = discs
        return points_m, rays, _Bodies(pieces[kept], measured, spreads, boxes, is_round)

    def _pair(self, bodies: _Bodies, step_s: float, stamp_ns: int) -> NDArray[np.int64]:
        """Pair tracks with bodies and correct them; returns the body of each track."""
        tracks, params = self._tracks, self._params
        as_disc = tracks["votes"] >= 0
        states, covariances = self._states, self._covariances
        jump_m = params.fastest_mps * step_s / 2.0
        pairs = tracking.associate(
            states, covariances, as_disc, bodies.measured, bodies.spreads, jump_m
        )
        tracking.correct(
            states, covariances, as_disc, pairs, bodies.measured, bodies.spreads,
            step_s, params.fastest_mps,
        )  # fmt: skip
        seen = pairs != tracking.NONE
        body = pairs[seen]
        tracks["hits"][seen] += 1
        tracks["gone"][seen] = 0
        tracks["seen_ns"][seen] = stamp_ns
        tracks["box"][seen] = bodies.boxes[body]
        votes = tracks["votes"][seen] + np.where(bodies.is_round[body], 1, -1)
        tracks["votes"][seen] = votes.clip(-VOTES_MOST, VOTES_MOST - 1)
        for row in np.flatnonzero(seen & ((tracks["votes"] >= 0) != as_disc)):
            self._reshape(row, bodies, pairs[row])
        return pairs

    def _reshape(self, row: np.intp, bodies: _Bodies, body: np.int64) -> None:
        """Start the position of a track anew from its other shape, keeping its velocity."""
        kind = int(self._tracks["votes"][row] >= 0)
        place = np.array([tracking.X, tracking.Y, tracking.SIZE])
        self._states[row, place] = bodies.measured[body, kind]
        covariance = self._covariances[row]
        covariance[place, :] = 0.0
        covariance[:, place] = 0.0
        covariance[np.ix_(place, place)] = bodies.spreads[body, kind]

    def _label(self, bodies: _Bodies, pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        labels = np.full(count, tracking.NONE, np.int64)
        tracking.label(self._tracks["number"], pairs, bodies.pieces, labels)
        return labels

    def _judge(self, view: _View, seen: NDArray[np.bool_]) -> None:
        """Decide which of the tracks that are seen move."""
        tracks, params = self._tracks, self._params
        numbers = np.ascontiguousarray(tracks["number"])
        proven = np.zeros(len(tracks), np.bool_)
        for past in self._references(view.stamp_ns):
            for now, then in ((view, past), (past, view)):
                free, total = tracking.in_free_space(
                    now.points_m, now.labels, numbers, then.profile_m, then.origin_m
                )
                proven |= (free >= PROOF_POINTS) & (free >= PROOF_SHARE * total)
        proof = tracks["proof"] + np.where(proven, 1.0, -PROOF_DECAY)
        tracks["proof"][seen] = proof[seen].clip(0.0, PROOF_MOST)
        velocity = self._states[:, 2:4]
        speed_mps = np.hypot(velocity[:, 0], velocity[:, 1])
        spread = self._covariances[:, 2:4, 2:4]
        sure = _squared_distance(velocity, spread) > SURE_SPEED
        starts = sure & (speed_mps > params.least_mps) & (tracks["proof"] >= PROOF_NEEDED)
        stops = (speed_mps < 0.5 * params.least_mps) | (tracks["proof"] == 0.0)
        tracks["moving"] = np.where(seen, starts | (tracks["moving"] & ~stops), tracks["moving"])

    def _references(self, stamp_ns: int) -> list[_View]:
        """Return the earlier views to compare with: one of each age, or the oldest there is."""
        chosen: list[_View] = []
        for age_s in VIEW_AGES_S:
            old = [view for view in self._views if stamp_ns - view.stamp_ns >= age_s * 1e9]
            view = old[-1] if old else self._views[0] if self._views else None
            if view is not None and view not in chosen:
                chosen.append(view)
        return chosen

    def _bury(self, view: _View, seen: NDArray[np.bool_]) -> None:
        """Drop the tracks that are seen through, unseen for too long or too uncertain."""
        tracks, params = self._tracks, self._params
        if not len(tracks):
            return
        centres_m = np.ascontiguousarray(self._states[:, :2])
        numbers = np.ascontiguousarray(tracks["number"])
        through, _ = tracking.in_free_space(
            centres_m, numbers, numbers, view.profile_m, view.origin_m
        )
        tracks["gone"] += ~seen & (through > 0)
        unseen_s = (view.stamp_ns - tracks["seen_ns"]) * 1e-9
        # What was seen for a moment only is not remembered for longer than that.
        known_s = (tracks["seen_ns"] - tracks["born_ns"]) * 1e-9
        patience_s = np.where(tracks["moving"], np.minimum(known_s, params.coast_s), STILL_UNSEEN_S)
        away_m = np.hypot(*(centres_m - view.origin_m).T)
        variance = 0.5 * (self._covariances[:, 0, 0] + self._covariances[:, 1, 1])
        kept = seen | (
            (tracks["hits"] >= BORN_HITS)
            & (tracks["gone"] < GONE_SCANS)
            & (unseen_s <= patience_s)
            & (variance < LOST_SIGMA_M**2)
            & (away_m < params.reach_m + REACH_MARGIN_M)
        )
        if not kept.all():
            self._keep(kept)

    def _bear(self, view: _View, bodies: _Bodies, pairs: NDArray[np.int64]) -> None:
        """Begin a track for each body that has none, and keep the most that matter."""
        params = self._params
        alone = np.ones(len(bodies.is_round), np.bool_)
        alone[pairs[pairs != tracking.NONE]] = False
        fresh = np.flatnonzero(alone)
        if not len(fresh):
            return
        born = np.zeros(len(fresh), _TRACK)
        kind = bodies.is_round[fresh].astype(np.intp)
        place = np.array([tracking.X, tracking.Y, tracking.SIZE])
        born["number"] = self._next_number + np.arange(len(fresh))
        measured, spreads = _with_usual_size(
            bodies.measured[fresh, kind], bodies.spreads[fresh, kind]
        )
        states = np.zeros((len(fresh), tracking.STATES))
        covariances = np.zeros((len(fresh), tracking.STATES, tracking.STATES))
        states[:, place] = measured
        covariances[:, place[:, np.newaxis], place] = spreads
        for axis in (tracking.VX, tracking.VY):
            covariances[:, axis, axis] = (params.fastest_mps / 2.0) ** 2
        born["votes"] = np.where(kind, 1, -2)
        born["box"] = bodies.boxes[fresh]
        born["born_ns"] = born["seen_ns"] = view.stamp_ns
        born["hits"] = 1
        tracking.label(born["number"], fresh, bodies.pieces, view.labels)
        self._next_number += len(fresh)
        self._tracks = np.concatenate([self._tracks, born])
        self._states = np.concatenate([self._states, states])
        self._covariances = np.concatenate([self._covariances, covariances])
        self._prune(view.origin_m)

    def _prune(self, origin_m: NDArray[np.float64]) -> None:
        tracks, most = self._tracks, self._params.most
        if len(tracks) <= most:
            return
        away = self._states[:, :2] - origin_m
        order = np.lexsort((np.hypot(away[:, 0], away[:, 1]), -tracks["proof"], ~tracks["moving"]))
        self._keep(np.sort(order[:most]))

    def _keep(self, rows: NDArray[Any]) -> None:
        """Keep some of the tracks, by a mask or by their ascending numbers."""
        self._tracks = self._tracks[rows]
        self._states, self._covariances = self._states[rows], self._covariances[rows]

    def _remember(self, view: _View) -> None:
        self._views.append(view)
        while view.stamp_ns - self._views[1 if len(self._views) > 1 else 0].stamp_ns >= (
            VIEW_AGES_S[-1] * 1e9
        ):
            self._views.popleft()


def _squared_distance(
    vectors: NDArray[np.float64], covariances: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the squared Mahalanobis distance of 2-vectors from zero, one per row."""
    a, b, d = covariances[:, 0, 0], covariances[:, 0, 1], covariances[:, 1, 1]
    x, y = vectors[:, 0], vectors[:, 1]
    squares: NDArray[np.float64] = (d * x * x - 2.0 * b * x * y + a * y * y) / (a * d - b * b)
    return squares


def _with_usual_size(
    measured: NDArray[np.float64], spreads: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x, y, size and covariance of bodies, given what size bodies usually have.

    It says nothing new of a body that is seen whole, and lets one that is seen in part be paired.
    """
    gain = spreads[:, :, 2] / (spreads[:, 2, 2] + USUAL_SIZE_SIGMA_M**2)[:, np.newaxis]
    return (
        measured + gain * (USUAL_SIZE_M - measured[:, 2])[:, np.newaxis],
        spreads - gain[:, :, np.newaxis] * spreads[:, np.newaxis, 2, :],
    )


def _discs_of_box(row: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cover a long body with discs along its visible face.

    Args:
        row: float64, shape ``(6,)``: the middle of the face, its velocity, half its length, sigma.
        box: float64, shape ``(5,)``, as last seen.

    Returns:
        float64, shape ``(discs, 6)``.
    """
    half_m = row[RADIUS]
    inside_m = min(max(0.5 * box[segments.DEPTH], HALF_DEPTH_M), max(half_m, 0.5 * HALF_DEPTH_M))
    count = int(min(MOST_DISCS, max(1, np.ceil(half_m / inside_m))))
    cos, sin = np.cos(box[segments.YAW]), np.sin(box[segments.YAW])
    along_m = half_m * ((2.0 * np.arange(count) + 1.0) / count - 1.0)
    rows = np.repeat(row[np.newaxis], count, axis=0)
    rows[:, X] += cos * along_m + sin * inside_m
    rows[:, Y] += sin * along_m - cos * inside_m
    rows[:, RADIUS] = np.hypot(half_m / count, inside_m)
    return rows
