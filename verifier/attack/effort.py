"""How hard an attack tries."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from verifier.problem.settings import Settings

FIRST_STEP, LAST_STEP = 0.5, 0.02
GUIDED_STEPS, GUIDED_FIRST_STEP = 20, 0.1


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to look. An instance is done once its objective has fallen to `enough`: a little below 0, so
    that the replay's other rounding does not lift it above. `deadline` is a time.monotonic() value.
    `samples`: random points of every instance that are only evaluated, before any descent: they see past
    plateaus, where all gradients are 0. `rows` points move together: with many the same descents take less
    time, but instances that are done are dropped later.
    """

    restarts: int = 4
    steps: int = 40
    seed: int = 0
    enough: float = -1e-3
    deadline: float = math.inf
    samples: int = 0
    first_step: float = FIRST_STEP
    rows: int = 128


def effort(settings: Settings, deadline: float) -> Effort:
    """What the settings allow an attack that ends at `deadline`."""
    return Effort(
        settings.attack_restarts,
        settings.attack_steps,
        settings.seed,
        deadline=deadline,
        rows=settings.attack_rows,
    )


def guided(settings: Settings, deadline: float) -> Effort:
    """The same for a short attack from points that a proof has found: the first steps keep near to them."""
    return replace(effort(settings, deadline), steps=GUIDED_STEPS, first_step=GUIDED_FIRST_STEP)
