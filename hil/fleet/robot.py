"""A robot that is nothing but its telemetry: the agent's own reports and link, simulated motion."""

import math
from pathlib import Path
from typing import Final

import numpy as np

from agent.clock import Clock
from agent.geometry.pose import Pose2
from agent.localization.estimate import PoseEstimate
from agent.telemetry.access import BrokerParams
from agent.telemetry.broker import MqttLink
from agent.telemetry.chronicle import Chronicle
from agent.telemetry.events import EventWriter, Motion
from agent.telemetry.history import HistoryParams
from agent.vda5050 import topics
from agent.vda5050.connection import ConnectionReport
from agent.vda5050.factsheet import Vehicle
from agent.vda5050.identity import Identity
from agent.vda5050.instant_actions import InstantActionRunner
from agent.vda5050.order_book import OrderBook
from agent.vda5050.situation import Situation
from agent.vda5050.state_report import StateReport
from hil.fleet.stamps import TIMED, Stamps

MANUFACTURER: Final = "fleet"
SPEED_MPS: Final = 1.0
RADIUS_M: Final = 5.0
AISLE_M: Final = 12.0  # between the middles of two robots' circles
COLUMNS: Final = 32
STATE_INTERVAL_S: Final = 1.0
HISTORY_NS: Final = 1_000_000_000

VEHICLE: Final = Vehicle(
    series="fleet",
    software_version="bench",
    length_m=0.9,
    width_m=0.6,
    height_m=0.4,
    center_x_m=0.0,
    max_speed_mps=SPEED_MPS,
    max_yaw_rate_radps=1.0,
    acceleration_mps2=1.0,
    deceleration_mps2=1.0,
    max_load_kg=0.0,
)


def identity_of(number: int) -> Identity:
    """Return who a robot of the fleet is."""
    return Identity(MANUFACTURER, f"robot-{number:04}")


def number_of(serial_number: str) -> int:
    """Return which robot of the fleet goes by a serial number."""
    return int(serial_number.rpartition("-")[2])


class LightRobot:
    """Drives in a circle of its own and reports on it.

    Args:
        number: Which of the fleet.
        params: Its way into the broker.
        clock: Real time.
        journal: Directory of its history's journal; without it there is no history.
        boot_id: Of its history.
        stamps: Where to note when messages were handed over.
        visualization_hz: How often it says where it is.
    """

    def __init__(
        self,
        number: int,
        params: BrokerParams,
        clock: Clock,
        stamps: Stamps,
        visualization_hz: float,
        journal: Path | None = None,
        boot_id: str = "",
    ) -> None:
        identity = identity_of(number)
        self.serial_number = identity.serial_number
        self._number = number
        self._stamps = stamps
        self._handed_over = dict.fromkeys(TIMED, 0)
        row, column = divmod(number, COLUMNS)
        self._center_m = (column * AISLE_M, row * AISLE_M)
        self._covariance = np.diag([1e-4, 1e-4, 1e-5])
        self._covariance.flags.writeable = False
        self._order_book = OrderBook(identity, {})
        self._instant_actions = InstantActionRunner(identity)
        self._report = StateReport(
            identity,
            VEHICLE,
            period_s=STATE_INTERVAL_S,
            visualization_interval_s=1.0 / visualization_hz,
        )
        self.chronicle = None
        if journal is not None:
            self.chronicle = Chronicle(
                HistoryParams(journal=journal, sync_interval_s=1.0),
                EventWriter(MANUFACTURER, identity.serial_number, boot_id),
                clock,
                on_durable=lambda: self.link.look_for_history(),
                loop=dict,
                devices={},
            )
        self.link = MqttLink(
            params,
            topics.base(identity),
            {name: topic.qos for name, topic in topics.to_robot(identity).items()},
            ConnectionReport(identity, clock),
            lambda message: None,
            clock,
            None if self.chronicle is None else self.chronicle.lane,
        )
        self._history_due_ns = 0

    def tick(self, now_ns: int, utc_ns: int) -> None:
        """Move on, and hand over what is due.

        Args:
            now_ns: Monotonic time.
            utc_ns: Wall-clock time.
        """
        situation = self._situation(now_ns, utc_ns)
        due = self._report.publications(situation, self._order_book, self._instant_actions)
        for message in due:
            if message.topic in TIMED:
                topic = TIMED.index(message.topic)
                self._stamps.note(self._number, topic, self._handed_over[message.topic], now_ns)
                self._handed_over[message.topic] += 1
        self.link.publish(due)
        if self.chronicle is not None and now_ns >= self._history_due_ns:
            self._history_due_ns = max(self._history_due_ns + HISTORY_NS, now_ns)
            self.chronicle.historian.tell(lambda: _motion(situation), utc_ns, now_ns)

    def _situation(self, now_ns: int, utc_ns: int) -> Situation:
        angle_rad = now_ns * 1e-9 * SPEED_MPS / RADIUS_M
        center_x_m, center_y_m = self._center_m
        pose = Pose2(
            center_x_m + RADIUS_M * math.cos(angle_rad),
            center_y_m + RADIUS_M * math.sin(angle_rad),
            math.remainder(angle_rad + math.pi / 2.0, 2.0 * math.pi),
        )
        return Situation(
            now_ns=now_ns,
            utc_ns=utc_ns,
            estimate=PoseEstimate(now_ns, pose, self._covariance, 0.95, True),
            map_id="plant",
            forward_mps=SPEED_MPS,
            yaw_rate_radps=SPEED_MPS / RADIUS_M,
            battery_v=25.0,
            battery_charge=0.8,
            e_stop=False,
            field_violation=False,
            driving=True,
        )


def _motion(situation: Situation) -> Motion:
    pose = Pose2.identity() if situation.estimate is None else situation.estimate.map_from_base
    return Motion(
        map_id=situation.map_id,
        x_m=round(pose.x_m, 4),
        y_m=round(pose.y_m, 4),
        yaw_rad=round(pose.yaw_rad, 4),
        localized=True,
        forward_mps=situation.forward_mps,
        yaw_rate_radps=situation.yaw_rate_radps,
        command_forward_mps=situation.forward_mps,
        command_yaw_rate_radps=situation.yaw_rate_radps,
    )
