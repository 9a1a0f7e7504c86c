"""From the nodes and edges of an order to the waypoints that the robot drives to."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from agent.geometry.angle import difference
from agent.route.nurbs import CurveInvalid, Nurbs
from agent.route.path import Corridor, Ellipse, Waypoint
from agent.vda5050.corridor_release import CorridorRelease, needs_release
from agent.vda5050.messages import (
    CorridorRefPoint,
    Edge,
    Node,
    NodePosition,
    OrientationType,
    Trajectory,
)

# Fields that every edge has, and those that no robot minds; most edges have no others.
PLAIN = frozenset(
    ("edge_id", "sequence_id", "released", "start_node_id", "end_node_id", "actions")
) | {"edge_description", "length", "rotation_allowed"}


class UnusableField(NamedTuple):
    """A field of an edge that this robot cannot obey, and why."""

    field: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPath:
    """What a node and the edge to it ask of a robot that drives forwards and turns on the spot.

    Attributes:
        deviation_m: How far beside a node counts as reached where the order does not say.
        deviation_rad: The same for a node's heading.
        height_m: Height of the robot, compared with an edge's ``maxHeight``.
        width_m: Width of the robot, which must fit into an edge's ``corridor``.
    """

    deviation_m: float
    deviation_rad: float
    height_m: float
    width_m: float

    def waypoint(
        self,
        node: Node,
        position: NodePosition,
        way: Edge | None,
        release: CorridorRelease | None = None,
    ) -> Waypoint:
        """Return what a node and the edge to it ask for (section 6.6.6; 3.0, section 7.3).

        Args:
            node: Where to go.
            position: Where that is.
            way: Edge to it, None where the robot is to stand there already.
            release: Says which corridors may be used, None for none that has to be asked for.
        """
        ellipse = position.allowed_deviation_ellipse
        if ellipse is not None and min(ellipse.a, ellipse.b) > 0.0:
            deviation = Ellipse(ellipse.a, ellipse.b, ellipse.theta)
        else:
            deviation = None
        return Waypoint(
            sequence_id=node.sequence_id,
            x_m=position.x,
            y_m=position.y,
            yaw_rad=position.theta,
            # A deviation of 0 means the maker's normal tolerance.
            tolerance_m=position.allowed_deviation_xy or self.deviation_m,
            tolerance_rad=position.allowed_deviation_theta or self.deviation_rad,
            max_speed_mps=way.max_speed if way else None,
            corridor=self._corridor(way, release) if way else None,
            ellipse=deviation,
            max_yaw_rate_radps=way.max_rotation_speed if way else None,
            curve=_curve(way.trajectory) if way and way.trajectory else None,
        )

    def unusable_fields(
        self, edge: Edge, start: NodePosition | None, end: NodePosition | None
    ) -> Iterator[UnusableField]:
        """Yield the fields of an edge that this robot cannot obey (section 6.6.4.2).

        It drives forwards, turns where the path bends, and has no load handling device.

        Args:
            edge: The edge.
            start: Where the node is that it begins at, None where nobody said.
            end: Where it leads to.
        """
        if edge.model_fields_set <= PLAIN:
            return
        checks = (
            ("corridor", self._is_too_narrow(edge), "the robot is wider"),
            ("direction", edge.direction is not None, "there are no lines to follow"),
            ("orientation", not self._can_face(edge, start, end), "it drives forwards"),
            ("maxRotationSpeed", _is_none_left(edge.max_rotation_speed), "it could not turn"),
            ("maxSpeed", _is_none_left(edge.max_speed), "it could not drive"),
            (
                "maxHeight",
                edge.max_height is not None and edge.max_height < self.height_m,
                f"the robot is {self.height_m:.2f} m high",
            ),
            (
                "minHeight",
                edge.min_height is not None and edge.min_height > 0.0,
                "nothing can be lifted",
            ),
        )
        yield from (UnusableField(field, why) for field, unusable, why in checks if unusable)
        if edge.trajectory is not None and (why := self._misfit(edge.trajectory, start, end)):
            yield UnusableField("trajectory", why)

    def _misfit(
        self, trajectory: Trajectory, start: NodePosition | None, end: NodePosition | None
    ) -> str | None:
        """Return why a trajectory does not lead from node to node (section 6.6.6)."""
        try:
            ends_m = _curve(trajectory).ends_m
        except CurveInvalid as error:
            return str(error)
        for position, (x_m, y_m), name in zip((start, end), ends_m, ("begin", "end"), strict=True):
            if position is None:
                continue
            gap_m = math.hypot(x_m - position.x, y_m - position.y)
            if gap_m > (position.allowed_deviation_xy or self.deviation_m):
                return f"it does not {name} at the node, but {gap_m:.2f} m beside it"
        return None

    def _can_face(self, edge: Edge, start: NodePosition | None, end: NodePosition | None) -> bool:
        """Whether the heading asked for is that of a robot that drives forwards on the edge."""
        if edge.orientation is None:
            return True
        facing_rad = 0.0
        if edge.orientation_type is OrientationType.GLOBAL:
            if start is None or end is None:
                return False
            if edge.trajectory is not None:
                return False
            facing_rad = math.atan2(end.y - start.y, end.x - start.x)
        return abs(difference(edge.orientation, facing_rad)) <= self.deviation_rad

    def with_corridor(
        self, waypoint: Waypoint, way: Edge | None, release: CorridorRelease
    ) -> Waypoint:
        """Return a waypoint with the corridor that may be used now, itself where it has it."""
        corridor = self._corridor(way, release) if way else None
        return waypoint if corridor == waypoint.corridor else replace(waypoint, corridor=corridor)

    def _corridor(self, edge: Edge, release: CorridorRelease | None) -> Corridor | None:
        """Return where the robot's origin may go, by what must stay inside (section 6.6.5)."""
        asked = edge.corridor
        is_open = not needs_release(edge) or (release is not None and release.is_open(edge))
        if asked is None or not is_open:
            return None
        contour = asked.corridor_ref_point is CorridorRefPoint.CONTOUR
        inset_m = self.width_m / 2 if contour else 0.0
        return Corridor(max(0.0, asked.left_width - inset_m), max(0.0, asked.right_width - inset_m))

    def _is_too_narrow(self, edge: Edge) -> bool:
        """Whether the robot's contour does not fit into the corridor even on the line itself."""
        asked = edge.corridor
        if asked is None or asked.corridor_ref_point is not CorridorRefPoint.CONTOUR:
            return False
        return min(asked.left_width, asked.right_width) < self.width_m / 2


def _curve(trajectory: Trajectory) -> Nurbs:
    control = trajectory.control_points
    return Nurbs(
        trajectory.degree,
        np.array(trajectory.knot_vector, dtype=np.float64),
        np.array([(point.x, point.y) for point in control], dtype=np.float64).reshape(-1, 2),
        np.array([point.weight for point in control], dtype=np.float64),
    )


def _is_none_left(limit: float | None) -> bool:
    return limit is not None and limit <= 0.0
