"""``haulier config``: check a configuration, show what is in force, print its schema."""

import argparse
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.verb import Verb
from agent.errors import BrokerUnavailable
from drivers.errors import HaulierError

if TYPE_CHECKING:
    from agent.config import Config, DeviceSection

CONNECT_TIMEOUT_S = 3.0


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
        ("lidar driver", lambda: str(config.lidar.build("lidar").name)),
        ("base driver", lambda: str(config.base.build("base").name)),
        ("map", lambda: _try_map(config)),
    ]
    if not offline:
        checks += [
            ("lidar port", lambda: _try_port("lidar", config.lidar)),
            ("base port", lambda: _try_port("base", config.base)),
            ("broker", lambda: _try_broker(config.broker.host, config.broker.port)),
        ]
    status = 0
    for name, check in checks:
        try:
            print(f"ok    {name:14} {check()}")
        except HaulierError as error:
            print(f"FAIL  {name:14} {error.code}: {error.detail}\n      hint: {error.hint}")
            status = max(status, error.exit_code)
    return status


def _try_map(config: "Config") -> str:
    from agent.main import build_agent
    from agent.mapping.map_file import load_map

    grid = load_map(config.map.file)
    build_agent(config, grid)
    rows, columns = grid.cells.shape
    size = f"{columns * grid.resolution_m:.1f} x {rows * grid.resolution_m:.1f} m"
    return f"{config.map.file}: {size}, start pose inside"


def _try_port(path: str, section: "DeviceSection") -> str:
    from drivers.port import SerialPort

    SerialPort(section.port, section.build(path).spec).close()
    return section.port


def _try_broker(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise BrokerUnavailable(f"{host}:{port}: {error.strerror or error}") from error
    return f"{host}:{port} accepts connections"


VERB = Verb("config", "check, show or describe the configuration", _configure, _run)
