"""A file that is being read: its model, and which of its inputs are fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from parsers.onnx.file.dimensions import InputSpec


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The model that was loaded from `path`, its inputs, and the values of those that are constants."""

    path: Path
    model: onnx.ModelProto
    specs: Sequence[InputSpec]
    fixed: Mapping[str, np.ndarray]
