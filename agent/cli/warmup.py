"""``haulier warmup``: compile every kernel into the cache, so that the service starts fast."""

import argparse

from agent.cli.verb import Verb
from agent.clock import SystemClock


def _configure(parser: argparse.ArgumentParser) -> None:
    del parser


def _run(options: argparse.Namespace) -> int:
    del options
    from agent.main import warm_up

    clock = SystemClock()
    started_ns = clock.now_ns()
    kernels = warm_up()
    print(f"{len(kernels)} kernels ready after {(clock.now_ns() - started_ns) * 1e-9:.1f} s")
    return 0


VERB = Verb("warmup", "compile all kernels into the cache (NUMBA_CACHE_DIR)", _configure, _run)
