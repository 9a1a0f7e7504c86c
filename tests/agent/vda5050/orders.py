"""Builds orders and situations for the tests of this directory."""

import json
from typing import Any

import numpy as np

from agent.geometry.pose import Pose2
from agent.localization.estimate import PoseEstimate
from agent.mapping.occupancy_grid import FREE, OccupancyGrid
from agent.vda5050.identity import Identity
from agent.vda5050.messages import Map, MapStatus
from agent.vda5050.situation import Situation

IDENTITY = Identity("acme", "R1")
MAP = "hall"
CELLAR = "cellar"
# 6 km by 6 km around the origin; what is on them is of no interest to an order.
MAPS = {
    name: OccupancyGrid(np.full((60, 60), FREE, np.int8), 100.0, Pose2(-3000.0, -3000.0, 0.0))
    for name in (MAP, CELLAR)
}


def situation(
    x_m: float = 0.0,
    y_m: float = 0.0,
    yaw_rad: float = 0.0,
    *,
    now_ns: int = 1_000_000_000,
    localized: bool = True,
    **changes: Any,
) -> Situation:
    covariance = np.diag([1e-4, 1e-4, 1e-5])
    covariance.setflags(write=False)
    estimate = PoseEstimate(now_ns, Pose2(x_m, y_m, yaw_rad), covariance, 0.9, localized)
    values: dict[str, Any] = {
        "now_ns": now_ns,
        "utc_ns": 1_767_225_600_000_000_000 + now_ns,
        "estimate": estimate,
        "map_id": MAP,
        "forward_mps": 0.0,
        "yaw_rate_radps": 0.0,
        "battery_v": 25.5,
        "battery_charge": 0.7,
        "e_stop": False,
        "field_violation": False,
        "driving": False,
        "maps": tuple(
            Map(map_id=name, map_version="1", map_status=MapStatus.ENABLED) for name in MAPS
        ),
    }
    return Situation(**values | changes)


def order(
    released: int,
    total: int | None = None,
    *,
    order_id: str = "A",
    update_id: int = 0,
    start: int = 0,
    spacing_m: float = 2.0,
) -> dict[str, Any]:
    """A straight order along x; nodes count from ``start``, ``released`` of them are base."""
    total = released if total is None else total
    numbers = range(start, start + total)
    base = start + released
    return {
        "headerId": 7,
        "timestamp": "2026-01-01T00:00:00.00Z",
        "version": "2.1.0",
        "manufacturer": "acme",
        "serialNumber": "R1",
        "orderId": order_id,
        "orderUpdateId": update_id,
        "nodes": [
            {
                "nodeId": f"n{i}",
                "sequenceId": 2 * i,
                "released": i < base,
                "nodePosition": {"x": spacing_m * i, "y": 0.0, "mapId": MAP},
                "actions": [],
            }
            for i in numbers
        ],
        "edges": [
            {
                "edgeId": f"n{i}->n{i + 1}",
                "sequenceId": 2 * i + 1,
                "released": i + 1 < base,
                "startNodeId": f"n{i}",
                "endNodeId": f"n{i + 1}",
                "actions": [],
            }
            for i in list(numbers)[:-1]
        ],
    }


def encode(tree: dict[str, Any]) -> bytes:
    return json.dumps(tree).encode()
