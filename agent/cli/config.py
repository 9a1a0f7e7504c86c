"""``haulier config``: check a configuration, show what is in force, print its schema."""

import argparse
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.verb import Verb
from agent.clock import SystemClock
from drivers.errors import HaulierError

if TYPE_CHECKING:
    from agent.config import Config, DeviceSection
    from agent.telemetry.access import Address, BrokerParams

CONNECT_TIMEOUT_S = 3.0
ALERT_TIMEOUT_S = 0.5


def _configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    check = actions.add_parser("check", help="check file, map, drivers, ports and broker")
    check.add_argument("--offline", action="store_true", help="leave out the ports and the broker")
    show = actions.add_parser("show", help="print the configuration in force, defaults included")
    for action in (check, show):
        action.add_argument("--config", type=Path, default=Path("/etc/haulier/haulier.toml"))
    actions.add_parser("schema", help="print the JSON schema of the file")


def _run(options: argparse.Namespace) -> int:
    from agent import config

    if options.action == "schema":
        print(json.dumps(config.Config.model_json_schema(), indent=2))
        return 0
    loaded = config.load(options.config)
    if options.action == "show":
        print(json.dumps(loaded.model_dump(mode="json"), indent=2))
        return 0
    return _check(loaded, options.config, offline=options.offline)


def _check(config: "Config", path: Path, *, offline: bool) -> int:
    """Check one thing after the other, say all results, and return the gravest exit status."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("configuration", lambda: str(path)),
        *((f"{name} driver", partial(_try_driver, name, d)) for name, d in config.devices.items()),
        ("maps", lambda: _try_maps(config)),
        ("credentials", lambda: _try_credentials(config)),
    ]
    if not offline:
        checks += [
            *((f"{name} port", partial(_try_port, name, d)) for name, d in config.devices.items()),
            *((f"broker {a}", partial(_try_broker, config, a)) for a in _brokers(config.broker)),
        ]
    column = max(len(name) for name, _ in checks)
    status = 0
    for name, check in checks:
        try:
            print(f"ok    {name:{column}} {check()}")
        except HaulierError as error:
            print(f"FAIL  {name:{column}} {error.code}: {error.detail}\n      hint: {error.hint}")
            status = max(status, error.exit_code)
    return status


def _try_driver(name: str, section: "DeviceSection") -> str:
    return str(section.build(name).name)


def _try_maps(config: "Config") -> str:
    from agent.main import build_agent, load_places

    places = load_places(config)
    build_agent(config, places)
    sizes = []
    for map_id, place in places.items():
        length_m, width_m = (
            count * place.grid.resolution_m for count in (place.grid.columns, place.grid.rows)
        )
        sizes.append(f"{map_id} {length_m:.1f} x {width_m:.1f} m")
    start = "start pose inside" if config.start.pose else "to be searched for the start pose"
    return f"{', '.join(sizes)}; {config.start_map} {start}"


def _try_port(name: str, section: "DeviceSection") -> str:
    from drivers.port import SerialPort

    SerialPort(section.port, section.build(name).spec).close()
    return section.port


def _try_credentials(config: "Config") -> str:
    from agent.telemetry.credentials import Credentials

    broker = config.broker
    Credentials(broker).login(SystemClock().utc_ns(), "trial" if broker.sas_key_file else "")
    if not broker.is_encrypted:
        return f"{broker.platform}, UNENCRYPTED: anybody in the network can read and alter"
    return f"{broker.platform}, encrypted; {len(broker.files)} files read"


def _brokers(broker: "BrokerParams") -> tuple["Address", ...]:
    """Return whom the robot will connect to first: with provisioning, the service."""
    if broker.dps_id_scope:
        return (broker.address(broker.dps_host),)
    return broker.addresses


def _try_broker(config: "Config", address: "Address") -> str:
    """Open a line, but log in as nobody: the running daemon would lose its own."""
    from agent.telemetry.credentials import Credentials
    from agent.telemetry.refusal import of_failure

    login = Credentials(config.broker).login(SystemClock().utc_ns())
    place = (address.host, address.port)
    try:
        with socket.create_connection(place, timeout=CONNECT_TIMEOUT_S) as line:
            if login.tls is None:
                return "accepts connections"
            with login.tls.wrap_socket(line, server_hostname=address.host) as encrypted:
                # A broker that takes no such certificate says so only after the handshake.
                encrypted.settimeout(ALERT_TIMEOUT_S)
                with suppress(TimeoutError):
                    encrypted.recv(1)
                return f"shows a certificate that holds, over {encrypted.version()}"
    except (OSError, ValueError) as error:
        raise of_failure(address, error) from error


VERB = Verb("config", "check, show or describe the configuration", _configure, _run)
