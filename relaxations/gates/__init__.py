"""One small file for each gate or family; importing it fills the table `GATES`."""

from relaxations.gate import GATES
from relaxations.gates import (
    blend,
    exponential,
    extremes,
    periodic,
    powers,
    products,
    relu,
    s_shaped,
    steps,
    swish,
)

__all__ = [
    "GATES",
    "blend",
    "exponential",
    "extremes",
    "periodic",
    "powers",
    "products",
    "relu",
    "s_shaped",
    "steps",
    "swish",
]
