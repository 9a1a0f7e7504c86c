import importlib
import pkgutil

import numpy as np
from numba.core.registry import CPUDispatcher

import agent.kernels
from agent.docking import rehearsal
from agent.docking.carrier import Carrier, Plate
from agent.docking.detection import CarrierDetector
from agent.geometry.pose import Pose2
from tests.agent.docking.test_carrier import (
    REFLECTORS,
    TROLLEY,
    WIDE,
    is_there,
    obstacles_of,
    returns_of,
)


def signatures() -> dict[str, int]:
    found = {}
    for info in pkgutil.iter_modules(agent.kernels.__path__):
        module = importlib.import_module(f"agent.kernels.{info.name}")
        for name, value in vars(module).items():
            if isinstance(value, CPUDispatcher):
                found[f"{info.name}.{name}"] = len(value.signatures)
    return found


def test_finding_carriers_compiles_nothing_after_the_rehearsal() -> None:
    assert list(rehearsal.rehearse()) == ["docking"]
    before = signatures()
    assert before["marks.surface_residuals"] > 0
    assert before["marks.bearing_residuals"] > 0
    truth = Pose2(1.8, 0.1, 0.1)
    station = Carrier(plates=(Plate(x_m=0.0, y_m=0.0, length_m=0.6),))
    found = []
    for carrier in (TROLLEY, REFLECTORS, station):
        scan = returns_of(obstacles_of(carrier, truth), 1, bright="plate")
        for frozen in (False, True):
            for array in (scan.points_m, scan.quality, scan.rays):
                array.setflags(write=not frozen)
            found.append(CarrierDetector(carrier).detect(scan, WIDE))
    assert is_there(found[0], truth)
    assert signatures() == before


def test_the_rehearsed_carriers_are_found() -> None:
    """Else the rehearsal would stop before the kernels that refine what was found."""
    carrier = Carrier(plates=(Plate(x_m=0.0, y_m=0.0, length_m=rehearsal.FACE_M),))
    bearings = np.arange(rehearsal.RAYS) * (2.0 * np.pi / rehearsal.RAYS) - np.pi
    ranges_m = rehearsal._face_m()
    points_m = np.column_stack((ranges_m * np.cos(bearings), ranges_m * np.sin(bearings)))
    quality = np.full(rehearsal.RAYS, 60, np.uint8)
    rays = np.arange(rehearsal.RAYS)
    returns = rehearsal.Returns(points_m, quality, rays, rehearsal.RAYS)
    sighting = CarrierDetector(carrier).detect(returns, WIDE)
    assert is_there(sighting, rehearsal.AHEAD)
