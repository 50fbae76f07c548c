"""Affine forms: what stands between two gates, as one linear map per source.

Everything between gates is affine, so the value that a gate reads is

    p = Σ_s M_s · s + b        s: network inputs, states, entries of sequences and outputs of earlier gates.

A form is built by pushing basis vectors through the primitives with their additive constants dropped
(`_push`), so adding an affine primitive needs no adjoint rule: where a map is small it is tabulated, and
where it is large its adjoint is derived by vector-Jacobian product. The same push with absolute constants
gives |M|, which bounds every intermediate magnitude: the rounding margins of the engine come from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from parsers.ir import Graph, Node
from parsers.primitives import PRIMITIVES
from verifier.network.keys import OperandKey
from verifier.network.linear_maps import Dense, Diagonal, Identity, LinearMap, Operator
from verifier.network.operators import TORCH_OPS

TABULATE_UP_TO = 1 << 22  # entries; a larger map stays an operator, or is the identity

Get = Callable[..., Tensor | None]  # (name, *, summand) → what has been pushed so far, None for zero


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AffineForm:
    """p = Σ_s terms[s]·s + bias; `number` names it within a program.

    `bias_magnitude` bounds the sum of magnitudes that made each bias; `depth` is the number of roundings
    on the longest path of one entry (inner dimensions and additions), for γ_depth.
    """

    number: int
    name: str
    size: int
    terms: Mapping[str, LinearMap]
    bias: Tensor  # [size]
    bias_magnitude: Tensor  # [size]
    depth: int
    has_bias: bool
    nonnegative: bool  # no coefficient and no bias is negative, as far as the maps are tabulated
    dense: Mapping[str, Dense]  # the terms that cost a matrix product,
    light: Mapping[str, LinearMap]  # and the others

    def __repr__(self) -> str:
        return f"<AffineForm {self.number} '{self.name}': {self.size} entries over {', '.join(self.terms)}>"

    def at(self, time: int) -> OperandKey:
        """What the form is called at a time step."""
        return OperandKey(self.number, time)

    @property
    def source(self) -> str | None:
        """The one variable this form is a plain copy of, if it is."""
        if len(self.terms) == 1 and not self.has_bias:
            ((name, linear_map),) = self.terms.items()
            return name if isinstance(linear_map, Identity) else None
        return None


class _Rules:
    """How values of `graph` are pushed through affine primitives."""

    def __init__(self, graph: Graph, like: Tensor) -> None:
        self.graph = graph
        self.like = like
        self.constants = {
            name: torch.as_tensor(array, device=like.device).to(like.dtype)
            for name, array in graph.constants.items()
        }

    def push(
        self, nodes: Sequence[Node], values: Mapping[str, Tensor], absolute: bool, additive: bool
    ) -> dict[str, Tensor]:
        """Values of `nodes` that depend on `values`, absent meaning zero.

        `additive`: constants enter sums (they make the bias); else only the linear part is pushed.
        `absolute`: constants by magnitude and differences as sums: the bound |M| of the map.
        """
        known = dict(values)

        def get(name: str, *, summand: bool) -> Tensor | None:
            if name in known:
                return known[name]
            if name in self.constants and (additive or not summand):
                constant = self.constants[name]
                return constant.abs() if absolute else constant
            return None

        for node in nodes:
            value = _AFFINE[PRIMITIVES[node.op].kind](self, node, get, absolute)
            if value is not None:
                known[node.output] = value
        return known

    # Each rule returns None for zero. `get(name, summand=True)` is None where the linear part is zero.

    def _linear(self, node: Node, get: Get, _absolute: bool) -> Tensor | None:
        inputs = [get(name, summand=True) for name in node.inputs]
        if all(x is None for x in inputs):
            return None
        filled = [
            self.like.expand(self.graph.shape(name)) if x is None else x
            for x, name in zip(inputs, node.inputs, strict=True)
        ]
        return TORCH_OPS[node.op](*filled, **node.attributes)

    def _additive(self, node: Node, get: Get, absolute: bool) -> Tensor | None:
        shape = self.graph.shape(node.output)
        total: Tensor | None = None
        for k, name in enumerate(node.inputs):
            x = get(name, summand=True)
            if x is None:
                continue
            negative = node.op == "neg" or (node.op == "sub" and k == 1)
            signed = (-x if negative and not absolute else x).expand(shape)
            total = signed if total is None else total + signed
        return total

    def _bilinear(self, node: Node, get: Get, _absolute: bool) -> Tensor | None:
        factors = [get(name, summand=name not in self.constants) for name in node.inputs]
        if any(x is None for x in factors):
            return None
        return TORCH_OPS[node.op](*factors, **node.attributes)

    def _select(self, node: Node, get: Get, _absolute: bool) -> Tensor | None:
        condition = self.constants[node.inputs[0]]
        shape = self.graph.shape(node.output)
        chosen = [get(name, summand=True) for name in node.inputs[1:]]
        if all(x is None for x in chosen):
            return None
        x, y = (self.like.expand(shape) if c is None else c for c in chosen)
        return torch.where(condition != 0, x, y)


@dataclass(frozen=True, slots=True, eq=False)
class _Action:
    """What affine `nodes` make of one `source`: its entries [n] ↦ those of value `name`, broadcast to
    `shape`, without constants that are added; with `absolute` constants, it bounds magnitudes."""

    rules: _Rules
    nodes: tuple[Node, ...]
    source: str
    name: str
    shape: tuple[int, ...]
    absolute: bool

    def __call__(self, x: Tensor) -> Tensor:
        given = {self.source: x.reshape(self.rules.graph.shape(self.source))}
        found = self.rules.push(self.nodes, given, self.absolute, False).get(self.name)
        return _flat(found, self.shape, self.rules.like)


def _flat(value: Tensor | None, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """`value` broadcast to `shape`, in one row; None is zero."""
    return like.expand(prod(shape)) if value is None else value.expand(shape).reshape(prod(shape))


class AffineReader:
    """Builds the `AffineForm` of a value of `graph` over the values in `variables`.

    `producer` maps a value to the node that makes it; `is_variable(name)` says where the form ends.
    """

    def __init__(
        self,
        graph: Graph,
        producer: Mapping[str, Node],
        is_variable: Callable[[str], bool],
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._graph = graph
        self._producer = producer
        self._is_variable = is_variable
        self._like = torch.zeros((), dtype=dtype, device=device)
        self._rules = _Rules(graph, self._like)

    def form(self, number: int, name: str, shape: Sequence[int]) -> AffineForm:
        """The form of value `name` broadcast to `shape`, flattened; it is called `number`."""
        order = self._affine_order(name)
        sources = [s for s in order if self._is_variable(s)]
        found = [self._producer[v] for v in order if v in self._producer and not self._is_variable(v)]
        nodes, wanted, size = tuple(found), tuple(shape), prod(shape)
        rules, constant = self._rules, self._rules.constants.get(name)

        def map_of(source: str) -> LinearMap | None:
            linear, absolute = (_Action(rules, nodes, source, name, wanted, a) for a in (False, True))
            copies = all(PRIMITIVES[node.op].moves for node in nodes)
            return self._linear_map(linear, absolute, prod(self._graph.shape(source)), size, copies)

        terms = {source: map_of(source) for source in sources}
        bias = _flat(rules.push(nodes, {}, False, True).get(name, constant), wanted, self._like)
        absolute = rules.push(nodes, {}, True, True).get(name, _absolute(constant))
        magnitude = _flat(absolute, wanted, self._like)
        depth = 2 + sum(self._roundings(node) for node in nodes)
        kept = {s: m for s, m in terms.items() if m is not None}
        has_bias = bool(magnitude.any())
        dense = {s: m for s, m in kept.items() if isinstance(m, Dense)}
        light = {s: m for s, m in kept.items() if not isinstance(m, Dense)}
        return AffineForm(
            number,
            name,
            size,
            kept,
            bias.contiguous(),
            magnitude.contiguous(),
            depth,
            has_bias,
            bool((bias >= 0).all()) and all(m.nonnegative for m in kept.values()),
            dense,
            light,
        )

    def _affine_order(self, name: str) -> list[str]:
        """`name` and all it depends on up to the variables, in topological order, constants left out."""
        done: dict[str, None] = {}
        stack = [(name, False)]
        while stack:
            value, expanded = stack.pop()
            if value in done or value in self._rules.constants:
                continue
            if expanded or self._is_variable(value):
                done[value] = None
                continue
            stack.append((value, True))
            stack.extend((v, False) for v in self._producer[value].inputs)
        return list(done)

    def _roundings(self, node: Node) -> int:
        shapes = [self._graph.shape(v) for v in node.inputs]
        if node.op == "matmul":
            return shapes[0][-1]
        if node.op == "sum":
            return prod(shapes[0]) // max(1, prod(self._graph.shape(node.output)))
        return 1 if node.op in ("add", "sub", "mul", "div") else 0

    def _linear_map(
        self,
        linear: Callable[[Tensor], Tensor],
        absolute: Callable[[Tensor], Tensor],
        n: int,
        m: int,
        copies: bool,
    ) -> LinearMap | None:
        """The simplest map with the given action; None where it is zero.

        Where every entry of the result `copies` one entry or is zero, numbering the entries tells which."""
        if n * m > TABULATE_UP_TO:
            if copies and n == m < 1 << 24:  # the numbers are exact in float32 too
                numbers = torch.arange(1, n + 1, dtype=self._like.dtype, device=self._like.device)
                if torch.equal(linear(numbers), numbers):
                    return Identity(n, self._like)
            return Operator(linear, absolute, n, m, self._like)
        basis = torch.eye(n, dtype=self._like.dtype, device=self._like.device)
        table = torch.func.vmap(linear)(basis).T.contiguous()
        magnitude = torch.func.vmap(absolute)(basis).T.contiguous()
        if not bool(magnitude.any()):
            return None
        if n == m and torch.equal(table, basis) and torch.equal(magnitude, basis):
            return Identity(n, self._like)
        if (
            n == m
            and torch.equal(table.abs(), magnitude)
            and torch.equal(table, torch.diag(table.diagonal()))
        ):
            return Diagonal(table.diagonal().contiguous())
        return Dense(table, magnitude)


def _absolute(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.abs()


_AFFINE = {
    "linear": _Rules._linear,
    "additive": _Rules._additive,
    "bilinear": _Rules._bilinear,
    "quotient": _Rules._bilinear,
    "selection": _Rules._select,
}


def is_affine(node: Node, is_constant: Callable[[str], bool]) -> bool:
    """Whether `node` is affine in its inputs that are not constant."""
    match PRIMITIVES[node.op].kind:
        case "linear" | "additive":
            return True
        case "bilinear":
            return sum(not is_constant(name) for name in node.inputs) <= 1
        case "quotient":
            return is_constant(node.inputs[1])
        case "selection":
            return is_constant(node.inputs[0])
    return False
