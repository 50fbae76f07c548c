"""From files to values: ONNX models to a `Graph`, VNN-LIB queries to a `Specification`.

What stands here is imported when it is first asked for: whoever wants `parsers.errors` alone does not wait
for onnx and onnxruntime.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parsers.evaluate import evaluate_numpy
    from parsers.onnx.read import read_onnx

__all__ = ["evaluate_numpy", "read_onnx"]

_PLACES = {"evaluate_numpy": "parsers.evaluate", "read_onnx": "parsers.onnx.read"}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
