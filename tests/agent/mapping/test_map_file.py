import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from agent.errors import MapError
from agent.geometry.pose import Pose2
from agent.mapping.map_file import load_map, write_map
from agent.mapping.occupancy_grid import OccupancyGrid

GOOD = {
    "image": "plant.pgm",
    "resolution": 0.05,
    "origin": [-1.0, 2.0, 0.0],
    "negate": 0,
    "occupied_thresh": 0.65,
    "free_thresh": 0.196,
}
PGM = b"P5\n3 2\n255\n" + bytes([0, 205, 254, 254, 254, 0])


def write(folder: Path, pixels: bytes = PGM, name: str = "plant.pgm", **changes: object) -> Path:
    keys = {**GOOD, "image": name, **changes}
    path = folder / "plant.yaml"
    path.write_text("".join(f"{k}: {v}\n" for k, v in keys.items() if v is not None))
    (folder / name).write_bytes(pixels)
    return path


def test_trinary_map_with_the_last_image_row_at_the_bottom(tmp_path: Path) -> None:
    grid = load_map(write(tmp_path, origin=[-1.0, 2.0, 0.5]))
    assert grid.cells.tolist() == [[0, 0, 100], [100, -1, 0]]
    assert grid.map_from_grid == Pose2(-1.0, 2.0, 0.5)
    assert grid.resolution_m == 0.05


@pytest.mark.parametrize("free_thresh", [0.1, 0.196, 0.25])
def test_unknown_stays_unknown_whatever_the_threshold(tmp_path: Path, free_thresh) -> None:
    assert load_map(write(tmp_path, free_thresh=free_thresh)).cells[1, 1] == -1


@pytest.mark.parametrize(
    "image",
    [
        b"P2 # by hand\n3 2 # columns, rows\n255\n0 205 254\n# middle\n254 254 0\n",
        b"P5\n# comment\n3 2\n65535\n"
        + np.array([0, 52685, 65000, 65000, 65000, 0], ">u2").tobytes(),
        b"P2 3 2 15 0 10 15 15 15 0",
    ],
)
def test_all_kinds_of_pgm(tmp_path: Path, image: bytes) -> None:
    assert load_map(write(tmp_path, image)).cells.tolist() == [[0, 0, 100], [100, -1, 0]]


def test_negate_swaps_free_and_occupied(tmp_path: Path) -> None:
    pixels = b"P5 3 1 255\n" + bytes([255, 128, 0])
    assert load_map(write(tmp_path, pixels, negate=1)).cells.tolist() == [[100, -1, 0]]


def test_scale_mode_grades(tmp_path: Path) -> None:
    pixels = b"P5 4 1 255\n" + bytes([0, 110, 180, 255])
    cells = load_map(write(tmp_path, pixels, mode="scale")).cells[0].tolist()
    assert cells[0] == 100
    assert cells[3] == 0
    assert 0 < cells[2] < cells[1] < 100


def test_raw_mode_takes_pixels_as_percent(tmp_path: Path) -> None:
    pixels = b"P5 4 1 255\n" + bytes([0, 42, 100, 101])
    assert load_map(write(tmp_path, pixels, mode="raw")).cells.tolist() == [[0, 42, 100, -1]]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "1"])
def test_png_of_any_colour_mode(tmp_path: Path, mode: str) -> None:
    path = write(tmp_path, name="plant.png")
    Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert(mode).save(
        tmp_path / "plant.png"
    )
    assert load_map(path).cells.tolist() == [[0, 100], [100, 0]]


def test_png_of_16_bit(tmp_path: Path) -> None:
    path = write(tmp_path, name="plant.png")
    Image.fromarray(np.array([[0, 65535]], np.uint16)).save(tmp_path / "plant.png")
    assert load_map(path).cells.tolist() == [[100, 0]]


def test_transparent_pixels_are_unknown_in_scale_mode(tmp_path: Path) -> None:
    path = write(tmp_path, name="plant.png", mode="scale")
    Image.fromarray(np.array([[[0, 0, 0, 0], [0, 0, 0, 255]]], np.uint8)).save(
        tmp_path / "plant.png"
    )
    assert load_map(path).cells.tolist() == [[-1, 100]]


def test_png_without_pillow_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MapError, match=r"haulier\[maps\]"):
        load_map(write(tmp_path, name="plant.png"))


