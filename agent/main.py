"""The composition root: the only place that makes threads, the real clock, ports and the broker."""

import gc
import math
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import Any

import structlog

from agent.avoidance.fields import Fields
from agent.avoidance.navigator import Navigator
from agent.avoidance.protective_field import ProtectiveField
from agent.avoidance.rehearsal import rehearse as rehearse_avoidance
from agent.clock import Clock, SystemClock
from agent.config import Config
from agent.docking.manoeuvre import DriveLimits
from agent.docking.rehearsal import rehearse as rehearse_docking
from agent.driving import Driving
from agent.errors import AgentError, ConfigError, MapError, RecordInvalid
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.kernels.warmup import warm_up as warm_up_agent
from agent.local.server import LocalServer
from agent.localization.localizer import Localizer
from agent.localization.place import Place
from agent.loop import Agent, Battery, Footprints
from agent.mailbox import Mailbox, Outbox
from agent.mapping.map_file import load_map
from agent.order_store import OrderStore
from agent.positioning import PoseRequest, Positioning
from agent.route.course import Course
from agent.route.rehearsal import rehearse as rehearse_routes
from agent.route.route_search import Mobility, RouteSearch
from agent.route.wayfinder import Wayfinder
from agent.streams import TICK
from agent.telemetry.broker import MqttLink
from agent.telemetry.chronicle import Chronicle
from agent.telemetry.events import EventWriter
from agent.telemetry.timing import LoopTiming
from agent.telemetry.watchdog import ServiceManager
from agent.vda5050 import topics
from agent.vda5050.actions.certifying import LINKS, certifying_kinds
from agent.vda5050.actions.charging import charging_kinds
from agent.vda5050.actions.docking import Carriers, Chassis, docking_kinds
from agent.vda5050.actions.handling import handling_kinds
from agent.vda5050.actions.mapping import mapping_kinds
from agent.vda5050.actions.registry import ActionKind, ActionRegistry, installed_kinds
from agent.vda5050.actions.runner import ActionRunner
from agent.vda5050.actions.stating import INIT_POSITION
from agent.vda5050.actions.waiting import LOG_REPORT, WAIT_FOR_TRIGGER
from agent.vda5050.actions.zoning import zoning_kinds
from agent.vda5050.connection import ConnectionReport
from agent.vda5050.factsheet import Vehicle
from agent.vda5050.identity import Identity
from agent.vda5050.instant_actions import InstantActionRunner
from agent.vda5050.order_book import OrderBook
from agent.vda5050.order_memory import OrderMemory
from agent.vda5050.reading import read_ahead
from agent.vda5050.state_report import StateReport
from agent.vda5050.storage.catalog import Catalog
from agent.vda5050.storage.certificates import Line
from agent.vda5050.storage.depot import Depot
from agent.vda5050.storage.terrain import MapKey, Terrain
from agent.vda5050.storage.worker import StorageWorker
from agent.vda5050.wire.version import version_of
from agent.vda5050.zones.guard import ZoneGuard
from agent.vda5050.zones.zone_book import SUPPORTED, ZoneBook
from drivers.driver import PortSpec
from drivers.errors import HaulierError
from drivers.kernels import warm_up as warm_up_drivers
from drivers.port import SerialPort
from drivers.runner import DeviceRunner, IoLoop

SWITCH_S = 1e-4  # for which a thread that reads a long order may keep the loop waiting
PERIOD_NS = round(1e9 / TICK.rate_hz)
SHUT_DOWN = 80  # exit status; the service is not to be started again on it
STATUS_PERIOD_NS = 1_000_000_000
FOLD_NS = 30_000_000_000


def warm_up() -> list[str]:
    """Compile every kernel, or load it from the cache, and return their names."""
    rehearsals = (*rehearse_avoidance(), *rehearse_routes(), *rehearse_docking())
    return [*warm_up_drivers(), *warm_up_agent(), *rehearsals]


