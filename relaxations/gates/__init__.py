"""One small file for each gate or family; importing it fills the table `GATES`."""

from relaxations.gates import (
    blend,
    erf,
    exponential,
    extremes,
    periodic,
    powers,
    products,
    relu,
    sigmoid,
    softsign,
    steps,
    swish,
    tanh,
)

__all__ = [
    "blend",
    "erf",
    "exponential",
    "extremes",
    "periodic",
    "powers",
    "products",
    "relu",
    "sigmoid",
    "softsign",
    "steps",
    "swish",
    "tanh",
]
