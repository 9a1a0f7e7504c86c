"""Sets of courses on disk.

* Static (BARN: Perille et al., "Benchmarking Metric Ground Navigation", SSRR 2020): an ``npz`` of
  ``world_id``, ``cylinders`` and ``path`` of all courses one after the other, ``cylinder_offset``
  and ``path_offset`` where those of each begin, ``path_length_m``, ``start`` and ``goal``.
* Dynamic (DynaBARN: Nair et al., "DynaBARN: Benchmarking Metric Ground Navigation in Dynamic
  Environments", SSRR 2022): a JSON object of ``radius_m``, ``start``, ``goal``, ``libs`` (key
  frames t, x, y of each disc by its name) and ``worlds`` (names of the discs in each).
"""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.geometry.pose import Pose2
from hil.arena.course import Course, Walker
from hil.errors import BenchError

STATIC_LIMIT_S = 100.0
DYNAMIC_LIMIT_S = 60.0
DYNAMIC_PATH_M = 20.0


def read_static(path: Path) -> list[Course]:
    """Read a set of courses of standing cylinders.

    Raises:
        BenchError: The file cannot be read, or is not such a set.
    """
    try:
        return _static_courses(_read_arrays(path))
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, EOFError, KeyError, IndexError, TypeError, ValueError) as error:
        raise BenchError(f"{path} is no set of static courses: {error}") from error


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    # Opened here, because numpy leaves a broken file open.
    with path.open("rb") as stream:
        archive = np.load(stream)
        if isinstance(archive, np.ndarray):
            raise ValueError("one array only")
        with archive:
            return dict(archive)


def _static_courses(arrays: Mapping[str, NDArray[Any]]) -> list[Course]:
    x_m, y_m, yaw_rad = arrays["start"].astype(float).tolist()
    goal_x_m, goal_y_m = arrays["goal"].astype(float).tolist()
    cylinders = arrays["cylinders"].astype(np.float64).reshape(-1, 3)
    paths = arrays["path"].astype(np.float64).reshape(-1, 2)
    of_cylinders, of_paths = arrays["cylinder_offset"], arrays["path_offset"]
    return [
        Course(
            name=str(number),
            start=Pose2(x_m, y_m, yaw_rad),
            goal_m=(goal_x_m, goal_y_m),
            path_length_m=float(arrays["path_length_m"][i]),
            limit_s=STATIC_LIMIT_S,
            reference_path_m=np.vstack(
                [[x_m, y_m], paths[of_paths[i] : of_paths[i + 1]], [goal_x_m, goal_y_m]]
            ),
            cylinders=np.ascontiguousarray(cylinders[of_cylinders[i] : of_cylinders[i + 1]]),
        )
        for i, number in enumerate(arrays["world_id"].tolist())
    ]


def read_dynamic(path: Path) -> list[Course]:
    """Read a set of courses of moving discs; a course is named by its place in the set.

    Raises:
        BenchError: The file cannot be read, or is not such a set.
    """
    try:
        return _dynamic_courses(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror or error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BenchError(f"{path} is no set of dynamic courses: {error}") from error


def _dynamic_courses(document: Any) -> list[Course]:
    if not document["repeat"]:
        raise BenchError("discs that do not repeat their key frames are not supported")
    radius_m = float(document["radius_m"])
    x_m, y_m, yaw_rad = map(float, document["start"])
    goal_x_m, goal_y_m = map(float, document["goal"])
    walkers = {
        name: _walker(radius_m, disc["keyframes"]) for name, disc in document["libs"].items()
    }
    return [
        Course(
            name=str(number),
            start=Pose2(x_m, y_m, yaw_rad),
            goal_m=(goal_x_m, goal_y_m),
            path_length_m=DYNAMIC_PATH_M,
            limit_s=DYNAMIC_LIMIT_S,
            walkers=tuple(walkers[name] for name in names),
        )
        for number, names in enumerate(document["worlds"])
    ]


def _walker(radius_m: float, keyframes: Any) -> Walker:
    frames = np.array(keyframes, dtype=np.float64).reshape(-1, 3)
    return Walker(radius_m, frames[:, 0].copy(), frames[:, 1:].copy())
