"""The installer fills an image: a directory tree in which nothing runs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

INSTALLER = Path(__file__).parents[2] / "systemd" / "install"
PYTHON = Path("/usr/bin/python3")

pytestmark = [
    pytest.mark.privileged,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="installing needs root"),
    pytest.mark.skipif(not PYTHON.exists(), reason="no Python of the system's own"),
    pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze"),
]


def install(image: Path, *words: str) -> None:
    done = subprocess.run(
        [INSTALLER, "--root", image, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def releases(image: Path) -> list[str]:
    return sorted(path.name for path in (image / "opt/haulier/releases").iterdir())


def current(image: Path) -> str:
    return (image / "opt/haulier/current").readlink().name


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """As much of a system as the installer and ``systemd-analyze`` look at."""
    interpreter = PYTHON.resolve()
    node = tmp_path / interpreter.relative_to("/")
    node.parent.mkdir(parents=True)
    shutil.copy2(interpreter, node)
    (tmp_path / "etc").mkdir()
    shutil.copytree("/usr/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    return tmp_path


def test_install_upgrade_rollback_uninstall(image: Path) -> None:
    install(image, "--python", str(PYTHON))
    verified = subprocess.run(
        ["systemd-analyze", "verify", f"--root={image}", "haulier.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    first = current(image)
    program = image / "opt/haulier/releases" / first / "bin/haulier"
    shebang = program.read_text(encoding="utf-8").splitlines()[0]
    assert shebang == f"#!/opt/haulier/releases/{first}/bin/python"

    settings = image / "etc/haulier/haulier.toml"
    settings.write_text("# a robot of its own\n", encoding="utf-8")
    install(image, "--python", str(PYTHON))
    second = current(image)
    assert second != first
    assert settings.read_text(encoding="utf-8") == "# a robot of its own\n"

    install(image, "--rollback")
    assert current(image) == first
    assert releases(image) == sorted([first, second])

    install(image, "--uninstall")
    assert settings.exists()
    left = [path for path in image.rglob("*haulier*") if path.is_relative_to(image / "etc/haulier")]
    assert set(image.rglob("*haulier*")) == set(left)
