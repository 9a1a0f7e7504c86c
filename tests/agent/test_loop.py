import dataclasses
import json
import math

import numpy as np
import pytest

from agent import config
from agent.avoidance.governor import StopReason
from agent.errors import BrokerUnavailable, MapError
from agent.geometry.pose import Pose2
from agent.loop import BASE, FOLD_NS, Battery
from agent.main import build_agent, load_places
from agent.telemetry.log import EVENTS
from agent.telemetry.publication import Message
from drivers.errors import PortLost
from drivers.measurement import Odometry
from drivers.runner import DeviceState, Phase
from tests.agent.room import (
    LIDAR,
    RAYS,
    REAR_MOUNT,
    TICK_NS,
    TOML,
    TWO_HALLS,
    TWO_LIDARS,
    Robot,
    agent_in,
    bearings,
    ranges_m,
    scan,
    write_robot,
)
from tests.agent.vda5050.orders import encode, order

REAR = "lidar.rear"


@pytest.fixture
def robot(tmp_path) -> Robot:
    return Robot(agent_in(tmp_path)).start()


@pytest.fixture
def driving(robot) -> Robot:
    return robot.drive()


def assert_stands(robot: Robot, reason: StopReason, lidar: str = LIDAR) -> None:
    assert robot.outboxes[-1].command.is_stop
    why = f"{reason.value} of {lidar}" if reason is StopReason.NO_SCAN else reason.value
    assert robot.stop_reason == why
    assert robot.events("motion.stopped")[-1] == {"reason": why}


def assert_goes_on(robot: Robot) -> None:
    """The robot drives again by itself and reaches the goal."""
    robot.run(2.0)
    assert robot.twist[0] > 0.1
    assert robot.events("motion.resumed")
    assert robot.stop_reason is None
    robot.arrive(15.0)
    assert math.dist((robot.pose.x_m, robot.pose.y_m), (5.0, 0.0)) < 0.1
    assert robot.agent.status(robot.now_ns)["order"]["idle"]


def error_types(robot: Robot) -> set[str]:
    return {error.error_type for error in robot.state.errors}


def test_stands_and_says_so_before_anything_arrived(tmp_path):
    robot = Robot(agent_in(tmp_path))
    robot.scan_of = lambda stamp_ns, ranges: None
    robot.odometry_of = lambda odometry: None
    assert robot.tick(base_status=None).command.is_stop
    status = robot.agent.status(robot.now_ns)
    assert (status["pose"], status["battery"], status["devices"]) == (None, None, {})
    assert status["command"]["stop_reason"] == StopReason.NO_ODOMETRY
    assert robot.agent.scan_points() == []
    assert not robot.state.agv_position.position_initialized
    json.dumps(status, allow_nan=False)


def test_without_an_order_it_stands_and_nothing_is_wrong(robot):
    assert robot.outboxes[-1].command.is_stop
    assert robot.stop_reason is None
    robot.run(0.6)
    assert robot.state.errors == []


def test_every_command_expires(driving):
    for _ in range(20):
        outbox = driving.tick()
        assert 0 < outbox.command.valid_until_ns - driving.now_ns <= 100_000_000


def test_drives_an_order_to_its_end(driving):
    robot = driving
    robot.arrive(12.0)
    assert math.dist((robot.pose.x_m, robot.pose.y_m), (5.0, 0.0)) < 0.1
    assert robot.events("order.accepted") == [{"order_id": "A", "order_update_id": 0}]
    assert robot.events("node.reached") == [{"node_id": "n1"}]
    assert robot.events("order.finished") == [{"order_id": "A"}]
    assert (robot.state.last_node_id, robot.state.node_states) == ("n1", [])
    assert robot.estimate.map_from_base.distance_m(robot.pose) < 0.05
    points = np.array(robot.agent.scan_points())
    assert points[:, 0].max() == pytest.approx(9.0, abs=0.1)


def test_no_scan(driving):
    driving.scan_of = lambda stamp_ns, ranges: None
    driving.run(0.24)
    driving.run(0.1)
    assert_stands(driving, StopReason.NO_SCAN)
    driving.run(0.6)
    assert "deviceSilent" in error_types(driving)
    driving.scan_of = scan
    assert_goes_on(driving)


