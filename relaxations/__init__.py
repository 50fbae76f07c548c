"""Sound linear bounds ("planes") for gates over boxes, thousands at a time, in torch."""

import relaxations.gates  # noqa: F401  (fills GATES)
from relaxations.bounds import Planes, image, offset, offsets, planes
from relaxations.gate import GATES, Gate
from relaxations.polygon import Diagonals

__all__ = ["GATES", "Diagonals", "Gate", "Planes", "image", "offset", "offsets", "planes"]
