"""Element types of a node's inputs, against the operator's definition."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import onnx

from parsers.onnx.building.values import Any, Const, Sym
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.registry import schema

VARIADIC = onnx.defs.OpSchema.FormalParameterOption.Variadic


def check_types(node: onnx.NodeProto, inputs: Sequence[Any | None], opset: int) -> None:
    """Inputs that the standard gives one type must have one; runtimes refuse a file that mixes them.

    The reader computes with reals and would not notice, so a faulty export would be read as a network
    that no runtime runs.
    """
    known = variables(node.domain, node.op_type, opset)
    if known is None:
        return
    names, variadic = known
    if len(inputs) > len(names) and not variadic:
        raise Unsupported(f"it has {len(inputs)} inputs, the standard gives it {len(names)}", "export again")
    seen: dict[str, str] = {}
    for k, value in enumerate(inputs):
        variable = names[min(k, len(names) - 1)] if names else ""
        if not variable or not isinstance(value, Const | Sym):
            continue
        first = seen.setdefault(variable, value.dtype)
        if first != value.dtype:
            raise Unsupported(
                f"its inputs mix {first} and {value.dtype}, which the standard forbids",
                "cast them to one type before exporting",
            )


@cache
def variables(domain: str, name: str, opset: int) -> tuple[tuple[str, ...], bool] | None:
    """The type variable of each input ("" where it shares none); whether the last input repeats."""
    definition = schema(domain, name, opset)
    if definition is None:
        return None
    found = []
    for slot in definition.inputs:
        mixed = slot.option == VARIADIC and not slot.is_homogeneous
        found.append("" if mixed or "(" in slot.type_str else slot.type_str)
    return tuple(found), bool(definition.inputs) and definition.inputs[-1].option == VARIADIC