def test_a_scan_drives_for_a_quarter_of_a_second_and_no_longer(driving):
    while driving.ticks % 5 != 1:
        driving.tick()
    driving.scan_of = lambda stamp_ns, ranges: None
    scan_ns = driving.now_ns
    while driving.now_ns - scan_ns <= 240_000_000 - TICK_NS:
        driving.tick()
        assert driving.stop_reason is None, driving.now_ns - scan_ns
    driving.run(0.04)
    assert_stands(driving, StopReason.NO_SCAN)


@pytest.mark.parametrize("age_ns", [300_000_000, -50_000_000], ids=["stale", "from the future"])
def test_a_scan_of_another_time_is_no_scan(driving, age_ns):
    driving.scan_of = lambda stamp_ns, ranges: scan(stamp_ns - age_ns, ranges)
    driving.run(0.4)
    assert_stands(driving, StopReason.NO_SCAN)


@pytest.mark.parametrize(
    "scan_of",
    [
        lambda stamp_ns, ranges: scan(stamp_ns, ranges[: RAYS // 2], missing=RAYS // 2),
        lambda stamp_ns, ranges: scan(stamp_ns, np.full(RAYS, np.nan)),
        lambda stamp_ns, ranges: scan(stamp_ns, np.full(RAYS, np.inf)),
        lambda stamp_ns, ranges: scan(stamp_ns, np.empty(0)),
    ],
    ids=["half of the rays missing", "covered lidar", "infinite", "empty"],
)
def test_a_scan_that_saw_little_is_no_proof_of_free_space(driving, scan_of):
    driving.scan_of = scan_of
    driving.run(0.4)
    assert_stands(driving, StopReason.NO_SCAN)
    driving.scan_of = scan
    assert_goes_on(driving)


def test_no_odometry(driving):
    driving.odometry_of = lambda odometry: None
    driving.run(0.2)
    assert_stands(driving, StopReason.NO_ODOMETRY)
    driving.run(0.6)
    assert [(e.error_type, e.error_description) for e in driving.state.errors] == [
        ("deviceSilent", "base: no current odometry")
    ]
    driving.odometry_of = lambda odometry: odometry
    assert_goes_on(driving)


def test_stale_odometry(driving):
    driving.odometry_of = lambda odometry: dataclasses.replace(
        odometry, stamp_ns=odometry.stamp_ns - 200_000_000
    )
    driving.run(0.2)
    assert_stands(driving, StopReason.NO_ODOMETRY)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Odometry)[2:]])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_odometry_that_is_no_number_is_no_odometry(driving, field, value):
    driving.odometry_of = lambda odometry: dataclasses.replace(odometry, **{field: value})
    driving.run(0.3)
    assert_stands(driving, StopReason.NO_ODOMETRY)
    driving.run(0.6)
    assert math.isfinite(driving.state.velocity.vx)
    json.dumps(driving.agent.status(driving.now_ns), allow_nan=False)
    for outbox in driving.outboxes:
        for publication in outbox.publications:
            assert b"NaN" not in publication.payload
            assert b"Infinity" not in publication.payload


@pytest.mark.parametrize(
    ("device", "reason"), [(LIDAR, StopReason.NO_SCAN), (BASE, StopReason.NO_ODOMETRY)]
)
def test_a_lost_device_stops_at_once_although_its_last_value_is_young(driving, device, reason):
    lost = DeviceState(device, Phase.LOST, driving.now_ns, PortLost("/dev/tty: unplugged"))
    driving.tick(devices=(lost,))
    assert_stands(driving, reason)
    driving.run(0.6)
    assert "deviceLost" in error_types(driving)
    shown = driving.agent.status(driving.now_ns)["devices"][device]
    assert shown["phase"] == "lost"
    assert shown["since_s"] == pytest.approx(0.62, abs=0.021)
    assert shown["error"] == {
        "code": "PORT_LOST", "detail": "/dev/tty: unplugged", "hint": PortLost.hint
    }  # fmt: skip
    (logged,) = driving.events("device.lost")
    assert logged["device"] == device
    assert logged["code"] == "PORT_LOST"
    driving.tick(devices=(DeviceState(device, Phase.STREAMING, driving.now_ns),))
    assert_goes_on(driving)
    assert "deviceLost" not in error_types(driving)


