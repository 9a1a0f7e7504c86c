import importlib
import pkgutil

import numpy as np
from numba.core.registry import CPUDispatcher

import agent.kernels
from agent.avoidance.motion import MotionLimits
from agent.avoidance.navigator import Navigator
from agent.avoidance.rehearsal import rehearse
from agent.avoidance.surroundings import LidarMount
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist
from agent.kernels.warmup import warm_up
from agent.localization.localizer import Localizer
from agent.localization.params import LocalizationParams
from agent.localization.place import Place
from agent.route.path import Goal
from drivers.measurement import Odometry
from tests.reference.hall import ROUTE, Run, drive, hall_grid


def kernels() -> dict[str, CPUDispatcher]:
    found = {}
    for info in pkgutil.iter_modules(agent.kernels.__path__):
        module = importlib.import_module(f"agent.kernels.{info.name}")
        found |= {
            f"{info.name}.{name}": value
            for name, value in vars(module).items()
            if isinstance(value, CPUDispatcher)
            and value.__module__ == module.__name__
            # A private kernel is compiled with the one that calls it.
            and not name.startswith("_")
        }
    return found


def test_every_kernel_of_localization_is_warmed_up() -> None:
    warmed = {name.partition(".")[0] for name in warm_up()}
    assert sorted(warm_up()) == sorted(n for n in kernels() if n.partition(".")[0] in warmed)


def test_avoidance_compiles_nothing_after_the_rehearsal() -> None:
    list(warm_up())
    list(rehearse())
    before = {name: len(kernel.signatures) for name, kernel in kernels().items()}
    lidars = {name: LidarMount(Pose2(x_m, 0.0, 0.0)) for name, x_m in (("a", 0.2), ("b", -0.2))}
    navigator = Navigator(MotionLimits(), rectangle(0.6, 0.4), lidars)
    scans = [m for m in Run(drive(ROUTE)[:120]) if not isinstance(m, Odometry)]
    for scan in scans:
        for array in (scan.angles_rad, scan.ranges_m, scan.offsets_s, scan.quality):
            array.setflags(write=False)  # as drivers give them
        pair = {"a": scan, "b": scan}
        navigator.step(
            pair, Pose2.identity(), Twist(0.1), np.empty((0, 2)), Goal(5.0, 1.0), scan.stamp_ns
        )
        navigator.govern(Twist(1.0), Twist(), 0.02, scan.stamp_ns)
    after = {name: len(kernel.signatures) for name, kernel in kernels().items()}
    assert after == before


def test_localization_compiles_nothing_after_the_warm_up() -> None:
    list(warm_up())
    before = {name: len(kernel.signatures) for name, kernel in kernels().items()}
    run = Run(drive(ROUTE)[:120])
    params = LocalizationParams()
    place = Place.prepare(hall_grid(), params.map)
    start = Pose2(*map(float, run.poses[0]))
    lost = Localizer(place, params, {"lidar": run.base_from_lidar}, None)
    told = Localizer(place, params, {"lidar": run.base_from_lidar}, start)
    for localizer in (lost, told):
        for measurement in run:
            if isinstance(measurement, Odometry):
                localizer.add_odometry(measurement)
                localizer.advance()
            else:
                localizer.add_scan("lidar", measurement)
        assert localizer.counters.scans_used > 0
    assert lost.counters.searches > 0
    assert {name: len(kernel.signatures) for name, kernel in kernels().items()} == before
