"""The link at Azure IoT Hub and its provisioning service, as emulated."""

import base64
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.errors import BrokerUnavailable, RobotRefused
from agent.telemetry.access import BrokerParams
from agent.telemetry.broker import MqttLink
from agent.telemetry.iot_hub import signature
from agent.telemetry.platform import Platform
from agent.telemetry.provisioning import Registration
from agent.telemetry.publication import Message, Publication
from agent.vda5050.connection import ConnectionReport
from agent.vda5050.identity import Identity
from hil.azure import Device, IotHub, ProvisioningService
from tests.agent.telemetry.authority import Authority

KEY = base64.b64encode(b"the device's own key, 32 bytes..").decode()
BASE = "uagv/v2/acme/R1"
RECEIVED = {"order": 0, "instantActions": 0}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("azure"))
    authority.issue("hub", names="DNS:localhost")
    return authority


@pytest.fixture
def hub(authority: Authority) -> Iterator[IotHub]:
    with IotHub("localhost", pair_of(authority), KEY, SystemClock()) as hub:
        yield hub


def pair_of(authority: Authority) -> tuple[str, str]:
    return str(authority.directory / "hub.pem"), str(authority.directory / "hub.key")


def eventually(condition: Callable[[], object], within_s: float = 6.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())


@contextmanager
def linked(
    authority: Authority,
    directory: Path,
    received: list[Message],
    key: str = KEY,
    clock: SystemClock | None = None,
    **more: object,
) -> Iterator[MqttLink]:
    secret = directory / "device.key"
    secret.write_text(key)
    params = {
        "platform": Platform.AZURE_IOT_HUB,
        "host": "localhost",
        "client_id": "robot-1",
        "sas_key_file": secret,
        "ca_file": authority.certificate,
        "longest_retry_s": 0.2,
        **more,
    }
    clock = clock or SystemClock()
    presence = ConnectionReport(Identity("acme", "R1"), clock)
    link = MqttLink(
        BrokerParams(**params),  # type: ignore[arg-type]
        BASE,
        RECEIVED,
        presence,
        received.append,
        clock,
    )
    thread = threading.Thread(target=link.run)
    thread.start()
    try:
        yield link
    finally:
        link.close()
        thread.join(5)
        assert not thread.is_alive()


def is_up(link: MqttLink) -> bool:
    return link.state.connected_since_ns is not None


def topics_at(hub: IotHub) -> list[str]:
    return [properties["topic"].removeprefix(f"{BASE}/") for properties, _ in hub.events]


def test_the_robot_speaks_and_hears(authority: Authority, hub: IotHub, tmp_path: Path) -> None:
    received: list[Message] = []
    with linked(authority, tmp_path, received, port=hub.port) as link:
        assert eventually(lambda: is_up(link))
        link.publish([Publication("state", b"{}", qos=1), Publication("factsheet", b"{}", 2, True)])
        assert eventually(lambda: sorted(topics_at(hub)) == ["connection", "factsheet", "state"])
        assert all(p["$.ct"] == "application/json" for p, _ in hub.events)
        assert not any("x-opt-retain" in properties for properties, _ in hub.events)
        hub.send("robot-1", f"{BASE}/order", b"go")
        hub.send("robot-1", f"{BASE}/somethingElse", b"?")
        assert eventually(lambda: received)
        assert hub.call("robot-1", "instantActions", b"stop") == 202
        assert hub.call("robot-1", "reboot", b"") == 404
        assert [(m.topic, m.payload) for m in received] == [
            ("order", b"go"),
            ("instantActions", b"stop"),
        ]
    assert b"OFFLINE" in hub.events[-1][1]
    assert hub.violations == []


def test_the_will_goes_to_the_events(authority: Authority, hub: IotHub, tmp_path: Path) -> None:
    with linked(authority, tmp_path, [], port=hub.port) as link:
        assert eventually(lambda: is_up(link))
        hub.drop("robot-1")
        assert eventually(lambda: any(b"CONNECTIONBROKEN" in payload for _, payload in hub.events))
        assert eventually(lambda: is_up(link))


class ClockAhead(SystemClock):
    """Can be put forward."""

    ahead_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.ahead_ns


def test_a_signature_is_renewed_before_it_ends(
    authority: Authority, hub: IotHub, tmp_path: Path
) -> None:
    clock = ClockAhead()
    with linked(authority, tmp_path, [], clock=clock, port=hub.port) as link:
        assert eventually(lambda: is_up(link))
        since_ns = link.state.connected_since_ns
        clock.ahead_ns = 49 * 60 * 1_000_000_000
        time.sleep(0.7)
        assert link.state.connected_since_ns == since_ns
        clock.ahead_ns = 51 * 60 * 1_000_000_000
        assert eventually(lambda: link.state.connected_since_ns not in (None, since_ns))
        assert link.state.failure is None
        assert not any(b"CONNECTIONBROKEN" in payload for _, payload in hub.events)