@pytest.mark.parametrize(
    ("change", "reason", "described"),
    [
        ({"e_stop": True}, StopReason.E_STOP, None),
        ({"bumper": True}, StopReason.BUMPER, "bumper pressed"),
        ({"faults": ("overheat", "short_circuit")}, StopReason.BASE_FAULT, "short_circuit"),
    ],
)
def test_a_base_that_is_not_well(driving, change, reason, described):
    healthy = driving.status
    driving.status = dataclasses.replace(driving.status, **change)
    driving.run(0.24)
    assert_stands(driving, reason)
    driving.run(0.6)
    latches = reason is not StopReason.BASE_FAULT
    assert (driving.state.safety_state.e_stop == "MANUAL") == latches
    if described is not None:
        assert described in {error.error_description for error in driving.state.errors}
        assert "deviceFault" in error_types(driving)
    driving.tick(acknowledged=True)  # in vain, as long as the cause is there
    driving.status = healthy
    if latches:
        driving.run(1.0)
        assert_stands(driving, StopReason.NOT_ACKNOWLEDGED)
        assert driving.state.safety_state.e_stop == "MANUAL"
        driving.tick(acknowledged=True)
        assert len(driving.events("stop.acknowledged")) == 1
    assert_goes_on(driving)
    assert driving.state.safety_state.e_stop == "NONE"
    assert "deviceFault" not in error_types(driving)


def test_a_base_that_holds_its_emergency_stop_is_told_that_it_is_over(driving):
    healthy = driving.status
    driving.status = dataclasses.replace(driving.status, e_stop=True)
    driving.run(0.5)
    assert not any(outbox.releases_base for outbox in driving.outboxes)
    assert driving.tick(acknowledged=True).releases_base
    driving.run(0.3)
    assert_stands(driving, StopReason.E_STOP)
    driving.status = healthy
    driving.run(0.3)
    assert_stands(driving, StopReason.NOT_ACKNOWLEDGED)
    driving.tick(acknowledged=True)
    assert len(driving.events("stop.acknowledged")) == 1
    assert sum(outbox.releases_base for outbox in driving.outboxes) == 1
    assert_goes_on(driving)


@pytest.mark.parametrize("change", [{"e_stop": True}, {"bumper": True}, {"faults": ("overheat",)}])
def test_one_tick_is_enough_to_stop(driving, change):
    status = dataclasses.replace(driving.status, stamp_ns=driving.now_ns, **change)
    assert driving.tick(base_status=status).command.is_stop


def test_every_transition_is_logged_once(driving):
    driving.scan_of = lambda stamp_ns, ranges: None
    driving.run(0.5)
    stops = len(driving.events("motion.stopped"))
    driving.run(0.4)
    assert len(driving.events("motion.stopped")) == stops


def test_a_second_fault_is_told_at_once(driving):
    driving.status = dataclasses.replace(driving.status, faults=("overheat",))
    driving.run(1.0)
    driving.status = dataclasses.replace(driving.status, faults=("overheat", "short_circuit"))
    driving.run(1.0)
    assert len(driving.state.errors) == 2


def test_a_scan_that_does_not_fit_the_map_stops_the_robot(driving):
    rng = np.random.default_rng(3)
    driving.scan_of = lambda stamp_ns, ranges: scan(stamp_ns, rng.uniform(1.0, 8.0, RAYS))
    driving.run(3.0)
    assert driving.outboxes[-1].command.is_stop
    assert not driving.estimate.localized
    assert driving.stop_reason == StopReason.NOT_LOCALIZED
    assert driving.events("pose.lost")
    driving.run(0.6)
    assert "localizationLost" in error_types(driving)
    assert not driving.state.agv_position.position_initialized


def test_a_late_tick_stops_and_the_next_in_time_goes_on(driving):
    while driving.ticks % 5:
        driving.tick()
    driving.tick(period_ns=TICK_NS * 5)  # brings a scan
    assert driving.stop_reason is None
    driving.tick(period_ns=TICK_NS * 6)
    assert_stands(driving, StopReason.LATE_LOOP)
    driving.tick()
    assert driving.stop_reason is None
    assert driving.twist[0] <= 0.8 * TICK_NS * 1e-9 + 1e-12, "accelerates from standstill"
    assert_goes_on(driving)


