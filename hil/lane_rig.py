"""The whole robot in real time on the hall's longest lane, at a mosquitto: where masters are tried.

Daemon, plant and broker are processes of their own, as in :mod:`hil.pty_rig`; what the daemon's
configuration adds to the demo's comes by its environment.
"""

import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

from agent.clock import Clock
from agent.vda5050.identity import Identity
from hil.bench_process import BenchSpec
from hil.broker import LOOPBACK
from hil.hall import Hall, build_hall
from hil.master_control import Station
from hil.mosquitto import Mosquitto
from hil.pty_rig import PtyRig
from hil.scenario import NODE_DEVIATION_M, ROBOT, START, Scenario

FROM: Final = "kitting"
LANE_M: Final = 45.0
"""Straight and free, along x from where the robot stands at first."""


def lane_stations(
    hall: Hall, count: int, spacing_m: float, *, max_speed_mps: float | None = None
) -> tuple[Station, ...]:
    """Return nodes along the lane, the first where the robot stands at first."""
    start = hall.stations[FROM]
    return tuple(
        Station(
            start.x_m + i * spacing_m,
            start.y_m,
            node_id=f"n{i}",
            deviation_m=NODE_DEVIATION_M,
            max_speed_mps=max_speed_mps,
        )
        for i in range(count)
    )


class LaneRig:
    """A robot that stands at the beginning of the lane; a context manager.

    Args:
        directory: For everything that the processes write.
        clock: Real time.
        version: Of VDA 5050, as the daemon speaks it.
        environment: What else its configuration is to have, as ``HAULIER_SECTION__KEY``.
        seed: Of hall, slip and noise.
        knows_start: Its configuration says where it stands at first; without that it searches.

    Attributes:
        hall: Where it drives.
        identity: Who it is.
        pty: Bench and daemon.
        port: Of the broker.
    """

    pty: PtyRig
    port: int

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        version: str = "2.1.0",
        environment: Mapping[str, str] = MappingProxyType({}),
        seed: int = 1,
        knows_start: bool = True,
    ) -> None:
        self.hall = build_hall(seed)
        self.identity = Identity("haulier", "demo-01", version=version)
        self._directory = directory.resolve()
        self._clock = clock
        self._environment = {"HAULIER_VDA5050__VERSION": version} | dict(environment)
        self._seed = seed
        self._knows_start = knows_start
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            directory = self._directory
            directory.mkdir(parents=True, exist_ok=True)
            broker = stack.enter_context(Mosquitto(directory, self._clock, persistent=False))
            broker.start()
            self.port = broker.port
            at_start = replace(
                self.hall, stations=self.hall.stations | {START: self.hall.stations[FROM]}
            )
            scenario = Scenario(at_start, self._seed, (), ())
            config = scenario.write_config(directory, broker_host=LOOPBACK, broker_port=self.port)
            if not self._knows_start:
                text = config.read_text(encoding="utf-8")
                config.write_text(re.sub(r"\[start\]\npose = .*\n", "", text), encoding="utf-8")
            spec = BenchSpec(
                directory=directory,
                seed=self._seed,
                map=directory / "hall.yaml",
                start=scenario.start,
                robot=ROBOT,
                lidars=scenario.lidars,
            )
            rig = PtyRig(spec, config, self._clock, self._environment)
            self.pty = stack.enter_context(rig)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
