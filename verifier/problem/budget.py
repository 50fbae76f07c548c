"""What the answer to one question may use: time, methods, and a search for counterexamples.

Nothing in the engine calls back to tell how far it is. What takes long is cut into parts by those who ask
(`verifier.robustness`, `verifier.queries`), and what begins is told by events that they yield."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from parsers.errors import OutOfTime
from verifier.problem.method import Method

if TYPE_CHECKING:
    from torch import Tensor

# (instance [k], the row of it that is undecided [k], points [k, n]) → which instances are settled [k]
Refute = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]


def check(deadline: float) -> None:
    """Raises `OutOfTime` once `deadline` (time.monotonic) has come."""
    if time.monotonic() >= deadline:
        raise OutOfTime("the time was over")


@dataclass(frozen=True, slots=True)
class Budget:
    """Methods up to `method`, without those to `skip`, until the `deadline` (time.monotonic).

    A method that makes bounds of a whole region ends with them, however late; with `strict` it gives up in
    the middle (`OutOfTime` inside of the engine, never out of it).

    `refute` looks for counterexamples from points that an unfinished proof has found; an instance that it
    settles is not bounded any further, and stays unproved whatever `refute` says."""

    deadline: float = math.inf
    method: Method = Method.bab
    skip: frozenset[Method] = frozenset()
    strict: bool = False
    refute: Refute | None = None

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.deadline

    def check(self) -> None:
        """Raises `OutOfTime` if it is over."""
        check(self.deadline)

    def allows(self, method: Method) -> bool:
        """Whether `method` may be tried, if it applies."""
        if method > self.method or method in self.skip:
            return False
        about = method.about
        wanted = method is self.method and not about.endless
        return wanted or not about.slow or math.isfinite(self.deadline)

    def share(self, part: float) -> Budget:
        """The same with this part of the time that is left."""
        now = time.monotonic()
        return replace(self, deadline=now + part * (self.deadline - now))

    def renumbered(self, outer: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Budget:
        """For a part of the question: `outer` are its instances and rows [k] as the question numbers them."""
        refute = self.refute
        if refute is None:
            return self
        return replace(self, refute=lambda instance, row, starts: refute(*outer(instance, row), starts))

    def among(self, instances: Tensor) -> Budget:
        """For a question about these instances only."""
        return self.renumbered(lambda instance, row: (instances[instance], row))