def test_an_obstacle_is_waited_for(driving):
    ahead_m = driving.pose.x_m + 1.6
    driving.obstacle = ((ahead_m, -0.5, ahead_m, 0.5),)
    driving.run(4.0)
    assert_stands(driving, StopReason.OBSTACLE)
    assert ahead_m - driving.pose.x_m - 0.45 > 0.3
    assert driving.state.safety_state.field_violation
    driving.obstacle = ()
    assert_goes_on(driving)
    assert not driving.state.safety_state.field_violation


def test_the_gravest_reason_is_named(driving):
    driving.scan_of = lambda stamp_ns, ranges: None
    driving.status = dataclasses.replace(driving.status, e_stop=True)
    driving.run(0.5)
    assert_stands(driving, StopReason.E_STOP)


@pytest.mark.parametrize(
    ("payload", "error_type"),
    [
        (b"{", "validationError"),
        (encode(order(2, spacing_m=5.0) | {"serialNumber": "R2"}), "validationError"),
        (
            encode(order(2, start=1, spacing_m=5.0)),
            "validationError",
        ),
    ],
    ids=["no JSON", "another robot's", "does not begin at 0"],
)
def test_a_rejected_order_is_told_and_changes_nothing(robot, payload, error_type):
    robot.tick(messages=(Message("order", payload, robot.now_ns),))
    (event,) = robot.events("order.rejected")
    assert event["reason"]
    robot.run(0.6)
    assert error_type in error_types(robot)
    assert robot.outboxes[-1].command.is_stop
    robot.drive()
    robot.run(0.6)
    assert error_types(robot) == set()


def test_an_order_elsewhere_is_rejected(robot):
    tree = order(2, spacing_m=5.0)
    tree["nodes"][0]["nodePosition"]["x"] = 3.0
    robot.tick(messages=(Message("order", encode(tree), robot.now_ns),))
    assert "from the first node" in robot.events("order.rejected")[0]["reason"]


def actions(robot: Robot, payload: bytes) -> Message:
    return Message("instantActions", payload, robot.now_ns)


def instant(action_type: str, **parameters: object) -> bytes:
    header = {key: order(1)[key] for key in ("headerId", "timestamp", "version", "manufacturer")}
    action = {"actionId": "a1", "actionType": action_type, "blockingType": "HARD"}
    action["actionParameters"] = [{"key": k, "value": v} for k, v in parameters.items()]
    return encode(header | {"serialNumber": "R1", "actions": [action]})


def test_a_cancelled_order_ends_in_standstill(driving):
    driving.tick(messages=(actions(driving, instant("cancelOrder")),))
    assert driving.events("order.cancelled") == [{"order_id": "A"}]
    driving.run(2.0)
    assert driving.outboxes[-1].command.is_stop
    assert driving.stop_reason is None
    assert [a.action_status for a in driving.state.action_states] == ["FINISHED"]


def test_a_message_that_cannot_be_read_is_refused(driving):
    driving.tick(messages=(actions(driving, b"\xff"),))
    (event,) = driving.events("message.refused")
    assert event["topic"] == "instantActions"
    driving.run(0.6)
    assert "validationError" in error_types(driving)
    assert driving.twist[0] > 0.0


def test_after_the_broker_came_back_a_state_is_sent(robot):
    robot.run(1.0)
    robot.tick(broker=BrokerUnavailable("no broker listens there"))
    assert robot.agent.status(robot.now_ns)["broker_error"]["code"] == "BROKER_UNAVAILABLE"
    robot.run(0.5)
    topics = [p.topic for outbox in robot.outboxes[-25:] for p in outbox.publications]
    assert "state" in topics
    assert robot.agent.status(robot.now_ns)["broker_error"] is None


def test_drops_are_logged_folded(robot):
    for _ in range(100):
        robot.tick(dropped=2)
    assert sum(fields["count"] for fields in robot.events("inbox.dropped")) == 0
    robot.now_ns += FOLD_NS
    robot.tick()
    assert [fields["count"] for fields in robot.events("inbox.dropped")] == [200]
    assert robot.agent.status(robot.now_ns)["dropped"] == 200


