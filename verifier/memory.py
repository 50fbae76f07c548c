"""How many instances can be bounded together within a memory budget.

A model of the peak, not a measurement: a sweep holds ALIVE values of the size of its widest one for every
row it carries, and every site keeps KEPT values of the size of its gate. Both counts lie above what was seen
in processes that bound LSTMs, GRUs and RNNs of 32 to 128 units; allocators differ, so expect a factor of two.
"""

from __future__ import annotations

import torch

from verifier.program import Block, GateStep, ScanStep

ALIVE, KEPT = 16, 48
INPUT_COPIES = 4  # of the coefficients of all inputs: by frame, assembled, and what the region makes of them


def instance_bytes(program: Block, dtype: torch.dtype) -> int:
    """Bytes that bounding one more instance of `program` in `dtype` takes at the peak."""
    inputs = sum(program.variables[name] for name in program.inputs)
    bodies = [step.body for step in program.steps if isinstance(step, ScanStep)]
    blocks = (program, *bodies)
    rows = max((2 * sum(f.size for f in stage.forms) for b in blocks for stage in b.stages), default=0)
    width = max(_widest(block) for block in blocks)
    sites = _gates(program) + sum(
        step.length * _gates(step.body) for step in program.steps if isinstance(step, ScanStep)
    )
    entries = rows * (ALIVE * width + INPUT_COPIES * inputs) + KEPT * sites
    return entries * torch.finfo(dtype).bits // 8


def _widest(block: Block) -> int:
    """Entries of a row where all forms that take a matrix product wait for it together."""
    forms = {id(form): form for step in block.steps if isinstance(step, GateStep) for form in step.operands}
    stacked = sum(form.size for form in forms.values() if form.dense)
    return max(stacked, max((form.size for form in forms.values()), default=1))


def _gates(block: Block) -> int:
    return sum(step.size * len(step.operands) for step in block.steps if isinstance(step, GateStep))
