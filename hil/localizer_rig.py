"""The localizer of the daemon, fed as the daemon feeds it."""

from agent.geometry.pose import Pose2
from agent.localization.estimate import PoseEstimate
from agent.localization.localizer import Localizer
from agent.localization.params import LocalizationParams
from agent.localization.place import Place
from agent.mapping.occupancy_grid import OccupancyGrid
from drivers.measurement import Odometry
from hil.plant.journey import Measurement

LIDAR = "lidar"


def prepare(grid: OccupancyGrid) -> Place:
    """Make a map ready for the localizer; raises MapError when nothing on it is occupied."""
    return Place.prepare(grid, LocalizationParams().map)


class LocalizerRig:
    """A localizer with one lidar in the robot's middle, named ``lidar``."""

    def __init__(self, place: Place, start: Pose2 | None) -> None:
        """Begin at a pose, or anywhere on the map with ``None``.

        Raises:
            MapError: The start lies outside the map.
        """
        lidars = {LIDAR: Pose2.identity()}
        self._localizer = Localizer(place, LocalizationParams(), lidars, start)

    def take(self, measurement: Measurement) -> None:
        """Hand over a measurement in order of time."""
        if isinstance(measurement, Odometry):
            self._localizer.add_odometry(measurement)
        else:
            self._localizer.add_scan(*measurement)

    def tick(self, now_ns: int) -> PoseEstimate | None:
        """Let one tick of the daemon's loop pass and return where the robot is believed to be."""
        self._localizer.advance()
        return self._localizer.estimate(now_ns)