def test_every_event_is_in_the_closed_list(driving):
    driving.arrive(15.0)
    for outbox in driving.outboxes:
        assert {event.name for event in outbox.events} <= EVENTS.keys()


def test_the_same_inboxes_give_the_same_outboxes(tmp_path):
    def drive(name: str) -> list[object]:
        (tmp_path / name).mkdir()
        robot = Robot(agent_in(tmp_path / name)).start().drive()
        robot.status = dataclasses.replace(robot.status, e_stop=True)
        robot.run(1.0)
        return [
            (
                command.forward_mps.hex(), command.yaw_rate_radps.hex(), command.valid_until_ns,
                None if o.estimate is None else o.estimate.covariance.tobytes(),
                None if o.estimate is None else dataclasses.astuple(o.estimate.map_from_base),
                [(p.topic, p.payload) for p in o.publications], o.events,
            )
            for o in robot.outboxes
            for command in [o.command]
        ]  # fmt: skip

    assert drive("one") == drive("other")


@pytest.mark.parametrize(
    ("voltage_v", "charge"), [(21.0, 0.0), (22.0, 0.0), (24.5, 0.5), (27.0, 1.0), (29.0, 1.0)]
)
def test_battery(voltage_v, charge):
    assert Battery(empty_v=22.0, full_v=27.0).charge(voltage_v) == charge


def test_battery_unknown():
    assert math.isnan(Battery(empty_v=22.0, full_v=27.0).charge(math.nan))


def test_a_start_outside_the_map_is_refused(tmp_path):
    text = TOML.replace("pose = [0.0, 0.0, 0.0]", "pose = [50.0, 0.0, 0.0]")
    settings = config.load(write_robot(tmp_path, text), environment={})
    with pytest.raises(MapError, match=r"start\.pose .* outside the map hall"):
        build_agent(settings, load_places(settings))


def test_a_base_that_no_longer_tells_its_state_stops_the_robot(driving):
    for _ in range(110):  # its last status was good, but the emergency stop may be pressed since
        driving.tick(base_status=None)
        if driving.outboxes[-1].command.is_stop:
            break
    assert driving.stop_reason == StopReason.NO_BASE_STATUS.value
    driving.run(0.5)
    assert driving.stop_reason is None


