"""Steps of tracking: space that a scan saw free, association, and the filter of every track.

A track's state is (x, y, vx, vy, size) in the odometry frame; size is the radius of a disc, or half
the length of a box. What is measured of a piece is (x, y, size).
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

X, Y, VX, VY, SIZE = 0, 1, 2, 3, 4
STATES, MEASURED = 5, 3
NONE = -1

BINS = 1440  # bearings of a view, 0.25° each: finer than the rays of common lidars
QUARTER = BINS // 4
OPEN_RAD = math.radians(6.0)  # without ray numbers, a wider step between returns is unknown
SIZE_SLACK_M = 0.15  # the size that is seen changes as others come in between
GATE = 18.0  # squared Mahalanobis distance: 0.05 % of true pairs are farther
FAR = 18.0  # what is farther than both gates needs no exact distance
TURN_GATE = 18.0  # the same for what constant velocity does not explain


@njit(cache=True, nogil=True)
def bin_of(x_m: float, y_m: float) -> int:
    """Return the bin of a bearing.

    The arc tangent is that of Rajan, Wang, Inkol and Joyal, "Efficient approximations for the
    arctangent function", IEEE Signal Processing Magazine 23 (2006): within 0.09°, monotonic.
    """
    across, along = abs(y_m), abs(x_m)
    longer = max(across, along)
    if longer == 0.0:
        return 0
    slope = min(across, along) / longer
    angle = slope * (0.25 * math.pi - (slope - 1.0) * (0.2447 + 0.0663 * slope))
    if across > along:
        angle = 0.5 * math.pi - angle
    if x_m < 0.0:
        angle = math.pi - angle
    if y_m < 0.0:
        angle = -angle
    return min(BINS - 1, int((angle + math.pi) / math.tau * BINS))


@njit(cache=True, nogil=True)
def free_profile(
    points_m: NDArray[np.float64],
    rays: NDArray[np.int64],
    ray_count: int,
    origin_m: NDArray[np.float64],
    margin_m: float,
    sure_range_m: float,
) -> NDArray[np.float32]:
    """Return how far a scan saw free space, a margin away from everything that it saw.

    Args:
        points_m: float64, shape ``(points, 2)``, counter-clockwise around the lidar.
        rays: int64, shape ``(points,)``, number of the ray of each point, ascending but
            for one fall from the last ray to the first.
        ray_count: Number of rays of the scan, from 0 on, one step of bearing between any two.
        origin_m: float64, shape ``(2,)``, the lidar.
        margin_m: Distance to keep from every return.
        sure_range_m: A ray that returned nothing has seen free space up to here.

    Returns:
        float32, shape ``(BINS,)``: per bearing from -pi, the range in m up to which all is free;
        zero where nothing was seen.
    """
    n = points_m.shape[0]
    seen_m = np.zeros(BINS, np.float64)
    known = np.zeros(BINS, np.bool_)
    bins, ranges_m = np.empty(n, np.int64), np.empty(n)
    for i in range(n):
        dx, dy = points_m[i, 0] - origin_m[0], points_m[i, 1] - origin_m[1]
        ranges_m[i] = math.sqrt(dx * dx + dy * dy)
        bins[i] = bin_of(dx, dy)
        # Of several returns in a bin the nearest counts.
        seen_m[bins[i]] = min(seen_m[bins[i]], ranges_m[i]) if known[bins[i]] else ranges_m[i]
        known[bins[i]] = True
    for i in range(n):
        steps = (bins[i] - bins[i - 1]) % BINS
        missed = rays[i] - rays[i - 1] - 1
        if missed < 0:
            _open_ends(seen_m, known, bins, rays, ray_count, i, sure_range_m)
        if steps > BINS // 2 or (missed <= 0 and steps * math.tau / BINS > OPEN_RAD):
            continue
        between_m = min(ranges_m[i], ranges_m[i - 1]) if missed <= 0 else sure_range_m
        for k in range(1, steps):
            b = (bins[i - 1] + k) % BINS
            if not known[b]:
                seen_m[b], known[b] = between_m, True
    return _kept_away(seen_m, bins, ranges_m, margin_m)


@njit(cache=True, nogil=True)
def _open_ends(
    seen_m: NDArray[np.float64],
    known: NDArray[np.bool_],
    bins: NDArray[np.int64],
    rays: NDArray[np.int64],
    ray_count: int,
    first: int,
    sure_range_m: float,
) -> None:
    """Enter the rays without a return before the first return of a scan and after its last."""
    before, after = rays[first], ray_count - 1 - rays[first - 1]
    measured = rays[first - 1] - rays[first]
    if measured == 0:
        return
    bins_per_ray = ((bins[first - 1] - bins[first]) % BINS) / measured
    for k in range(1, int(before * bins_per_ray) + 1):
        b = (bins[first] - k) % BINS
        if not known[b]:
            seen_m[b], known[b] = sure_range_m, True
    for k in range(1, int(after * bins_per_ray) + 1):
        b = (bins[first - 1] + k) % BINS
        if not known[b]:
            seen_m[b], known[b] = sure_range_m, True


@njit(cache=True, nogil=True)
def _kept_away(
    seen_m: NDArray[np.float64],
    bins: NDArray[np.int64],
    ranges_m: NDArray[np.float64],
    margin_m: float,
) -> NDArray[np.float32]:
    """Return a profile drawn back from a disc of the margin around every return."""
    # Room for a quarter turn at both ends, so that the inner loop runs straight on.
    drawn_m = np.full(BINS + 2 * QUARTER, np.inf, np.float32)
    for i in range(bins.shape[0]):
        if ranges_m[i] <= margin_m:
            return np.zeros(BINS, np.float32)
        width = min(QUARTER - 1, int(math.asin(margin_m / ranges_m[i]) / math.tau * BINS) + 1)
        here_m = np.float32(ranges_m[i] - margin_m)
        for b in range(QUARTER + bins[i] - width, QUARTER + bins[i] + width + 1):
            drawn_m[b] = min(drawn_m[b], here_m)
    free_m = np.empty(BINS, np.float32)
    for b in range(BINS):
        free_m[b] = max(0.0, min(seen_m[b] - margin_m, drawn_m[QUARTER + b]))
    for b in range(QUARTER):
        free_m[b] = min(free_m[b], drawn_m[QUARTER + BINS + b])
        free_m[BINS - 1 - b] = min(free_m[BINS - 1 - b], drawn_m[QUARTER - 1 - b])
    return free_m


@njit(cache=True, nogil=True)
def in_free_space(
    points_m: NDArray[np.float64],
    labels: NDArray[np.int64],
    tracks: NDArray[np.int64],
    profile_m: NDArray[np.float32],
    origin_m: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the points of each track that lie where another scan saw free space.

    Where something is now that was seen free, or where something was that is now seen free, the
    world has moved; what merely came out of a shadow has not been seen free before.

    Args:
        points_m: float64, shape ``(points, 2)``.
        labels: int64, shape ``(points,)``: number of the track of each, NONE for no track.
        tracks: int64, shape ``(tracks,)``: numbers of the tracks, ascending.
        profile_m: float32, shape ``(BINS,)``, of the other scan, see :func:`free_profile`.
        origin_m: float64, shape ``(2,)``, from where that was seen.

    Returns:
        Two int64 arrays of shape ``(tracks,)``: points in free space, and all points.
    """
    count = tracks.shape[0]
    free, total = np.zeros(count, np.int64), np.zeros(count, np.int64)
    row = 0
    for i in range(points_m.shape[0]):
        if labels[i] == NONE:
            continue
        if row == count or tracks[row] != labels[i]:
            row = int(np.searchsorted(tracks, labels[i]))
            if row == count or tracks[row] != labels[i]:
                continue
        dx, dy = points_m[i, 0] - origin_m[0], points_m[i, 1] - origin_m[1]
        total[row] += 1
        if math.sqrt(dx * dx + dy * dy) < float(profile_m[bin_of(dx, dy)]):
            free[row] += 1
    return free, total


