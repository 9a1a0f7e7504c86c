"""Maps, zones and sleep through the real daemon: a real broker, real files, devices on ptys."""

from collections.abc import Callable, Iterator, Mapping

import pytest

from agent.clock import SystemClock
from agent.vda5050.identity import Identity
from agent.vda5050.messages import ConnectionState, GrantType, ZoneSet
from hil.bench_process import BenchSpec
from hil.broker import BrokerProcess
from hil.master_control import MasterControl, MqttMaster, Station
from hil.plant.world import Pose
from hil.pty_rig import PtyRig
from tests.agent.room import write_robot
from tests.agent.test_daemon import CONFIG, ROBOT
from tests.agent.test_map_actions import STORAGE
from tests.agent.vda5050.storage.archives import served, zipped_map

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CLOCK = SystemClock()
IDENTITY = Identity("acme", "R1", "vda5050/v3", "3.0.0")
NIGHT = ZoneSet.model_validate_json(
    """{"mapId": "hall", "zoneSetId": "night", "zones": [
    {"zoneId": "door", "zoneType": "RELEASE", "vertices": [
        {"x": 2.5, "y": -3.0}, {"x": 3.5, "y": -3.0}, {"x": 3.5, "y": 3.0}, {"x": 2.5, "y": 3.0}]},
    {"zoneId": "slow", "zoneType": "SPEED_LIMIT", "maximumSpeed": 0.3, "vertices": [
        {"x": 4.5, "y": -1.0}, {"x": 5.5, "y": -1.0}, {"x": 5.5, "y": 1.0}, {"x": 4.5, "y": 1.0}]}
    ]}"""
)


class Site:
    """A daemon with its master and a server of maps."""

    def __init__(self, rig: PtyRig, master: MqttMaster, core: MasterControl, url: str) -> None:
        self.rig, self.master, self.core, self.url = rig, master, core, url

    def wait(self, condition: Callable[[MasterControl], bool], timeout_s: float = 20.0) -> None:
        if not self.master.wait_for(condition, timeout_s):
            state = self.core.state
            pytest.fail(f"in vain: {state and state.model_dump_json(exclude_none=True)}")

    def ask(self, action: str, parameters: Mapping[str, str], status: str = "FINISHED") -> None:
        self.master.instant_action(action, dict(parameters))
        name = self.core.action_id

        def is_over(core: MasterControl) -> bool:
            state = core.action_state(name)
            return state is not None and str(state.action_status) == status

        self.wait(is_over)

    @property
    def maps(self) -> dict[str, str]:
        state = self.core.state
        assert state is not None
        return {m.map_version: str(m.map_status) for m in state.maps or ()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    (directory / "server").mkdir()
    zipped_map(directory / "server" / "new.zip")
    with BrokerProcess() as broker, served(directory / "server") as url:
        text = CONFIG.replace("port = 1\n", f"port = {broker.port}\n")
        text += STORAGE.replace("{url}", url) + '\n[vda5050]\nversion = "3.0.0"\n'
        config = write_robot(directory, text)
        spec = BenchSpec(
            directory=directory, map=directory / "room.yaml", start=Pose(0, 0, 0), robot=ROBOT
        )
        core = MasterControl(IDENTITY, CLOCK)
        with (
            MqttMaster(core, IDENTITY, "127.0.0.1", broker.port) as master,
            PtyRig(spec, config, CLOCK) as rig,
        ):
            site = Site(rig, master, core, url)
            rig.wait_until_ready()
            site.wait(lambda core: core.online and core.state is not None)
            yield site


def test_a_map_is_fetched_and_outlives_a_power_cut(site: Site) -> None:
    new = {"mapId": "hall", "mapVersion": "2"}
    site.ask("downloadMap", new | {"mapDownloadLink": f"{site.url}/new.zip"})
    assert site.maps == {"1": "ENABLED", "2": "DISABLED"}
    cycles = site.rig.status()["loop"]
    site.ask("enableMap", new)
    site.ask("enableMap", {"mapId": "hall", "mapVersion": "1"})
    print("loop before and after", cycles, site.rig.status()["loop"])
    site.rig.kill_daemon()
    site.rig.start_daemon()
    site.rig.wait_until_ready()
    site.wait(lambda core: core.online and site.maps == {"1": "ENABLED", "2": "DISABLED"})
    site.ask("deleteMap", new)
    assert site.maps == {"1": "ENABLED"}


def test_zones_hold_and_are_granted_over_the_broker(site: Site) -> None:
    site.core.grant = None
    site.master._send(site.core.zone_set(NIGHT))
    site.wait(lambda core: bool(core.state and core.state.zone_sets))
    site.ask("enableZoneSet", {"zoneSetId": "night"})
    site.master.order([Station(0.0, 0.0), Station(6.5, 0.0)], "hall")
    site.wait(lambda core: bool(core.state and core.state.zone_requests))
    site.rig.bench.truth()
    CLOCK.wait_until_ns(CLOCK.now_ns() + 5_000_000_000)
    x_m, _, _ = site.rig.bench.truth()["pose"]
    assert x_m + 0.45 < 2.55
    assert site.rig.status()["command"]["stop_reason"] == "must not go on because of a zone of door"
    site.core.grant = GrantType.GRANTED
    fastest = 0.0
    while not site.core.finished:
        truth = site.rig.bench.truth()
        if 4.6 < truth["pose"][0] < 5.4:
            fastest = max(fastest, site.rig.status()["command"]["forward_mps"])
        CLOCK.wait_until_ns(CLOCK.now_ns() + 50_000_000)
        assert site.rig.daemon.poll() is None
    assert 0.2 < fastest <= 0.31
    assert site.core.invalid == []


def test_the_robot_sleeps_wakes_and_is_shut_down(site: Site) -> None:
    site.ask("startHibernation", {})
    site.wait(lambda core: _says(core, ConnectionState.HIBERNATING))
    heard = site.core.counts["state"]
    CLOCK.wait_until_ns(CLOCK.now_ns() + 3_000_000_000)
    assert site.core.counts["state"] == heard
    site.ask("stopHibernation", {})
    site.wait(lambda core: _says(core, ConnectionState.ONLINE))
    site.ask("shutdown", {})
    site.wait(lambda core: _says(core, ConnectionState.OFFLINE))
    assert site.rig.daemon.wait(20.0) == 80


def _says(core: MasterControl, state: ConnectionState) -> bool:
    return core.connection is not None and core.connection.connection_state is state
