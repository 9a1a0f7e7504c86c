import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.docking.carrier import Carrier, Leg, Plate, Section
from agent.docking.detection import CarrierDetector, DetectorParams, Prior, Returns
from agent.docking.track import CarrierTrack
from agent.errors import ConfigError
from agent.geometry.pose import Pose2
from hil.plant import kernels
from hil.plant.world import Box, Disc, Obstacle, Pose, World, standing
from tests.examples import examples

RAYS = 720
EYE_M = (0.25, 0.0)
NOISE_M = 0.01
LEGS = ((-0.57, -0.37), (-0.57, 0.37), (0.57, -0.37), (0.57, 0.37))
TROLLEY = Carrier(legs=tuple(Leg(x_m=x, y_m=y, width_m=0.05) for x, y in LEGS))
WIDE = Prior(Pose2(1.8, 0.0, 0.0), 0.4, math.radians(20.0))
REFLECTORS = Carrier(
    plates=tuple(Plate(x_m=0.0, y_m=y, length_m=0.1, bright=True) for y in (-0.3, 0.3))
)
FRONT = Carrier(plates=(Plate(x_m=0.0, y_m=0.0, length_m=0.8),))
NOTCH = Carrier(
    plates=(
        Plate(x_m=0.0, y_m=0.25, facing_rad=math.radians(-150.0), length_m=0.5),
        Plate(x_m=0.0, y_m=-0.25, facing_rad=math.radians(150.0), length_m=0.5),
    )
)

poses = st.tuples(st.floats(1.5, 2.1), st.floats(-0.25, 0.25), st.floats(-0.25, 0.25)).map(
    lambda numbers: Pose2(*numbers)
)
seeds = st.integers(0, 2**31)


def obstacles_of(carrier: Carrier, pose: Pose2) -> list[Obstacle]:
    parts = []
    for number, leg in enumerate(carrier.legs):
        x_m, y_m = pose.transform(leg.x_m, leg.y_m)
        is_round = leg.section is Section.ROUND
        shape = Disc(leg.width_m / 2) if is_round else Box(leg.width_m, leg.width_m)
        parts.append(standing(f"leg {number}", shape, Pose(x_m, y_m, pose.yaw_rad)))
    for number, plate in enumerate(carrier.plates):
        thick_m = 0.02
        own = Pose2(plate.x_m, plate.y_m, plate.facing_rad) @ Pose2(-thick_m / 2, 0.0, 0.0)
        at = pose @ own
        box = Box(thick_m, plate.length_m)
        parts.append(standing(f"plate {number}", box, Pose(at.x_m, at.y_m, at.yaw_rad)))
    return parts


def person(x_m: float, y_m: float, radius_m: float = 0.25) -> Obstacle:
    return standing(f"person {x_m} {y_m}", Disc(radius_m), Pose(x_m, y_m, 0.0))


def returns_of(things: list[Obstacle], seed: int, rays: int = RAYS, bright: str = "") -> Returns:
    """What a lidar in the middle of a room sees of things around it."""
    cells = np.ones((80, 100), np.bool_)
    cells[2:-2, 2:-2] = False
    world = World(cells, 0.1, -4.0, -4.0)
    for thing in things:
        world.add(thing)
    rng = np.random.default_rng(seed)
    bearings = np.arange(rays) * (math.tau / rays) - math.pi
    eyes = np.full(rays, EYE_M[0]), np.full(rays, EYE_M[1])
    table, ranges_m, bare_m = world.obstacles_at(0), np.empty(rays), np.empty(rays)
    sight = (cells, 0.1, -4.0, -4.0, *eyes, bearings, np.zeros(rays))
    kernels.cast_rays(*sight, table.discs, table.boxes, 16.0, ranges_m)
    chosen = [i for i, name in enumerate(table.box_names) if bright and name.startswith(bright)]
    kernels.cast_rays(*sight, table.discs[:0], table.boxes[chosen], 16.0, bare_m)
    quality = np.where(bare_m <= ranges_m + 1e-6, 250, 60).astype(np.uint8)
    ranges_m += NOISE_M * rng.standard_normal(rays)
    ranges_m[rng.random(rays) < 0.01] = math.nan
    rays_back = np.flatnonzero(np.isfinite(ranges_m))
    points_m = np.column_stack(
        (EYE_M[0] + ranges_m * np.cos(bearings), EYE_M[1] + ranges_m * np.sin(bearings))
    )[rays_back]
    return Returns(points_m, quality[rays_back], rays_back, rays, EYE_M)


def is_there(found, truth: Pose2, distance_m: float = 0.03, turn_deg: float = 2.0) -> bool:
    return found is not None and found.base_from_carrier.is_near(
        truth, distance_m, math.radians(turn_deg)
    )


