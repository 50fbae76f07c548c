"""onnxruntime, as the judge of what a file computes."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime


class Refused(Exception):
    """onnxruntime does not load or does not run the model; the message is its reason, in one line."""


class Runtime:
    """A session over the original file, or over a changed copy given as a `ModelProto`."""

    def __init__(self, source: Path | onnx.ModelProto) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        if isinstance(source, onnx.ModelProto):
            model: str | bytes = source.SerializeToString()
        else:
            model = gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else str(source)
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no useful base class
            raise Refused(_first_line(error)) from error

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            wanted = {i.name for i in self._session.get_inputs()}
            names = [o.name for o in self._session.get_outputs()]
            results = self._session.run(None, {k: v for k, v in inputs.items() if k in wanted})
        except Exception as error:
            raise Refused(_first_line(error)) from error
        pairs: Sequence[tuple[str, object]] = list(zip(names, results, strict=True))
        return {name: np.asarray(array) for name, array in pairs if isinstance(array, np.ndarray)}


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
