"""Readers of ONNX operators, one function each, in small files by theme."""

from __future__ import annotations

import importlib
import pkgutil

from parsers.onnx import control, recurrent
from parsers.onnx.reading.registry import OPS


def load() -> None:
    """Fill the table `OPS`: import every file of this package, the recurrent operators and those with
    subgraphs."""
    paths = {__name__: __path__, recurrent.__name__: recurrent.__path__, control.__name__: control.__path__}
    for package, path in paths.items():
        for module in pkgutil.iter_modules(path):
            importlib.import_module(f"{package}.{module.name}")


def onnx_operators() -> list[str]:
    """Names of all operators that are read, sorted; `domain::name` outside the standard's own domain."""
    load()
    return sorted(f"{domain}::{name}" if domain else name for domain, name in OPS)
