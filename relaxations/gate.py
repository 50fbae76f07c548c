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
from typing import Any, Literal, NamedTuple

from torch import Tensor


class Support(NamedTuple):
    """`value` [*S] ≥ max of scale·g(p) − slopes·p over the box up to the margin of `rounding`, and `at`
    [k, *S], a point of the box that (nearly) attains it: the gradient of the value is −at."""

    value: Tensor
    at: Tensor


@dataclass(frozen=True)
class Float32Error:
    """What a runtime that computes the gate as one operation of float32 may err by, from exact operands p:
    |computed − g(p)| ≤ `absolute` + `units`·2⁻²⁴·|g(p)|."""

    absolute: float = 0.0
    units: float = 4.0


WITHIN_4_ULP = Float32Error()


def always(**parameters: Any) -> bool:
    del parameters
    return True


def never(**parameters: Any) -> bool:
    del parameters
    return False


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
    `error`  of float32 in the file's runtime; "composed" for a gate that a file has as the expression which
        `function` traces, whose operations each have theirs.  A gate without one is refused.
    `never_negative(**parameters)`  it is ≥ 0 over the reals, and in any correctly signed floating evaluation.
    `kink_at_zero`  a box that reaches across 0 is best split there.
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
    error: Float32Error | Literal["composed"] | None = None
    never_negative: Callable[..., bool] = never
    kink_at_zero: bool = False

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
    if gate.error is None:
        raise ValueError(
            f"gate '{gate.name}' has no error model: give error=WITHIN_4_ULP, a Float32Error, or 'composed'"
        )
    GATES[gate.name] = gate
    return gate


def registered(name: str) -> Gate:
    """The row of that name."""
    return GATES[name]
