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
from agent.mapping.occupancy_grid import OccupancyGrid
from agent.route import rehearsal as routes
from agent.route.course import Course
from agent.route.follower import FollowerParams
from agent.route.path import Corridor, Goal, Waypoint
from agent.route.route_map import RouteMap
from agent.route.route_search import Mobility, RouteSearch, RouteSearchParams
from agent.route.wayfinder import Wayfinder
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


def test_driving_on_routes_compiles_nothing_after_the_rehearsal() -> None:
    list(warm_up())
    list(rehearse())
    list(routes.rehearse())
    before = {name: len(kernel.signatures) for name, kernel in kernels().items()}
    rng = np.random.default_rng(0)
    cells = np.where(rng.random((160, 160)) < 0.004, 100, 0).astype(np.int8)
    grid = OccupancyGrid(cells, 0.05, Pose2(1.0, 2.0, 0.5))
    search = RouteSearch(RouteSearchParams(), rectangle(0.9, 0.6), Mobility())
    course = Course(FollowerParams(), Wayfinder(search, {"a": RouteMap.prepare(grid)}, "a"))
    seen = rng.uniform(-3.0, 3.0, (20, 2))
    for k in range(12):
        places = [grid.map_from_grid.transform(*rng.uniform(1.0, 7.0, 2)) for _ in range(2)]
        pose = Pose2(*places[0], float(rng.uniform(-3, 3)))
        corridor = Corridor(1.0, 1.0) if k % 3 == 0 else None
        waypoint = Waypoint(k, *places[1], 1.0 if k % 2 else None, 0.3, 0.1, None, corridor)
        course.reset()
        while course.step(pose, [waypoint]) is None and course.searching:
            pass
        course.search(pose, seen)
        while course.step(pose, [waypoint]) is None and course.searching:
            pass
    assert {name: len(kernel.signatures) for name, kernel in kernels().items()} == before
