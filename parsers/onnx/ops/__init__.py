"""Readers of ONNX operators, one function each, in small files by theme."""

from __future__ import annotations

import importlib
import pkgutil


def load() -> None:
    """Fill `parsers.onnx.reading.registry.OPS`: import this package, the recurrent operators and the
    loops."""
    import parsers.onnx.lift as lift
    import parsers.onnx.recurrent as recurrent

    for package in (importlib.import_module(__name__), recurrent, lift):
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