@njit(cache=True, nogil=True)
def label(
    numbers: NDArray[np.int64],
    bodies: NDArray[np.int64],
    pieces: NDArray[np.int64],
    labels: NDArray[np.int64],
) -> None:
    """Write the numbers of tracks at the points of their pieces.

    Args:
        numbers: int64, shape ``(tracks,)``.
        bodies: int64, shape ``(tracks,)``: the piece of each track or NONE.
        pieces: int64, shape ``(pieces, 2)``: first point and the one after the last.
        labels: int64, shape ``(points,)``, updated.
    """
    for t in range(numbers.shape[0]):
        if bodies[t] != NONE:
            for i in range(pieces[bodies[t], 0], pieces[bodies[t], 1]):
                labels[i] = numbers[t]


@njit(cache=True, nogil=True)
def advance(
    states: NDArray[np.float64],
    covariances: NDArray[np.float64],
    step_s: float,
    acceleration_psd: float,
    size_psd: float,
) -> None:
    """Predict every track: constant velocity under white-noise acceleration, in place.

    Bar-Shalom, Li and Kirubarajan, "Estimation with Applications to Tracking and Navigation"
    (2001), section 6.2.2, the discretized continuous-time model.

    Args:
        states: float64, shape ``(tracks, 5)``.
        covariances: float64, shape ``(tracks, 5, 5)``.
        step_s: Time to go.
        acceleration_psd: Power spectral density of the acceleration in m²/s³.
        size_psd: That of the change of size in m²/s.
    """
    q_xx = acceleration_psd * step_s**3 / 3.0
    q_xv = acceleration_psd * step_s**2 / 2.0
    q_vv = acceleration_psd * step_s
    for t in range(states.shape[0]):
        p = covariances[t]
        for axis in range(2):
            states[t, axis] += step_s * states[t, axis + 2]
            for k in range(STATES):
                p[axis, k] += step_s * p[axis + 2, k]
        for axis in range(2):
            for k in range(STATES):
                p[k, axis] += step_s * p[k, axis + 2]
            p[axis, axis] += q_xx
            p[axis, axis + 2] += q_xv
            p[axis + 2, axis] += q_xv
            p[axis + 2, axis + 2] += q_vv
        p[SIZE, SIZE] += size_psd * step_s


