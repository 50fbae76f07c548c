"""Remove what no output needs: nodes, constants, and states and stacked outputs of scans.

Requires a valid graph; ensures the same outputs from a graph in which everything is used.
"""

from __future__ import annotations

from dataclasses import replace

from parsers.ir import Graph, Node, Scan


def prune(graph: Graph) -> Graph:
    """`graph` without dead parts. Inputs stay: they are the file's interface."""
    live = set(graph.outputs)
    nodes: list[Node | Scan] = []
    for node in reversed(graph.nodes):
        if not live.intersection(node.outputs):
            continue
        if isinstance(node, Scan):
            node = _prune_scan(node, live)
        nodes.append(node)
        live.update(node.inputs)
    nodes.reverse()
    kept = live | {v.name for v in graph.inputs} | {name for node in nodes for name in node.outputs}
    return replace(
        graph,
        nodes=tuple(nodes),
        constants={name: array for name, array in graph.constants.items() if name in live},
        values={name: value for name, value in graph.values.items() if name in kept},
    )


def _prune_scan(scan: Scan, live: set[str]) -> Scan:
    """Drop stacked outputs and states that nothing reads, and sequences that the rest does not use."""
    body = scan.body
    states = len(scan.initial)
    step_outputs = [k for k, name in enumerate(scan.stacked) if name in live]
    needed = {k for k, name in enumerate(scan.finals) if name in live}
    while True:  # a state is needed if it is read outside, or by what is needed inside
        wanted = [scan.states_out[k] for k in sorted(needed)] + [scan.step_outputs[k] for k in step_outputs]
        used = _ancestors(body, wanted)
        grown = needed | {k for k, name in enumerate(scan.states_in) if name in used}
        if grown == needed:
            break
        needed = grown
    chosen = sorted(needed)
    step_inputs = [k for k, name in enumerate(scan.step_inputs) if name in used]
    smaller = replace(
        body,
        inputs=tuple(body.inputs[k] for k in chosen) + tuple(body.inputs[states + k] for k in step_inputs),
        outputs=tuple(wanted),
    )
    return replace(
        scan,
        body=prune(smaller),
        initial=tuple(scan.initial[k] for k in chosen),
        finals=tuple(scan.finals[k] for k in chosen),
        sequences=tuple(scan.sequences[k] for k in step_inputs),
        stacked=tuple(scan.stacked[k] for k in step_outputs),
    )


def _ancestors(graph: Graph, wanted: list[str]) -> set[str]:
    used = set(wanted)
    for node in reversed(graph.nodes):
        if used.intersection(node.outputs):
            used.update(node.inputs)
    return used
