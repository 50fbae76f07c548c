"""Values inside a model, made visible as outputs."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from parsers.errors import BadQuery


def exposed(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A copy of `model` in which the named values are outputs behind its own; without names `model` itself.

    A name is that of a value which a node of the main graph makes. Where it is none, it may be the name of
    one node with one output. Raises `BadQuery` for any other, and for what is an output already.
    """
    if not names:
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    inside = {o for node in model.graph.node for o in node.output if o}
    own = {o.name for o in model.graph.output}
    for name in names:
        value = name
        if name not in inside:
            makers = [n.output[0] for n in model.graph.node if n.name == name and len(n.output) == 1]
            if len(makers) != 1:
                raise BadQuery(
                    f"the network has no value '{name}' inside; a hidden node goes by the name that the"
                    " file gives the value"
                )
            (value,) = makers
        if value in own:
            raise BadQuery(f"the value '{value}' is an output, or declared before; declare it once")
        own.add(value)
        changed.graph.output.append(onnx.ValueInfoProto(name=value))
    return changed