def test_too_long_a_message_is_not_sent(authority: Authority, hub: IotHub, tmp_path: Path) -> None:
    with linked(authority, tmp_path, [], port=hub.port) as link:
        assert eventually(lambda: is_up(link))
        link.publish([Publication("state", b"x" * 262_144)])
        link.publish([Publication("visualization", b"x" * 200_000)])
        assert eventually(lambda: "visualization" in topics_at(hub))
        assert link.state.skipped == 1
    assert hub.violations == []


def test_a_wrong_key_is_refused(authority: Authority, hub: IotHub, tmp_path: Path) -> None:
    wrong = base64.b64encode(b"another").decode()
    with linked(authority, tmp_path, [], wrong, port=hub.port) as link:
        assert eventually(lambda: link.state.failure is not None)
        assert isinstance(link.state.failure, RobotRefused)
        assert wrong not in str(link.state.failure)
        (tmp_path / "device.key").write_text(KEY)
        assert eventually(lambda: is_up(link))


def test_the_provisioning_service_is_asked_for_the_hub(
    authority: Authority, hub: IotHub, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        service = stack.enter_context(
            ProvisioningService(
                "0ne1", f"localhost:{hub.port}", pair_of(authority), KEY, SystemClock()
            )
        )
        named = {"dps_id_scope": "0ne1", "dps_host": f"localhost:{service.port}"}
        link = stack.enter_context(linked(authority, tmp_path, [], **named))
        assert eventually(lambda: is_up(link))
        assert link.state.address.port == hub.port
        assert service.assigned == ["robot-1"]
        hub.drop("robot-1")
        assert eventually(lambda: topics_at(hub).count("connection") >= 3)
        assert eventually(lambda: is_up(link))
        assert service.assigned == ["robot-1"], "a lost line is no reason to ask again"
        assert service.violations == hub.violations == []


def test_a_signature_is_what_the_documentation_says() -> None:
    signed = signature("hub.azure-devices.net/devices/d1", base64.b64encode(b"k").decode(), 1700)
    # The figure is that of "openssl dgst -sha256 -hmac k" over resource, newline and end.
    assert signed == (
        "SharedAccessSignature sr=hub.azure-devices.net%2Fdevices%2Fd1"
        "&sig=HXAD4E%2BE6F1iWqfOTJEiiIj3ldMkWjwki4At8IEif54%3D&se=1700"
    )


def test_a_refused_subscription_is_explained(authority: Authority, tmp_path: Path) -> None:
    class Closed(IotHub):
        def opens(self, device: Device, topic: str) -> bool:
            return "methods" not in topic

    with (
        Closed("localhost", pair_of(authority), KEY, SystemClock()) as hub,
        linked(authority, tmp_path, [], port=hub.port) as link,
    ):
        assert eventually(lambda: link.state.failure is not None)
        assert isinstance(link.state.failure, RobotRefused)
        assert "refuses the subscription to $iothub/methods/POST/#" in str(link.state.failure)
        assert not is_up(link)


@pytest.mark.parametrize(
    ("topic", "payload", "error"),
    [
        ("$dps/registrations/res/401/?$rid=1", b'{"message": "no"}', RobotRefused),
        ("$dps/registrations/res/429/?$rid=1", b"{}", BrokerUnavailable),
        ("$dps/registrations/res/200/?$rid=1", b"[]", BrokerUnavailable),
        ("$dps/registrations/res/200/?$rid=1", b"\xff", BrokerUnavailable),
        ("$dps/registrations/res/200/?$rid=1", b'{"status": "assigned"}', RobotRefused),
        ("$dps/registrations/res/200/?$rid=1", b'{"status": "disabled"}', RobotRefused),
    ],
)
def test_bad_answers_of_the_provisioning_service_are_errors(
    topic: str, payload: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Registration("robot-1").answered(topic, payload)


def test_the_pace_is_the_service_s() -> None:
    said = b'{"status": "assigning", "operationId": "o"}'
    for query, pause_s in (("&retry-after=7", 7.0), ("", 3.0), ("&retry-after=soon", 3.0)):
        further = Registration("r").answered(f"$dps/registrations/res/202/?$rid=1{query}", said)
        assert further is not None
        assert further[0] == pause_s
