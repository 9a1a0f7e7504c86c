from pathlib import Path

import pytest

from agent import config
from agent.errors import ConfigError
from tests.agent.robot import TOML, write_robot

EXAMPLE = Path(__file__).parents[2] / "systemd" / "haulier.toml"


def load(directory: Path, toml: str, **environment: str) -> config.Config:
    return config.load(write_robot(directory, toml), environment)


def test_the_shipped_example_is_a_complete_robot_and_short() -> None:
    settings = config.load(EXAMPLE, {})
    assert settings.lidar.build("lidar").name == "rplidar"
    assert settings.base.build("base").name == "roboteq"
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 80


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("length_m", "lenght_m", "robot.lenght_m: unknown key; did you mean length_m?"),
        ("length_m = 0.9", "", "robot.length_m: missing"),
        ("length_m = 0.9", "length_m = -1", "robot.length_m: Input should be greater than 0"),
        ("length_m = 0.9", 'length_m = "long"', "robot.length_m: Input should be a valid number"),
        ("[robot]", "[robit]", "robit: unknown key; did you mean robot?"),
        ("port = 1\n", "port = 70000\n", "broker.port: Input should be less than or equal"),
        ("port = 1\n", "prot = 1\n", "broker.prot: unknown key; did you mean port?"),
        ("start_pose = [3.0, 4.0, 0.0]", "start_pose = [3.0, nan, 0.0]", "map.start_pose.1"),
        ("[robot]", "[robot", "not TOML"),
        (
            "[broker]",
            "[localization.filter]\npraticles = 3\n[broker]",
            "localization.filter.praticles: unknown key; did you mean particles?",
        ),
    ],
)
def test_a_wrong_key_is_named_with_its_path(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, TOML.replace(old, new, 1))
    assert message in caught.value.detail
    assert caught.value.exit_code == 78


def test_driver_options_are_checked_by_the_driver_and_named_with_their_path(
    tmp_path: Path,
) -> None:
    settings = load(tmp_path, TOML.replace("[base]", "[lidar.options]\nmoed = 1\n[base]"))
    with pytest.raises(ConfigError, match=r"lidar\.options\.moed: unknown key; did you mean mode"):
        settings.lidar.build("lidar")


def test_an_unknown_driver_is_named_with_the_nearest(tmp_path: Path) -> None:
    settings = load(tmp_path, TOML.replace('"roboteq"', '"robotek"'))
    with pytest.raises(ConfigError, match=r"base\.driver: .*did you mean roboteq"):
        settings.base.build("base")


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        config.load(tmp_path / "none.toml", {})


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    settings = load(
        tmp_path, TOML, HAULIER_BROKER__PORT="1884", HAULIER_BROKER__HOST="10.0.0.9", HAULIER_X="1"
    )
    assert (settings.broker.port, settings.broker.host) == (1884, "10.0.0.9")
    with pytest.raises(ConfigError, match=r"broker\.prot .*HAULIER_BROKER__PROT.*: unknown key"):
        load(tmp_path, TOML, HAULIER_BROKER__PROT="1")


def test_the_map_lies_beside_the_configuration(tmp_path: Path) -> None:
    assert load(tmp_path, TOML).map.file == tmp_path / "room.yaml"


def test_the_schema_carries_the_bounds() -> None:
    schema = config.Config.model_json_schema()
    assert schema["$defs"]["BrokerParams"]["properties"]["port"]["maximum"] == 65535
