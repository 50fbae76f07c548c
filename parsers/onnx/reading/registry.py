"""The one table of ONNX operators: `@onnx_op("Gemm", newest=13)` above the function that reads it.

A reader receives a `Call` and returns the value of every output. `newest` is the latest version of the
operator's definition that the function was written against; a model that asks for a later one is refused.
An attribute or input that the function did not look at is refused by name, so nothing is ignored silently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import onnx

from parsers.onnx.building.values import Any
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call

Reader = Callable[[Call], Any | tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class OnnxOp:
    """How one operator is read."""

    name: str
    domain: str
    newest: int
    read: Reader


OPS: dict[tuple[str, str], OnnxOp] = {}

_ROUNDS = (
    "it rounds to 8-bit integers with a scale taken from its input, so it is not a continuous function",
    "certify the model as it was before quantisation",
)
_RANDOM = ("its output is random", "export the model in eval mode")
# Operators that no bound of a real function can cover, and why.
UNREADABLE: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        (
            "DynamicQuantizeLSTM",
            "DynamicQuantizeLinear",
            "MatMulInteger",
            "DynamicQuantizeMatMul",
            "QLinearMatMul",
            "QuantizeLinear",
            "DequantizeLinear",
            "ConvInteger",
            "QLinearConv",
            "MatMulIntegerToFloat",
        ),
        _ROUNDS,
    ),
    **dict.fromkeys(
        (
            "RandomNormal",
            "RandomNormalLike",
            "RandomUniform",
            "RandomUniformLike",
            "Bernoulli",
            "Multinomial",
        ),
        _RANDOM,
    ),
}


def onnx_op(name: str, newest: int, domain: str = "") -> Callable[[Reader], Reader]:
    """Register the decorated function as the reader of `domain::name` up to definition `newest`."""

    def register(function: Reader) -> Reader:
        if (domain, name) in OPS:
            raise ValueError(f"two readers for {domain}::{name}")
        OPS[domain, name] = OnnxOp(name, domain, newest, function)
        return function

    return register


def lookup(domain: str, name: str, opset: int) -> OnnxOp:
    """The reader of an operator, or `Unsupported` saying why there is none."""
    domain = "" if domain == "ai.onnx" else domain
    entry = OPS.get((domain, name))
    if entry is None:
        raise Unsupported(
            *UNREADABLE.get(
                name, ("this operator is not read", "see the operators that `recert supports` lists")
            )
        )
    if domain == "" and opset > onnx.defs.onnx_opset_version():
        raise Unsupported(
            f"opset {opset} is newer than the installed onnx ({onnx.__version__}) knows", "upgrade onnx"
        )
    definition = schema(domain, name, opset)  # none where the file's stamp lacks it: see `is_misplaced`
    if definition is not None and definition.since_version > entry.newest:
        raise Unsupported(
            f"version {definition.since_version} of this operator is newer than the version {entry.newest}"
            " that is read",
            "export with an older opset",
        )
    return entry


@cache
def schema(domain: str, name: str, opset: int) -> onnx.defs.OpSchema | None:
    """The standard's definition of an operator at an opset, if it has one."""
    if domain not in ("", "ai.onnx") or not onnx.defs.has(name, ""):
        return None
    try:
        return onnx.defs.get_schema(name, opset, "")
    except onnx.defs.SchemaError:
        return None


def is_misplaced(domain: str, name: str, opset: int) -> bool:
    """Does a file use a standard operator that its opset does not have? onnxruntime runs some such files."""
    known = domain in ("", "ai.onnx") and onnx.defs.has(name, "")
    return known and schema(domain, name, opset) is None
