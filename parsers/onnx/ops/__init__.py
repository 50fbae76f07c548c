"""Readers of ONNX operators, one function each, in small files by theme."""

from __future__ import annotations

import importlib
import pkgutil


def load() -> None:
    """Import every file of this package and the recurrent readers, which fills `parsers.onnx.registry.OPS`."""
    import parsers.onnx.recurrent as recurrent

    for package in (importlib.import_module(__name__), recurrent):
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
