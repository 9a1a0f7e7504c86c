"""Segments of a planar scan: where it breaks, its convex pieces, and the bodies they belong to.

Points come in the order of the rays, counter-clockwise around the lidar, in any frame that the
lidar's position is given in.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

LEAST_POINTS = 3  # fewer describe no shape
NOISE_SIGMAS = 5.0  # between two of the ranges of a surface; Borges and Aldon take 3 of one
GAP_RAYS = 2  # more rays without a return between two points part them
OPEN_SPACINGS = 3.0  # a wider step to the neighbour is the edge of the field of view
CIRCLE_STEPS = 4  # of Gauss-Newton, from an algebraic fit
ROOT_STEPS = 8
NOISE_PULL, MISFIT_PULL = 3.0, 5.0  # on a centre, by noise and by what is no circle
PART_DOUBT = 4.0  # on the variance of what is partly hidden: it errs alike in every scan
LEAST_RADIUS_M = 0.03
FREE_ENDS_SIGMA_M = 0.05  # of a radius told from the outline: real things are not round
GUESS_M = 0.3  # of the radius of what is partly hidden
GUESS_SIGMA_M = 0.15  # of a surface that fits no circle
UNKNOWN_SIGMA_M = 2.0  # of that guess: one scan of a short arc tells the surface, not the radius
SPECK_M = 0.3  # a smaller piece shows too little of its shape: it counts as round

BOX, DISC = 0, 1  # the two descriptions of a piece
CENTRE_X, CENTRE_Y, RADIUS = 0, 1, 2
FACE_X, FACE_Y, YAW, LENGTH, DEPTH = 0, 1, 2, 3, 4


@njit(cache=True, nogil=True)
def joints(
    points_m: NDArray[np.float64],
    rays: NDArray[np.int64],
    origin_m: NDArray[np.float64],
    break_angle_rad: float,
    range_sigma_m: float,
) -> tuple[NDArray[np.bool_], NDArray[np.float64], float, bool]:
    """Tell which points continue the surface of the point before them.

    Adaptive breakpoint detection: Borges and Aldon, "Line extraction in 2D range images for mobile
    robotics", Journal of Intelligent and Robotic Systems 40 (2004). The step that a
    surface may make grows with the range and with the angle between two rays.

    Args:
        points_m: float64, shape ``(points, 2)``.
        rays: int64, shape ``(points,)``, ascending number of the ray of each point.
        origin_m: float64, shape ``(2,)``, the lidar.
        break_angle_rad: The flattest incidence at which a surface still holds together (lambda).
        range_sigma_m: Standard deviation of a range.

    Returns:
        Whether each point joins the one before it (the first: the last), the range of each in m,
        the median angle between neighbouring rays in rad, and whether the scan goes all the way
        around, so that its last ray is beside its first.
    """
    n = points_m.shape[0]
    joined = np.zeros(n, np.bool_)
    ranges_m = np.empty(n)
    for i in range(n):
        ranges_m[i] = math.hypot(points_m[i, 0] - origin_m[0], points_m[i, 1] - origin_m[1])
    if n < 2:
        return joined, ranges_m, 1e-4, False
    steps_rad = np.empty(n)
    for i in range(n):
        ax, ay = points_m[i - 1, 0] - origin_m[0], points_m[i - 1, 1] - origin_m[1]
        bx, by = points_m[i, 0] - origin_m[0], points_m[i, 1] - origin_m[1]
        missed = max(1, rays[i] - rays[i - 1])
        steps_rad[i] = math.atan2(ax * by - ay * bx, ax * bx + ay * by) / missed
    spacing_rad = max(1e-4, float(np.median(steps_rad[1:])))
    for i in range(n):
        missed = max(1, rays[i] - rays[i - 1])
        step_rad = abs(steps_rad[i]) * missed
        if missed > GAP_RAYS + 1 or step_rad > (GAP_RAYS + 1) * OPEN_SPACINGS * spacing_rad:
            continue
        # Beyond half the break angle the formula runs away; there the angle itself parts.
        step_rad = min(step_rad, 0.5 * break_angle_rad)
        allowed_m = (
            ranges_m[i - 1] * math.sin(step_rad) / math.sin(break_angle_rad - step_rad)
            + NOISE_SIGMAS * range_sigma_m
        )
        apart_m = math.hypot(
            points_m[i, 0] - points_m[i - 1, 0], points_m[i, 1] - points_m[i - 1, 1]
        )
        joined[i] = apart_m <= allowed_m
    closed = 0.0 < steps_rad[0] < OPEN_SPACINGS * spacing_rad
    return joined, ranges_m, spacing_rad, closed


@njit(cache=True, nogil=True)
def convex_pieces(
    points_m: NDArray[np.float64], joined: NDArray[np.bool_], depth_m: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Cut a scan at its breaks, and then where its surface bends away from the lidar.

    A convex body never lies behind the chord between the first and the last point that a lidar sees
    of it. What does is several bodies that touch, so the piece is cut at the point farthest behind,
    as in the iterative end-point fit (Duda and Hart, 1973), until nothing is.

    Args:
        points_m: float64, shape ``(points, 2)``, counter-clockwise.
        joined: bool, shape ``(points,)``; the first point must not join the last.
        depth_m: How far behind its chord a piece may reach.

    Returns:
        int64, shape ``(pieces, 2)``: first point and the one after the last; bool, same shape:
        whether the piece begins, and ends, at such a bend.
    """
    n = points_m.shape[0]
    pieces = np.empty((n, 2), np.int64)
    bent = np.zeros((n, 2), np.bool_)
    waiting = np.empty(n, np.int64)
    count = 0
    start = 0
    while start < n:
        end = start + 1
        while end < n and joined[end]:
            end += 1
        # The left part of a cut is looked at again, the right part waits for its turn.
        first, last, starts_bent, waits = start, end, False, 0
        while first < end:
            cut = _farthest_behind(points_m, first, last, depth_m)
            if cut > 0:
                waiting[waits] = last
                waits += 1
                last = cut + 1
                continue
            pieces[count, 0], pieces[count, 1] = first, last
            bent[count, 0], bent[count, 1] = starts_bent, last < end
            count += 1
            first, starts_bent = last, True
            if waits > 0:
                waits -= 1
                last = waiting[waits]
        start = end
    return pieces[:count], bent[:count]


