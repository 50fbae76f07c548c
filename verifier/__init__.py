"""What is asked of a network and how it is answered: regions, bounds, proofs, attacks, command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verifier.network.evaluator import evaluate as evaluate

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """`verifier.evaluate`, imported at its first use: torch takes a second that `--help` should not."""
    if name != "evaluate":
        raise AttributeError(f"module 'verifier' has no attribute '{name}'")
    from verifier.network.evaluator import evaluate

    return evaluate