@njit(cache=True, nogil=True)
def associate(
    states: NDArray[np.float64],
    covariances: NDArray[np.float64],
    as_disc: NDArray[np.bool_],
    measured: NDArray[np.float64],
    spreads: NDArray[np.float64],
    jump_m: float,
) -> NDArray[np.int64]:
    """Pair tracks and pieces one to one, the likeliest pair first.

    Greedy nearest neighbour in normalised distance, with room for a sudden change of velocity. Ties
    go to the lower track, then the lower piece.

    Args:
        states: float64, shape ``(tracks, 5)``, predicted to the scan.
        covariances: float64, shape ``(tracks, 5, 5)``.
        as_disc: bool, shape ``(tracks,)``: which measure of a piece a track is made from.
        measured: float64, shape ``(pieces, 2, 3)``: of each piece as a box, and as a disc.
        spreads: float64, shape ``(pieces, 2, 3, 3)``: covariances of these.
        jump_m: Standard deviation of a way that constant velocity does not predict.

    Returns:
        int64, shape ``(tracks,)``: the piece of each track, NONE where there is none.
    """
    tracks, pieces = states.shape[0], measured.shape[0]
    costs = np.full((tracks, pieces), np.inf)
    for t in range(tracks):
        kind = int(as_disc[t])
        for k in range(pieces):
            cost = _distance(states[t], covariances[t], measured[k, kind], spreads[k, kind], jump_m)
            if cost < GATE:
                costs[t, k] = cost
    pairs = np.full(tracks, NONE, np.int64)
    nearest = np.full(tracks, NONE, np.int64)
    for t in range(tracks):
        nearest[t] = _least(costs[t])
    for _ in range(min(tracks, pieces)):
        best, lowest = NONE, np.inf
        for t in range(tracks):
            if pairs[t] == NONE and nearest[t] != NONE and costs[t, nearest[t]] < lowest:
                best, lowest = t, costs[t, nearest[t]]
        if best == NONE:
            break
        taken = nearest[best]
        pairs[best] = taken
        for t in range(tracks):
            costs[t, taken] = np.inf
            if nearest[t] == taken:
                nearest[t] = _least(costs[t])
    return pairs


@njit(cache=True, nogil=True)
def _least(costs: NDArray[np.float64]) -> int:
    """Return the first of the lowest costs, NONE where all are infinite."""
    least = NONE
    for k in range(costs.shape[0]):
        if costs[k] < (np.inf if least == NONE else costs[least]):
            least = k
    return least


@njit(cache=True, nogil=True)
def correct(
    states: NDArray[np.float64],
    covariances: NDArray[np.float64],
    as_disc: NDArray[np.bool_],
    pairs: NDArray[np.int64],
    measured: NDArray[np.float64],
    spreads: NDArray[np.float64],
    step_s: float,
    fastest_mps: float,
) -> None:
    """Correct every track by its piece, in place.

    A position far from the prediction means that the velocity has changed: it is then freed by as
    much as would explain the distance, so that the next few scans teach it anew (adjustable level
    of process noise, Bar-Shalom, Li and Kirubarajan, section 11.2).

    Args:
        states: float64, shape ``(tracks, 5)``, predicted to the scan.
        covariances: float64, shape ``(tracks, 5, 5)``.
        as_disc: bool, shape ``(tracks,)``: see :func:`associate`.
        pairs: int64, shape ``(tracks,)``: piece of each track or NONE.
        measured: float64, shape ``(pieces, 2, 3)``.
        spreads: float64, shape ``(pieces, 2, 3, 3)``.
        step_s: Time since the last scan.
        fastest_mps: No speed is above it.
    """
    for t in range(states.shape[0]):
        if pairs[t] == NONE:
            continue
        kind = int(as_disc[t])
        z, r, p = measured[pairs[t], kind], spreads[pairs[t], kind], covariances[t]
        surprise = _distance(states[t], p, z, r, 0.0)
        if surprise > TURN_GATE and step_s > 0.0:
            way_m = math.hypot(z[0] - states[t, X], z[1] - states[t, Y])
            change = min(fastest_mps, way_m / step_s) ** 2
            for axis in range(2):
                p[axis, axis] += change * step_s * step_s / 4.0
                p[axis, axis + 2] += change * step_s / 2.0
                p[axis + 2, axis] += change * step_s / 2.0
                p[axis + 2, axis + 2] += change
        _kalman(states[t], p, z, r)
        speed_mps = math.hypot(states[t, VX], states[t, VY])
        if speed_mps > fastest_mps:
            states[t, VX] *= fastest_mps / speed_mps
            states[t, VY] *= fastest_mps / speed_mps


