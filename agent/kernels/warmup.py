"""Compile every kernel of the agent before the first scan needs it."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from agent.kernels import clearance, distance, likelihood, motion, resampling


def warm_up() -> Iterator[str]:
    """Compile one kernel after the other, or load it from the cache, with the product's dtypes.

    Yields:
        The name of each kernel once it is ready, such as ``motion.propagate``.
    """
    for kernel, arguments in _calls():
        kernel(*arguments)
        module = kernel.__module__.rpartition(".")[2]
        yield f"{module}.{kernel.__name__}"


def _calls() -> Iterator[tuple[Callable[..., Any], tuple[Any, ...]]]:
    points_m = np.ones((2, 2))
    outline = _frozen(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    rays = _frozen(np.ones(3, np.float32))
    yield clearance.scan_points_m, (rays, rays, 0.0, 0.0, 0.0)
    yield clearance.signed_distance_m, (2.0, 2.0, outline)
    yield clearance.free_time_s, (points_m, outline, 0.1, 1.0, 0.0, 1.0, 0.05)

    occupied = np.eye(3, dtype=np.bool_)
    samples, envelope = np.zeros(3), np.empty(3)
    yield distance.lower_envelope, (samples, np.empty(3, np.int64), np.empty(4), envelope)
    yield distance.distance_transform, (occupied, 10.0)

    poses, pose, weights = np.zeros((2, 3)), np.zeros(3), np.full(2, 0.5)
    log_field = np.zeros((3, 3), np.float32)
    distance_m = _frozen(log_field)
    yield (
        likelihood.log_weights,
        (poses, points_m, log_field, -1.0, 0.05, 0.3, np.zeros(2)),
    )
    yield likelihood.interpolate, (distance_m, 1.0, 1.0)
    yield (
        likelihood.normal_equations,
        (pose, points_m, distance_m, 0.05, 0.1, np.empty((3, 3)), np.empty(3)),
    )
    yield likelihood.inlier_share, (pose, points_m, distance_m, 0.05, 0.1)
    generator = np.random.default_rng(0)
    yield motion.propagate, (poses, 0.0, 0.1, 0.0, (0.1, 0.1, 0.1), generator)
    yield resampling.low_variance, (poses, weights, 0.5, np.empty((2, 3)))


def _frozen(array: Any) -> Any:
    copy = array.copy()
    copy.setflags(write=False)
    return copy
