"""The scores of a classifier: its output before a closing softmax.

softmax and log_softmax over the classes are increasing in each score against the others, so the classes
compare as the scores do, and a point of another class is one for both; margins of scores neither saturate nor
lose digits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from parsers.errors import BadInput, Parameter
from parsers.ir import Graph, Node
from parsers.primitives import PRIMITIVES
from verifier.reductions.reduction import Arrays, Problem


@dataclass(frozen=True, slots=True)
class Scores:
    """The graph's only output becomes the scores of `output`; see `scores`."""

    output: str | None = None

    def apply(self, problem: Problem) -> Problem:
        return problem.with_graph(scores(problem.graph, self.output))

    def back(self, inputs: Arrays) -> Arrays:
        return inputs


def scores(graph: Graph, output: str | None = None) -> Graph:
    """`graph` with one output, the scores [.., K] of K classes.

    `output` names the classifier's output where the graph has several. Raises `BadInput` if it does not
    exist, if there are several to choose from, or if it has more than one axis that is not 1.
    """
    name = output or _only_output(graph)
    if name not in graph.outputs:
        raise BadInput(f"the network has no output '{name}'; its outputs are {', '.join(graph.outputs)}")
    shape = graph.shape(name)
    if prod(shape) != max(shape, default=0) or prod(shape) < 2:
        raise BadInput(f"output '{name}' has shape {list(shape)}, not one score per class")
    producer = {node.output: node for node in graph.nodes if isinstance(node, Node)}
    before = name
    while (node := producer.get(before)) is not None:
        classes = max(range(len(shape)), key=lambda k: shape[k])
        if (
            PRIMITIVES[node.op].keeps_order
            and _axis(graph, node) == classes
            and graph.shape(node.output) == shape
        ):
            before = node.inputs[0]
        elif node.op == "reshape" and _softmax_above(producer, node):
            before, shape = node.inputs[0], graph.shape(node.inputs[0])
        else:
            break
    return replace(graph, outputs=(before,))


def _only_output(graph: Graph) -> str:
    if len(graph.outputs) == 1:
        return graph.outputs[0]
    raise BadInput(
        f"the network has {len(graph.outputs)} outputs ({', '.join(graph.outputs)}); "
        "choose the classifier's with ",
        Parameter("output", graph.outputs[-1]),
    )


def _axis(graph: Graph, node: Node) -> int:
    return int(node.attributes["axis"]) % len(graph.shape(node.output))  # type: ignore[call-overload]


def _softmax_above(producer: dict[str, Node], node: Node) -> bool:
    above = producer.get(node.inputs[0])
    return above is not None and PRIMITIVES[above.op].keeps_order