class TestTwoLidars:
    @pytest.fixture
    def robot(self, tmp_path) -> Robot:
        return Robot(agent_in(tmp_path, TWO_LIDARS), {REAR: REAR_MOUNT}).start()

    @pytest.fixture
    def driving(self, robot) -> Robot:
        return robot.drive()

    def test_drives_an_order_to_its_end(self, driving):
        driving.arrive(12.0)
        assert driving.agent.status(driving.now_ns)["order"]["idle"]
        assert driving.estimate.map_from_base.distance_m(driving.pose) < 0.05
        assert driving.events("pose.lost") == []
        points = np.array(driving.agent.scan_points())
        assert len(points) == 2 * RAYS
        # Both see the same walls, each from its own place and moment.
        assert points[:RAYS, 0].max() == pytest.approx(9.0, abs=0.05)
        assert points[RAYS:, 0].max() == pytest.approx(9.0, abs=0.05)

    @pytest.mark.parametrize("lidar", [LIDAR, REAR])
    def test_one_that_falls_silent_stops_the_robot_and_is_named(self, driving, lidar):
        driving.dead.add(lidar)
        driving.run(0.4)
        assert_stands(driving, StopReason.NO_SCAN, lidar)
        driving.run(0.6)
        assert [(e.error_type, e.error_description) for e in driving.state.errors] == [
            ("deviceSilent", f"{lidar}: no current scan")
        ]
        driving.dead.clear()
        assert_goes_on(driving)

    def test_what_is_seen_is_as_old_as_the_oldest_scan(self, driving):
        for _ in range(10):
            driving.tick()
            # Every fifth tick is the front lidar's turn, and two later the rear's.
            last = driving.ticks - 1
            age = max(last % 5, (last - 2) % 5)
            sight = driving.agent._driving.navigator.sight
            assert sight.oldest_ns == driving.now_ns - age * TICK_NS

    def test_both_are_named(self, driving):
        driving.dead |= {LIDAR, REAR}
        driving.run(0.5)
        assert_stands(driving, StopReason.NO_SCAN, f"{LIDAR} and {REAR}")

    def test_one_that_is_lost_stops_the_robot_at_once(self, driving):
        lost = DeviceState(REAR, Phase.LOST, driving.now_ns, PortLost("/dev/tty: unplugged"))
        driving.tick(devices=(lost,))
        assert_stands(driving, StopReason.NO_SCAN, REAR)

    def test_one_that_is_covered_is_no_proof_of_free_space(self, driving):
        driving.scan_of = lambda stamp_ns, ranges: scan(stamp_ns, np.full(RAYS, np.nan))
        driving.run(0.4)
        assert_stands(driving, StopReason.NO_SCAN, LIDAR)

    def test_one_that_never_came_up_is_missed(self, tmp_path):
        (tmp_path / "x").mkdir()
        robot = Robot(agent_in(tmp_path / "x", TWO_LIDARS), {REAR: REAR_MOUNT})
        robot.dead.add(REAR)
        robot.start()
        robot.tick(messages=(robot.order(),))
        robot.run(0.5)
        assert_stands(robot, StopReason.NO_SCAN, REAR)

    def test_what_only_one_of_them_sees_stops_the_robot(self, driving):
        ahead_m = driving.pose.x_m + 1.6
        wall = np.array([(ahead_m, -0.5, ahead_m, 0.5)])
        # The front lidar is blind for it, as for a bar between two planes.
        driving.scan_of = lambda stamp_ns, ranges: scan(
            stamp_ns, ranges_m(driving.pose, (), "hall")
        )
        driving.obstacle = (tuple(wall[0]),)
        driving.run(4.0)
        assert_stands(driving, StopReason.OBSTACLE)
        assert ahead_m - driving.pose.x_m - 0.45 > 0.3


@pytest.mark.parametrize("bearing", [0.0, 2.6])
def test_a_mask_hides_the_robot_from_itself_and_what_it_hides_is_not_free(tmp_path, bearing):
    """A post of the robot's own stands before its lidar, or behind it."""

    def drive(text: str, name: str) -> Robot:
        (tmp_path / name).mkdir()
        robot = Robot(agent_in(tmp_path / name, text))
        robot.scan_of = lambda stamp_ns, ranges: scan(
            stamp_ns, np.where(np.abs(bearings() - bearing) < 0.12, 0.5, ranges)
        )
        robot.start().tick(messages=(robot.order(),))
        robot.run(2.0)
        return robot

    if bearing == 0.0:
        assert_stands(drive(TOML, "bare"), StopReason.OBSTACLE)
    mask = f"mask = [[{bearing - 0.15}, {bearing + 0.15}]]\n\n[base]\n"
    robot = drive(TOML.replace("[base]\n", mask, 1), "masked")
    assert len(robot.agent.scan_points()) < RAYS
    if bearing == 0.0:
        assert_stands(robot, StopReason.OBSTACLE)
    else:
        assert robot.twist[0] > 0.3


