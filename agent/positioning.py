"""Who tells the robot where it is: the platform, a person at the command line, or the order.

A request changes the localizer at once and is answered later: when the robot has found itself
there, or when its patience is over. One request is at work at a time; a new one takes its place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from agent.errors import MapError
from agent.geometry.angle import difference
from agent.geometry.pose import Pose2
from agent.localization.estimate import PoseEstimate
from agent.localization.localizer import Localizer
from agent.localization.params import Spread
from agent.localization.place import Place

SETTLE_NS = 10_000_000_000  # a stated pose needs a handful of scans to prove itself
SEARCH_NS = 60_000_000_000  # an unknown one a search of the map, and some way driven by hand
NEAR_STDDEVS = 3.0  # farther from the stated pose than this many, the robot is somewhere else


@dataclass(frozen=True, slots=True)
class PoseRequest:
    """A wish that the robot believe to be somewhere.

    Attributes:
        request_id: By which the answer is recognized.
        pose: ``map_from_base``; None to forget the pose and search the whole map.
        map_id: Map that it refers to; None for the present one.
    """

    request_id: str
    pose: Pose2 | None
    map_id: str | None = None


class Outcome(StrEnum):
    """What has become of a request."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PoseAnswer:
    """What has become of a request, and why where it failed."""

    request_id: str
    outcome: Outcome
    reason: str = ""


class Positioning:
    """Holds the maps, the one in use, and the request at work."""

    def __init__(
        self, localizer: Localizer, places: Mapping[str, Place], map_id: str, spread: Spread
    ) -> None:
        """Begin on the map that the localizer was built with.

        Args:
            localizer: To be told.
            places: All maps by their id.
            map_id: The one that the localizer is on.
            spread: How well a stated pose is known.
        """
        self._localizer = localizer
        self._places = places
        self._spread = spread
        self._request: PoseRequest | None = None
        self._deadline_ns = 0
        self._answers: list[PoseAnswer] = []
        self.map_id = map_id

    def ask(self, request: PoseRequest, now_ns: int) -> bool:
        """Carry out a request.

        Returns:
            Whether the robot now believes something else; if not, the answer tells why.
        """
        pose, map_id = request.pose, request.map_id or self.map_id
        try:
            if map_id not in self._places:
                raise MapError(f"there is no map {map_id}; known: {', '.join(self._places)}")
            if pose is not None:
                self.enter(map_id, pose)
            elif map_id == self.map_id:
                self._localizer.relocalize()
            else:
                raise MapError(f"the robot searches map {self.map_id}, the one that it is on")
        except MapError as error:
            self.refuse(request, error.detail)
            return False
        if self._request is not None:
            self._close(Outcome.FAILED, "another pose was stated, or another search begun")
        self._request = request
        self._deadline_ns = now_ns + (SEARCH_NS if pose is None else SETTLE_NS)
        self._answers.append(PoseAnswer(request.request_id, Outcome.PENDING))
        return True

    def refuse(self, request: PoseRequest, reason: str) -> None:
        """Answer a request that is not carried out."""
        self._answers.append(PoseAnswer(request.request_id, Outcome.FAILED, reason))

    def enter(self, map_id: str, pose: Pose2) -> None:
        """Go on at a pose, on another map or on the present one.

        Raises:
            MapError: The pose lies outside that map.
        """
        if map_id == self.map_id:
            self._localizer.reset(pose, self._spread)
        else:
            self._localizer.change_map(self._places[map_id], pose, self._spread)
            self.map_id = map_id

    def renew(self, estimate: PoseEstimate) -> None:
        """Go on where the robot is on another version of the present map.

        A robot that did not know where it was searches the new one.

        Raises:
            MapError: The robot stands outside of it.
        """
        pose = estimate.map_from_base
        self._localizer.change_map(self._places[self.map_id], pose, self._spread)
        if not estimate.localized:
            self._localizer.relocalize()

    def advance(self, estimate: PoseEstimate | None, now_ns: int) -> tuple[PoseAnswer, ...]:
        """Return the answers that have come up since the last call."""
        request = self._request
        if request is not None:
            if estimate is not None and estimate.localized:
                if far := self._remoteness(request.pose, estimate.map_from_base):
                    self._close(Outcome.FAILED, far)
                else:
                    self._close(Outcome.DONE)
            elif now_ns >= self._deadline_ns:
                reason = estimate.reason if estimate is not None else "no odometry yet"
                self._close(Outcome.FAILED, f"not localized: {reason}")
        answers, self._answers = tuple(self._answers), []
        return answers

    def _remoteness(self, stated: Pose2 | None, found: Pose2) -> str:
        """Return how far off the robot has found itself, empty where it is near enough."""
        if stated is None:
            return ""
        distance_m = stated.distance_m(found)
        turn_rad = abs(difference(stated.yaw_rad, found.yaw_rad))
        spread = self._spread
        if (
            distance_m <= NEAR_STDDEVS * spread.position_m
            and turn_rad <= NEAR_STDDEVS * spread.yaw_rad
        ):
            return ""
        return (
            f"the robot has found itself at x {found.x_m:.2f} m, y {found.y_m:.2f} m, "
            f"yaw {found.yaw_rad:.2f} rad, {distance_m:.2f} m and {turn_rad:.2f} rad away"
        )

    def _close(self, outcome: Outcome, reason: str = "") -> None:
        if self._request is not None:
            self._answers.append(PoseAnswer(self._request.request_id, outcome, reason))
        self._request = None