@pytest.mark.parametrize("section", [*Section])
@settings(max_examples=examples(40), deadline=None)
@given(truth=poses, width_m=st.floats(0.03, 0.08), seed=seeds)
def test_four_legs_are_found_within_their_covariance(section, truth, width_m, seed) -> None:
    legs = tuple(Leg(x_m=x, y_m=y, width_m=width_m, section=section) for x, y in LEGS)
    carrier = Carrier(legs=legs)
    found = CarrierDetector(carrier).detect(returns_of(obstacles_of(carrier, truth), seed), WIDE)
    if found is None:  # legs in line hide each other; what is said must be right
        return
    assert is_there(found, truth)
    seen = found.base_from_carrier
    off = np.array((seen.x_m - truth.x_m, seen.y_m - truth.y_m, seen.yaw_rad - truth.yaw_rad))
    assert off @ np.linalg.solve(found.covariance, off) < 40.0


def test_most_scans_show_the_carrier() -> None:
    rng = np.random.default_rng(5)
    detector = CarrierDetector(TROLLEY)
    found = 0
    for seed in range(40):
        truth = Pose2(*rng.uniform((1.5, -0.25, -0.25), (2.1, 0.25, 0.25)).tolist())
        returns = returns_of(obstacles_of(TROLLEY, truth), seed)
        found += is_there(detector.detect(returns, WIDE), truth)
    assert found >= 37


@pytest.mark.parametrize(
    "legs",
    [((-0.4, 0.0), (0.4, 0.1)), ((-0.9, -0.4), (-0.9, 0.4), (0.0, -0.45), (0.0, 0.45), (0.9, 0.3))],
    ids=["two", "five"],
)
def test_any_number_of_legs(legs) -> None:
    carrier = Carrier(legs=tuple(Leg(x_m=x, y_m=y) for x, y in legs))
    truth = Pose2(2.0, 0.1, 0.1)
    found = CarrierDetector(carrier).detect(returns_of(obstacles_of(carrier, truth), 3), WIDE)
    assert is_there(found, truth)
    assert found.marks_seen == len(legs)


def test_a_turned_carrier_is_told_by_the_prior_only() -> None:
    truth = Pose2(1.8, 0.1, 0.1)
    returns = returns_of(obstacles_of(TROLLEY, truth), 1)
    detector = CarrierDetector(TROLLEY)
    assert detector.detect(returns) is None
    assert is_there(detector.detect(returns, WIDE), truth)
    turned = truth @ Pose2(0.0, 0.0, math.pi)
    assert is_there(detector.detect(returns, Prior(turned, 0.3, 0.3)), turned)


def test_an_unsymmetric_carrier_needs_no_prior() -> None:
    carrier = Carrier(legs=tuple(Leg(x_m=x, y_m=y) for x, y in (*LEGS[:3], (0.3, 0.37))))
    truth = Pose2(1.8, 0.1, 0.1)
    returns = returns_of([*obstacles_of(carrier, truth), person(1.5, 1.5)], 1)
    assert is_there(CarrierDetector(carrier).detect(returns), truth)


def test_two_of_four_legs_are_enough_where_a_person_hides_the_others() -> None:
    truth = Pose2(1.9, 0.0, 0.05)
    returns = returns_of([*obstacles_of(TROLLEY, truth), person(0.9, -0.28, 0.3)], 2)
    detector = CarrierDetector(TROLLEY)
    found = detector.detect(returns, WIDE)
    assert is_there(found, truth, 0.05, 4.0)
    assert 2 <= found.marks_seen < 4
    assert detector.detect(returns) is None


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    "legs",
    [
        LEGS[:3],  # a leg that should be seen is not there
        ((-0.57, -0.5), (-0.57, 0.5), (0.57, -0.5), (0.57, 0.5)),  # another carrier
        ((-0.57, -0.37), (-0.57, 0.37), (0.35, -0.37), (0.35, 0.37)),
    ],
    ids=["three", "wider", "shorter"],
)
def test_another_constellation_is_no_carrier(legs, seed) -> None:
    other = Carrier(legs=tuple(Leg(x_m=x, y_m=y) for x, y in legs))
    returns = returns_of(obstacles_of(other, Pose2(1.8, 0.1, 0.1)), seed)
    assert CarrierDetector(TROLLEY).detect(returns, WIDE) is None


def test_an_empty_room_and_an_empty_scan_hold_no_carrier() -> None:
    detector = CarrierDetector(TROLLEY)
    assert detector.detect(returns_of([person(1.5, 0.4), person(2.0, -0.5)], 0), WIDE) is None
    nothing = Returns(np.empty((0, 2)), np.empty(0, np.uint8), np.empty(0, np.int64), RAYS)
    assert detector.detect(nothing, WIDE) is None


