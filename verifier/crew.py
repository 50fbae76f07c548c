"""Threads that share the rows of a sweep.

The rows of a sweep have nothing to do with each other: where torch may use several threads, each of them
carries a share of the rows through all iterations, its products included, and none waits for another before
the end. Sharing out every product by itself, as torch does, leaves all that lies between to one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import TypeVar

import torch

T = TypeVar("T")

LEAST = 1 << 14  # coefficients with which a share starts, at least: with fewer, one thread is as fast


def shares(first: int, last: int, entries: int, device: torch.device) -> list[slice]:
    """The rows `first` … `last` − 1 of a sweep that starts with `entries` coefficients for each, shared among
    torch's threads."""
    rows = last - first
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    count = max(1, min(threads, rows * entries // LEAST))
    ends = [first + rows * k // count for k in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(ends)]


def together(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """What the tasks return, each in a thread of its own in which torch uses no others; without gradients."""
    if len(tasks) == 1:
        return [tasks[0]()]

    def alone(task: Callable[[], T]) -> T:
        with torch.no_grad():  # modes are those of a thread
            return task()

    with _single():
        others = [_pool(len(tasks) - 1).submit(alone, task) for task in tasks[1:]]
        first = alone(tasks[0])
        return [first, *(other.result() for other in others)]


@contextmanager
def _single() -> Iterator[None]:
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, "rows")
