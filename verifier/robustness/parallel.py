"""Samples shared among processes, which decide them side by side.

One sample keeps one core busy: most operations on a single recurrent network are too small for more threads.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any

from parsers.errors import BadInput, Parameter
from verifier.robustness.certify import TOGETHER, parts
from verifier.robustness.dataset import Sample
from verifier.robustness.outcome import Phase
from verifier.robustness.task import Found, Solver, Task

_solver: Solver[Any] | None = None  # of a process that was started here


def decided(
    task: Task[Found], groups: Sequence[Sequence[Sample]], jobs: int, threads: int
) -> Iterator[Found]:
    """Answers for all samples, in groups of one shape, from `jobs` processes with `threads` each.

    Raises what they raise, and `BadInput` where one was killed. Closed early, it stops them.
    """
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin, (task, threads))
    try:
        size = min(TOGETHER, -(-sum(map(len, groups)) // jobs))  # smaller ones cost more a sample
        tasks = [pool.submit(_decide, part) for group in groups for part in parts(group, size)]
        for done in as_completed(tasks):
            yield from done.result()
    except BrokenProcessPool as broken:
        raise BadInput(
            f"one of the {jobs} processes was killed, for lack of memory most likely: give fewer ",
            Parameter("jobs"),
        ) from broken
    except BaseException:  # closed, or interrupted: nobody waits for what is still being decided
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(task: Task[Any], threads: int) -> None:
    import torch

    global _solver
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one is told, and stops it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    _solver = Solver(task)


def _end_with_parent() -> None:
    """A process that was killed tells its workers nothing: they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _decide(samples: Sequence[Sample]) -> list[Any]:
    assert _solver is not None
    return [found for found in _solver.solve(samples) if not isinstance(found, Phase)]
