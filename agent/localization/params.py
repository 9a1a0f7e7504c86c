"""Parameters of localization, one group per stage; one set for every building."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Le

from agent.localization.health import HealthParams
from agent.localization.hypotheses import BankParams
from agent.localization.motion_model import MotionParams
from agent.localization.place import FieldParams
from agent.localization.pose_search import SearchParams
from agent.localization.scan_matcher import MatcherParams


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Standard deviations of a pose that somebody states."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    position_m: Annotated[float, Ge(0), Le(10)] = 0.5
    yaw_rad: Annotated[float, Ge(0), Le(3.15)] = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class LidarLimits:
    """Which rays of a scan are used.

    Attributes:
        min_range_m: Shorter returns are the robot itself, or something on the lens.
        max_range_m: Longer returns are not trusted.
        most_rays: More returns of a scan are thinned out evenly.
        least_rays: A scan with fewer is blind.
        least_share: So is one with a smaller share of its rays.
        sure_range_m: A surface nearer than this returns every ray, unless it is of glass.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    min_range_m: Annotated[float, Ge(0)] = 0.15
    max_range_m: Annotated[float, Gt(0), Le(200)] = 30.0
    most_rays: Annotated[int, Ge(30)] = 360
    least_rays: Annotated[int, Ge(3)] = 20
    least_share: Annotated[float, Ge(0), Le(1)] = 0.08
    sure_range_m: Annotated[float, Gt(0)] = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtParams:
    """When and where else to look.

    Attributes:
        through: Share of rays through the map that makes a slip of the wheels suspected. A mere
            lack of hits does not, since people do that.
        slip_radius_m: How far a slip is looked for.
        slip_turn_rad: The same in heading.
        again_m: Way after which the whole map is searched again, while there is doubt.
        again_rad: The same for turning.
        again_s: Time after which it is searched again, as people walk away.
        kidnap_log_odds: How unlikely it is, before a look, that a robot which was sure of its place
            has been carried elsewhere.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    through: Annotated[float, Ge(0), Le(1)] = 0.04
    slip_radius_m: Annotated[float, Gt(0), Le(5)] = 1.0
    slip_turn_rad: Annotated[float, Gt(0), Le(math.pi)] = 0.5
    again_m: Annotated[float, Gt(0)] = 0.5
    again_rad: Annotated[float, Gt(0)] = 0.5
    again_s: Annotated[float, Gt(0)] = 5.0
    kidnap_log_odds: Annotated[float, Ge(0)] = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalizationParams:
    """All parameters of localization, one group per stage.

    Attributes:
        lidar: Which rays are used.
        map: Fields that are computed from the map.
        motion: Noise of the odometry.
        matcher: Search and descent around the prediction.
        search: Search of the whole map.
        bank: Competition of hypotheses.
        doubt: When and where else to look.
        health: When the pose counts as lost.
        start: How well a stated pose is known.
        map_error_m: Error of the map that no scan averages out, part of every covariance.
        map_error_rad: The same in heading.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    lidar: LidarLimits = field(default_factory=LidarLimits)
    map: FieldParams = field(default_factory=FieldParams)
    motion: MotionParams = field(default_factory=MotionParams)
    matcher: MatcherParams = field(default_factory=MatcherParams)
    search: SearchParams = field(default_factory=SearchParams)
    bank: BankParams = field(default_factory=BankParams)
    doubt: DoubtParams = field(default_factory=DoubtParams)
    health: HealthParams = field(default_factory=HealthParams)
    start: Spread = field(default_factory=Spread)
    map_error_m: Annotated[float, Ge(0)] = 0.005
    map_error_rad: Annotated[float, Ge(0)] = 0.002