@njit(cache=True, nogil=True)
def _distance(
    state: NDArray[np.float64],
    p: NDArray[np.float64],
    measured: NDArray[np.float64],
    spread: NDArray[np.float64],
    jump_m: float,
) -> float:
    """Return the squared Mahalanobis distance between a track and what was measured.

    Where it is above FAR, a lower bound of it. The size is correlated with the place: of a short
    arc neither is known, only the surface.
    """
    dx, dy, ds = measured[0] - state[X], measured[1] - state[Y], measured[2] - state[SIZE]
    a = p[X, X] + spread[0, 0] + jump_m * jump_m
    b, c = p[X, Y] + spread[0, 1], p[X, SIZE] + spread[0, 2]
    d = p[Y, Y] + spread[1, 1] + jump_m * jump_m
    e = p[Y, SIZE] + spread[1, 2]
    f = p[SIZE, SIZE] + spread[2, 2] + SIZE_SLACK_M * SIZE_SLACK_M
    # No eigenvalue is above the trace: most pairs are that far apart.
    least = (dx * dx + dy * dy + ds * ds) / (a + d + f)
    if least > FAR:
        return float(least)
    # Cholesky's decomposition, row by row.
    l00 = math.sqrt(a)
    l10, l20 = b / l00, c / l00
    l11 = math.sqrt(d - l10 * l10)
    l21 = (e - l20 * l10) / l11
    l22 = math.sqrt(f - l20 * l20 - l21 * l21)
    u = dx / l00
    v = (dy - l10 * u) / l11
    w = (ds - l20 * u - l21 * v) / l22
    return float(u * u + v * v + w * w)


@njit(cache=True, nogil=True)
def _kalman(
    state: NDArray[np.float64],
    p: NDArray[np.float64],
    measured: NDArray[np.float64],
    spread: NDArray[np.float64],
) -> None:
    """Correct a state by x, y and size."""
    rows = (X, Y, SIZE)
    s = np.empty((MEASURED, MEASURED))
    innovation = np.empty(MEASURED)
    for j in range(MEASURED):
        innovation[j] = measured[j] - state[rows[j]]
        for k in range(MEASURED):
            s[j, k] = p[rows[j], rows[k]] + spread[j, k]
    inverse = _inverse(s)
    gain = np.zeros((STATES, MEASURED))
    for i in range(STATES):
        for j in range(MEASURED):
            for k in range(MEASURED):
                gain[i, j] += p[i, rows[k]] * inverse[k, j]
    before = p.copy()
    for i in range(STATES):
        for j in range(MEASURED):
            state[i] += gain[i, j] * innovation[j]
            for k in range(STATES):
                p[i, k] -= gain[i, j] * before[rows[j], k]
    for i in range(STATES):
        for k in range(i):
            p[i, k] = p[k, i] = 0.5 * (p[i, k] + p[k, i])


@njit(cache=True, nogil=True)
def _inverse(s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse of a symmetric matrix of shape (3, 3)."""
    p = s[1, 1] * s[2, 2] - s[1, 2] * s[1, 2]
    q = s[0, 2] * s[1, 2] - s[0, 1] * s[2, 2]
    r = s[0, 1] * s[1, 2] - s[0, 2] * s[1, 1]
    scale = 1.0 / (s[0, 0] * p + s[0, 1] * q + s[0, 2] * r)
    out: NDArray[np.float64] = np.empty((MEASURED, MEASURED))
    out[0, 0], out[0, 1], out[0, 2] = p, q, r
    out[1, 0], out[1, 1] = q, s[0, 0] * s[2, 2] - s[0, 2] * s[0, 2]
    out[1, 2] = s[0, 1] * s[0, 2] - s[0, 0] * s[1, 2]
    out[2, 0], out[2, 1] = r, out[1, 2]
    out[2, 2] = s[0, 0] * s[1, 1] - s[0, 1] * s[0, 1]
    for j in range(MEASURED):
        for k in range(MEASURED):
            out[j, k] *= scale
    return out
