"""Draws any message of the internal model from the types of its fields, or fills in all of them."""

import math
import types
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo

from agent.vda5050.messages import UINT32, Zone, ZoneType

TEXT = st.text("abcXYZ019_-.>é ", min_size=1, max_size=6)
STAMPS = st.sampled_from(["2026-01-01T00:00:00.000Z", "2026-12-31T23:59:59.990Z"])
VALUES = st.sampled_from([1, 2.5, True, "front", [1, "a"], {"a": [True]}])


def drawn(model: type[BaseModel], **fixed: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for a model; fields named here have these values or come from these."""
    if model is Zone:
        return st.sampled_from(ZoneType).flatmap(_zone)
    return _object(model, fixed)


def _object(model: type[BaseModel], fixed: dict[str, Any]) -> st.SearchStrategy[Any]:
    given = {
        name: value if isinstance(value, st.SearchStrategy) else st.just(value)
        for name, value in fixed.items()
    }
    fields = {
        name: _of(field.annotation, field.metadata)
        for name, field in model.model_fields.items()
        if name not in given
    }
    return st.builds(lambda **values: model(**values), **fields, **given)


def _zone(kind: ZoneType) -> st.SearchStrategy[Zone]:
    optional = {name for name, field in Zone.model_fields.items() if not field.is_required()}
    needed = {
        name: _of(_not_none(Zone.model_fields[name].annotation), Zone.model_fields[name].metadata)
        for name in optional
    }
    corners = _of(Zone.model_fields["vertices"].annotation, [], least=3)
    return _object(Zone, {"zone_type": kind, "vertices": corners, **needed})


def _not_none(kind: Any) -> Any:
    return next(part for part in get_args(kind) if part is not type(None))


def _of(kind: Any, metadata: list[Any], least: int = 0) -> st.SearchStrategy[Any]:
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *notes = get_args(kind)
        return _of(inner, [*metadata, *_flat(notes)])
    if kind is JsonValue:
        return VALUES
    if origin in (Union, types.UnionType):
        return st.one_of([_of(part, metadata) for part in get_args(kind)])
    if origin is list:
        return st.lists(_of(get_args(kind)[0], []), min_size=least, max_size=max(2, least))
    if kind is type(None):
        return st.none()
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return st.deferred(lambda: drawn(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    return _scalar(kind, metadata)


def _scalar(kind: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    if kind is str:
        return STAMPS if any(getattr(note, "pattern", None) for note in metadata) else TEXT
    if kind is bool:
        return st.booleans()
    low = max((note.ge for note in metadata if hasattr(note, "ge")), default=None)
    high = min((note.le for note in metadata if hasattr(note, "le")), default=None)
    if kind is int:
        return st.integers(0 if low is None else low, UINT32 - 1 if high is None else high)
    # Limits of angles are a little wide, for masters that round; what is sent is within them.
    bounds = [-1e6 if low is None else low, 1e6 if high is None else high]
    least, most = (math.copysign(_exact(abs(bound)), bound) for bound in bounds)
    return st.floats(least, most).map(lambda value: max(least, min(most, round(value, 4))))


def _exact(bound: float) -> float:
    for angle in (math.pi / 2, math.pi):
        if abs(bound - angle) < 2e-3:
            return math.floor(angle * 1e4) / 1e4
    return bound


def full(model: type[BaseModel], **fixed: Any) -> Any:
    """Return a model with every field set and one item in every array."""
    values = {
        name: _example(field.annotation, field.metadata)
        for name, field in model.model_fields.items()
        if name not in fixed
    }
    return model(**values, **fixed)


def _example(kind: Any, metadata: list[Any]) -> Any:
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *notes = get_args(kind)
        return _example(inner, [*metadata, *_flat(notes)])
    if kind is JsonValue:
        return "any"
    if origin in (Union, types.UnionType):
        return _example(_not_none(kind), metadata)
    if origin is list:
        item = _example(get_args(kind)[0], [])
        return (
            [item] * 3 if any(getattr(note, "min_length", 0) > 1 for note in metadata) else [item]
        )
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return full(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    if kind is str and any(getattr(note, "pattern", None) for note in metadata):
        return "2026-01-01T00:00:00.000Z"
    return {str: "text", bool: True, int: 1, float: 0.5}[kind]


def _flat(notes: list[Any]) -> list[Any]:
    return [
        inner
        for note in notes
        for inner in (note.metadata if isinstance(note, FieldInfo) else [note])
    ]
