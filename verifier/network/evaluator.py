"""Run a graph in torch: differentiable, on any device, over many instances at once.

The graph's own shapes hold no instance axis. Each input may carry one more axis in front, the instances;
`torch.func.vmap` pushes it through the primitives, so that each is written once, for one instance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from parsers.errors import BadInput
from parsers.ir import Graph, Scan, Value
from verifier.network.operators import TORCH_OPS

Inputs = Mapping[str, "np.ndarray | Tensor"]

_EXACT_INTEGERS = {torch.float64: 2**53, torch.float32: 2**24}


def evaluate(
    graph: Graph, inputs: Inputs, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """The outputs of `graph` by name; see `Evaluator`, which to keep when one graph is run many times."""
    return Evaluator(graph, device, dtype)(inputs)


class Evaluator:
    """A graph made ready to run on one device in one floating type: constants are converted once.

    Called with `{input name: array or tensor}`. Every input has its shape in the graph, or that shape behind
    one more axis of N instances, the same N for all that have it; inputs without it are shared. Integer
    inputs become `dtype` too. Returns `{output name: tensor}`, with the instance axis if some input has
    it; gradients flow from outputs to inputs given as tensors.

    Raises `BadInput` for a missing, unknown or wrongly shaped input.
    """

    def __init__(
        self, graph: Graph, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float64
    ) -> None:
        if dtype not in _EXACT_INTEGERS:
            raise BadInput(f"{dtype} is not supported; use float64 or float32")
        self.graph = graph
        self.device = torch.device(device)
        self.dtype = dtype
        self._program = _compile(graph, self.device, dtype)

    def __call__(self, inputs: Inputs) -> dict[str, Tensor]:
        names = [value.name for value in self.graph.inputs]
        if unknown := sorted(set(inputs) - set(names)):
            raise BadInput(f"the network has no input '{unknown[0]}'; its inputs are {', '.join(names)}")
        tensors, batched = [], []
        for value in self.graph.inputs:
            if value.name not in inputs:
                raise BadInput(f"no value for the network's input '{value.name}'")
            tensor = self._convert(value.name, inputs[value.name])
            batched.append(_is_batched(value, tuple(tensor.shape)))
            tensors.append(tensor)
        outputs = self._run(tensors, batched)
        return dict(zip(self.graph.outputs, outputs, strict=True))

    def flat(self, x: Tensor) -> Tensor:
        """All outputs in order, flattened and joined [B, m], for all inputs joined likewise [B, n]."""
        outputs = self(split(self.graph.inputs, x))
        return torch.cat([outputs[name].reshape(len(x), -1) for name in self.graph.outputs], dim=1)

    def _convert(self, name: str, array: np.ndarray | Tensor) -> Tensor:
        tensor = torch.as_tensor(array, device=self.device)
        limit = _EXACT_INTEGERS[self.dtype]
        if not tensor.is_floating_point() and tensor.numel() and int(tensor.abs().max()) > limit:
            raise BadInput(f"input '{name}' has integers above {limit}, which {self.dtype} cannot hold")
        return tensor.to(self.dtype)

    def _run(self, tensors: list[Tensor], batched: list[bool]) -> tuple[Tensor, ...]:
        if not any(batched):
            return self._program(*tensors)
        counts = {int(t.shape[0]) for t, has in zip(tensors, batched, strict=True) if has}
        if len(counts) > 1:
            raise BadInput(f"inputs carry different numbers of instances: {sorted(counts)}")
        in_dims = tuple(0 if has else None for has in batched)
        return torch.func.vmap(self._program, in_dims=in_dims)(*tensors)


def join(values: Sequence[Value], arrays: Inputs) -> Tensor:
    """Arrays [B, *shape] by name to one float64 vector [B, n] for each instance, in the order of `values`."""
    return torch.cat([torch.as_tensor(arrays[v.name]).double().flatten(1) for v in values], dim=1)


def split(values: Sequence[Value], x: Tensor) -> dict[str, Tensor]:
    """Vectors [B, n] to tensors [B, *shape] by name: the inverse of `join`."""
    parts = x.split([math.prod(v.shape) for v in values], dim=1)
    return {v.name: part.reshape(-1, *v.shape) for v, part in zip(values, parts, strict=True)}


def _is_batched(value: Value, shape: tuple[int, ...]) -> bool:
    if shape == value.shape:
        return False
    if shape[1:] == value.shape and len(shape) == len(value.shape) + 1:
        return True
    wanted = list(value.shape)
    raise BadInput(f"input '{value.name}' is {list(shape)}; the network takes {wanted}, or N × {wanted}")


Program = Callable[..., tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True)
class _Step:
    """One node, ready to run: `outputs = run(*inputs)`."""

    run: Program
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def _compile(graph: Graph, device: torch.device, dtype: torch.dtype) -> Program:
    """A function from the graph's inputs, in order, to its outputs, in order."""
    constants = {
        name: torch.as_tensor(array, device=device).to(dtype) for name, array in graph.constants.items()
    }
    names = tuple(value.name for value in graph.inputs)
    steps: list[_Step] = []
    for node in graph.nodes:
        if isinstance(node, Scan):
            run = _scan_program(node, _compile(node.body, device, dtype))
        else:
            run = _node_program(node.op, node.attributes, device)
        steps.append(_Step(run, node.inputs, node.outputs))

    def program(*inputs: Tensor) -> tuple[Tensor, ...]:
        values = dict(constants)
        values.update(zip(names, inputs, strict=True))
        for step in steps:
            results = step.run(*[values[name] for name in step.inputs])
            values.update(zip(step.outputs, results, strict=True))
        return tuple(values[name] for name in graph.outputs)

    return program


def _node_program(op: str, attributes: Mapping[str, object], device: torch.device) -> Program:
    function = TORCH_OPS[op]
    ready = {
        name: torch.as_tensor(value, device=device) if isinstance(value, np.ndarray) else value
        for name, value in attributes.items()
    }
    return lambda *inputs: (function(*inputs, **ready),)


def _scan_program(scan: Scan, body: Program) -> Program:
    states_count = len(scan.initial)
    order = range(scan.length - 1, -1, -1) if scan.reverse else range(scan.length)

    def program(*inputs: Tensor) -> tuple[Tensor, ...]:
        # sᵗ⁺¹, yᵗ = body(sᵗ, xᵗ);  yᵗ lies where its xᵗ lay, also when time runs backwards.
        states = inputs[:states_count]
        sequences = [sequence.unbind(0) for sequence in inputs[states_count:]]
        stacked: list[list[Tensor]] = [[] for _ in scan.stacked]
        for position in order:
            results = body(*states, *[sequence[position] for sequence in sequences])
            states = results[:states_count]
            for kept, y in zip(stacked, results[states_count:], strict=True):
                kept.append(y)
        if scan.reverse:
            for kept in stacked:
                kept.reverse()
        return (*states, *[torch.stack(kept) for kept in stacked])

    return program
