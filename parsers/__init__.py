"""From files to values: ONNX models to a `Graph`, VNN-LIB queries to a `Specification`."""

from parsers.evaluate import evaluate_numpy
from parsers.onnx.read import read_onnx

__all__ = ["evaluate_numpy", "read_onnx"]
