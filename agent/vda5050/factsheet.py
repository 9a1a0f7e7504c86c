"""What the robot is and what it can do (VDA 5050 2.1, section 6.15; 3.0, 6.10)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le

from agent.vda5050.actions.handling import LOAD_POSITION
from agent.vda5050.actions.registry import ActionRegistry
from agent.vda5050.datasheet import Datasheet
from agent.vda5050.instant_actions import MOST_ACTIONS, SUPPORTED
from agent.vda5050.messages import (
    ActionScope,
    AgvAction,
    AgvClass,
    AgvGeometry,
    Envelope2d,
    Factsheet,
    HeaderFields,
    Kinematic,
    LoadSpecification,
    LocalizationType,
    MaxArrayLens,
    MaxStringLens,
    NavigationType,
    OptionalParameter,
    ParameterDefinition,
    PhysicalParameters,
    PolygonPoint,
    ProtocolFeatures,
    ProtocolLimits,
    Support,
    Timing,
    TypeSpecification,
    ValueType,
    VehicleConfig,
    VersionInfo,
    ZoneType,
)
from agent.vda5050.order_book import MOST_NODES
from agent.vda5050.zones.zone_book import MOST_ZONES

NO_DATASHEET = Datasheet()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vehicle:
    """Physical properties of the robot.

    Attributes:
        series: Name of the robot's series.
        software_version: Of the agent, empty where it is of no interest.
        length_m: Along the robot's x axis.
        width_m: Along its y axis.
        height_m: Over the floor.
        center_x_m: Where the middle of the length is, from the kinematic centre.
        min_speed_mps: Slowest speed it can hold.
        max_speed_mps: Fastest speed it is allowed.
        max_yaw_rate_radps: Fastest turn.
        acceleration_mps2: Largest acceleration.
        deceleration_mps2: Largest deceleration.
        max_load_kg: Largest mass it may carry.
        zones: Types of zones that it obeys.
        loaded_m: Its outline with a load, x and y of each corner; empty where it is the same.
        datasheet: What only its builder knows.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    series: str
    software_version: str = ""
    length_m: Annotated[float, Gt(0), Le(10)]
    width_m: Annotated[float, Gt(0), Le(5)]
    height_m: Annotated[float, Gt(0), Le(5)]
    center_x_m: Annotated[float, Ge(-5), Le(5)] = 0.0
    min_speed_mps: Annotated[float, Ge(0), Le(1)] = 0.0
    max_speed_mps: Annotated[float, Gt(0), Le(5)]
    max_yaw_rate_radps: Annotated[float, Gt(0), Le(6)]
    acceleration_mps2: Annotated[float, Gt(0), Le(10)]
    deceleration_mps2: Annotated[float, Gt(0), Le(10)]
    max_load_kg: Annotated[float, Ge(0), Le(100_000)] = 0.0
    zones: tuple[ZoneType, ...] = ()
    loaded_m: tuple[tuple[float, float], ...] = ()
    datasheet: Datasheet = NO_DATASHEET


# What is not in this table is not supported (section 6.15.1, protocolFeatures).
OPTIONAL_PARAMETERS = (
    ("order.nodes.nodePosition", Support.REQUIRED, "on a map that the state names"),
    ("order.nodes.nodePosition.theta", Support.SUPPORTED, None),
    ("order.nodes.nodePosition.allowedDeviationXY", Support.SUPPORTED, None),
    ("order.nodes.nodePosition.allowedDeviationTheta", Support.SUPPORTED, None),
    ("order.edges.maxSpeed", Support.SUPPORTED, "above 0"),
    ("order.edges.maxHeight", Support.SUPPORTED, "compared with the robot's height"),
    ("order.edges.minHeight", Support.SUPPORTED, None),
    ("order.edges.maxRotationSpeed", Support.SUPPORTED, "above 0"),
    ("order.edges.trajectory", Support.SUPPORTED, "degree up to 10, weights above 0"),
    ("order.edges.corridor", Support.SUPPORTED, "with obstacles in it, the robot leaves the line"),
    ("order.edges.orientation", Support.SUPPORTED, "0, tangential: it drives forwards"),
    ("order.edges.rotationAllowed", Support.SUPPORTED, "it turns on the nodes"),
    ("order.edges.length", Support.SUPPORTED, "not needed"),
)

# All but a few are mandatory (section 6.8.1); an action that is not in this table takes none.
OPTIONAL = ("wakeUpTime", "orderId")
PARAMETERS = {
    "initPosition": (
        ("x", ValueType.FLOAT),
        ("y", ValueType.FLOAT),
        ("theta", ValueType.FLOAT),
        ("mapId", ValueType.STRING),
        ("lastNodeId", ValueType.STRING),
    ),
    "retry": (("actionId", ValueType.STRING),),
    "skipRetry": (("actionId", ValueType.STRING),),
    "startHibernation": (("wakeUpTime", ValueType.STRING),),
    "cancelOrder": (("orderId", ValueType.STRING),),
}


