import importlib
import pkgutil

import numpy as np
from numba.core.registry import CPUDispatcher

import agent.kernels
from agent.geometry.pose import Pose2
from agent.kernels.warmup import warm_up
from agent.localization.localizer import LocalizationParams, Localizer
from drivers.measurement import Odometry
from tests.reference.hall import ROUTE, Run, drive, hall_grid


def kernels() -> dict[str, CPUDispatcher]:
    found = {}
    for info in pkgutil.iter_modules(agent.kernels.__path__):
        module = importlib.import_module(f"agent.kernels.{info.name}")
        found |= {
            f"{info.name}.{name}": value
            for name, value in vars(module).items()
            if isinstance(value, CPUDispatcher) and value.__module__ == module.__name__
        }
    return found


def test_every_kernel_is_warmed_up() -> None:
    assert sorted(warm_up()) == sorted(kernels())


def test_localization_compiles_nothing_after_the_warm_up() -> None:
    list(warm_up())
    before = {name: len(kernel.signatures) for name, kernel in kernels().items()}
    run = Run(drive(ROUTE)[:80])
    start = Pose2(*map(float, run.poses[0]))
    rng = np.random.default_rng(0)
    localizer = Localizer(hall_grid(), LocalizationParams(), run.base_from_lidar, start, rng)
    for measurement in run:
        if isinstance(measurement, Odometry):
            localizer.add_odometry(measurement)
        else:
            localizer.add_scan(measurement)
    assert localizer.counters.updates > 0
    assert {name: len(kernel.signatures) for name, kernel in kernels().items()} == before