@njit(cache=True, nogil=True)
def _farthest_behind(points_m: NDArray[np.float64], first: int, last: int, depth_m: float) -> int:
    """Return the inner point farthest behind the chord of ``[first, last)``, 0 if none is."""
    ax, ay = points_m[first, 0], points_m[first, 1]
    ux, uy = points_m[last - 1, 0] - ax, points_m[last - 1, 1] - ay
    length_m = math.hypot(ux, uy)
    if length_m == 0.0:
        return 0
    farthest, cut = depth_m * length_m, 0
    for i in range(first + 1, last - 1):
        behind = uy * (points_m[i, 0] - ax) - ux * (points_m[i, 1] - ay)
        if behind > farthest:
            farthest, cut = behind, i
    return cut


@njit(cache=True, nogil=True)
def free_ends(
    pieces: NDArray[np.int64],
    bent: NDArray[np.bool_],
    rays: NDArray[np.int64],
    ray_count: int,
    ranges_m: NDArray[np.float64],
    closed: bool,
) -> NDArray[np.bool_]:
    """Tell which ends of the pieces are ends of the body, and not of what is seen of it.

    An end is one of the body where the next ray goes by behind it, or returns nothing. It is not
    where something nearer hides the rest, where another body touches, and at the edge of the field
    of view.

    Args:
        pieces: int64, shape ``(pieces, 2)``, as from :func:`convex_pieces`.
        bent: bool, the same shape.
        rays: int64, shape ``(points,)``, ascending but for one fall from the last to the first.
        ray_count: Number of rays of the scan, 0 if unknown.
        ranges_m: float64, shape ``(points,)``.
        closed: Whether the scan goes all the way around.

    Returns:
        bool, shape ``(pieces, 2)``: beginning and end.
    """
    n = ranges_m.shape[0]
    ends = np.zeros(pieces.shape, np.bool_)
    for k in range(pieces.shape[0]):
        for side in range(2):
            if bent[k, side]:
                continue
            own = pieces[k, 0] if side == 0 else pieces[k, 1] - 1
            other = (own - 1 if side == 0 else own + 1) % n
            ahead, behind = (own, other) if side == 0 else (other, own)
            is_farther = ranges_m[other] > ranges_m[own]
            if rays[ahead] > rays[behind]:
                ends[k, side] = is_farther or rays[ahead] > rays[behind] + 1
            elif side == 0:
                ends[k, side] = (closed and is_farther) or rays[own] > 0
            else:
                ends[k, side] = (closed and is_farther) or rays[own] + 1 < ray_count
    return ends