def identity_of(config: Config) -> Identity:
    """Return who the robot is to the platform."""
    robot, version = config.robot, config.vda5050.version
    return Identity(
        robot.manufacturer,
        robot.serial_number,
        robot.topic_prefix or version_of(version).topic_prefix,
        version,
    )


def published_topics(config: Config) -> dict[str, topics.Topic]:
    """Return how the topics travel that the robot publishes."""
    return _as_configured(config, topics.FROM_ROBOT)


def subscriptions(config: Config) -> dict[str, int]:
    """Return the topics that the robot subscribes to, and their QoS."""
    own = _as_configured(config, topics.to_robot(identity_of(config)))
    return {name: topic.qos for name, topic in own.items()}


def _as_configured(config: Config, standard: Mapping[str, topics.Topic]) -> dict[str, topics.Topic]:
    asked = config.vda5050.topics
    return {
        name: replace(topic, **asked[name].model_dump(exclude_none=True))
        if name in asked
        else topic
        for name, topic in standard.items()
    }


def vehicle_of(config: Config) -> Vehicle:
    """Return what the factsheet tells of the robot."""
    robot, motion = config.robot, config.motion
    return Vehicle(
        series=robot.series,
        software_version=metadata.version("haulier"),
        length_m=robot.length_m,
        width_m=robot.width_m,
        height_m=robot.height_m,
        center_x_m=robot.center_x_m,
        max_speed_mps=motion.speed_mps,
        max_yaw_rate_radps=motion.yaw_rate_radps,
        acceleration_mps2=motion.acceleration_mps2,
        deceleration_mps2=motion.deceleration_mps2,
        max_load_kg=robot.max_load_kg,
        zones=SUPPORTED if takes_more_of_3(config) else (),
        loaded_m=() if robot.loaded is None else robot.loaded.corners_m,
        datasheet=config.factsheet,
    )


def chassis_of(config: Config) -> Chassis:
    """Return what a docking needs to know of the robot."""
    robot, motion = config.robot, config.motion
    return Chassis(
        rectangle(robot.length_m, robot.width_m, robot.center_x_m),
        DriveLimits(
            deceleration_mps2=motion.deceleration_mps2,
            yaw_deceleration_radps2=motion.yaw_deceleration_radps2,
            yaw_rate_radps=motion.yaw_rate_radps,
            latency_s=motion.base_latency_s,
        ),
        config.mounts,
    )


def keeps_maps(config: Config) -> bool:
    """Whether the platform may send maps, for which 2.0 has no actions (2.1, section 6.7)."""
    number = version_of(config.vda5050.version).number
    return config.storage is not None and number >= (2, 1)


def takes_more_of_3(config: Config) -> bool:
    """Whether the platform may send what came with 3.0: zones (section 6.4), certificates."""
    return config.storage is not None and version_of(config.vda5050.version).number >= (3, 0)


def own_certificates(config: Config) -> dict[str, Path]:
    """Return the files that updateCertificate may replace; none where it has to be rejected.

    systemd's credentials are not the agent's to write.
    """
    replaceable = {
        key: file
        for key, file in config.broker.files.items()
        if key in LINKS and not str(file).startswith("$")
    }
    is_whole = config.broker.is_encrypted and replaceable.keys() >= {"certificate_file", "key_file"}
    return replaceable if is_whole and takes_more_of_3(config) else {}


def registry_of(config: Config, catalog: Catalog) -> ActionRegistry:
    """Return what the robot can do beside driving, as configured and installed.

    Args:
        config: The configuration.
        catalog: The maps that actions are about.

    Raises:
        ConfigError: A carrier cannot be driven up to, or an action of another distribution cannot
            be loaded.
    """
    charging, most_kg = config.charging, config.robot.max_load_kg
    at_carriers: tuple[ActionKind, ...] = ()
    if config.carrier:
        at_carriers = docking_kinds(Carriers(config.carrier, chassis_of(config)), most_kg)
    return ActionRegistry(
        (
            WAIT_FOR_TRIGGER,
            LOG_REPORT,
            INIT_POSITION,
            *(() if charging is None else charging_kinds(charging)),
            *at_carriers,
            *(handling_kinds(most_kg) if most_kg > 0.0 else ()),
            *(mapping_kinds(catalog) if keeps_maps(config) else ()),
            *(zoning_kinds(catalog) if takes_more_of_3(config) else ()),
            *(certifying_kinds(catalog) if own_certificates(config) else ()),
            *installed_kinds(),
        )
    )


