import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from annotated_types import Ge, Gt, Le
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agent import config
from agent.avoidance.surroundings import LidarMount
from agent.errors import ConfigError
from agent.geometry.pose import Pose2
from drivers import registry
from tests.agent.room import TOML, TWO_HALLS, TWO_LIDARS, write_robot

EXAMPLE = Path(__file__).parents[2] / "systemd" / "haulier.toml"


def load(directory: Path, text: str = TOML, **environment: str) -> config.Config:
    return config.load(write_robot(directory, text), environment)


def complaint(directory: Path, text: str = TOML, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(directory, text, **environment)
    assert "\n" not in caught.value.detail
    assert caught.value.exit_code == 78
    return caught.value.detail.removeprefix(f"{directory}/haulier.toml: ")


def test_a_good_file(tmp_path):
    loaded = load(tmp_path)
    assert loaded.robot.serial_number == "R1"
    assert (loaded.start_map, loaded.start.map_from_base) == ("hall", Pose2(0.0, 0.0, 0.0))
    assert loaded.mounts == {"lidar.front": LidarMount(Pose2(0.0, 0.0, 0.0))}
    assert list(loaded.devices) == ["lidar.front", "base"]


def test_several_lidars_and_maps(tmp_path):
    loaded = load(tmp_path, TWO_LIDARS.replace("[base]\n", "mask = [[2.3, -2.3]]\n\n[base]\n", 1))
    assert list(loaded.devices) == ["lidar.front", "lidar.rear", "base"]
    assert loaded.mounts["lidar.rear"].mask == ((2.3, -2.3),)
    assert loaded.mounts["lidar.rear"].base_from_lidar.x_m == -0.4
    loaded = load(tmp_path, TWO_HALLS)
    assert {name: section.file for name, section in loaded.map.items()} == {
        "hall": tmp_path / "room.yaml", "cellar": tmp_path / "cellar.yaml"
    }  # fmt: skip
    assert load(tmp_path, TWO_HALLS.replace('map = "hall"', 'map = "cellar"')).start_map == "cellar"


def test_the_start_pose_may_be_left_out(tmp_path):
    loaded = load(tmp_path, TOML.replace("[start]\npose = [0.0, 0.0, 0.0]\n", ""))
    assert (loaded.start_map, loaded.start.map_from_base) == ("hall", None)


def test_the_example_loads_and_its_drivers_take_their_options():
    loaded = config.load(EXAMPLE, {})
    names = [device.build(name).name for name, device in loaded.devices.items()]
    assert names == ["rplidar", "roboteq"]
    assert loaded.map["hall"].file == EXAMPLE.parent / "hall.yaml"
    assert len(EXAMPLE.read_text().splitlines()) < 80


@pytest.mark.parametrize(
    ("line", "replacement", "expected"),
    [
        ("width_m = 0.6", "widht_m = 0.6", "robot.widht_m: unknown key; did you mean width_m?"),
        ("width_m = 0.6", "", "robot.width_m: missing"),
        ("width_m = 0.6", "width_m = 60", "robot.width_m: Input should be less than or equal to 5"),
        ("width_m = 0.6", "width_m = nan", "robot.width_m: nan is not a finite number"),
        ("width_m = 0.6", 'width_m = "wide"', "robot.width_m: Input should be a valid number"),
        ("[0.0, 0.0, 0.0]", "[0.0, 0.0]", "start.pose.2: missing"),
        ("[0.0, 0.0, 0.0]", "[0.0, inf, 0.0]", "start.pose.1: inf is not a finite number"),
        ('"R1"', '"R/1"', "robot.serial_number: String should match"),
        ("port = 1\n", "prot = 1\n", "broker.prot: unknown key; did you mean port?"),
        ("port = 1\n", "port = 65536\n", "broker.port: Input should be less than or equal"),
        ("[broker]", "[brokre]", "broker: missing; brokre: unknown key; did you mean broker?"),
        ("[robot]", "zzz = 1\n[robot]", "zzz: unknown key; known: avoidance, base, broker"),
        (
            "[local]",
            "[localization.bank]\nparticels = 3\n[local]",
            "localization.bank.particels: unknown key; known: ",
        ),
        ("[robot]", "[robot]\nbattery_full_v = 20.0", "robot: battery_full_v (20.0) must be above"),
        ("{directory}/base", "{directory}/lidar.front", "lidar.front.port and base.port are both "),
        ("[lidar.front]", "[lidar]", "lidar: every lidar is a table of its own, with a name: write "
         "[lidar.front] in place of [lidar]"),
        ("[lidar.front]", "[lidar.Front]", "lidar: 'Front': a name has up to 16 of a-z"),
        ("[lidar.front]\n", "[lidar.front]\nmuont = 1\n", "lidar.front.muont: unknown key; did you "
         "mean mount?"),
        ("[lidar.front]\n", "[lidar.front]\nmask = [[2.0, 7.0]]\n", "lidar.front.mask.0.1: Input "
         "should be less than or equal to 3.15"),
        ("[map.hall]\n", "[map]\nid = 'hall'\n", "map: every map is a table of its own, named "
         "by its id: write [map.hall] in place of [map]"),
        ("[map.hall]\n", "[map.hall]\nfiel = 1\n", "map.hall.fiel: unknown key; did you mean file"),
        ("[start]\n", "[start]\nmap = 'attic'\n", "start.map: there is no map attic; known: hall"),
        ("[start]\n", "[map.attic]\nfile = 'a.yaml'\n[start]\n", "start.map: missing; on which"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, line, replacement, expected):
    assert line in TOML
    assert expected in complaint(tmp_path, TOML.replace(line, replacement, 1))


def test_all_mistakes_are_named_at_once(tmp_path):
    text = TOML.replace("width_m = 0.6", "width_m = 60").replace("port = 1\n", "port = 0\n")
    assert "robot.width_m" in complaint(tmp_path, text)
    assert "broker.port" in complaint(tmp_path, text)


@pytest.mark.parametrize("content", [b"[robot\n", b"\xff\xfe", b"a = 1\na = 2\n", b"\0"])
def test_not_toml(tmp_path, content):
    path = tmp_path / "haulier.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"haulier\.toml: not TOML"):
        config.load(path, {})


def test_no_file(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file"):
        config.load(tmp_path / "nowhere.toml", {})
    with pytest.raises(ConfigError, match="Is a directory"):
        config.load(tmp_path, {})


@given(st.binary(max_size=200))
def test_no_content_makes_a_traceback(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "haulier.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        config.load(path, {})


class TestEnvironment:
    def test_is_put_over_the_file(self, tmp_path):
        loaded = load(tmp_path, HAULIER_BROKER__PORT="1884", HAULIER_BROKER__HOST="10.0.0.7")
        assert (loaded.broker.port, loaded.broker.host) == (1884, "10.0.0.7")

    def test_reaches_options_and_adds_sections(self, tmp_path):
        loaded = load(
            tmp_path,
            HAULIER_LIDAR__FRONT__OPTIONS__MODE="standard",
            HAULIER_MOTION__SPEED_MPS="0.4",
            HAULIER_START__POSE="[1.0, 2.0, 0.5]",
        )
        assert loaded.lidar["front"].options == {"mode": "standard"}
        assert loaded.motion.speed_mps == 0.4
        assert loaded.start.pose == (1.0, 2.0, 0.5)

    def test_reaches_a_map_whose_id_has_capitals(self, tmp_path):
        text = TOML.replace("[map.hall]", '[map."Hall 3"]').replace("Hall 3", "Hall3")
        loaded = load(tmp_path, text, HAULIER_MAP__HALL3__FILE="other.yaml")
        assert {name: section.file.name for name, section in loaded.map.items()} == {
            "Hall3": "other.yaml"
        }

    def test_other_variables_are_left_alone(self, tmp_path):
        assert load(tmp_path, HAULIER_SHARED="x", PATH="/bin", BROKER__PORT="9").broker.port == 1

    def test_a_wrong_value_names_the_variable(self, tmp_path):
        assert complaint(tmp_path, HAULIER_BROKER__PORT="many").startswith(
            "broker.port (set by HAULIER_BROKER__PORT): Input should be a valid integer"
        )

    def test_an_unknown_key_names_the_variable(self, tmp_path):
        assert complaint(tmp_path, HAULIER_BROKER__PROT="1").startswith(
            "broker.prot (set by HAULIER_BROKER__PROT): unknown key; did you mean port?"
        )

    def test_a_value_is_no_section(self, tmp_path):
        text = complaint(tmp_path, HAULIER_BROKER__PORT__DEEP="1")
        assert text == "HAULIER_BROKER__PORT__DEEP: port is not a section"

    @given(st.text(max_size=30))
    def test_any_text_is_a_value(self, text):
        tree: dict[str, Any] = {}
        config._overlay(tree, {"HAULIER_BROKER__HOST": text})
        assert list(tree["broker"]) == ["host"]


class TestDevices:
    def build(self, directory: Path, name: str, text: str) -> str:
        loaded = load(directory, text)
        with pytest.raises(ConfigError) as caught:
            loaded.devices[name].build(name)
        return caught.value.detail

    def test_unknown_option(self, tmp_path):
        text = TOML.replace("track_width_m", "track_widht_m")
        assert "base.options.track_widht_m: unknown key; did you mean track_width_m?" in self.build(
            tmp_path, "base", text
        )

    def test_option_out_of_bounds(self, tmp_path):
        text = TOML.replace("track_width_m = 0.50", "track_width_m = -1.0")
        assert "base.options.track_width_m: Input should be" in self.build(tmp_path, "base", text)

    def test_unknown_driver(self, tmp_path):
        text = TOML.replace('"rplidar"', '"rplidr"')
        detail = self.build(tmp_path, "lidar.front", text)
        assert detail.startswith(
            "lidar.front.driver: no driver named rplidr; did you mean rplidar?"
        )

    @pytest.mark.parametrize("name", ["lidar.front", "base"])
    def test_a_driver_for_the_other_kind_of_device(self, tmp_path, name):
        ours, other = ("roboteq", "rplidar") if name == "base" else ("rplidar", "roboteq")
        text = TOML.replace(f'"{ours}"', f'"{other}"')
        assert self.build(tmp_path, name, text).startswith(
            f"{name}.driver: {other} is the driver of a"
        )

    def test_two_lidars_on_one_port(self, tmp_path):
        text = TWO_LIDARS.replace('lidar.rear"', 'lidar.front"')
        assert "lidar.front.port and lidar.rear.port are both " in complaint(tmp_path, text)


def test_relative_files_lie_beside_the_configuration(tmp_path):
    broker = 'port = 1\nusername = "R1"\npassword_file = "secret"\ntls = true\n'
    text = TOML.replace("port = 1\n", broker + 'ca_file = "/etc/ca"\n')
    loaded = load(tmp_path, text)
    assert loaded.map["hall"].file == tmp_path / "room.yaml"
    assert loaded.local.socket == tmp_path / "haulier.sock"
    assert loaded.broker.password_file == tmp_path / "secret"
    assert loaded.broker.ca_file == Path("/etc/ca")
    assert loaded.broker.key_file is None


# Every parameter of every section, wherever it is nested, and those of our drivers' options.


def parameters(model: Any, path: str = "") -> Iterator[tuple[str, Any, list[Any]]]:
    """Yield path, default and bounds of every leaf."""
    found = model.model_fields if issubclass(model, BaseModel) else _dataclass_fields(model)
    for name, field in found.items():
        nested = field.annotation
        if isinstance(nested, type) and (
            issubclass(nested, BaseModel) or dataclasses.is_dataclass(nested)
        ):
            yield from parameters(nested, f"{path}{name}.")
        else:
            yield f"{path}{name}", field.get_default(call_default_factory=True), field.metadata


def _dataclass_fields(model: type) -> dict[str, FieldInfo]:
    hints = get_type_hints(model, include_extras=True)
    return {
        field.name: FieldInfo.from_annotated_attribute(hints[field.name], field.default)
        for field in dataclasses.fields(model)
        if field.default is not dataclasses.MISSING or dataclasses.is_dataclass(hints[field.name])
    }


PARAMETERS = [
    *parameters(config.Config),
    *parameters(config.LidarSection, "lidar.front."),
    *parameters(config.MapSection, "map.hall."),
    *parameters(registry.load("rplidar").options, "lidar.front.options."),
    *parameters(registry.load("roboteq").options, "base.options."),
]
NUMBERS = [p for p in PARAMETERS if isinstance(p[1], int | float) and not isinstance(p[1], bool)]


def test_the_walk_finds_the_parameters():
    paths = {path for path, *_ in PARAMETERS}
    assert {"broker.keepalive_s", "localization.start.position_m", "lidar.front.mount"} <= paths
    assert len(NUMBERS) > 40


@pytest.mark.parametrize(("path", "default", "bounds"), NUMBERS, ids=[p[0] for p in NUMBERS])
def test_every_default_keeps_its_own_bounds(path, default, bounds):
    assert math.isfinite(default)
    for bound in bounds:
        match bound:
            case Gt(limit):
                assert default > limit
            case Ge(limit):
                assert default >= limit
            case Le(limit):
                assert default <= limit


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_no_number_may_be_infinite_or_none(tmp_path, value):
    for path in [path for path, *_ in NUMBERS if "." in path]:
        variable = "HAULIER_" + path.replace(".", "__").upper()
        assert complaint(tmp_path, **{variable: value}) == f"{path}: {value} is not a finite number"


def test_the_whole_default_survives_its_own_check(tmp_path):
    loaded = load(tmp_path)
    assert config.Config.model_validate(loaded.model_dump()) == loaded


def test_the_schema_names_every_section():
    schema = config.Config.model_json_schema()
    assert set(schema["properties"]) == set(config.Config.model_fields)
    assert schema["additionalProperties"] is False
