"""What a gate is to this package: its function, and a rigorous way to maximise it minus a linear function.

One principle carries everything: *any slope is sound, the offset makes it so*.  For a gate g over a box and
any slopes a

    upper offset  c⁺(a) = max g(p) − a·p         lower offset  c⁻(a) = min g(p) − a·p = −max −g(p) + a·p

so soundness lives in one function per gate, its *support*.  Slopes may come from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pickle import PicklingError
from typing import Any, NamedTuple

from torch import Tensor


class Support(NamedTuple):
    """`value` [*S] ≥ max of scale·g(p) − slopes·p over the box up to the margin of `rounding`, and `at`
    [k, *S], a point of the box that (nearly) attains it: the gradient of the value is −at."""

    value: Tensor
    at: Tensor


@dataclass(frozen=True)
class Gate:
    """One row of the table `GATES`.

    `function(*operands, **parameters)`  the gate in plain torch operations: traced, it is the pattern that
        a graph is matched with; it is the semantics, and the oracle of the tests.
    `image(lower, upper, **parameters)`  least and greatest value over the box, up to the margin.
    `support(scale, slopes, lower, upper, **parameters)`  see `Support`; `scale` is ±1 and broadcasts to [*S].
    `nodes(lower, upper, **parameters)`  per operand [m, *S]: values at which the minimum-volume problem
        samples the gate, the first and last being the ends of the box.  They decide tightness, never
        soundness.
    `magnitude(lower, upper, **parameters)`  bound on the intermediate values of `function`, for the margin.
    `inside(lower, upper, **parameters)`  boolean [*S]: the box lies in the gate's domain; None: it
        always does.
    `octagon`  octagon constraints on its operands (`relaxations.octagon`) make its planes so much tighter
    that
        a backward pass for them pays.
    `compiled`  the row of `kernels/gates.c` with the same image, support and nodes, for
        `relaxations.kernels.adapters`; None for a gate that is made from another with other parts.
    `example`  parameter values that the tests use.
    """

    name: str
    arity: int
    parameters: tuple[str, ...]
    function: Callable[..., Tensor]
    image: Callable[..., tuple[Tensor, Tensor]]
    support: Callable[..., Support]
    nodes: Callable[..., tuple[Tensor, ...]]
    magnitude: Callable[..., Tensor]
    inside: Callable[..., Tensor] | None = None
    example: tuple[Mapping[str, Any], ...] = ({},)
    octagon: bool = False
    compiled: str | None = None

    def __reduce__(self) -> tuple[Callable[[str], Gate], tuple[str]]:
        """A row of the table travels to another process as its name."""
        if GATES.get(self.name) is not self:
            raise PicklingError(f"gate '{self.name}' is no row of the table")
        return registered, (self.name,)


GATES: dict[str, Gate] = {}


def register(gate: Gate) -> Gate:
    """Add a row to the table."""
    if gate.name in GATES:
        raise ValueError(f"a gate named '{gate.name}' is registered already")
    GATES[gate.name] = gate
    return gate


def registered(name: str) -> Gate:
    """The row of that name."""
    return GATES[name]