@pytest.mark.parametrize("key", ["image", "resolution", "origin"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(MapError, match=rf"plant\.yaml.*'{key}'"):
        load_map(write(tmp_path, **{key: None}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("resolution", ".nan"),
        ("resolution", 0),
        ("resolution", -0.05),
        ("resolution", "big"),
        ("resolution", "true"),
        ("resolution", "1" + "0" * 400),
        ("origin", [1, 2]),
        ("origin", "[1, 2, .inf]"),
        ("origin", "[1, 2, north]"),
        ("negate", 7),
        ("negate", "[1]"),
        ("mode", "fancy"),
        ("mode", "[1]"),
        ("free_thresh", 0.9),
        ("occupied_thresh", 1.5),
        ("image", 5),
        ("image", '"a\\0b"'),
    ],
)
def test_a_wrong_value_is_a_map_error(tmp_path: Path, key: str, value: object) -> None:
    path = write(tmp_path)
    lines = [line for line in path.read_text().splitlines() if not line.startswith(key)]
    path.write_text("\n".join([*lines, f"{key}: {value}"]))
    with pytest.raises(MapError, match=r"plant\.yaml"):
        load_map(path)


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"P5",
        b"P5\n3 2\n255\n\0\0",
        b"P2\n3 2\n255\n1 2 3",
        b"P2\n3 2\n255\n1 2 3 4 5 x",
        b"P2\n3 2\n255\n1 2 3 4 5 -6",
        b"P2\n3 2\n255\n1 2 3 4 5 256",
        b"P5\n0 2\n255\n",
        b"P5\n3 2\n0\n\0\0\0\0\0\0",
        b"P5\n3 2\n70000\n" + bytes(12),
        b"P5\n99999999 99999999\n255\n\0",
        b"P5\n" + b"9" * 5000 + b" 1\n255\n\0",
        b"P6\n1 1\n255\n\0\0\0",
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_a_bad_image_is_a_map_error(tmp_path: Path, image: bytes) -> None:
    with pytest.raises(MapError, match=r"plant\.pgm"):
        load_map(write(tmp_path, image))


def test_a_truncated_or_huge_png_is_a_map_error(tmp_path: Path) -> None:
    path = write(tmp_path, name="plant.png")
    png = tmp_path / "plant.png"
    noise = np.random.default_rng(0).integers(0, 255, (50, 50)).astype(np.uint8)
    Image.fromarray(noise).save(png)
    png.write_bytes(png.read_bytes()[:-600])
    with pytest.raises(MapError, match=r"plant\.png"):
        load_map(path)
    Image.new("1", (10_000, 9_900)).save(png)
    with pytest.raises(MapError, match="absurd size"):
        load_map(path)
    png.write_bytes(b"not an image")
    with pytest.raises(MapError, match=r"plant\.png"):
        load_map(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"plant\.yaml.*no such file"):
        load_map(tmp_path / "plant.yaml")
    for name in ("plant.pgm", "plant.png"):
        path = write(tmp_path, name=name)
        (tmp_path / name).unlink()
        with pytest.raises(MapError, match=rf"{name}.*no such file"):
            load_map(path)


@pytest.mark.parametrize("text", [b"", b"- 1\n", b"\xff\xfe\x00", b"a: [", b"[" * 5000])
def test_bad_yaml_is_a_map_error(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "plant.yaml"
    path.write_bytes(text)
    with pytest.raises(MapError, match=r"plant\.yaml"):
        load_map(path)


@given(data=st.binary(max_size=80))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_image_makes_a_traceback(tmp_path: Path, data: bytes) -> None:
    try:
        load_map(write(tmp_path, b"P5 2 2 255\n" + data))
    except MapError:
        assert len(data) < 4
    try:
        load_map(write(tmp_path, b"P2" + data))
    except MapError as error:
        assert "plant.pgm" in error.detail


@given(
    cells=arrays(
        np.int8, array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.sampled_from([-1, 0, 100]),
    ),
    resolution_m=st.floats(0.001, 10.0),
    x_m=st.floats(-1e4, 1e4),
    y_m=st.floats(-1e4, 1e4),
    yaw_rad=st.floats(-3.14, 3.14),
)  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_a_written_map_reads_back(tmp_path, cells, resolution_m, x_m, y_m, yaw_rad) -> None:
    grid = OccupancyGrid(cells, resolution_m, Pose2(x_m, y_m, yaw_rad))
    path = tmp_path / "written.yaml"
    write_map(path, grid)
    again = load_map(path)
    np.testing.assert_array_equal(again.cells, grid.cells)
    assert again.resolution_m == resolution_m
    assert again.map_from_grid.x_m == x_m
    assert again.map_from_grid.y_m == y_m
    assert math.isclose(again.map_from_grid.yaw_rad, yaw_rad, abs_tol=1e-12)
    assert not list(tmp_path.glob("*.new"))


def test_writing_where_one_cannot_is_a_map_error(tmp_path: Path) -> None:
    grid = OccupancyGrid(np.zeros((2, 2), np.int8), 0.05, Pose2.identity())
    with pytest.raises(MapError, match="no such file"):
        write_map(tmp_path / "nowhere" / "plant.yaml", grid)


@pytest.mark.parametrize("name", ["intel-dense", "warehouse", "willow"])
def test_real_maps(shared: Path, name: str) -> None:
    grid = load_map(shared / "data" / "maps" / f"{name}.yaml")
    assert grid.occupied.sum() > 1000
    assert grid.free.sum() > grid.occupied.sum()
