"""The service's files agree with each other, with the installer and with the code."""

import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from agent import config
from agent.errors import ConfigError, MapError
from agent.main import PERIOD_NS, SHUT_DOWN

ELSEWHERE = {"install", "mosquitto.acl"}  # the latter belongs to the broker
ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "systemd"
INSTALLER = (SYSTEMD / "install").read_text(encoding="utf-8")
PLATFORMS = [
    {"python_version": version, "python_full_version": f"{version}.0", "platform_machine": machine}
    | {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    | {"implementation_name": "cpython", "platform_python_implementation": "CPython", "extra": ""}
    for version in ("3.11", "3.12", "3.13")
    for machine in ("x86_64", "aarch64")
]


def settings_of(unit: str) -> dict[str, list[str]]:
    """Return a unit's values by key, in their order."""
    found: dict[str, list[str]] = {}
    for line in unit.splitlines():
        if line and line[0] not in "#[":
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


SERVICE = settings_of((SYSTEMD / "haulier.service").read_text(encoding="utf-8"))


def lines_of(name: str) -> list[str]:
    lines = (SYSTEMD / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def variable(name: str) -> str:
    """Return what the installer sets a variable to, with ``$prefix`` filled in."""
    values = dict(re.findall(r"^(\w+)=(.*)$", INSTALLER, re.MULTILINE))
    return values[name].replace("$prefix", values["prefix"])


def only(key: str) -> str:
    (value,) = SERVICE[key]
    return value


def test_starts_what_the_installer_puts_there() -> None:
    assert only("ExecStart").split() == [
        f"{variable('current')}/bin/haulier",
        "run",
        "--config",
        str(config.DEFAULT_PATH),
    ]


def test_kernels_are_cached_where_the_installer_compiles_them() -> None:
    cache = f"/var/cache/{only('CacheDirectory')}"
    assert f"NUMBA_CACHE_DIR={cache}" in SERVICE["Environment"]
    assert variable("cache") == cache


def test_user_is_made_with_its_home_and_groups() -> None:
    user, membership = lines_of("haulier.sysusers")
    assert user.split()[:2] == ["u", only("User")]
    assert user.split()[-1] == f"/var/lib/{only('StateDirectory')}"
    assert membership.split() == ["m", only("User"), only("SupplementaryGroups")]


def test_socket_lies_in_the_runtime_directory() -> None:
    assert config.LocalSection().socket.parent == Path("/run", only("RuntimeDirectory"))


def test_does_not_try_again_what_only_a_person_can_mend() -> None:
    never_again = {int(status) for status in only("RestartPreventExitStatus").split()}
    assert never_again == {ConfigError.exit_code, MapError.exit_code, SHUT_DOWN}
    assert int(only("SuccessExitStatus")) == SHUT_DOWN
    assert only("Restart") == "always"


def test_watchdog_outlasts_late_cycles() -> None:
    assert only("Type") == "notify"
    assert int(only("WatchdogSec")) * 1e9 >= 25 * PERIOD_NS


def test_compiler_may_make_its_pages_executable() -> None:
    assert "MemoryDenyWriteExecute" not in SERVICE


def test_every_file_is_installed() -> None:
    for path in SYSTEMD.iterdir():
        assert path.name in ELSEWHERE or f"{path.name}" in INSTALLER, path.name


def test_udev_rules_are_well_formed() -> None:
    pair = r'[A-Z]+(\{\w+\})?(==|!=|=|\+=)"[^"]*"'
    for line in lines_of("70-haulier.rules"):
        assert re.fullmatch(rf"{pair}(, {pair})*", line), line


def test_installer_is_plain_shell() -> None:
    subprocess.run(["sh", "-n", SYSTEMD / "install"], check=True)


@pytest.mark.parametrize("words", [["--bogus"], ["--python"], ["--root"], ["--root", "/no/such"]])
def test_installer_refuses_what_it_does_not_know(words: list[str]) -> None:
    done = subprocess.run(
        [SYSTEMD / "install", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "--root" in done.stderr
    assert not done.stdout


def test_example_configuration_is_valid() -> None:
    example = config.load(SYSTEMD / "haulier.toml", environment={})
    for name, device in example.devices.items():
        device.build(name)


def locked() -> list[tuple[Requirement, list[str]]]:
    """Return the requirements of the lock file, each with its hashes."""
    text = "\n".join(lines_of("requirements.lock")).replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        requirement, *hashes = line.split("--hash=")
        if not requirement.strip().startswith("#"):
            found.append((Requirement(requirement), [word.strip() for word in hashes]))
    return found


def test_lock_names_hashes_and_no_places() -> None:
    assert "://" not in (SYSTEMD / "requirements.lock").read_text(encoding="utf-8")
    for requirement, hashes in locked():
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", word) for word in hashes), requirement


def needed_here() -> dict[str, Requirement]:
    """Return what the project needs at run time, directly or not, as installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    queue = [
        Requirement(text)
        for text in project["dependencies"] + project["optional-dependencies"]["maps"]
    ]
    found: dict[str, Requirement] = {}
    while queue:
        requirement = queue.pop()
        if requirement.name in found or (
            requirement.marker and not requirement.marker.evaluate({"extra": ""})
        ):
            continue
        found[requirement.name] = requirement
        queue += map(Requirement, importlib.metadata.requires(requirement.name) or [])
    return found


@pytest.mark.parametrize(
    "platform", PLATFORMS, ids=lambda p: f"{p['python_version']}-{p['platform_machine']}"
)
def test_lock_covers_every_dependency(platform: dict[str, str]) -> None:
    versions = {
        canonicalize_name(entry.name): next(iter(entry.specifier)).version
        for entry, _ in locked()
        if entry.marker is None or entry.marker.evaluate(platform)
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = project["dependencies"] + project["optional-dependencies"]["maps"]
    for requirement in map(Requirement, direct):
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)])
    assert set(map(canonicalize_name, needed_here())) <= set(versions)
