"""VNN-LIB 1.0 and 2.0 queries: `read_vnnlib(path) -> Specification`."""

from parsers.vnnlib.read import read_vnnlib

__all__ = ["read_vnnlib"]
