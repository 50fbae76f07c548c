"""`Builder`: writes one `Graph`, folding what is known and simplifying as it goes.

Every operator of ONNX is written once, in terms of primitives. When all inputs of a primitive are
known, the primitive itself computes the result (constant folding); otherwise a node is emitted. A builder
of a scan's body sees values of the graph around it: using one makes it a *capture*, an input of the
body whose value outside is remembered in `captures`.

The rules that simplify a node on its way in are handed to the builder; those that a reader uses are
`parsers.onnx.building.simplifications`. A body's builder has the rules of the graph around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from parsers.ir import Graph, Node, Scan, Shape, Value
from parsers.onnx.building.naming import hashable, renamed, unique
from parsers.onnx.building.values import Const, Owner, Sym, Val, constant
from parsers.primitives import apply, infer_shape

Attributes = Mapping[str, Any]
# rule(builder, operands, attributes) → a simpler value for one primitive applied to these operands, or None
Rule = Callable[["Builder", tuple[Val, ...], Attributes], Val | None]
Rules = Mapping[str, Sequence[Rule]]  # by primitive; the first answer counts


class Builder:
    """One graph under construction. `origin` is put on every node emitted."""

    def __init__(self, parent: Builder | None = None, rules: Rules | None = None) -> None:
        self.rules: Rules = rules if rules is not None else parent.rules if parent is not None else {}
        self.origin = ""
        self.inputs: list[Value] = []
        self.nodes: list[Node | Scan] = []
        self.values: dict[str, Value] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.captures: dict[tuple[Owner, str], tuple[Sym, Sym]] = {}
        self._producers: dict[str, Node] = {}
        self._interned: dict[tuple[Shape, bytes], str] = {}
        self._made: dict[tuple[object, ...], str] = {}
        self._labels: dict[str, str] = {}
        self._final: dict[str, str] = {}

    # --- values ------------------------------------------------------------------------------------

    def input(self, name: str, shape: Shape, dtype: str = "float32") -> Sym:
        """A value fed from outside, under exactly this name."""
        self.inputs.append(Value(name, shape, dtype))
        self.values[name] = self.inputs[-1]
        self._labels[name] = name
        return Sym(name, shape, dtype, self)

    def label(self, value: Val, name: str) -> None:
        """Suggest a name for the finished graph; the first suggestion wins."""
        if isinstance(value, Sym) and value.owner is self:
            self._labels.setdefault(value.name, name)

    def producer(self, value: Val) -> Node | None:
        """The node of this graph that computes `value`, if one does."""
        return self._producers.get(value.name) if isinstance(value, Sym) and value.owner is self else None

    def value(self, name: str) -> Val:
        """The value of this name: an input, a node's output or a constant of this graph."""
        if name in self.constants:
            return constant(self.constants[name], self.values[name].dtype)
        record = self.values[name]
        return Sym(name, record.shape, record.dtype, self)

    def dtype(self, value: Val) -> str:
        """The element type that `value` was made with, before any cast that keeps its numbers."""
        return value.owner.values[value.name].dtype if isinstance(value, Sym) else value.dtype

    def operands(self, node: Node) -> list[Val]:
        return [self.value(name) for name in node.inputs]

    def local(self, value: Sym) -> Sym:
        """`value` as seen from this graph: itself, or the input that brings it in from around."""
        if value.owner is self:
            return value
        key = (value.owner, value.name)
        if key not in self.captures:
            inner = self.input(f"capture.{len(self.captures)}", value.shape, value.dtype)
            self.captures[key] = (value, inner)
        return self.captures[key][1]

    def _new(self, shape: Shape, dtype: str) -> Sym:
        name = f"v{len(self.values)}"
        self.values[name] = Value(name, shape, dtype)
        return Sym(name, shape, dtype, self)

    def _operand(self, value: Val) -> str:
        """The name of a node's input, entering a constant into the table, equal ones once."""
        if isinstance(value, Sym):
            return value.name
        array = np.ascontiguousarray(value.array, dtype=np.float64).reshape(value.shape)
        key = (array.shape, array.tobytes())
        if key not in self._interned:
            name = self._new(array.shape, value.dtype).name
            self.constants[name] = array
            self._interned[key] = name
        return self._interned[key]

    # --- nodes -------------------------------------------------------------------------------------

    def emit(self, op: str, *inputs: Val, dtype: str | None = None, **attributes: Any) -> Val:
        """Apply one primitive. `dtype` of the result defaults to that of the last input that is a number."""
        dtype = dtype or next((x.dtype for x in reversed(inputs) if x.dtype != "bool"), "bool")
        if all(isinstance(x, Const) for x in inputs):
            return constant(apply(op, [x.array for x in inputs if isinstance(x, Const)], attributes), dtype)
        inputs = tuple(self.local(x) if isinstance(x, Sym) else x for x in inputs)
        for rule in self.rules.get(op, ()):
            simpler = rule(self, inputs, attributes)
            if simpler is not None:
                return retype(simpler, dtype)
        names = tuple(self._operand(x) for x in inputs)
        key = (op, names, tuple((k, hashable(v)) for k, v in sorted(attributes.items())))
        if key in self._made:  # the same computation once
            return retype(self.value(self._made[key]), dtype)
        shape = infer_shape(op, [x.array if isinstance(x, Const) else x.shape for x in inputs], attributes)
        output = self._new(shape, dtype)
        node = Node(op, names, output.name, attributes, self.origin)
        self.nodes.append(node)
        self._producers[output.name] = node
        self._made[key] = output.name
        return output

    def scan(
        self,
        body: Graph,
        initial: Sequence[Val],
        sequences: Sequence[Val],
        length: int,
        *,
        reverse: bool = False,
        form: str = "Scan",
    ) -> tuple[list[Val], list[Val]]:
        """Repeat `body`; returns the final states and the stacked outputs."""
        states, emitted = body.outputs[: len(initial)], body.outputs[len(initial) :]
        finals = [self._new(body.shape(n), body.values[n].dtype) for n in states]
        stacked = [self._new((length, *body.shape(n)), body.values[n].dtype) for n in emitted]
        outer = [self._operand(self.local(v) if isinstance(v, Sym) else v) for v in (*initial, *sequences)]
        self.nodes.append(
            Scan(
                body=body,
                initial=tuple(outer[: len(initial)]),
                sequences=tuple(outer[len(initial) :]),
                finals=tuple(v.name for v in finals),
                stacked=tuple(v.name for v in stacked),
                length=length,
                reverse=reverse,
                form=form,
                origin=self.origin,
            )
        )
        return list(finals), list(stacked)

    def replay(self, node: Node | Scan, operands: Sequence[Val], source: Builder) -> list[Val]:
        """A node of `source` once more, here, on other operands."""
        outputs: list[Val]
        if isinstance(node, Node):
            dtype = source.values[node.output].dtype
            outputs = [self.emit(node.op, *operands, dtype=dtype, **node.attributes)]
        else:
            states = len(node.initial)
            self.origin = node.origin
            finals, stacked = self.scan(
                node.body,
                operands[:states],
                operands[states:],
                node.length,
                reverse=node.reverse,
                form=node.form,
            )
            outputs = [*finals, *stacked]
        for name, value in zip(node.outputs, outputs, strict=True):
            source.hand_label(name, self, value)
        return outputs

    def hand_label(self, name: str, other: Builder, value: Val) -> None:
        """Suggest for `value` in `other` the name that `name` has here."""
        if name in self._labels:
            other.label(value, self._labels[name])

    # --- primitives by name ------------------------------------------------------------------------

    def add(self, x: Val, y: Val) -> Val:
        return self.emit("add", x, y)

    def sub(self, x: Val, y: Val) -> Val:
        return self.emit("sub", x, y)

    def mul(self, x: Val, y: Val) -> Val:
        return self.emit("mul", x, y)

    def div(self, x: Val, y: Val) -> Val:
        return self.emit("div", x, y)

    def neg(self, x: Val) -> Val:
        return self.emit("neg", x)

    def matmul(self, x: Val, y: Val) -> Val:
        return self.emit("matmul", x, y)

    def number(self, x: float, like: Val) -> Const:
        """A scalar constant of the element type of `like`."""
        return constant(np.asarray(x), like.dtype)

    def reshape(self, x: Val, shape: Iterable[int]) -> Val:
        return self.emit("reshape", x, shape=tuple(int(n) for n in shape))

    def transpose(self, x: Val, perm: Iterable[int]) -> Val:
        return self.emit("transpose", x, perm=tuple(int(n) for n in perm))

    def slice(self, x: Val, axis: int, start: int, stop: int, step: int = 1) -> Val:
        return self.emit("slice", x, axis=int(axis), start=int(start), stop=int(stop), step=int(step))

    def take(self, x: Val, indices: np.ndarray | Sequence[int] | int, axis: int) -> Val:
        return self.emit("take", x, indices=np.array(indices, dtype=np.int64, order="C"), axis=int(axis))

    def concat(self, xs: Sequence[Val], axis: int) -> Val:
        return self.emit("concat", *xs, axis=int(axis))

    def expand(self, x: Val, shape: Iterable[int]) -> Val:
        return self.emit("expand", x, shape=tuple(int(n) for n in shape))

    def pad(self, x: Val, pads: Iterable[tuple[int, int]]) -> Val:
        return self.emit("pad", x, pads=tuple((int(a), int(b)) for a, b in pads))

    def sum(self, x: Val, axes: Iterable[int]) -> Val:
        return self.emit("sum", x, axes=tuple(int(a) for a in axes))

    # --- the finished graph --------------------------------------------------------------------------

    def finish(
        self, name: str, outputs: Sequence[Val], names: Sequence[str] | None = None, notes: Sequence[str] = ()
    ) -> Graph:
        """Freeze into a `Graph`. With `names` the outputs carry exactly these; else the names they have."""
        final = {v.name: self._labels.get(v.name, v.name) for v in self.inputs}
        results: list[str] = []
        types = {n: v.dtype for n, v in self.values.items()}
        for k, value in enumerate(outputs):
            if isinstance(value, Const):
                local = self._new(value.shape, value.dtype)
                self.constants[local.name] = np.asarray(value.array, dtype=np.float64)
            else:
                local = self.local(value)
            if names is not None:
                if final.get(local.name, names[k]) != names[k]:
                    local = self._copy(local)
                final[local.name] = names[k]
                types[local.name] = value.dtype  # a cast that changes no number makes no node
            results.append(local.name)
        used = set(final.values())
        for raw in self.values:
            if raw not in final:
                final[raw] = unique(self._labels.get(raw, raw), used)
        self._final = final
        return Graph(
            name=name,
            inputs=tuple(Value(final[v.name], v.shape, v.dtype) for v in self.inputs),
            constants={final[n]: a for n, a in self.constants.items()},
            nodes=tuple(renamed(node, final) for node in self.nodes),
            outputs=tuple(final[n] for n in results),
            values={final[n]: Value(final[n], v.shape, types[n]) for n, v in self.values.items()},
            notes=tuple(notes),
        )

    def final_name(self, value: Sym) -> str:
        """The name that `value` got in the finished graph."""
        return self._final[value.name]

    def _copy(self, value: Sym) -> Sym:
        """The same numbers under a second name: a reshape that changes nothing."""
        output = self._new(value.shape, value.dtype)
        self.nodes.append(Node("reshape", (value.name,), output.name, {"shape": value.shape}, self.origin))
        return output


def retype(value: Val, dtype: str) -> Val:
    """The same numbers, called by another element type."""
    if value.dtype == dtype:
        return value
    if isinstance(value, Const):
        return constant(value.array, dtype)
    return Sym(value.name, value.shape, dtype, value.owner)