def configured_maps(config: Config) -> dict[MapKey, Path]:
    """Return the maps of the configuration and their files."""
    return {MapKey(map_id, section.version): section.file for map_id, section in config.map.items()}


def depot_of(config: Config) -> Depot | None:
    """Return the maps on the robot's disk, None where the platform may send none.

    Raises:
        ConfigError: Its directory cannot be used.
    """
    return None if config.storage is None else Depot(config.storage, configured_maps(config))


def load_places(config: Config, depot: Depot | None = None) -> dict[str, Place]:
    """Read all maps in use and make them ready to be localized on.

    Args:
        config: The configuration.
        depot: Knows which maps are in use; without it, it is those of the configuration.

    Raises:
        MapError: One cannot be used; the text names its section.
    """
    files = {key.map_id: path for key, path in configured_maps(config).items()}
    if depot is not None:
        files |= {map_id: depot.path(key) for map_id, key in depot.enabled.items()}
    places = {}
    for map_id, file in files.items():
        try:
            places[map_id] = Place.prepare(load_map(file), config.localization.map)
        except MapError as error:
            raise MapError(f"map.{map_id}: {error.detail}") from error
    return places


def catalog_of(config: Config, places: Mapping[str, Place], depot: Depot | None = None) -> Catalog:
    """Return which maps the robot has, in use or not; without a depot, those in use alone."""
    configured = {key.map_id: key for key in configured_maps(config)}
    enabled = configured if depot is None else depot.enabled
    zones = None if depot is None else ZoneBook(depot.zone_sets, depot.zone_sets_enabled)
    return Catalog(
        {
            key: Terrain.of(places[map_id], zones.in_force(map_id) if zones else None)
            for map_id, key in enabled.items()
        },
        () if depot is None else depot.keys,
        configured.values(),
        zones,
    )


def build_agent(
    config: Config, places: Mapping[str, Place], catalog: Catalog | None = None
) -> Agent:
    """Join the agent's parts as the configuration says; no I/O.

    Args:
        config: The configuration.
        places: Its maps, by their id.
        catalog: Which maps the robot has; without it, those alone.

    Raises:
        MapError: The start pose is not on the map.
    """
    map_id, start = config.start_map, config.start.map_from_base
    if start is not None and not places[map_id].grid.contains(start.x_m, start.y_m):
        raise MapError(f"start.pose ({start.x_m}, {start.y_m}) lies outside the map {map_id}")
    footprint = rectangle(config.robot.length_m, config.robot.width_m, config.robot.center_x_m)
    loaded = config.robot.loaded
    mounts = config.mounts
    identity = identity_of(config)
    catalog = catalog or catalog_of(config, places)
    registry = registry_of(config, catalog)
    localizer = Localizer(
        places[map_id],
        config.localization,
        {name: mount.base_from_lidar for name, mount in mounts.items()},
        start,
    )
    # A route nearer to things than the governor lets the robot come would be none.
    least_m = max(config.route.needed_clearance_m, config.motion.margin_m)
    route_params = replace(config.route, needed_clearance_m=least_m)
    wayfinder = Wayfinder(
        RouteSearch(route_params, footprint, Mobility()),
        catalog.routes,
        map_id,
    )
    instant_actions = InstantActionRunner(identity, ActionRunner(registry))
    order_book = OrderBook(
        identity,
        catalog.grids,
        deviation_m=config.order.deviation_m,
        deviation_rad=config.order.deviation_rad,
        height_m=config.robot.height_m,
        width_m=config.robot.width_m,
        action_problem=registry.problem_at,
    )
    return Agent(
        lidars=mounts,
        localizer=localizer,
        positioning=Positioning(localizer, catalog.places, map_id, config.localization.start),
        order_book=order_book,
        instant_actions=instant_actions,
        state_report=StateReport(
            identity,
            vehicle_of(config),
            minimum_interval_s=config.vda5050.minimum_state_interval_s,
            period_s=config.vda5050.state_period_s,
            visualization_interval_s=config.vda5050.visualization_interval_s,
            topics=published_topics(config),
        ),
        driving=Driving(
            Course(config.follower, wayfinder),
            ProtectiveField(config.field, footprint, config.motion.deceleration_mps2),
            Fields(config.fields, footprint),
            Navigator(config.motion, footprint, mounts, config.avoidance),
            config.driving,
        ),
        battery=Battery(empty_v=config.robot.battery_empty_v, full_v=config.robot.battery_full_v),
        footprints=Footprints(
            footprint,
            footprint
            if loaded is None
            else rectangle(loaded.length_m, loaded.width_m, loaded.center_x_m),
        ),
        memory=OrderMemory(order_book, instant_actions, config.order.resume),
        catalog=catalog,
        zone_guard=ZoneGuard(footprint, config.motion.deceleration_mps2),
        identity=identity,
    )


