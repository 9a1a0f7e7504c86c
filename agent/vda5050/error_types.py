"""The types of errors that VDA 5050 3.0 predefines, and what 2.x calls them.

The names of 3.0 are the finer ones: where 2.x knows one ``orderError``, 3.0 tells what is wrong
with the order. So the agent names the type of 3.0 where there is one, and the wire of 2.x makes it
coarser.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class ErrorType(StrEnum):
    """Predefined values of ``errorType`` (3.0, section 6.6.5.4, table 9)."""

    UNSUPPORTED_PARAMETER = "UNSUPPORTED_PARAMETER"
    NO_ORDER_TO_CANCEL = "NO_ORDER_TO_CANCEL"
    VALIDATION_FAILURE = "VALIDATION_FAILURE"
    INVALID_ORDER_ACTION = "INVALID_ORDER_ACTION"
    INVALID_INSTANT_ACTION = "INVALID_INSTANT_ACTION"
    OUTDATED_ORDER_UPDATE = "OUTDATED_ORDER_UPDATE"
    SAME_ORDER_UPDATE_ID = "SAME_ORDER_UPDATE_ID"
    ORDER_UPDATE_FOLLOWING_CANCEL = "ORDER_UPDATE_FOLLOWING_CANCEL"
    OUTSIDE_OF_CORRIDOR = "OUTSIDE_OF_CORRIDOR"
    INSUFFICIENT_MEMORY = "INSUFFICIENT_MEMORY"
    DUPLICATE_MAP = "DUPLICATE_MAP"
    BLOCKED_ZONE_VIOLATION = "BLOCKED_ZONE_VIOLATION"
    DUPLICATE_ZONE_SET = "DUPLICATE_ZONE_SET"
    RELEASE_LOST = "RELEASE_LOST"
    ZONE_ACTION_CONFLICT = "ZONE_ACTION_CONFLICT"
    NODE_UNREACHABLE = "NODE_UNREACHABLE"
    LOCALIZATION_ERROR = "LOCALIZATION_ERROR"
    NO_ROUTE_TO_TARGET = "NO_ROUTE_TO_TARGET"
    OTHER_ORDER_ACTIVE = "OTHER_ORDER_ACTIVE"
    START_NODE_OUT_OF_RANGE = "START_NODE_OUT_OF_RANGE"
    MOBILE_ROBOT_NOT_AVAILABLE = "MOBILE_ROBOT_NOT_AVAILABLE"
    UNKNOWN_MAP_ID = "UNKNOWN_MAP_ID"


# 2.1 predefines but validationError, orderError, orderUpdateError (sections 6.6.4.1 to 6.6.4.3)
# and noOrderToCancel (6.6.3.2); the others are the names that masters know.
IN_2X: Mapping[str, str] = MappingProxyType(
    {
        ErrorType.UNSUPPORTED_PARAMETER: "orderError",
        ErrorType.NO_ORDER_TO_CANCEL: "noOrderToCancel",
        ErrorType.VALIDATION_FAILURE: "validationError",
        ErrorType.INVALID_ORDER_ACTION: "orderError",
        ErrorType.INVALID_INSTANT_ACTION: "actionError",
        ErrorType.OUTDATED_ORDER_UPDATE: "orderUpdateError",
        ErrorType.SAME_ORDER_UPDATE_ID: "orderUpdateError",
        ErrorType.ORDER_UPDATE_FOLLOWING_CANCEL: "orderUpdateError",
        ErrorType.OUTSIDE_OF_CORRIDOR: "outsideOfCorridor",
        ErrorType.INSUFFICIENT_MEMORY: "insufficientMemory",
        ErrorType.DUPLICATE_MAP: "duplicateMap",
        ErrorType.BLOCKED_ZONE_VIOLATION: "blockedZoneViolation",
        ErrorType.DUPLICATE_ZONE_SET: "duplicateZoneSet",
        ErrorType.RELEASE_LOST: "releaseLost",
        ErrorType.ZONE_ACTION_CONFLICT: "zoneActionConflict",
        ErrorType.NODE_UNREACHABLE: "noRouteError",
        ErrorType.LOCALIZATION_ERROR: "localizationLost",
        ErrorType.NO_ROUTE_TO_TARGET: "noRouteError",
        ErrorType.OTHER_ORDER_ACTIVE: "orderError",
        ErrorType.START_NODE_OUT_OF_RANGE: "noRouteError",
        ErrorType.MOBILE_ROBOT_NOT_AVAILABLE: "orderError",
        ErrorType.UNKNOWN_MAP_ID: "orderError",
    }
)

# An update that does not begin where the base ends: figure 8 has it rejected, but 3.0 predefines no
# type for it, and masters of 2.x know it by this one.
ORDER_UPDATE_ERROR = "orderUpdateError"

# Types as the agent's classes name them, and those of 3.0.
_PREDEFINED: Mapping[str, ErrorType] = MappingProxyType(
    {
        "validationError": ErrorType.VALIDATION_FAILURE,
        "noOrderToCancel": ErrorType.NO_ORDER_TO_CANCEL,
        "actionError": ErrorType.INVALID_INSTANT_ACTION,
        "localizationLost": ErrorType.LOCALIZATION_ERROR,
        "noRouteError": ErrorType.NODE_UNREACHABLE,
        "unsupportedParameter": ErrorType.UNSUPPORTED_PARAMETER,
        "blockedZoneViolation": ErrorType.BLOCKED_ZONE_VIOLATION,
        "releaseLost": ErrorType.RELEASE_LOST,
        "outsideOfCorridor": ErrorType.OUTSIDE_OF_CORRIDOR,
        "duplicateMap": ErrorType.DUPLICATE_MAP,
        "duplicateZoneSet": ErrorType.DUPLICATE_ZONE_SET,
        "insufficientMemory": ErrorType.INSUFFICIENT_MEMORY,
        ORDER_UPDATE_ERROR: ErrorType.VALIDATION_FAILURE,
    }
)


def predefined_type(error_type: str) -> str:
    """Return the type of 3.0 for an error, its own where none is predefined.

    Args:
        error_type: As an error class names it, or already one of 3.0.
    """
    return _PREDEFINED.get(error_type, error_type)


# Levels of 3.0 (section 6.6.5.4, table 9).
LEVEL_IN_3: Mapping[str, str] = MappingProxyType(
    {str(error_type): "WARNING" for error_type in ErrorType}
    | {
        ErrorType.UNSUPPORTED_PARAMETER: "CRITICAL",
        ErrorType.OUTSIDE_OF_CORRIDOR: "CRITICAL",
        ErrorType.INSUFFICIENT_MEMORY: "URGENT",
        ErrorType.BLOCKED_ZONE_VIOLATION: "CRITICAL",
        ErrorType.RELEASE_LOST: "CRITICAL",
        ErrorType.ZONE_ACTION_CONFLICT: "CRITICAL",
        ErrorType.NODE_UNREACHABLE: "CRITICAL",
        ErrorType.LOCALIZATION_ERROR: "FATAL",
    }
)
