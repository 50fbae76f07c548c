"""Graphs put together: networks side by side, inputs that are equal, products of elements.

A query over several networks, or with products of variables, is a query over one graph that has all their
inputs and outputs. So there is one way to bound, to attack and to prove, whatever a query is about.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from parsers.ir import Graph, Node, Scan, Value, validate
from parsers.primitives import infer_shape
from parsers.query.polynomial import Monomial

SEPARATOR = "·"  # between the name of a network and that of its value; a query's names cannot hold it


def qualified(network: str, name: str) -> str:
    """The name that value `name` of one of several networks has beside the others."""
    return f"{network}{SEPARATOR}{name}"


def side_by_side(graphs: Mapping[str, Graph]) -> Graph:
    """One graph with all inputs, then all outputs of `graphs`, which share nothing."""
    parts = [_renamed(graph, network) for network, graph in graphs.items()]
    return validate(
        Graph(
            "+".join(graphs),
            tuple(v for part in parts for v in part.inputs),
            {name: array for part in parts for name, array in part.constants.items()},
            tuple(node for part in parts for node in part.nodes),
            tuple(name for part in parts for name in part.outputs),
            {name: value for part in parts for name, value in part.values.items()},
            tuple(note for part in parts for note in part.notes),
        )
    )


def _renamed(graph: Graph, network: str) -> Graph:
    """The same graph, its values' names qualified; cells have names of their own."""

    def new(name: str) -> str:
        return qualified(network, name)

    def every(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(new(name) for name in names)

    def node(old: Node | Scan) -> Node | Scan:
        if isinstance(old, Node):
            return replace(old, inputs=every(old.inputs), output=new(old.output))
        return replace(
            old,
            initial=every(old.initial),
            sequences=every(old.sequences),
            finals=every(old.finals),
            stacked=every(old.stacked),
        )

    return Graph(
        network,
        tuple(replace(v, name=new(v.name)) for v in graph.inputs),
        {new(name): array for name, array in graph.constants.items()},
        tuple(node(old) for old in graph.nodes),
        every(graph.outputs),
        {new(name): replace(v, name=new(name)) for name, v in graph.values.items()},
        tuple(f"{network}: {note}" for note in graph.notes),
    )


def with_products(graph: Graph, products: Sequence[Monomial], name: str) -> Graph:
    """`graph` with one more output `name` [M]: products of elements, which are numbered row-major through
    the inputs and then the outputs.

        e₃·e₅·e₅  =  (e₃)·(e₅²)          powers first, then one factor after the other
    """
    if not products:
        return graph
    write = _Writer(graph)
    tensors = [v.name for v in graph.inputs] + list(graph.outputs)
    factors = [sorted(Counter(m).items()) for m in products]
    flat = [write("reshape", t, shape=(math.prod(graph.shape(t)),)) for t in tensors]
    elements = write("concat", *flat, axis=0)
    powers = sorted({f for own in factors for f in own if f[1] > 1}, key=lambda f: (f[1], f[0]))
    rows = [elements]
    for exponent in sorted({k for _, k in powers}):
        bases = [e for e, k in powers if k == exponent]
        rows.append(write("pow", write.take(elements, bases), exponent=float(exponent)))
    table = write("concat", *rows, axis=0) if powers else elements
    size = write.graph_shape(elements)[0]
    place = {(e, k): size + n for n, (e, k) in enumerate(powers)}
    made: list[str] = []
    order: list[int] = []
    for count in sorted({len(own) for own in factors}):
        mine = [n for n, own in enumerate(factors) if len(own) == count]
        columns = [[place.get(factors[n][c], factors[n][c][0]) for n in mine] for c in range(count)]
        product = write.take(table, columns[0])
        for column in columns[1:]:
            product = write("mul", product, write.take(table, column))
        made.append(product)
        order += mine
    joined = write("concat", *made, axis=0) if len(made) > 1 else made[0]
    back = np.argsort(order)
    write("take", joined, output=name, indices=back, axis=0)
    return validate(
        replace(graph, nodes=tuple(write.nodes), values=write.values, outputs=(*graph.outputs, name))
    )


class _Writer:
    """Appends nodes to a graph and keeps their shapes."""

    def __init__(self, graph: Graph) -> None:
        self.values = dict(graph.values)
        self.nodes = list(graph.nodes)

    def graph_shape(self, name: str) -> tuple[int, ...]:
        return self.values[name].shape

    def __call__(self, op: str, *inputs: str, output: str = "", **attributes: object) -> str:
        name = output or f"{SEPARATOR}{len(self.values)}"
        shape = infer_shape(op, [self.graph_shape(v) for v in inputs], attributes)
        self.values[name] = Value(name, shape, "float64")
        self.nodes.append(Node(op, inputs, name, attributes, "the query"))
        return name

    def take(self, flat: str, places: Sequence[int]) -> str:
        return self("take", flat, indices=np.array(places, np.int64), axis=0)


def with_equal_inputs(graph: Graph, leader: Mapping[int, int]) -> Graph:
    """`graph` where input element e is read from element leader[e]; elements are numbered row-major through
    all inputs. The inputs stay as they are, but nothing reads the elements that are equal to others any
    more. A graph that hands an input through as an output stays as it is.
    """
    if not leader or {v.name for v in graph.inputs} & set(graph.outputs):
        return graph
    write = _Writer(replace(graph, nodes=()))
    starts = np.cumsum([0, *(math.prod(v.shape) for v in graph.inputs)])
    flat = [write("reshape", v.name, shape=(math.prod(v.shape),)) for v in graph.inputs]
    elements = write("concat", *flat, axis=0)
    moved: dict[str, str] = {}
    for value, start, stop in zip(graph.inputs, starts[:-1], starts[1:], strict=True):
        places = [leader.get(e, e) for e in range(start, stop)]
        if places != list(range(start, stop)):
            taken = write.take(elements, places)
            moved[value.name] = write("reshape", taken, shape=value.shape)

    def read(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(moved.get(name, name) for name in names)

    for node in graph.nodes:
        if isinstance(node, Node):
            write.nodes.append(replace(node, inputs=read(node.inputs)))
        else:
            write.nodes.append(replace(node, initial=read(node.initial), sequences=read(node.sequences)))
    return validate(replace(graph, nodes=tuple(write.nodes), values=write.values))
