"""What a long order costs: the bench measures all of it, and the loop is not held up for long."""

from pathlib import Path

import pytest

from agent.clock import SystemClock
from hil.mosquitto import executable
from hil.order_bench import measure_loop, measure_parts

TICK_MS = 20.0


@pytest.mark.parametrize("acting", [False, True])
def test_what_takes_long_is_not_done_by_the_loop(acting: bool) -> None:
    costs = measure_parts(300, SystemClock(), acting=acting)
    print(costs)
    assert costs.actions == (599 if acting else 0)
    # On a quiet machine 0.15 to 0.25 and less than 0.05.
    assert costs.apply_ms < 0.6 * costs.decode_ms
    assert costs.note_ms < 0.3 * costs.decode_ms


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_real_loop_takes_long_orders_as_it_drives(tmp_path: Path) -> None:
    if executable() is None:
        pytest.skip("mosquitto is not installed")
    short, long = measure_loop(tmp_path, 1000, SystemClock())
    print(short, long, sep="\n")
    assert (short.orders, long.orders) == (1, 10)
    assert long.work_p50_ms < TICK_MS / 2
