"""An order that is longer than what is released of it: 200 nodes, five more with every update.

On the lock-step rig, round the hall's outer lanes. A robot that rolls through released nodes, as it
must (VDA 5050 2.1, section 6.6.2), keeps to the edges' limit on the straight; one that loses a
stitch, or asks for its base too late, does not.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

from agent.mailbox import Outbox
from agent.main import PERIOD_NS
from agent.telemetry.publication import Message
from hil.hall import build_hall
from hil.lockstep_rig import READY_NS, LockstepRig
from hil.master_control import Station
from hil.scenario import MAP_ID, NODE_DEVIATION_M, START, Scenario

LIMIT_MPS: Final = 1.0
WINDOW: Final = 10  # nodes ahead of the robot that the master releases at least
CORNER_M: Final = 3.0  # from a corner or an end, within which the robot may drive slower
LEAST_SHARE: Final = 0.8
FAST_SHARE: Final = 0.9
STANDING_MPS: Final = 0.05
TIME_LIMIT_S: Final = 600.0

# Corners of the way through the outer lanes; it begins and ends on the main one.
_LOOP_M: Final = ((14.6, 26.8), (62.1, 26.8), (62.1, 41.6), (2.5, 41.6), (2.5, 26.8), (12.0, 26.8))


@dataclass(frozen=True, slots=True)
class StreamResult:
    """What came of a streamed order.

    Attributes:
        nodes: How many it had.
        piece: How many were released with an update.
        length_m: Of the way.
        drive_s: From the order to its end, simulated.
        finished: The master saw it finished.
        updates: How many the robot took.
        refused: Orders and updates that it did not take.
        nodes_in_order: All nodes were reached, one after the other.
        stops: How often it stood on the straight.
        least_share: Lowest true speed on the straight, as a share of the limit of the edge, where
            nothing that the lidars saw slowed it.
        mean_share: Mean of the same, whatever slowed it.
        hindered_s: How long it was slower than that for something that the lidars saw.
    """

    nodes: int
    piece: int
    length_m: float
    drive_s: float
    finished: bool
    updates: int
    refused: int
    nodes_in_order: bool
    stops: int
    least_share: float
    mean_share: float
    hindered_s: float

    @property
    def passed(self) -> bool:
        """Whether no stitch was lost and the robot never got slower than 80 % of the limit."""
        is_whole = self.finished and self.nodes_in_order and not self.refused and not self.stops
        return is_whole and self.updates == self.updates_sent and self.least_share >= LEAST_SHARE

    @property
    def updates_sent(self) -> int:
        """How many updates it takes to release all nodes."""
        return math.ceil((self.nodes - 1 - WINDOW) / self.piece)


def loop_stations(nodes: int) -> tuple[Station, ...]:
    """Return nodes at equal distances along the loop, its corners among them or near by."""
    lengths_m = [math.dist(*leg) for leg in pairwise(_LOOP_M)]
    spacing_m = sum(lengths_m) / (nodes - 1)
    stations, leg, along_m = [], 0, 0.0
    for number in range(nodes):
        while leg < len(lengths_m) - 1 and along_m > lengths_m[leg] + 1e-9:
            along_m -= lengths_m[leg]
            leg += 1
        share = min(along_m / lengths_m[leg], 1.0)
        (x0_m, y0_m), (x1_m, y1_m) = _LOOP_M[leg], _LOOP_M[leg + 1]
        stations.append(
            Station(
                x0_m + share * (x1_m - x0_m),
                y0_m + share * (y1_m - y0_m),
                node_id=f"n{number}",
                deviation_m=NODE_DEVIATION_M,
                max_speed_mps=LIMIT_MPS,
            )
        )
        along_m += spacing_m
    return tuple(stations)


def stream(directory: Path, nodes: int, piece: int, seed: int) -> StreamResult:
    """Drive a streamed order to its end.

    Args:
        directory: For configuration and map.
        nodes: Of the order.
        piece: How many are released with each update.
        seed: Of hall, slip and noise.
    """
    hall, stations = build_hall(seed), loop_stations(nodes)
    at_start = replace(hall, stations=hall.stations | {START: hall.stations["kitting"]})
    rig = _StreamRig(Scenario(at_start, seed, stations, ()), directory, piece)
    rig.run(TIME_LIMIT_S)
    return rig.result()


class _StreamRig(LockstepRig):
    """The lock-step rig with a master that releases an order piece by piece."""

    def __init__(self, scenario: Scenario, directory: Path, piece: int) -> None:
        super().__init__(scenario, directory)
        self._stations = scenario.stations
        self._piece = piece
        self._begun = False
        self._reached: list[str] = []
        self._updates: list[int] = []
        self._refused = 0
        self._shares: list[float] = []
        self._free: list[float] = []
        self._hindered = False

    def result(self) -> StreamResult:
        """Return what came of it."""
        ahead = [station.node_id for station in self._stations[1:]]
        return StreamResult(
            nodes=len(self._stations),
            piece=self._piece,
            length_m=round(sum(_distance_m(*pair) for pair in pairwise(self._stations)), 1),
            drive_s=round((self.clock.now_ns() - READY_NS) * 1e-9, 1),
            finished=self.master.finished,
            updates=len(self._updates) - 1,
            refused=self._refused,
            nodes_in_order=self._reached == ahead and self._updates == sorted(set(self._updates)),
            stops=_rises(share < STANDING_MPS for share in self._shares),
            least_share=round(min(self._free), 3),
            mean_share=round(sum(self._shares) / len(self._shares), 3),
            hindered_s=round((len(self._shares) - len(self._free)) * PERIOD_NS * 1e-9, 1),
        )

    def _exchange(self, outbox: Outbox, now_ns: int) -> None:
        replies = [
            reply
            for message in outbox.publications
            for reply in self.master.receive(message.topic, message.payload)
        ]
        if not self._begun and now_ns >= READY_NS:
            self._begun = True
            replies += self.master.order(self._stations, MAP_ID, window=WINDOW, piece=self._piece)
        for reply in replies:
            self._mailbox.put_message(Message(reply.topic, reply.payload, now_ns))

    def _observe(self, outbox: Outbox) -> None:
        super()._observe(outbox)
        for event in outbox.events:
            match event.name:
                case "node.reached":
                    self._reached.append(str(event.fields["node_id"]))
                case "order.accepted":
                    self._updates.append(int(str(event.fields["order_update_id"])))
                case "order.rejected":
                    self._refused += 1
        truth = self.plant.truth
        if self._reached and _is_straight(truth.pose.x_m, truth.pose.y_m):
            self._note(truth.forward_mps / LIMIT_MPS)

    def _note(self, share: float) -> None:
        """Keep a speed; what was slowed for something seen needs a while to be fast again."""
        self._shares.append(share)
        if share >= LEAST_SHARE:
            self._hindered = False
        status = self.agent.status(self.clock.now_ns())["command"]
        self._hindered = self._hindered or (status["slowed"] and share < FAST_SHARE)
        if not self._hindered or share >= LEAST_SHARE:
            self._free.append(share)


def _distance_m(here: Station, after: Station) -> float:
    return math.dist((here.x_m, here.y_m), (after.x_m, after.y_m))


def _is_straight(x_m: float, y_m: float) -> bool:
    return all(math.dist((x_m, y_m), corner) > CORNER_M for corner in _LOOP_M)


def _rises(flags: Iterable[bool]) -> int:
    """Return how often something began to hold."""
    return sum(after and not before for before, after in pairwise((False, *flags)))