def test_outside_the_gate_nothing_is_claimed() -> None:
    returns = returns_of(obstacles_of(TROLLEY, Pose2(1.8, 0.5, 0.0)), 4)
    assert CarrierDetector(TROLLEY).detect(returns, WIDE) is None


@pytest.mark.parametrize("carrier", [REFLECTORS, FRONT, NOTCH], ids=["reflectors", "front", "V"])
@pytest.mark.parametrize("seed", range(6))
def test_plates_are_found(carrier, seed) -> None:
    truth = Pose2(1.7, 0.1, -0.1)
    things = [*obstacles_of(carrier, truth), person(1.2, 1.4)]
    returns = returns_of(things, seed, bright="plate")
    found = CarrierDetector(carrier).detect(returns, Prior(Pose2(1.8, 0.0, 0.0), 0.4, 0.35))
    assert is_there(found, truth)


def test_dull_plates_are_no_reflectors() -> None:
    returns = returns_of(obstacles_of(REFLECTORS, Pose2(1.7, 0.1, -0.1)), 0)
    prior = Prior(Pose2(1.8, 0.0, 0.0), 0.4, 0.35)
    assert CarrierDetector(REFLECTORS).detect(returns, prior) is None
    dull = DetectorParams(bright_quality=50)
    assert CarrierDetector(REFLECTORS, dull).detect(returns, prior) is not None


def test_points_of_the_carrier_are_told_from_others() -> None:
    truth = Pose2(1.5, 0.1, 0.1)
    returns = returns_of([*obstacles_of(TROLLEY, truth), person(1.4, 0.1, 0.1)], 6)
    mine = TROLLEY.belonging(truth, returns.points_m, 0.05)
    legs_m = np.array([truth.transform(leg.x_m, leg.y_m) for leg in TROLLEY.legs])
    away_m = np.hypot(*(returns.points_m[:, None] - legs_m).transpose(2, 0, 1)).min(axis=1)
    assert mine.any()
    assert (away_m[mine] < 0.05 + 0.05).all()
    assert not mine[away_m > 0.1].any()
    assert mine[away_m < 0.04].all()


@pytest.mark.parametrize(
    "marks",
    [
        {},
        {"legs": (Leg(x_m=0.0, y_m=0.0),)},
        {"legs": (Leg(x_m=0.0, y_m=0.0), Leg(x_m=0.02, y_m=0.0))},
        {"legs": (Leg(x_m=0.0, y_m=0.0), Leg(x_m=math.nan, y_m=0.0))},
    ],
)
def test_a_carrier_that_tells_no_pose_is_refused(marks) -> None:
    with pytest.raises(ConfigError):
        Carrier(**marks)


def test_the_track_averages_and_people_do_not_move_it() -> None:
    truth = Pose2(1.8, 0.1, 0.1)
    track = CarrierTrack(CarrierDetector(TROLLEY), Pose2(1.7, 0.0, 0.0))
    here = Pose2.identity()
    assert track.base_from_carrier(here) is None
    for number in range(40):
        walker = person(1.0 + 0.02 * number, -1.2 + 0.06 * number)
        things = obstacles_of(TROLLEY, truth)
        track.see(returns_of([*things, walker], number), here, number * 100_000_000)
    found = track.base_from_carrier(here)
    assert found is not None
    assert found.is_near(truth, 0.003, math.radians(0.25))
    assert track.refused <= 2


def test_the_track_is_carried_along_by_the_odometry() -> None:
    truth = Pose2(1.8, 0.1, 0.1)
    track = CarrierTrack(CarrierDetector(TROLLEY), truth)
    for number in range(6):
        returns = returns_of(obstacles_of(TROLLEY, truth), number)
        track.see(returns, Pose2.identity(), number * 100_000_000)
    before, gone = track.base_from_carrier(Pose2.identity()), Pose2(0.5, 0.1, 0.3)
    assert track.base_from_carrier(gone).is_near(gone.inverse() @ before, 1e-9, 1e-9)


def test_a_carrier_that_was_taken_away_is_given_up() -> None:
    track = CarrierTrack(CarrierDetector(TROLLEY), Pose2(1.8, 0.0, 0.0))
    for number in range(8):
        things = obstacles_of(TROLLEY, Pose2(1.8, 0.1, 0.1))
        track.see(returns_of(things, number), Pose2.identity(), number)
    seen_ns = track.seen_ns
    for number in range(8, 20):
        track.see(returns_of([], number), Pose2.identity(), number)
    assert track.seen_ns == seen_ns == 7