@njit(cache=True, nogil=True)
def algebraic_circle(points_m: NDArray[np.float64], circle: NDArray[np.float64]) -> None:
    """Fit a circle to an arc in closed form but for one root; needs no start.

    Taubin, "Estimation of planar curves, surfaces and nonplanar space curves defined by implicit
    equations", IEEE Transactions on Pattern Analysis and Machine Intelligence 13 (1991), in the
    form with Newton's iteration of Chernov, "Circular and linear regression" (2010), chapter 5.

    Args:
        points_m: float64, shape ``(points, 2)``, at least three.
        circle: float64, shape ``(3,)``, written: x, y, radius in m; the radius is infinite where
            the points lie on a line.
    """
    n = points_m.shape[0]
    mean_x, mean_y = 0.0, 0.0
    for i in range(n):
        mean_x += points_m[i, 0] / n
        mean_y += points_m[i, 1] / n
    xx, xy, yy, xz, yz, zz = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        x, y = points_m[i, 0] - mean_x, points_m[i, 1] - mean_y
        z = x * x + y * y
        xx += x * x / n
        xy += x * y / n
        yy += y * y / n
        xz += x * z / n
        yz += y * z / n
        zz += z * z / n
    z = xx + yy
    area = xx * yy - xy * xy
    a3 = 4.0 * z
    a2 = -3.0 * z * z - zz
    a1 = (zz - z * z) * z + 4.0 * area * z - xz * xz - yz * yz
    a0 = xz * (xz * yy - yz * xy) + yz * (yz * xx - xz * xy) - (zz - z * z) * area
    root = 0.0
    for _ in range(ROOT_STEPS):
        slope = a1 + root * (2.0 * a2 + root * 3.0 * a3)
        if slope == 0.0:
            break
        root -= (a0 + root * (a1 + root * (a2 + root * a3))) / slope
    scale = root * root - root * z + area
    if abs(scale) < 1e-12 * z * z or z == 0.0:
        circle[RADIUS] = np.inf
        return
    x = (xz * (yy - root) - yz * xy) / scale / 2.0
    y = (yz * (xx - root) - xz * xy) / scale / 2.0
    circle[CENTRE_X], circle[CENTRE_Y] = x + mean_x, y + mean_y
    circle[RADIUS] = math.sqrt(x * x + y * y + z)


@njit(cache=True, nogil=True)
def fit_circle(
    points_m: NDArray[np.float64],
    circle: NDArray[np.float64],
    radius_m: float,
    radius_sigma_m: float,
    range_sigma_m: float,
    covariance: NDArray[np.float64],
) -> float:
    """Fit a circle to an arc by its orthogonal distances, with prior knowledge of the radius.

    Gauss-Newton of Gander, Golub and Strebel, "Least-squares fitting of circles and ellipses", BIT
    34 (1994). An algebraic fit gives no covariance and cannot take the prior, which is what holds
    the fit together when the arc is short.

    Args:
        points_m: float64, shape ``(points, 2)``.
        circle: float64, shape ``(3,)``: where to start, as by :func:`algebraic_circle`, then the
            fit (x, y, radius in m).
        radius_m: Radius that is expected.
        radius_sigma_m: Standard deviation of that.
        range_sigma_m: Least standard deviation of a point across the arc.
        covariance: float64, shape ``(3, 3)``, written: that of the fit.

    Returns:
        Root mean square of the distances in m.
    """
    n = points_m.shape[0]
    variance = range_sigma_m * range_sigma_m
    prior = 1.0 / (radius_sigma_m * radius_sigma_m)
    squares = 0.0
    for step in range(CIRCLE_STEPS):
        a00, a01, a02, a11, a12 = 0.0, 0.0, 0.0, 0.0, 0.0
        b0, b1, b2 = 0.0, 0.0, 0.0
        squares = 0.0
        for i in range(n):
            dx, dy = points_m[i, 0] - circle[0], points_m[i, 1] - circle[1]
            distance_m = max(1e-9, math.sqrt(dx * dx + dy * dy))
            ux, uy = dx / distance_m, dy / distance_m
            miss_m = distance_m - circle[2]
            squares += miss_m * miss_m
            a00 += ux * ux
            a01 += ux * uy
            a02 += ux
            a11 += uy * uy
            a12 += uy
            b0 += ux * miss_m
            b1 += uy * miss_m
            b2 += miss_m
        # Noise as it shows, held to what is expected where few points tell of it.
        shown = (8.0 * range_sigma_m * range_sigma_m + squares) / (8.0 + max(0, n - 3))
        variance = max(range_sigma_m * range_sigma_m, shown)
        a22 = n + prior * variance
        b2 += prior * variance * (radius_m - circle[2])
        # A breath of damping: along a straight line the centre is free to leave.
        ridge = 1e-6 * n
        _inverse(a00 + ridge, a01, a02, a11 + ridge, a12, a22, covariance)
        if step < CIRCLE_STEPS - 1:
            for k in range(3):
                circle[k] += covariance[k, 0] * b0 + covariance[k, 1] * b1 + covariance[k, 2] * b2
            circle[2] = max(LEAST_RADIUS_M, circle[2])
    for j in range(3):
        for k in range(3):
            covariance[j, k] *= variance
    return math.sqrt(squares / n)


