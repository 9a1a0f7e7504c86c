import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.avoidance.fields import FieldKind, FieldParams, Fields
from agent.geometry.polygon import rectangle
from agent.geometry.twist import Twist

FOOTPRINT = rectangle(1.0, 0.6)
SLOW = FieldParams(name="slow", ahead_m=2.0, beside_m=0.3, speed_mps=0.4)
STOP = FieldParams(name="stop", kind=FieldKind.STOP, ahead_m=0.5)
FAST = FieldParams(name="fast", kind=FieldKind.STOP, ahead_m=1.5, above_mps=0.8)
HEAVY = FieldParams(name="heavy", ahead_m=3.0, speed_mps=0.2, loaded=True)

speeds = st.floats(-1.5, 1.5)
points = st.lists(st.tuples(st.floats(-4.0, 4.0), st.floats(-2.0, 2.0)), max_size=6)


def at(*places: tuple[float, float]) -> np.ndarray:
    return np.array(places, np.float64).reshape(-1, 2)


def share(fields: Fields, points_m: np.ndarray, forward: float, loaded: bool = False) -> float:
    return fields.limit(points_m, Twist(forward), Twist(forward), loaded)


def test_nothing_in_it_is_nothing() -> None:
    fields = Fields((SLOW, STOP, FAST, HEAVY), FOOTPRINT)
    assert share(fields, at((3.0, 0.0), (0.0, 0.7), (-1.0, 0.0)), 1.0) == 1.0
    assert share(Fields((), FOOTPRINT), at((0.6, 0.0)), 1.0) == 1.0


def test_a_slow_field_slows_to_its_speed_and_keeps_the_curvature() -> None:
    fields = Fields((SLOW,), FOOTPRINT)
    assert share(fields, at((2.0, 0.5)), 1.0) == pytest.approx(0.4)
    assert share(fields, at((2.0, 0.5)), 0.3) == 1.0


def test_the_field_lies_in_the_direction_of_travel() -> None:
    fields = Fields((STOP,), FOOTPRINT)
    behind = at((-0.9, 0.0))
    assert share(fields, behind, 1.0) == 1.0
    assert share(fields, behind, -1.0) == 0.0
    assert fields.stopped_by == "stop"
    assert fields.limit(behind, Twist(0.0, 0.0, 0.5), Twist()) == 1.0, "turning away is allowed"
    assert fields.stopped_by == ""


def test_fields_are_switched_by_speed_and_load() -> None:
    fields = Fields((FAST, HEAVY), FOOTPRINT)
    there = at((1.8, 0.0))
    assert share(fields, there, 0.7) == 1.0
    assert share(fields, there, 0.9) == 0.0
    assert share(fields, there, 0.5, loaded=True) == pytest.approx(0.4)


@given(points, st.tuples(st.floats(-4.0, 4.0), st.floats(-2.0, 2.0)), speeds, st.booleans())
def test_the_most_restrictive_wins_and_more_points_never_speed_up(
    seen: list[tuple[float, float]], extra: tuple[float, float], forward: float, loaded: bool
) -> None:
    all_fields = (SLOW, STOP, FAST, HEAVY)
    together = share(Fields(all_fields, FOOTPRINT), at(*seen), forward, loaded)
    each = [share(Fields((field,), FOOTPRINT), at(*seen), forward, loaded) for field in all_fields]
    assert together == min(each)
    assert 0.0 <= together <= 1.0
    assert share(Fields(all_fields, FOOTPRINT), at(*seen, extra), forward, loaded) <= together


def test_a_field_without_bounds_is_on_at_any_speed() -> None:
    assert SLOW.is_on(0.0, loaded=False)
    assert SLOW.is_on(5.0, loaded=True)


def test_fields_lie_around_the_load() -> None:
    fields = Fields((SLOW,), FOOTPRINT)
    assert share(fields, at((2.7, 0.0)), 1.0) == 1.0
    fields.take_shape(rectangle(1.6, 0.6))
    assert share(fields, at((2.7, 0.0)), 1.0) == pytest.approx(0.4)