class TestTwoHalls:
    @pytest.fixture
    def robot(self, tmp_path) -> Robot:
        return Robot(agent_in(tmp_path, TWO_HALLS)).start()

    def order(self, robot: Robot, **entry: float) -> Message:
        """To n1 in the hall, from there into the cellar, and on to n3."""
        tree = order(4, spacing_m=1.5)
        tree["nodes"][2]["nodePosition"] |= {"x": 1.5, "mapId": "cellar"} | entry
        tree["nodes"][3]["nodePosition"] |= {"mapId": "cellar"}
        return Message("order", encode(tree), robot.now_ns)

    def drive_into_the_lift(self, robot: Robot, **entry: float) -> None:
        robot.tick(messages=(self.order(robot, **entry),))
        for _ in range(600):
            robot.tick()
            if robot.events("map.changed"):
                return
        pytest.fail(robot.stop_reason)

    def test_an_order_goes_on_on_another_map(self, robot):
        self.drive_into_the_lift(robot)
        assert robot.events("node.reached")[-1] == {"node_id": "n1"}
        assert robot.twist == (0.0, 0.0)
        assert not robot.estimate.localized
        assert robot.estimate.map_from_base.distance_m(robot.pose) < 0.1
        robot.hall = "cellar"
        robot.arrive(12.0)
        status = robot.agent.status(robot.now_ns)
        assert status["order"]["idle"], status
        assert math.dist((robot.pose.x_m, robot.pose.y_m), (4.5, 0.0)) < 0.1
        state = robot.state
        assert (state.agv_position.map_id, state.last_node_id) == ("cellar", "n3")
        assert state.agv_position.position_initialized
        assert state.agv_position.deviation_range < 0.2
        assert state.agv_position.localization_score > 0.8

    def test_the_node_may_say_the_heading(self, robot):
        self.drive_into_the_lift(robot, theta=1.0, allowedDeviationTheta=0.3)
        assert robot.estimate.map_from_base.yaw_rad == pytest.approx(1.0, abs=1e-6)

    def test_it_waits_as_long_as_it_does_not_find_itself_there(self, robot):
        self.drive_into_the_lift(robot)
        robot.run(5.0)  # the lift does not move: still the old hall around it
        assert robot.twist == (0.0, 0.0)
        assert robot.stop_reason == StopReason.NOT_LOCALIZED
        errors = {e.error_type: e for e in robot.state.errors}
        references = {
            r.reference_key: r.reference_value for r in errors["localizationLost"].error_references
        }
        assert references["mapId"] == "cellar"
        assert not robot.state.agv_position.position_initialized
        robot.hall = "cellar"
        robot.arrive(15.0)
        assert robot.agent.status(robot.now_ns)["order"]["idle"]

    def test_a_map_that_it_does_not_have(self, robot):
        tree = order(2, spacing_m=1.5)
        tree["nodes"][1]["nodePosition"]["mapId"] = "attic"
        robot.tick(messages=(Message("order", encode(tree), robot.now_ns),))
        assert (
            "on map attic, the robot has hall, cellar"
            in robot.events("order.rejected")[0]["reason"]
        )
        robot.run(0.6)
        assert error_types(robot) == {"orderError"}

    def test_init_position_in_another_hall(self, robot):
        robot.hall, robot.pose = "cellar", Pose2(4.0, -0.5, 0.4)
        pose = {"x": 4.1, "y": -0.6, "theta": 0.3, "mapId": "cellar", "lastNodeId": "lift"}
        robot.tick(messages=(actions(robot, instant("initPosition", **pose)),))
        robot.run(0.04)
        assert robot.agent.status(robot.now_ns)["pose_requests"]["initPosition a1"] == {
            "outcome": "pending", "reason": "",
        }  # fmt: skip
        robot.run(2.0)
        state = robot.state
        assert [a.action_status for a in state.action_states] == ["FINISHED"]
        assert (state.agv_position.map_id, state.last_node_id) == ("cellar", "lift")
        assert robot.estimate.map_from_base.distance_m(robot.pose) < 0.05

    def test_init_position_where_nothing_looks_like_it(self, robot):
        pose = {"x": 4.1, "y": -0.6, "theta": 0.3, "mapId": "attic", "lastNodeId": ""}
        robot.tick(messages=(actions(robot, instant("initPosition", **pose)),))
        robot.run(0.6)
        assert [a.action_status for a in robot.state.action_states] == ["FAILED"]
        assert error_types(robot) == {"initPositionFailed"}
        assert robot.estimate.localized


def test_without_a_start_pose_the_robot_finds_itself(tmp_path):
    text = TOML.replace("[start]\npose = [0.0, 0.0, 0.0]\n", "")
    robot = Robot(agent_in(tmp_path, text))
    robot.pose = Pose2(4.6, -1.0, 2.2)
    robot.scan_of = lambda stamp_ns, ranges: None
    robot.tick(devices=tuple(DeviceState(n, Phase.STREAMING, 0) for n in robot.devices))
    assert "no scan" in robot.agent.status(robot.now_ns)["pose"]["reason"]
    robot.scan_of = scan
    robot.run(2.0)
    assert robot.estimate.localized, robot.estimate.reason
    assert robot.estimate.map_from_base.distance_m(robot.pose) < 0.05
    assert robot.events("search.begun")
