"""The methods by name, from the cheapest to the deepest: what `--method`, results and JSON call them.

`verifier.proof.methods.METHODS` says when each applies and what it runs. Their names stand here by
themselves, so that a command line can offer them without a tensor library."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import total_ordering


@dataclass(frozen=True, slots=True)
class About:
    """A method's `name` for people, one line of `help`, and what `--method` called it before (`old`).

    `aims`: it goes on only until a goal is reached, so its bound says nothing of what lies beyond. `slow`: it
    takes seconds; where nobody asks for it by name it is tried only if there is a deadline. `endless`: it has
    no natural end, and is tried only if there is a deadline."""

    name: str
    help: str
    old: str = ""
    aims: bool = False
    slow: bool = False
    endless: bool = False


@total_ordering
class Method(Enum):
    """One method of bounding. Its value is its name (`Method("clip")`); what is deeper is greater."""

    interval = About("interval", "interval arithmetic (IBP)")
    truncated_crown = About("truncated-crown", "CROWN that goes back a few time steps only")
    crown = About("crown", "backward linear bounds (CROWN, DeepPoly)", old="backward")
    crown_octagon = About("crown-octagon", "CROWN with octagon constraints on operands", old="corners")
    alpha_crown = About("alpha-crown", "relaxation slopes optimised (α-CROWN)", old="slopes", aims=True)
    clip = About(
        "clip", "bounds again where a counterexample could be (Clip-and-Verify)", old="clipping", aims=True
    )
    multi_neuron = About("multi-neuron", "gates relaxed together", old="joint", aims=True, slow=True)
    bab = About("bab", "branch and bound", old="branching", aims=True, slow=True, endless=True)

    about: About

    def __new__(cls, about: About) -> Method:
        made = object.__new__(cls)
        made._value_, made.about = about.name, about
        return made

    def __lt__(self, other: Method) -> bool:
        order = list(Method)
        return order.index(self) < order.index(other)


# `--method` still takes them, and shows them nowhere
OLD_NAMES = {method.about.old: method for method in Method if method.about.old}
