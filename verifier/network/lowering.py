"""Rewrite what works on several units at once into gates and affine primitives, before bounding.

Each rewriting is an identity over the reals, so bounds of the result are bounds of the original:

    softmax(x)_i      = 1 / s_i,   s_i = 1 + relu(Σ_j exp(x_j − x_i) − 1)
    log_softmax(x)_i  = −log s_i          (the sum is at least 1; the relu lets its bounds know)
    softmax(x)        = (σ(d), 1 − σ(d)),   d = x₀ − x₁     of two classes: no exponential can overflow, and
                        the two sum to 1 in their bounds as well
    log_softmax(x)    = (−softplus(−d), −softplus(d))      likewise
    max over an axis  = a balanced tree of two-operand maxima
    x / y             = x · (1/y)                          where y is not constant
    X · Y             = Σ_k X_ik · Y_kj                    where neither matrix is constant
    x < y             = step(y − x)
    x = y             = is_zero(x − y)
    where(c, x, y)    = y + c · (x − y)                    where c, which is 0 or 1, is not constant
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from parsers.ir import Graph, Node, Scan, Value
from parsers.primitives import infer_shape
from verifier.network.affine import is_affine


class _Writer:
    """Appends nodes to a graph under construction and keeps their shapes."""

    def __init__(self, graph: Graph) -> None:
        self.values = dict(graph.values)
        self.constants = dict(graph.constants)
        self.nodes: list[Node | Scan] = []

    def shape(self, name: str) -> tuple[int, ...]:
        return self.values[name].shape

    def constant(self, origin: Node, array: np.ndarray) -> str:
        """A new constant."""
        name = f"{origin.output}·{len(self.constants)}·constant"
        self.values[name] = Value(name, array.shape, "float64")
        self.constants[name] = array
        return name

    def emit(self, origin: Node, op: str, *inputs: str, output: str = "", **attributes: object) -> str:
        """Append `op(*inputs, **attributes)`; a name is invented unless `output` gives one."""
        name = output or f"{origin.output}·{len(self.nodes)}"
        shape = infer_shape(op, [self.shape(v) for v in inputs], attributes)
        self.values[name] = Value(name, shape)
        self.nodes.append(Node(op, inputs, name, attributes, origin.origin))
        return name


def _pairwise_exponentials(write: _Writer, node: Node) -> str:
    """s_i = 1 + relu(Σ_j exp(x_j − x_i) − 1), in the shape of x."""
    (x,) = node.inputs
    shape = write.shape(x)
    axis = int(node.attributes["axis"]) % len(shape)  # type: ignore[call-overload]
    square = (*shape[: axis + 1], shape[axis], *shape[axis + 1 :])  # i at `axis`, j behind it
    as_j = write.emit(node, "reshape", x, shape=(*shape[:axis], 1, *shape[axis:]))
    as_i = write.emit(node, "reshape", x, shape=(*shape[: axis + 1], 1, *shape[axis + 1 :]))
    difference = write.emit(
        node,
        "sub",
        write.emit(node, "expand", as_j, shape=square),
        write.emit(node, "expand", as_i, shape=square),
    )
    total = write.emit(node, "sum", write.emit(node, "exp", difference), axes=(axis + 1,))
    one = write.constant(node, np.ones(()))
    return write.emit(node, "add", write.emit(node, "relu", write.emit(node, "sub", total, one)), one)


def _difference_of_two(write: _Writer, node: Node) -> tuple[str, int] | None:
    """d = x₀ − x₁ along the node's axis, and that axis, where there are two classes."""
    (x,) = node.inputs
    shape = write.shape(x)
    axis = int(node.attributes["axis"]) % len(shape)  # type: ignore[call-overload]
    if shape[axis] != 2:
        return None
    first, second = (write.emit(node, "slice", x, axis=axis, start=k, stop=k + 1, step=1) for k in (0, 1))
    return write.emit(node, "sub", first, second), axis


def _softmax(write: _Writer, node: Node) -> None:
    two = _difference_of_two(write, node)
    if two is not None:
        first = write.emit(node, "sigmoid", two[0])
        second = write.emit(node, "sub", write.constant(node, np.ones(())), first)
        write.emit(node, "concat", first, second, output=node.output, axis=two[1])
        return
    write.emit(node, "reciprocal", _pairwise_exponentials(write, node), output=node.output)


