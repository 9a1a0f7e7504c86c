import importlib
import pkgutil

from numba.core.registry import CPUDispatcher

import agent.kernels
from agent.geometry.pose import Pose2
from agent.kernels.warmup import warm_up
from agent.localization.localizer import Localizer
from agent.localization.params import LocalizationParams
from agent.localization.place import Place
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


def test_every_kernel_is_warmed_up() -> None:
    assert sorted(warm_up()) == sorted(kernels())


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