@njit(cache=True, nogil=True)
def _inverse(
    a: float, b: float, c: float, d: float, e: float, f: float, out: NDArray[np.float64]
) -> None:
    """Write the inverse of the symmetric matrix ((a, b, c), (b, d, e), (c, e, f))."""
    p, q, r = d * f - e * e, c * e - b * f, b * e - c * d
    scale = 1.0 / (a * p + b * q + c * r)
    out[0, 0], out[0, 1], out[0, 2] = p * scale, q * scale, r * scale
    out[1, 0], out[1, 1], out[1, 2] = q * scale, (a * f - c * c) * scale, (b * c - a * e) * scale
    out[2, 0], out[2, 1], out[2, 2] = r * scale, out[1, 2], (a * d - b * b) * scale


@njit(cache=True, nogil=True)
def fit_corner(points_m: NDArray[np.float64], box: NDArray[np.float64]) -> float:
    """Fit one or two faces of a box: the longer one, and how far the body reaches behind it.

    The corner is the point farthest in front of the chord, the faces run from it to both ends.

    Args:
        points_m: float64, shape ``(points, 2)``, counter-clockwise around the lidar.
        box: float64, shape ``(5,)``, written: middle of the longer face, its yaw (counter-clockwise
            around the lidar, so that the body lies to its right), its length, and depth behind it.

    Returns:
        Root mean square of the distances to the faces in m.
    """
    n = points_m.shape[0]
    ax, ay = points_m[0, 0], points_m[0, 1]
    ux, uy = points_m[n - 1, 0] - ax, points_m[n - 1, 1] - ay
    corner, farthest = 0, -np.inf
    for i in range(n):
        front = ux * (points_m[i, 1] - ay) - uy * (points_m[i, 0] - ax)
        if front > farthest:
            farthest, corner = front, i
    corner_x, corner_y = points_m[corner, 0], points_m[corner, 1]
    before_m = math.hypot(corner_x - ax, corner_y - ay)
    after_m = math.hypot(points_m[n - 1, 0] - corner_x, points_m[n - 1, 1] - corner_y)
    length_m = math.hypot(ux, uy)
    # A corner that hardly stands out is noise on one face.
    single = farthest <= 0.15 * length_m * length_m
    if single:
        first, last = 0, n - 1
    elif before_m >= after_m:
        first, last = 0, corner
    else:
        first, last = corner, n - 1
    yaw_rad = _yaw_of_line(points_m, first, last)
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    squares, offset = 0.0, 0.0
    least, most, deepest = np.inf, -np.inf, -np.inf
    for i in range(first, last + 1):
        offset += (-sin * points_m[i, 0] + cos * points_m[i, 1]) / (last - first + 1)
    for i in range(n):
        along = cos * points_m[i, 0] + sin * points_m[i, 1]
        behind = offset - (-sin * points_m[i, 0] + cos * points_m[i, 1])
        least, most, deepest = min(least, along), max(most, along), max(deepest, behind)
        miss_m = behind
        if i < first or i > last:
            miss_m = along - (cos * corner_x + sin * corner_y)
        squares += miss_m * miss_m
    middle = 0.5 * (least + most)
    box[FACE_X] = cos * middle - sin * offset
    box[FACE_Y] = sin * middle + cos * offset
    box[YAW], box[LENGTH], box[DEPTH] = yaw_rad, most - least, 0.0 if single else deepest
    return math.sqrt(squares / n)


