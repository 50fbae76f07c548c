"""Element types of a node's inputs, against the operator's definition."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from parsers.onnx.problems import Unsupported
from parsers.onnx.values import Any, Const, Sym


def check_types(node: onnx.NodeProto, inputs: Sequence[Any | None], opset: int) -> None:
    """Inputs that the standard gives one type must have one; runtimes refuse a file that mixes them.

    The reader computes with reals and would not notice, so a faulty export would be read as a network
    that no runtime runs.
    """
    if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type, "") or not inputs:
        return
    try:
        formal = onnx.defs.get_schema(node.op_type, opset, "").inputs
    except onnx.defs.SchemaError:
        return
    seen: dict[str, str] = {}
    for k, value in enumerate(inputs):
        if not isinstance(value, Const | Sym) or not formal:
            continue
        slot = formal[min(k, len(formal) - 1)]
        if k >= len(formal) - 1 and slot.option == onnx.defs.OpSchema.FormalParameterOption.Variadic:
            if not slot.is_homogeneous:
                continue
        elif k >= len(formal):
            raise Unsupported(
                f"it has {len(inputs)} inputs, the standard gives it {len(formal)}", "export again"
            )
        if "(" in slot.type_str:  # a fixed type, not a variable that inputs share
            continue
        first = seen.setdefault(slot.type_str, value.dtype)
        if first != value.dtype:
            raise Unsupported(
                f"its inputs mix {first} and {value.dtype}, which the standard forbids",
                "cast them to one type before exporting",
            )