def _log_softmax(write: _Writer, node: Node) -> None:
    two = _difference_of_two(write, node)
    if two is not None:
        first = write.emit(node, "neg", write.emit(node, "softplus", write.emit(node, "neg", two[0])))
        second = write.emit(node, "neg", write.emit(node, "softplus", two[0]))
        write.emit(node, "concat", first, second, output=node.output, axis=two[1])
        return
    logarithm = write.emit(node, "log", _pairwise_exponentials(write, node))
    write.emit(node, "neg", logarithm, output=node.output)


def _reduce_max(write: _Writer, node: Node) -> None:
    (x,) = node.inputs
    axes = tuple(node.attributes["axes"])  # type: ignore[arg-type]
    shape = write.shape(x)
    kept = tuple(k for k in range(len(shape)) if k not in axes)
    moved = write.emit(node, "transpose", x, perm=(*axes, *kept))
    count = int(np.prod([shape[k] for k in axes], dtype=np.int64))
    rest = tuple(shape[k] for k in kept)
    top = write.emit(node, "reshape", moved, shape=(count, *rest))
    while count > 1:
        half = count // 2
        first = write.emit(node, "slice", top, axis=0, start=0, stop=half, step=1)
        second = write.emit(node, "slice", top, axis=0, start=half, stop=2 * half, step=1)
        winners = write.emit(node, "max", first, second)
        if count % 2:
            odd = write.emit(node, "slice", top, axis=0, start=count - 1, stop=count, step=1)
            winners = write.emit(node, "concat", winners, odd, axis=0)
        top, count = winners, half + count % 2
    write.emit(node, "reshape", top, output=node.output, shape=rest)


def _div(write: _Writer, node: Node) -> None:
    x, y = node.inputs
    write.emit(node, "mul", x, write.emit(node, "reciprocal", y), output=node.output)


def _matmul(write: _Writer, node: Node) -> None:
    """Both operands vary: products of every pair, then the sum over the inner index."""
    x, y = node.inputs
    if len(write.shape(x)) == 1:
        x = write.emit(node, "reshape", x, shape=(1, *write.shape(x)))
    if len(write.shape(y)) == 1:
        y = write.emit(node, "reshape", y, shape=(*write.shape(y), 1))
    *batch_x, rows, inner = write.shape(x)
    *batch_y, _, columns = write.shape(y)
    full = (*np.broadcast_shapes(tuple(batch_x), tuple(batch_y)), rows, inner, columns)
    left = write.emit(node, "reshape", x, shape=(*batch_x, rows, inner, 1))
    right = write.emit(node, "reshape", y, shape=(*batch_y, 1, inner, columns))
    products = write.emit(
        node,
        "mul",
        write.emit(node, "expand", left, shape=full),
        write.emit(node, "expand", right, shape=full),
    )
    summed = write.emit(node, "sum", products, axes=(len(full) - 2,))
    write.emit(node, "reshape", summed, output=node.output, shape=write.shape(node.output))


def _less(write: _Writer, node: Node) -> None:
    x, y = node.inputs
    write.emit(node, "step", write.emit(node, "sub", y, x), output=node.output)


def _equal(write: _Writer, node: Node) -> None:
    write.emit(node, "is_zero", write.emit(node, "sub", *node.inputs), output=node.output)


def _where(write: _Writer, node: Node) -> None:
    condition, x, y = node.inputs
    difference = write.emit(node, "sub", x, y)
    shape = write.shape(node.output)
    chosen = write.emit(
        node,
        "mul",
        write.emit(node, "expand", condition, shape=shape),
        write.emit(node, "expand", difference, shape=shape),
    )
    write.emit(node, "add", y, chosen, output=node.output)


_RULES: Mapping[str, Callable[[_Writer, Node], None]] = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "reduce_max": _reduce_max,
    "div": _div,
    "matmul": _matmul,
    "less": _less,
    "equal": _equal,
    "where": _where,
}


def lower(graph: Graph) -> Graph:
    """`graph` with every composite primitive rewritten; scans are lowered inside. Returns a new graph."""
    write = _Writer(graph)
    for node in graph.nodes:
        if isinstance(node, Scan):
            write.nodes.append(replace(node, body=lower(node.body)))
        elif node.op in _RULES and not is_affine(node, graph.constants.__contains__):
            _RULES[node.op](write, node)
        else:
            write.nodes.append(node)
    return replace(graph, constants=write.constants, nodes=tuple(write.nodes), values=write.values)
