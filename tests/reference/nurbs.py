"""A rational B-spline straight from its definition (Piegl and Tiller, eq. 2.5 and 4.1)."""

from collections.abc import Sequence


def basis(i: int, degree: int, u: float, knots: Sequence[float], last: float) -> float:
    """N of Cox and de Boor; the last span is closed, so that the curve has an end."""
    if degree == 0:
        inside = knots[i] <= u < knots[i + 1]
        return float(inside or (u == last and knots[i] < knots[i + 1] == last))
    value = 0.0
    if (width := knots[i + degree] - knots[i]) > 0:
        value += (u - knots[i]) / width * basis(i, degree - 1, u, knots, last)
    if (width := knots[i + degree + 1] - knots[i + 1]) > 0:
        value += (knots[i + degree + 1] - u) / width * basis(i + 1, degree - 1, u, knots, last)
    return value


def point(
    degree: int,
    knots: Sequence[float],
    control: Sequence[tuple[float, float]],
    weights: Sequence[float],
    u: float,
) -> tuple[float, float]:
    """C(u) = sum N w P / sum N w."""
    last = knots[len(control)]
    shares = [basis(i, degree, u, knots, last) * w for i, w in enumerate(weights)]
    total = sum(shares)
    return (
        sum(s * x for s, (x, _) in zip(shares, control, strict=True)) / total,
        sum(s * y for s, (_, y) in zip(shares, control, strict=True)) / total,
    )
