"""Map files of ROS map_server: a yaml beside an image.

Format: ROS wiki, map_server, "Map format"; modes trinary, scale and raw as in Nav2's map_io.
Images are PGM (netpbm, P2 and P5, 8 and 16 bit) or, with the extra ``maps``, PNG.
"""

import math
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import yaml
from numpy.typing import NDArray

from agent.errors import MapError
from agent.geometry.pose import Pose2
from agent.mapping.occupancy_grid import FREE, OCCUPIED, UNKNOWN, OccupancyGrid

MAX_CELLS = 64_000_000  # 400 m x 400 m at 5 cm
MAX_FILE_BYTES = 1 << 30
MODES = ("trinary", "scale", "raw")

# What map_saver writes; 205 is 0.196 occupied and means unknown.
FREE_PIXEL, UNKNOWN_PIXEL, OCCUPIED_PIXEL = 254, 205, 0
FREE_THRESHOLD, OCCUPIED_THRESHOLD = 0.196, 0.65

_PGM_HEADER = re.compile(rb"(P[25])" + rb"(?:\s|#[^\n]*\n)+(\d+)" * 3 + rb"\s")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MapDescription:
    """The yaml of a map, checked.

    Attributes:
        image: Path of the image.
        resolution_m: Edge of a cell.
        map_from_grid: Pose of the lower left corner of the image.
        negate: Whether bright is occupied.
        free_threshold: Occupancy below which a cell is free.
        occupied_threshold: Occupancy above which a cell is occupied.
        mode: One of ``MODES``.
    """

    image: Path
    resolution_m: float
    map_from_grid: Pose2
    negate: bool
    free_threshold: float
    occupied_threshold: float
    mode: str


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A grey image, top row first.

    Attributes:
        shade: float64, shape ``(rows, columns)``, 0 black to 1 white.
        opaque: bool, same shape: False where the image is transparent.
        levels: Value that stands for white.
    """

    shade: NDArray[np.float64]
    opaque: NDArray[np.bool_]
    levels: int


def load_map(path: Path) -> OccupancyGrid:
    """Read a map.

    Args:
        path: The yaml; the image is named in it, relative to it.

    Raises:
        MapError: A file is missing, cut short or makes no sense; the text names file and reason.
    """
    description = read_description(path)
    image = _read_image(description.image)
    cells = _interpret(image, description)
    try:
        return OccupancyGrid(cells[::-1], description.resolution_m, description.map_from_grid)
    except MapError as error:
        raise MapError(f"{path}: {error.detail}") from error


def write_map(yaml_path: Path, grid: OccupancyGrid) -> None:
    """Write a map as yaml and PGM, each replaced in one step.

    Cells become free, occupied or unknown; grades in between are lost.

    Args:
        yaml_path: The yaml; the image goes beside it under the same name.
        grid: The map.

    Raises:
        MapError: The directory cannot be written.
    """
    image_path = yaml_path.with_suffix(".pgm")
    pixels = np.full(grid.cells.shape, UNKNOWN_PIXEL, np.uint8)
    pixels[grid.free] = FREE_PIXEL
    pixels[grid.occupied] = OCCUPIED_PIXEL
    header = f"P5\n{grid.columns} {grid.rows}\n255\n".encode("ascii")
    origin = grid.map_from_grid
    description = {
        "image": image_path.name,
        "mode": "trinary",
        "resolution": float(grid.resolution_m),
        "origin": [float(origin.x_m), float(origin.y_m), float(origin.yaw_rad)],
        "negate": 0,
        "occupied_thresh": OCCUPIED_THRESHOLD,
        "free_thresh": FREE_THRESHOLD,
    }
    _replace(image_path, header + pixels[::-1].tobytes())
    _replace(yaml_path, yaml.safe_dump(description, sort_keys=False).encode("utf-8"))


def read_description(path: Path) -> MapDescription:
    """Read and check the yaml of a map.

    Raises:
        MapError: The file is missing, no yaml, or a key is missing or wrong.
    """
    try:
        document = yaml.safe_load(_read_bytes(path))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise MapError(f"{path}: not a yaml file: {_one_line(error)}") from error
    if not isinstance(document, dict):
        raise MapError(f"{path}: not a map description, it holds no keys")
    image = document.get("image")
    if not isinstance(image, str) or not image or "\0" in image:
        raise MapError(f"{path}: key 'image' must name the image file, not {image!r}")
    mode = document.get("mode", "trinary")
    if mode not in MODES:
        raise MapError(f"{path}: key 'mode' must be one of {', '.join(MODES)}, not {mode!r}")
    free = _number(path, "free_thresh", document.get("free_thresh", FREE_THRESHOLD))
    occupied = _number(path, "occupied_thresh", document.get("occupied_thresh", OCCUPIED_THRESHOLD))
    if not 0.0 <= free < occupied <= 1.0:
        raise MapError(
            f"{path}: thresholds must be 0 <= free_thresh < occupied_thresh <= 1, "
            f"not {free} and {occupied}"
        )
    resolution_m = _number(path, "resolution", document.get("resolution"))
    if not 0.001 <= resolution_m <= 10.0:
        raise MapError(f"{path}: key 'resolution' must be 0.001 to 10 m, not {resolution_m}")
    negate = document.get("negate", 0)
    if negate not in (0, 1):
        raise MapError(f"{path}: key 'negate' must be 0 or 1, not {negate!r}")
    return MapDescription(
        image=path.parent / image,
        resolution_m=resolution_m,
        map_from_grid=_origin(path, document.get("origin")),
        negate=bool(negate),
        free_threshold=free,
        occupied_threshold=occupied,
        mode=mode,
    )


def _origin(path: Path, value: Any) -> Pose2:
    if not isinstance(value, list) or len(value) != 3:
        raise MapError(f"{path}: key 'origin' must be [x, y, yaw], not {value!r}")
    return Pose2(*(_number(path, "origin", number) for number in value)) @ Pose2.identity()


def _number(path: Path, key: str, value: Any) -> float:
    # YAML 1.1 reads 5e-2 as text, and map tools write it.
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError as error:
            raise MapError(f"{path}: key '{key}' must be a number, not {value!r}") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MapError(f"{path}: key '{key}' must be a number, not {value!r}")
    try:
        number = float(value)
    except OverflowError as error:
        raise MapError(f"{path}: key '{key}' is out of range") from error
    if not math.isfinite(number):
        raise MapError(f"{path}: key '{key}' must be finite, not {number}")
    return number


def _interpret(image: Image, description: MapDescription) -> NDArray[np.int8]:
    """Return occupancy in percent, rows as in the image."""
    if description.mode == "raw":
        percent = np.rint(image.shade * image.levels)
        return np.where(percent <= OCCUPIED, percent, UNKNOWN).astype(np.int8)
    occupancy = image.shade if description.negate else 1.0 - image.shade
    free = occupancy < description.free_threshold
    occupied = occupancy > description.occupied_threshold
    cells = np.full(occupancy.shape, UNKNOWN, np.int8)
    if description.mode == "scale":
        span = description.occupied_threshold - description.free_threshold
        share = (occupancy - description.free_threshold) / span
        cells = np.rint(1.0 + 98.0 * np.clip(share, 0.0, 1.0)).astype(np.int8)
    cells[free] = FREE
    cells[occupied] = OCCUPIED
    if description.mode == "scale":
        cells[~image.opaque] = UNKNOWN
    elif not description.negate and image.levels == 255:
        _restore_unknown(cells, image, description)
    return cells


def _restore_unknown(cells: NDArray[np.int8], image: Image, description: MapDescription) -> None:
    """Keep what map_saver wrote as unknown from being read as free.

    Older tools write 0.25 as the free threshold, above the 0.196 of an unknown pixel, and so turn
    everything behind the walls into free space (slam_toolbox issue 587, Nav2 pull request 5278).
    """
    unknown = (np.rint(image.shade * 255) == UNKNOWN_PIXEL) & (cells == FREE)
    if unknown.any():
        cells[unknown] = UNKNOWN
        _log.warning(
            "map.suspect_threshold",
            image=str(description.image),
            free_thresh=description.free_threshold,
            cells=int(unknown.sum()),
        )


def _read_image(path: Path) -> Image:
    if path.suffix.lower() == ".png":
        return _read_png(path)
    return _read_pgm(path)


def _read_pgm(path: Path) -> Image:
    data = _read_bytes(path)
    header = _PGM_HEADER.match(data)
    if header is None:
        raise MapError(f"{path}: neither a PGM image (P2, P5) nor a PNG")
    kind = header[1]
    # Python refuses to parse absurdly long numbers; no image has more than ten digits a side.
    if max(map(len, header.groups()[1:])) > 10:
        raise MapError(f"{path}: absurd size or depth in the header")
    columns, rows, levels = (int(number) for number in header.groups()[1:])
    _check_size(path, rows, columns)
    if not 1 <= levels <= 65535:
        raise MapError(f"{path}: depth must be 1 to 65535, not {levels}")
    body = data[header.end() :]
    pixels = (
        _binary_pixels(path, body, rows * columns, levels)
        if kind == b"P5"
        else _text_pixels(path, body, rows * columns)
    )
    if pixels.max() > levels:
        raise MapError(f"{path}: a pixel is brighter than the white of {levels}")
    shade = pixels.reshape(rows, columns) / float(levels)
    return Image(shade, np.ones((rows, columns), np.bool_), levels)


def _binary_pixels(path: Path, body: bytes, count: int, levels: int) -> NDArray[Any]:
    depth = np.dtype(np.uint8) if levels < 256 else np.dtype(">u2")
    needed = count * depth.itemsize
    if len(body) < needed:
        raise MapError(f"{path}: cut short, {len(body)} of {needed} bytes of pixels")
    return np.frombuffer(body, depth, count)


def _text_pixels(path: Path, body: bytes, count: int) -> NDArray[Any]:
    words = re.sub(rb"#[^\n]*", b"", body).split()
    if len(words) < count:
        raise MapError(f"{path}: cut short, {len(words)} of {count} pixels")
    words = words[:count]
    if not all(word.isdigit() and len(word) <= 5 for word in words):
        raise MapError(f"{path}: a pixel is not a number of up to five digits")
    return np.array(words, np.int64)


def _read_png(path: Path) -> Image:
    try:
        import PIL.Image
    except ImportError as error:
        raise MapError(
            f"{path}: reading PNG needs Pillow: install haulier[maps], or convert the image to PGM"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            with PIL.Image.open(path, formats=["PNG"]) as png:
                _check_size(path, png.height, png.width)
                deep = png.mode.startswith("I")
                channels = np.asarray(png if deep else png.convert("RGBA"), np.float64)
    except FileNotFoundError as error:
        raise MapError(f"{path}: no such file") from error
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise MapError(f"{path}: absurd size") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise MapError(f"{path}: not a readable PNG: {_one_line(error)}") from error
    if deep:
        return Image(channels / 65535.0, np.ones(channels.shape, np.bool_), 65535)
    return Image(channels[..., :3].mean(axis=2) / 255.0, channels[..., 3] == 255.0, 255)


def _check_size(path: Path, rows: int, columns: int) -> None:
    if rows == 0 or columns == 0:
        raise MapError(f"{path}: the image is empty, {columns} x {rows} pixels")
    if rows * columns > MAX_CELLS:
        raise MapError(f"{path}: absurd size, {columns} x {rows} pixels (at most {MAX_CELLS})")


def _read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise MapError(f"{path}: absurd size, more than {MAX_FILE_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise MapError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def _replace(path: Path, content: bytes) -> None:
    """Put a file in place in one step, so that a power cut leaves the old one or the new one."""
    temporary = path.with_name(path.name + ".new")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise MapError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