class Daemon:
    """The running robot: agent, device runners, broker link, local socket.

    Attributes:
        exit_code: What the process is to end with.
    """

    def __init__(self, config: Config, clock: Clock) -> None:
        self._clock = clock
        self._config = config
        self.exit_code = 0
        self._log = structlog.get_logger()
        self._manager = ServiceManager()
        self._stop = threading.Event()
        self._mailbox = Mailbox(tuple(config.mounts))
        self._timing = LoopTiming(PERIOD_NS)
        depot = depot_of(config)
        places = load_places(config, depot)
        self._agent = build_agent(config, places, catalog_of(config, places, depot))
        self._storage = self._worker_of(depot)
        self._runners = [
            DeviceRunner(name, device.build(name), _opener(device.port))
            for name, device in config.devices.items()
        ]
        self._base = self._runners[-1]
        self._io = IoLoop(self._runners, clock)
        identity = identity_of(config)
        self._chronicle = self._chronicle_of(identity)
        self._presence = ConnectionReport(identity, clock, published_topics(config))
        self._link = MqttLink(
            config.broker,
            topics.base(identity),
            subscriptions(config),
            self._presence,
            lambda message: self._mailbox.put_message(read_ahead(message, self._agent.preparation)),
            clock,
            None if self._chronicle is None else self._chronicle.lane,
        )
        self._store = None if config.order.store is None else OrderStore(config.order.store)
        self._unkept: str | None = None
        self._unkept_history: str | None = None
        self._lost_noted = 0
        self._status = self._agent.status(clock.now_ns())
        self._threads: list[threading.Thread] = []
        self._verbs = {
            "status": self._answer_status,
            "scan": lambda _: {"points_m": self._agent.scan_points()},
            "cycles": self._answer_cycles,
            "set_pose": self._set_pose,
            "relocalize": self._relocalize,
            "acknowledge": self._acknowledge,
        }
        self._pose_requests = count(1)
        self._overruns_noted = 0
        self._folded_ns = clock.now_ns()

    def run(self) -> None:
        """Warm up, start the threads, and keep the loop's beat until asked to stop."""
        warm_up()
        server = LocalServer(self._config.local.socket, self._verbs)
        self._threads = [
            threading.Thread(target=self._io.run, args=(self._mailbox.put, self._stop), name="io"),
            threading.Thread(target=self._link.run, name="mqtt"),
            threading.Thread(target=server.serve, args=(self._stop,), name="local"),
        ]
        if self._store is not None:
            if (refused := restore_order(self._agent.memory, self._store)) is not None:
                self._log.warning("order.record_refused", reason=refused.detail, hint=refused.hint)
            self._threads.append(threading.Thread(target=self._store.run, name="order store"))
        if self._storage is not None:
            self._threads.append(threading.Thread(target=self._storage.run, name="storage"))
        if self._chronicle is not None:
            journal = self._chronicle.journal
            self._threads.append(threading.Thread(target=journal.run, name="journal"))
        self._tell_agent("started")
        self._log.info("agent.started", kernels="warm", maps=list(self._config.map))
        # What start-up allocated stays: collecting it again would stall the loop for 0.1 s.
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(SWITCH_S)
        for thread in self._threads:
            thread.start()
        try:
            self._beat()
        finally:
            self._manager.stopping()
            self._stop.set()
            self._io.wake()
            self._link.close()
            if self._store is not None:
                self._store.close()
            if self._storage is not None:
                self._storage.close()
            self._tell_agent("stopped")
            if self._chronicle is not None:
                self._chronicle.journal.close()
            for thread in self._threads:
                thread.join(timeout=5.0)
            self._manager.close()
            self._log.info("agent.stopped")

    def _chronicle_of(self, identity: Identity) -> Chronicle | None:
        params = self._config.history
        if params.journal is None:
            return None
        codecs = {runner.name: runner.driver.codec for runner in self._runners}
        return Chronicle(
            params,
            EventWriter(identity.manufacturer, identity.serial_number, uuid.uuid4().hex),
            self._clock,
            on_durable=lambda: self._link.look_for_history(),
            loop=self._timing.status,
            devices={
                name: lambda codec=codec: asdict(codec.stats)  # type: ignore[misc]
                for name, codec in codecs.items()
            },
        )

    def _tell_agent(self, change: str) -> None:
        if self._chronicle is not None:
            times = self._clock.utc_ns(), self._clock.now_ns()
            self._chronicle.historian.tell_agent(change, metadata.version("haulier"), *times)

    def _worker_of(self, depot: Depot | None) -> StorageWorker | None:
        params = self._config.storage
        if depot is None or params is None:
            return None
        worker = StorageWorker(
            depot,
            params,
            self._config.localization.map,
            self._clock,
            self._mailbox.put_stored,
            own_certificates(self._config),
            self._line,
        )
        try:
            if worker.recover():
                self._log.warning("broker.certificate_restored")
        except OSError as error:
            raise ConfigError(f"broker: {error.filename}: {error.strerror}") from error
        return worker

    def _line(self) -> Line:
        """Return how the line to the broker is doing; asked by the storage's thread."""
        link = self._link.state
        return Line(link.connected_since_ns, link.failure.detail if link.failure else "")

    def ask_to_stop(self, signal_number: int, frame: object) -> None:
        """Signal handler."""
        del signal_number, frame
        self._stop.set()

    def _beat(self) -> None:
        """Tick on absolute deadlines; a missed one is counted and skipped, never caught up."""
        deadline_ns = self._clock.now_ns()
        fed_ns = reported_ns = deadline_ns
        self._manager.ready("running")
        self._log.info("agent.ready")
        while not self._stop.is_set():
            deadline_ns = max(deadline_ns + PERIOD_NS, self._clock.now_ns() - PERIOD_NS)
            self._clock.wait_until_ns(deadline_ns)
            started_ns = self._clock.now_ns()
            inbox = self._mailbox.drain(self._clock.utc_ns(), self._link.state.failure)
            if self._store is not None:
                inbox = replace(inbox, kept=self._store.settled)
            outbox = self._agent.tick(started_ns, inbox)
            self._send(outbox)
            if self._store is not None and (news := self._agent.memory.news()) is not None:
                self._store.keep(news)
            self._status = self._agent.status(started_ns)
            if self._chronicle is not None:
                utc_ns = self._clock.utc_ns()
                self._chronicle.historian.observe(self._status, outbox.events, utc_ns, started_ns)
            ended_ns = self._clock.now_ns()
            self._timing.note(deadline_ns, started_ns, ended_ns)
            if ended_ns - fed_ns >= self._manager.watchdog_period_ns > 0:
                self._manager.alive()
                fed_ns = ended_ns
            if ended_ns - reported_ns >= STATUS_PERIOD_NS:
                self._report(ended_ns)
                reported_ns = ended_ns

    def _send(self, outbox: Outbox) -> None:
        self._base.submit(outbox.command)
        if outbox.releases_base:
            self._base.release()
        self._io.wake()
        self._link.publish(outbox.publications)
        if outbox.hibernates != self._presence.hibernates:
            self._presence.hibernates = outbox.hibernates
            self._link.announce()
        if outbox.shuts_down:
            self._log.info("robot.left")
            self.exit_code = SHUT_DOWN
            self._stop.set()
        if self._storage is not None and outbox.tasks:
            self._storage.take(outbox.tasks)
        for event in outbox.events:
            getattr(self._log, event.level)(event.name, **event.fields)

    def _report(self, now_ns: int) -> None:
        """Once a second: the line that systemctl shows, and folded overruns.

        Raises:
            AgentError: A thread has ended; without it the robot is deaf or dumb for good.
        """
        for thread in self._threads:
            if not thread.is_alive():
                raise AgentError(f"the thread {thread.name} has ended")
        if now_ns - self._folded_ns >= FOLD_NS:
            overruns = self._timing.overruns - self._overruns_noted
            if overruns:
                self._log.warning("tick.overran", count=overruns, **self._timing.status())
            self._overruns_noted, self._folded_ns = self._timing.overruns, now_ns
            self._note_lost_history()
        unkept = None if self._store is None else self._store.failure
        if unkept is not None and unkept != self._unkept:
            self._log.warning("order.unkept", reason=unkept)
        self._unkept = unkept
        self._note_history_failure()
        grounds = "; ".join(complaints(self._status | self._history_status()))
        self._manager.status(grounds or activity(self._status["order"]))

    def _note_history_failure(self) -> None:
        failure = None if self._chronicle is None else self._chronicle.journal.state.failure
        if failure is not None and self._unkept_history is None:
            self._log.warning("history.unkept", reason=failure)
        elif failure is None and self._unkept_history is not None:
            self._log.info("history.kept")
        self._unkept_history = failure

    def _note_lost_history(self) -> None:
        lost = 0 if self._chronicle is None else self._chronicle.journal.state.lost
        if lost > self._lost_noted:
            self._log.warning("history.lost", count=lost - self._lost_noted)
        self._lost_noted = lost

    def _history_status(self) -> dict[str, Any]:
        return {"history": None if self._chronicle is None else self._chronicle.status()}

    def _answer_status(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer ``haulier status`` from the last tick's snapshot; runs in the server's thread."""
        del request
        status, link = self._status | self._history_status(), self._link.state
        connected_ns = link.connected_since_ns
        return status | {
            "robot": self._config.robot.serial_number,
            "version": metadata.version("haulier"),
            "loop": self._timing.status(),
            "codecs": {runner.name: asdict(runner.driver.codec.stats) for runner in self._runners},
            "broker": {
                "host": link.address.host,
                "port": link.address.port,
                "connected": connected_ns is not None,
                "connected_s": None
                if connected_ns is None
                else round((self._clock.now_ns() - connected_ns) * 1e-9, 3),
                "sent": link.sent,
                "received": link.received,
                "skipped": link.skipped,
            },
            "complaints": complaints(status),
        }

    def _answer_cycles(self, request: dict[str, Any]) -> dict[str, Any]:
        """Tell how punctual the last cycles were, one by one; runs in the server's thread."""
        count = request.get("count")
        if not isinstance(count, int):
            return {"error": "cycles takes count, a number"}
        return dict(self._timing.recent(count))

    def _set_pose(self, request: dict[str, Any]) -> dict[str, Any]:
        """Pass on where a person says the robot is; runs in the server's thread."""
        pose, map_id = stated_pose(request.get("pose")), request.get("map_id")
        if pose is None or not isinstance(map_id, str | None):
            return {"error": "set_pose takes pose, [x, y, theta] in m and rad, and map_id, a text"}
        return self._pass_on(pose, map_id)

    def _relocalize(self, request: dict[str, Any]) -> dict[str, Any]:
        """Pass on that the robot shall find out by itself; runs in the server's thread."""
        del request
        return self._pass_on(None, None)

    def _acknowledge(self, request: dict[str, Any]) -> dict[str, Any]:
        """Pass on that the robot may drive again; runs in the server's thread."""
        del request
        self._mailbox.put_acknowledgement()
        return {}

    def _pass_on(self, pose: Pose2 | None, map_id: str | None) -> dict[str, Any]:
        """Put a request in the mailbox and return the name by which the status will answer it."""
        name = f"local {next(self._pose_requests)}"
        if not self._mailbox.put_pose_request(PoseRequest(name, pose, map_id)):
            return {"error": "too many requests at once"}
        return {"request": name}


def restore_order(memory: OrderMemory, store: OrderStore) -> RecordInvalid | None:
    """Take up the order that was kept; one that cannot be read is put aside.

    Returns:
        Why it cannot be read, None where it can or where there is none.
    """
    try:
        kept = store.load()
        if kept is not None:
            memory.restore(kept)
    except RecordInvalid as error:
        store.put_aside()
        return error
    return None


def stated_pose(words: object) -> Pose2 | None:
    """Return the pose that a list ``[x, y, theta]`` in m and rad states, None if it is none."""
    if not isinstance(words, list) or len(words) != 3:
        return None
    try:
        x_m, y_m, yaw_rad = (float(word) for word in words)
    except (TypeError, ValueError, OverflowError):
        return None
    if not all(map(math.isfinite, (x_m, y_m, yaw_rad))):
        return None
    return Pose2(x_m, y_m, yaw_rad) @ Pose2.identity()


def activity(order: dict[str, Any]) -> str:
    """Return what the robot is about, in words."""
    if order["idle"]:
        return "ready, no order"
    return f"order {order['order_id']}, nodes left: {order['nodes_left']}"


def complaints(status: dict[str, Any]) -> list[str]:
    """Return what keeps the robot from working, in words; empty when nothing does."""
    found = []
    for name, device in status["devices"].items():
        if device["phase"] != "streaming":
            fault = device["error"]
            why = f": {fault['code']}: {fault['detail']}" if fault else ""
            found.append(f"{name} {device['phase']} for {device['since_s']:.1f} s{why}")
    pose = status["pose"]
    if pose is None or not pose["localized"]:
        found.append(f"not localized: {pose['reason'] if pose else 'no scan yet'}")
    if error := status["broker_error"]:
        found.append(f"broker: {error['code']}: {error['detail']}")
    if (history := status.get("history")) and history["failure"]:
        found.append(f"history: {history['failure']}")
    if error := status["way_error"]:
        found.append(f"way: {error['code']}: {error['detail']}")
    if reason := status["command"]["stop_reason"]:
        found.append(f"standing: {reason} for {status['command']['stop_since_s']:.1f} s")
    return found


def _opener(node: str) -> Callable[[PortSpec], SerialPort]:
    def open_port(spec: PortSpec) -> SerialPort:
        return SerialPort(node, spec)

    return open_port


def run(config: Config, clock: Clock | None = None) -> int:
    """Run the daemon until a signal ends it, and return the exit status."""
    daemon = Daemon(config, clock or SystemClock())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, daemon.ask_to_stop)
    log = structlog.get_logger()
    try:
        daemon.run()
    except HaulierError:
        raise
    except Exception as error:
        # The last line of defence: whatever it was, the journal says it in one line.
        log.error("agent.failed", reason=f"{type(error).__name__}: {error}", exc_info=True)
        return HaulierError.exit_code
    return daemon.exit_code