@njit(cache=True, nogil=True)
def _yaw_of_line(points_m: NDArray[np.float64], first: int, last: int) -> float:
    """Return the direction of the line of total least squares through ``[first, last]``."""
    count = last - first + 1
    mean_x, mean_y = 0.0, 0.0
    for i in range(first, last + 1):
        mean_x += points_m[i, 0] / count
        mean_y += points_m[i, 1] / count
    xx, xy, yy = 0.0, 0.0, 0.0
    for i in range(first, last + 1):
        dx, dy = points_m[i, 0] - mean_x, points_m[i, 1] - mean_y
        xx += dx * dx
        xy += dx * dy
        yy += dy * dy
    yaw_rad = 0.5 * math.atan2(2.0 * xy, xx - yy)
    ux, uy = points_m[last, 0] - points_m[first, 0], points_m[last, 1] - points_m[first, 1]
    if ux * math.cos(yaw_rad) + uy * math.sin(yaw_rad) < 0.0:
        yaw_rad += math.pi
    return yaw_rad


@njit(cache=True, nogil=True)
def describe(
    points_m: NDArray[np.float64],
    ranges_m: NDArray[np.float64],
    origin_m: NDArray[np.float64],
    pieces: NDArray[np.int64],
    ends: NDArray[np.bool_],
    spacing_rad: float,
    range_sigma_m: float,
    bounds_m: tuple[float, float, float],
) -> tuple[
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.bool_],
]:
    """Describe each piece as a disc and as a box, and tell which it looks like.

    Args:
        points_m: float64, shape ``(points, 2)``.
        ranges_m: float64, shape ``(points,)``.
        origin_m: float64, shape ``(2,)``.
        pieces: int64, shape ``(pieces, 2)``.
        ends: bool, the same shape: which ends are ends of the body.
        spacing_rad: Angle between two rays.
        range_sigma_m: Least standard deviation of a range.
        bounds_m: How far to look, length of the longest body, largest radius of a disc.

    Returns:
        Of the ``k`` pieces that may be bodies: their numbers, int64, shape ``(k,)``; discs, shape
        ``(k, 3)``: centre and radius; boxes, shape ``(k, 5)``: see :func:`fit_corner`; covariances
        of x, y and half the length of the box, and of x, y and radius of the disc, shape
        ``(k, 2, 3, 3)``; whether it looks like the disc, shape ``(k,)``.
    """
    reach_m, longest_m, largest_m = bounds_m
    most = pieces.shape[0]
    kept = np.empty(most, np.int64)
    discs, boxes = np.empty((most, 3)), np.empty((most, 5))
    covariances, is_round = np.zeros((most, 2, 3, 3)), np.empty(most, np.bool_)
    count = 0
    for k in range(most):
        first, last = pieces[k, 0], pieces[k, 1]
        if last - first < LEAST_POINTS:
            continue
        chord_m = math.hypot(
            points_m[last - 1, 0] - points_m[first, 0], points_m[last - 1, 1] - points_m[first, 1]
        )
        nearest = first
        for i in range(first, last):
            if ranges_m[i] < ranges_m[nearest]:
                nearest = i
        if ranges_m[nearest] > reach_m or chord_m > longest_m:
            continue
        cloud = points_m[first:last]
        whole = ends[k, 0] and ends[k, 1]
        expected_m, sigma_m = GUESS_M, UNKNOWN_SIGMA_M
        if whole:
            sine = min(0.9, math.sin(0.5 * (_span_rad(cloud, origin_m) + spacing_rad)))
            expected_m = ranges_m[nearest] * sine / (1.0 - sine)
            sigma_m = FREE_ENDS_SIGMA_M + ranges_m[nearest] * spacing_rad
        middle = (first + last - 1) // 2
        algebraic_circle(cloud, discs[count])
        if not _is_behind(discs[count], points_m[middle], origin_m, largest_m):
            discs[count, RADIUS] = expected_m
            _guess(discs[count], points_m[middle], origin_m, sigma_m, covariances[count, DISC])
        arc_rms_m = fit_circle(
            cloud, discs[count], expected_m, sigma_m, range_sigma_m, covariances[count, DISC]
        )
        is_disc = _is_behind(discs[count], points_m[middle], origin_m, largest_m)
        if not is_disc:
            _guess(discs[count], points_m[middle], origin_m, sigma_m, covariances[count, DISC])
        box_rms_m = fit_corner(cloud, boxes[count])
        is_round[count] = chord_m < SPECK_M or (is_disc and arc_rms_m < box_rms_m)
        _widen(covariances[count, DISC], discs[count, RADIUS], arc_rms_m, range_sigma_m)
        if not whole:
            covariances[count, DISC] *= PART_DOUBT
        _spread_of_box(
            boxes[count], box_rms_m, whole, last - first,
            ranges_m[nearest] * spacing_rad, range_sigma_m, covariances[count, BOX],
        )  # fmt: skip
        kept[count] = k
        count += 1
    return kept[:count], discs[:count], boxes[:count], covariances[:count], is_round[:count]


