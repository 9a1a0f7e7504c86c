"""Compile every kernel of the agent before the first scan needs it."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from agent.kernels import clearance, distance, registration, search, visibility


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

    pose, information = np.zeros(3), np.eye(3)
    distance_m = _frozen(np.zeros((3, 3), np.float32))
    yield registration.interpolate, (distance_m, 1.0, 1.0)
    yield (
        registration.normal_equations,
        (pose, points_m, distance_m, 0.05, 0.1, np.empty((3, 3)), np.empty(3)),
    )
    yield registration.solve, (information, pose, np.empty(3))
    descent = (0.05, 400.0, np.full(3, 0.1), pose, information, 4.0, np.empty((3, 3)))
    yield registration.register, (pose.copy(), points_m, distance_m, *descent)
    pyramid, cells = _frozen(np.zeros((2, 3, 3), np.uint8)), np.zeros((1, 2, 2), np.int32)
    peaks_at = (np.empty((2, 3)), np.empty(2))
    yield (
        registration.correlate,
        (
            pose,
            (1, 1, 1),
            (1, 0.1),
            points_m,
            pyramid[0],
            1,
            0.05,
            0.1,
            information,
            4.0,
            *peaks_at,
        ),
    )
    yield visibility.first_surface_m, (distance_m, 0.05, 0.1, 0.1, 1.0, 0.0, 1.0)
    witnesses = (0.2, 0.1, (-2.3, -1.5, -6.0), np.empty(4))
    yield visibility.witness, (pose, points_m, distance_m, 0.05, *witnesses)

    yield visibility.owed_share, (pose, np.zeros((1, 3)), distance_m, 0.05, 8.0)

    bounds, order = np.zeros(1, np.int32), np.zeros(1, np.int32)
    squares = np.zeros((1, 2), np.int32)
    yield search.pool_maximum, (pyramid[0].copy(), 1, np.empty((3, 3), np.uint8))
    yield search.rotate_to_cells, (points_m, np.zeros(1), 0.05, cells)
    yield search.bound, (pyramid[0], 1, cells[0], 0, 0)
    yield search.bound_roots, (pyramid[0], 1, cells, squares, 0, 1, bounds)
    yield search.sort_descending, (bounds, 510, order)
    free, steps = _frozen(np.ones(2, np.bool_)), _frozen(np.array([0, 1]))
    limits = ((1, 1), (1, 1, 4), 0.5, 0, 1)
    memory = (np.zeros((8, 5), np.int32), np.zeros((2, 4), np.int32), np.zeros(5, np.int64))
    map_of_room = (free, steps, steps)
    yield (
        search.descend,
        (pyramid, 1, cells, squares, bounds, order, *map_of_room, *limits, *memory),
    )


def _frozen(array: Any) -> Any:
    copy = array.copy()
    copy.setflags(write=False)
    return copy
