"""One small file for each gate or family; importing it fills the table `GATES`."""

from relaxations.gates import blend, linear, products, relu, sigmoid, tanh

__all__ = ["blend", "linear", "products", "relu", "sigmoid", "tanh"]
