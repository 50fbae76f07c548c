"""Sound linear bounds ("planes") for gates over boxes, thousands at a time, in torch."""

import relaxations.gates  # noqa: F401  (fills GATES)
from relaxations.bounding_planes import Planes, image, offset, offsets, planes
from relaxations.gate import GATES, Gate
from relaxations.polygons.polygon import Diagonals

__all__ = ["GATES", "Diagonals", "Gate", "Planes", "image", "offset", "offsets", "planes"]