def factsheet(
    header: HeaderFields,
    vehicle: Vehicle,
    timing: Timing,
    registry: ActionRegistry,
    at_once: Mapping[str, str] = SUPPORTED,
) -> Factsheet:
    """Return the factsheet of a differential-drive robot that finds its way by natural features.

    Args:
        header: Of the message.
        vehicle: The robot.
        timing: How often it tells and takes what.
        registry: Actions that handlers perform.
        at_once: Further instant actions, with a description of each.
    """
    return Factsheet(
        **header,
        type_specification=TypeSpecification(
            series_name=vehicle.series,
            series_description=vehicle.datasheet.description or None,
            agv_kinematic=Kinematic.DIFF,
            agv_class=AgvClass.CARRIER,
            max_load_mass=vehicle.max_load_kg,
            localization_types=[LocalizationType.NATURAL],
            navigation_types=[NavigationType.VIRTUAL_LINE_GUIDED],
            supported_zones=list(vehicle.zones) or None,
        ),
        physical_parameters=PhysicalParameters(
            speed_min=vehicle.min_speed_mps,
            speed_max=vehicle.max_speed_mps,
            angular_speed_max=vehicle.max_yaw_rate_radps,
            acceleration_max=vehicle.acceleration_mps2,
            deceleration_max=vehicle.deceleration_mps2,
            height_min=vehicle.height_m,
            height_max=vehicle.height_m,
            width=vehicle.width_m,
            length=vehicle.length_m,
        ),
        protocol_limits=ProtocolLimits(
            max_string_lens=MaxStringLens(),
            max_array_lens=MaxArrayLens(
                order_nodes=MOST_NODES,
                order_edges=MOST_NODES - 1,
                zone_set_zones=MOST_ZONES if vehicle.zones else None,
                state_node_states=MOST_NODES,
                state_edge_states=MOST_NODES - 1,
                state_loads=1 if vehicle.max_load_kg > 0.0 else None,
                state_instant_action_states=MOST_ACTIONS,
            ),
            timing=timing,
        ),
        protocol_features=ProtocolFeatures(
            optional_parameters=[
                OptionalParameter(parameter=parameter, support=support, description=description)
                for parameter, support, description in OPTIONAL_PARAMETERS
            ],
            agv_actions=[
                AgvAction(
                    action_type=action,
                    action_description=description,
                    action_scopes=[ActionScope.INSTANT, *registry.scopes(action)],
                    action_parameters=_parameters(action),
                )
                for action, description in at_once.items()
            ]
            + [known for known in registry.described() if known.action_type not in at_once],
        ),
        agv_geometry=AgvGeometry(
            wheel_definitions=[wheel.told for wheel in vehicle.datasheet.wheels] or None,
            envelopes_2d=list(_outlines(vehicle)),
            envelopes_3d=[envelope.told for envelope in vehicle.datasheet.envelopes_3d] or None,
        ),
        load_specification=_loads(vehicle),
        vehicle_config=_installed(vehicle),
    )


def _parameters(action: str) -> list[ParameterDefinition] | None:
    return [
        ParameterDefinition(key=key, value_data_type=kind, is_optional=key in OPTIONAL)
        for key, kind in PARAMETERS.get(action, ())
    ] or None


def _loads(vehicle: Vehicle) -> LoadSpecification:
    if vehicle.max_load_kg == 0.0:
        return LoadSpecification()
    sets = [load_set.told(LOAD_POSITION) for load_set in vehicle.datasheet.load_sets]
    return LoadSpecification(load_positions=[LOAD_POSITION], load_sets=sets or None)


def _installed(vehicle: Vehicle) -> VehicleConfig | None:
    sheet = vehicle.datasheet
    own = {"softwareVersion": vehicle.software_version} if vehicle.software_version else {}
    versions = [
        VersionInfo(key=key, value=value) for key, value in (own | (sheet.versions or {})).items()
    ]
    if not versions and sheet.network is None and sheet.charging is None:
        return None
    return VehicleConfig(
        versions=versions or None,
        network=None if sheet.network is None else sheet.network.told,
        battery_charging=None if sheet.charging is None else sheet.charging.told,
    )


def _outlines(vehicle: Vehicle) -> Iterator[Envelope2d]:
    yield _footprint(vehicle)
    if vehicle.loaded_m:
        points = [PolygonPoint(x=x, y=y) for x, y in vehicle.loaded_m]
        yield Envelope2d(set="footprint, loaded", polygon_points=points)


def _footprint(vehicle: Vehicle) -> Envelope2d:
    """Return the robot's outline, counter-clockwise from its rear right corner."""
    back = vehicle.center_x_m - vehicle.length_m / 2.0
    front = vehicle.center_x_m + vehicle.length_m / 2.0
    side = vehicle.width_m / 2.0
    corners = ((back, -side), (front, -side), (front, side), (back, side))
    return Envelope2d(set="footprint", polygon_points=[PolygonPoint(x=x, y=y) for x, y in corners])
