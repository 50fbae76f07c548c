"""How closely a region is bounded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BoundOptions:
    """Without `backward`, intervals are all there is. With a `lookback` of k, backward passes go at most k
    time steps back in a scan and end in what is known of its states.

    `octagon` cuts the boxes of those gates for which it pays (`Gate.octagon`) by bounds on sums and
    differences of their operands. `multi_neuron` wins back what gates cannot lose together
    (`verifier.bounds.multi_neuron`): for all boxes or, inside of inherited ones, for objectives only; it is
    for float64, boxes of inputs, and passes without a `lookback`."""

    backward: bool = True
    lookback: int | None = None
    octagon: bool = False
    multi_neuron: bool = False
