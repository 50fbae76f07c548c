"""How many instances can be bounded together within a memory budget, and what is kept of the last ones.

A model of the peak, not a measurement: a backward pass holds ALIVE values of the size of its widest one for
every row it carries, and every site keeps KEPT values of the size of its gate. Both counts lie above what was
seen in processes that bound LSTMs, GRUs and RNNs of 32 to 128 units; allocators differ, so expect a factor of
two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from verifier.network.program import Block, GateStep, ScanStep

T = TypeVar("T")

ALIVE, KEPT = 16, 48
TRIED = 400  # values that a part in branch and bound holds for every entry of a gate: samples, gradients
LEAF = 12  # values that an undecided part keeps for every entry of a gate: boxes, splits, multipliers, planes
INPUT_COPIES = 8  # of the coefficients of all inputs: by time step, assembled, and what regions make of them


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many instances, parts of them in branch and bound, and undecided parts at rest fit `together`."""

    together: int
    parts: int
    leaves: int


def capacity(program: Block, dtype: torch.dtype, mebibytes: int) -> Capacity:
    """What fits into so much memory: one of each at least."""
    sizes = (size(program, dtype) for size in (instance_bytes, part_bytes, leaf_bytes))
    return Capacity(*(max(1, (mebibytes << 20) // max(1, size)) for size in sizes))


def instance_bytes(program: Block, dtype: torch.dtype) -> int:
    """Bytes that bounding one more instance of `program` in `dtype` takes at the peak."""
    inputs = sum(program.variables[name] for name in program.inputs)
    blocks = _blocks(program)
    rows = max((2 * sum(f.size for f in stage.forms) for b in blocks for stage in b.stages), default=0)
    width = max(_widest(block) for block in blocks)
    entries = rows * (ALIVE * width + INPUT_COPIES * inputs) + KEPT * _sites(program)
    return entries * torch.finfo(dtype).bits // 8


def part_bytes(program: Block, dtype: torch.dtype) -> int:
    """Bytes that bounding one more part takes in branch and bound: boxes are inherited, one row goes back."""
    inputs = sum(program.variables[name] for name in program.inputs)
    width = max(_widest(block) for block in _blocks(program))
    entries = ALIVE * width + INPUT_COPIES * inputs + TRIED * _sites(program)
    return entries * torch.finfo(dtype).bits // 8


def leaf_bytes(program: Block, dtype: torch.dtype) -> int:
    """Bytes of one more undecided part of branch and bound, at rest: with a half-space of the inputs."""
    inputs = sum(program.variables[name] for name in program.inputs)
    return (LEAF * _sites(program) + inputs) * torch.finfo(dtype).bits // 8


def _blocks(program: Block) -> tuple[Block, ...]:
    return (program, *(step.body for step in program.steps if isinstance(step, ScanStep)))


def _sites(program: Block) -> int:
    """Entries of all operands of gates, at all time steps."""
    scans = (step for step in program.steps if isinstance(step, ScanStep))
    return _gates(program) + sum(step.length * _gates(step.body) for step in scans)


def _widest(block: Block) -> int:
    """Entries of a row where all forms that take a matrix product wait for it together."""
    forms = {
        form.number: form for step in block.steps if isinstance(step, GateStep) for form in step.operands
    }
    stacked = sum(form.size for form in forms.values() if form.dense)
    return max(stacked, max((form.size for form in forms.values()), default=1))


def _gates(block: Block) -> int:
    return sum(step.size * len(step.operands) for step in block.steps if isinstance(step, GateStep))


class Recent(Generic[T]):
    """The last `size` values that were made, each for a key of objects that are compared by identity."""

    def __init__(self, size: int) -> None:
        self._entries: deque[tuple[tuple[object, ...], T]] = deque(maxlen=size)

    def get(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        """The value for `key`, made if it is not there."""
        for held, value in self._entries:
            if len(held) == len(key) and all(a is b for a, b in zip(held, key, strict=True)):
                return value
        self._entries.append((key, value := make()))
        return value
