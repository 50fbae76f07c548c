"""Sound linear bounds ("planes") for gates over boxes, thousands at a time, in torch.

Its names are imported at their first use: `relaxations.kernels.status` should not wait for torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relaxations.bounding_planes import Planes, image, offsets, planes
    from relaxations.gate import Gate
    from relaxations.gates import GATES
    from relaxations.octagon import Octagon

__all__ = ["GATES", "Gate", "Octagon", "Planes", "image", "offsets", "planes"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'relaxations' has no attribute '{name}'")
    places = {"GATES": "gates", "Gate": "gate", "Octagon": "octagon"}
    found = getattr(import_module(f"relaxations.{places.get(name, 'bounding_planes')}"), name)
    globals()[name] = found
    return found
