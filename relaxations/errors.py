"""What the relaxations refuse, each as one line that names the cause and a remedy."""

from __future__ import annotations


class RelaxationError(ValueError):
    """Base class of every refusal of this package."""


class UnknownGate(RelaxationError):
    """No gate of that name, or parameters it does not take."""


class InvalidBox(RelaxationError):
    """A box with lower > upper, NaN or an infinite side, or tensors whose shapes do not fit the gate."""


class OutsideDomain(RelaxationError):
    """A box that leaves the domain of the gate (log, sqrt, reciprocal, ...): no plane bounds it there."""


class KernelsRequired(RelaxationError):
    """RECERT_KERNELS=require, and the compiled kernels are not in use; or a value of it that means
    nothing."""
