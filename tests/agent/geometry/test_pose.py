import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geometry.angle import difference, wrap
from agent.geometry.pose import Pose2

coordinates = st.floats(-1e3, 1e3)
angles = st.floats(-20.0, 20.0)
poses = st.builds(Pose2, coordinates, coordinates, angles)


def same(a: Pose2, b: Pose2) -> bool:
    return a.distance_m(b) < 1e-8 and abs(difference(a.yaw_rad, b.yaw_rad)) < 1e-9


@given(angles)
def test_wrap_keeps_the_direction_within_half_a_turn(angle: float) -> None:
    wrapped = wrap(angle)
    assert -math.pi <= wrapped < math.pi
    assert math.cos(wrapped) == pytest.approx(math.cos(angle), abs=1e-9)
    assert math.sin(wrapped) == pytest.approx(math.sin(angle), abs=1e-9)


@given(poses)
def test_inverse_undoes(pose: Pose2) -> None:
    assert same(pose @ pose.inverse(), Pose2.identity())
    assert same(pose.inverse() @ pose, Pose2.identity())


@given(poses, poses, poses)
def test_composition_is_associative(a: Pose2, b: Pose2, c: Pose2) -> None:
    assert same((a @ b) @ c, a @ (b @ c))


@given(poses, poses)
def test_composition_takes_the_origin_of_the_child_to_the_parent(a: Pose2, b: Pose2) -> None:
    assert (a @ b).x_m == pytest.approx(a.transform(b.x_m, b.y_m)[0])
    assert (a @ b).y_m == pytest.approx(a.transform(b.x_m, b.y_m)[1])


@given(poses, poses)
def test_interpolation_starts_and_ends_at_its_ends(a: Pose2, b: Pose2) -> None:
    assert same(a.interpolate(b, 0.0), a)
    assert same(a.interpolate(b, 1.0), b)


def test_a_quarter_turn_left_takes_forward_to_left() -> None:
    assert Pose2(1.0, 2.0, math.pi / 2).transform(1.0, 0.0) == pytest.approx((1.0, 3.0))
