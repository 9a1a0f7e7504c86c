import numpy as np
import pytest

from agent.avoidance.protective_field import ProtectiveField, ProtectiveFieldParams
from agent.geometry.polygon import rectangle

PARAMS = ProtectiveFieldParams(standoff_m=0.5, side_margin_m=0.1, release_m=0.25)
FRONT_M = 0.45


def field_with_obstacle_at(gap_m: float) -> ProtectiveField:
    field = ProtectiveField(PARAMS, rectangle(0.9, 0.6), 1.0)
    field.see(np.array([(FRONT_M + gap_m, 0.0)]))
    return field


def test_stands_off_from_an_obstacle_and_slows_before() -> None:
    assert field_with_obstacle_at(3.0).limit(1.0, 0.0, 10.0) == 1.0
    assert 0.0 < field_with_obstacle_at(0.9).limit(1.0, 0.0, 10.0) < 1.0
    near = field_with_obstacle_at(0.55)
    assert near.limit(1.0, 0.0, 10.0) == 0.0
    assert near.violated


def test_releases_only_when_the_obstacle_is_clearly_gone() -> None:
    field = field_with_obstacle_at(0.5)
    field.limit(1.0, 0.0, 10.0)
    field.see(np.array([(FRONT_M + 0.80, 0.0)]))
    assert field.limit(0.1, 0.0, 10.0) == 0.0
    field.see(np.array([(FRONT_M + 1.2, 0.0)]))
    assert field.limit(0.1, 0.0, 10.0) > 0.0
    assert not field.violated


@pytest.mark.parametrize(("remaining_m", "share"), [(0.2, 1.0), (2.0, 0.0)])
def test_what_stands_beyond_the_goal_does_not_matter(remaining_m: float, share: float) -> None:
    assert field_with_obstacle_at(0.45).limit(0.2, 0.0, remaining_m) == share


def test_beside_the_way_is_not_on_the_way() -> None:
    field = ProtectiveField(PARAMS, rectangle(0.9, 0.6), 1.0)
    field.see(np.array([(1.0, 0.42), (1.0, -0.42)]))
    assert field.limit(1.0, 0.0, 10.0) == 1.0


def test_a_load_that_stands_out_is_stopped_for() -> None:
    field = ProtectiveField(PARAMS, rectangle(0.9, 0.6), 1.0)
    field.see(np.array([(1.0, 0.5)]))
    assert field.limit(1.0, 0.0, 10.0) == 1.0
    field.take_shape(rectangle(1.1, 1.0))
    assert field.limit(1.0, 0.0, 10.0) == 0.0
