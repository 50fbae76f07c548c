"""Samples shared among processes, which decide them side by side.

One sample keeps one core busy: most operations on a single recurrent network are too small for more threads.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from parsers.errors import BadInput
from verifier.certify import TOGETHER
from verifier.cli.work import Desk, Found, Work
from verifier.dataset import Sample

_desk: Desk[Any] | None = None  # of a process that was started here


def portions(samples: Sequence[Sample], jobs: int) -> Iterator[Sequence[Sample]]:
    """`samples` in portions that are decided together, at least one for each job where there are so many."""
    size = max(1, min(TOGETHER, -(-len(samples) // jobs)))
    for first in range(0, len(samples), size):
        yield samples[first : first + size]


def decided(
    work: Work[Found], groups: Sequence[Sequence[Sample]], jobs: int, threads: int
) -> Iterator[Found]:
    """Answers for all samples, in groups of one shape, from `jobs` processes with `threads` each.

    Raises what they raise, and `BadInput` where one was killed. Closed early, it stops them.
    """
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin, (work, threads))
    try:
        parts = [part for group in groups for part in portions(group, jobs)]
        for done in as_completed([pool.submit(_decide, part) for part in parts]):
            yield from done.result()
    except BrokenProcessPool as broken:
        raise BadInput(
            f"one of the {jobs} processes was killed, for lack of memory most likely: give fewer --jobs"
        ) from broken
    except BaseException:  # closed, or interrupted: nobody waits for what is still being decided
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(work: Work[Any], threads: int) -> None:
    import torch

    global _desk
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one is told, and stops it
    torch.set_num_threads(threads)
    _desk = Desk(work)


def _decide(samples: Sequence[Sample]) -> list[Any]:
    assert _desk is not None
    return list(_desk.decide(samples))
