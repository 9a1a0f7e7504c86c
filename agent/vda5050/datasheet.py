"""What only the robot's builder knows, for the factsheet (2.1, section 6.15.1; 3.0, section 7.10).

All of it is optional; what is left out of the configuration is left out of the factsheet.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le, MinLen

from agent.vda5050.messages import (
    BatteryCharging,
    Envelope3d,
    LoadDimensions,
    LoadSet,
    Network,
    WheelDefinition,
    WheelPosition,
    WheelType,
)

Text = Annotated[str, MinLen(1)]
Metres = Annotated[float, Ge(-10), Le(10)]
Percent = Annotated[float, Ge(0), Le(100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelParams:
    """A wheel.

    Attributes:
        type: Kind of wheel.
        x_m: Position in the robot's frame.
        y_m: Position in the robot's frame.
        yaw_rad: Heading; casters have none.
        diameter_m: Nominal.
        width_m: Nominal.
        driven: Whether a motor turns it.
        steered: Whether a motor steers it.
        offset_m: From a caster's pivot to the wheel's center.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    type: WheelType
    x_m: Metres
    y_m: Metres
    yaw_rad: Annotated[float, Ge(-3.15), Le(3.15)] | None = None
    diameter_m: Annotated[float, Gt(0), Le(2)]
    width_m: Annotated[float, Gt(0), Le(1)]
    driven: bool = False
    steered: bool = False
    offset_m: Metres | None = None

    @property
    def told(self) -> WheelDefinition:
        """As the factsheet has it."""
        return WheelDefinition(
            type=self.type,
            is_active_driven=self.driven,
            is_active_steered=self.steered,
            position=WheelPosition(x=self.x_m, y=self.y_m, theta=self.yaw_rad),
            diameter=self.diameter_m,
            width=self.width_m,
            center_displacement=self.offset_m,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeParams:
    """An outline in space.

    Attributes:
        name: Of the outline.
        format: Of the file, such as DXF or STEP.
        url: Where the file can be had.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    name: Text
    format: Text
    url: Text

    @property
    def told(self) -> Envelope3d:
        """As the factsheet has it."""
        return Envelope3d(set=self.name, format=self.format, url=self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSetParams:
    """A kind of load.

    Attributes:
        name: Of the set.
        load_type: As pick names it.
        length_m: Of the bounding box, along the robot's x axis.
        width_m: Along its y axis.
        height_m: Of the bounding box.
        weight_kg: Most that one may weigh.
        speed_mps: Fastest speed with it.
        acceleration_mps2: Largest acceleration with it.
        deceleration_mps2: Largest deceleration with it.
        pick_s: How long it takes to be taken, roughly.
        drop_s: How long it takes to be left.
        description: For people.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    name: Text
    load_type: Text
    length_m: Annotated[float, Gt(0), Le(20)] | None = None
    width_m: Annotated[float, Gt(0), Le(20)] | None = None
    height_m: Annotated[float, Gt(0), Le(20)] | None = None
    weight_kg: Annotated[float, Gt(0), Le(100_000)] | None = None
    speed_mps: Annotated[float, Gt(0), Le(5)] | None = None
    acceleration_mps2: Annotated[float, Gt(0), Le(10)] | None = None
    deceleration_mps2: Annotated[float, Gt(0), Le(10)] | None = None
    pick_s: Annotated[float, Ge(0), Le(3600)] | None = None
    drop_s: Annotated[float, Ge(0), Le(3600)] | None = None
    description: str | None = None

    def told(self, position: str) -> LoadSet:
        """Return it as the factsheet has it, for the robot's place for loads."""
        dimensions = None
        if self.length_m is not None and self.width_m is not None:
            dimensions = LoadDimensions(
                length=self.length_m, width=self.width_m, height=self.height_m
            )
        return LoadSet(
            set_name=self.name,
            load_type=self.load_type,
            load_positions=[position],
            load_dimensions=dimensions,
            max_weight=self.weight_kg,
            agv_speed_limit=self.speed_mps,
            agv_acceleration_limit=self.acceleration_mps2,
            agv_deceleration_limit=self.deceleration_mps2,
            pick_time=self.pick_s,
            drop_time=self.drop_s,
            description=self.description,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkParams:
    """How the robot is connected.

    Attributes:
        dns_servers: Addresses of name servers.
        ntp_servers: Addresses of time servers.
        local_ip_address: The robot's own, where it is fixed.
        netmask: Of its network.
        default_gateway: Of its network.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    dns_servers: tuple[Text, ...] = ()
    ntp_servers: tuple[Text, ...] = ()
    local_ip_address: Text | None = None
    netmask: Text | None = None
    default_gateway: Text | None = None

    @property
    def told(self) -> Network:
        """As the factsheet has it."""
        return Network(
            dns_servers=list(self.dns_servers) or None,
            ntp_servers=list(self.ntp_servers) or None,
            local_ip_address=self.local_ip_address,
            netmask=self.netmask,
            default_gateway=self.default_gateway,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargingLevels:
    """When the robot wants to be charged (3.0).

    Attributes:
        critical_percent: At or below it, orders should lead to a charger and nowhere else.
        least_percent: Least that is wanted.
        most_percent: Most that is wanted.
        least_s: How long it should be charged at least.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    critical_percent: Percent | None = None
    least_percent: Percent | None = None
    most_percent: Percent | None = None
    least_s: Annotated[int, Ge(0), Le(86_400)] | None = None

    @property
    def told(self) -> BatteryCharging:
        """As the factsheet has it."""
        return BatteryCharging(
            critical_low_charging_level=self.critical_percent,
            minimum_desired_charging_level=self.least_percent,
            maximum_desired_charging_level=self.most_percent,
            minimum_charging_time=self.least_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Datasheet:
    """What the factsheet tells besides.

    Attributes:
        description: Of the robot's series.
        wheels: All of them.
        envelopes_3d: Outlines in space.
        load_sets: Kinds of loads.
        versions: Of hardware and software, by name, besides the agent's own.
        network: How the robot is connected.
        charging: When it wants to be charged.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    description: str = ""
    wheels: tuple[WheelParams, ...] = ()
    envelopes_3d: tuple[EnvelopeParams, ...] = ()
    load_sets: tuple[LoadSetParams, ...] = ()
    versions: dict[str, str] | None = None
    network: NetworkParams | None = None
    charging: ChargingLevels | None = None