@njit(cache=True, nogil=True)
def _guess(
    disc: NDArray[np.float64],
    point_m: NDArray[np.float64],
    origin_m: NDArray[np.float64],
    sigma_m: float,
    covariance: NDArray[np.float64],
) -> None:
    """Put a disc of its radius, of at most the guessed one, behind a point of its surface."""
    disc[RADIUS] = min(disc[RADIUS], GUESS_M)
    dx, dy = point_m[0] - origin_m[0], point_m[1] - origin_m[1]
    range_m = max(1e-6, math.hypot(dx, dy))
    ux, uy = dx / range_m, dy / range_m
    disc[CENTRE_X] = point_m[0] + disc[RADIUS] * ux
    disc[CENTRE_Y] = point_m[1] + disc[RADIUS] * uy
    for j in range(3):
        for k in range(3):
            # What is missing in the radius is missing on the way to the centre.
            along = (ux, uy, 1.0)
            covariance[j, k] = sigma_m * sigma_m * along[j] * along[k]
        covariance[j, j] += GUESS_SIGMA_M * GUESS_SIGMA_M


@njit(cache=True, nogil=True)
def _widen(
    covariance: NDArray[np.float64], radius_m: float, rms_m: float, range_sigma_m: float
) -> None:
    """Add to a circle's covariance what its first order does not tell.

    Noise across a small circle pulls its centre, and what misses the points by more than noise is
    no circle, or two.
    """
    pull_m = NOISE_PULL * rms_m * rms_m / radius_m
    misfit_m = MISFIT_PULL * max(0.0, rms_m - 2.0 * range_sigma_m)
    for k in range(3):
        covariance[k, k] += pull_m * pull_m + misfit_m * misfit_m


@njit(cache=True, nogil=True)
def _is_behind(
    disc: NDArray[np.float64],
    point_m: NDArray[np.float64],
    origin_m: NDArray[np.float64],
    largest_m: float,
) -> bool:
    """Return whether a fit is a disc whose near side is seen, and not a hollow or a line."""
    ahead = (disc[CENTRE_X] - point_m[0]) * (point_m[0] - origin_m[0]) + (
        disc[CENTRE_Y] - point_m[1]
    ) * (point_m[1] - origin_m[1])
    return bool(ahead > 0.0 and disc[RADIUS] <= largest_m)


@njit(cache=True, nogil=True)
def _span_rad(points_m: NDArray[np.float64], origin_m: NDArray[np.float64]) -> float:
    """Return the angle under which the lidar sees a piece."""
    ax, ay = points_m[0, 0] - origin_m[0], points_m[0, 1] - origin_m[1]
    bx, by = points_m[-1, 0] - origin_m[0], points_m[-1, 1] - origin_m[1]
    return math.atan2(ax * by - ay * bx, ax * bx + ay * by) % math.tau


@njit(cache=True, nogil=True)
def _spread_of_box(
    box: NDArray[np.float64],
    rms_m: float,
    whole: bool,
    count: int,
    step_m: float,
    range_sigma_m: float,
    covariance: NDArray[np.float64],
) -> None:
    """Write how well the middle of a face is known: along it only if both ends are seen."""
    across_m = max(range_sigma_m, rms_m) / math.sqrt(count)
    along_m = range_sigma_m + step_m if whole else 0.5 * box[LENGTH] + 0.1
    cos, sin = math.cos(box[YAW]), math.sin(box[YAW])
    covariance[0, 0] = (along_m * cos) ** 2 + (across_m * sin) ** 2
    covariance[1, 1] = (along_m * sin) ** 2 + (across_m * cos) ** 2
    covariance[0, 1] = (along_m**2 - across_m**2) * cos * sin
    covariance[1, 0] = covariance[0, 1]
    covariance[2, 2] = along_m**2
