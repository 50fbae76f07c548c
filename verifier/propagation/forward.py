"""Linear bounds of values over the network's inputs, pushed forward (forward mode: Xu et al. 2020).
Here they serve the states at which a backward pass with bounded look-back ends.

A value v [n] of a block lies between two linear functions of the inputs x [N],

    L(x) = A̲·x + a̲  ≤  v  ≤  U(x) = Ā·x + ā        for all x of the region.

An affine form and a gate with slopes s̲, s̄ and offsets o̲, ō carry such pairs on:

    M v + b:     M·(L+U)/2 + b ∓ |M|·(U−L)/2
    g(v₁, …):    Σ s̲⁺·L + s̲⁻·U + o̲   and   Σ s̄⁺·U + s̄⁻·L + ō              s⁺ = max(s, 0), s⁻ = min(s, 0)

Either side may be replaced by the end of the value's interval, which is a constant function.

Rounding. A computed coefficient Ã that should have been A moves the function at x by at most |Ã − A|·|x|.
Every coefficient and constant above is a sum of k products, so that it errs by γ_k times the same sum of
magnitudes. With reach(v) ≥ |A|·max|x| + |a| for both sides of v the functions move by at most γ_k·Σ|s|·reach,
which is added to the constants, outward. The values are those that the network computes, with the file's own
rounding where the arithmetic covers it: a form's and a gate's own error are added in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from relaxations import Planes
from relaxations.rounding import gamma, relative_margin
from verifier.network.affine import AffineForm
from verifier.network.keys import SiteKey
from verifier.network.program import Block, GateStep
from verifier.network.rounding import RoundingModel
from verifier.problem.region import Region
from verifier.propagation.interval import Interval, Operand
from verifier.propagation.linear_functions import LinearFunctions
from verifier.propagation.lookback import StateLines
from verifier.propagation.sites import Site


@dataclass(frozen=True, slots=True, eq=False)
class LinearBounds:
    """Functions slopes·x[start : start + K] + offsets below and above n values: `slopes` [2, B, n, K] and
    `offsets` [2, B, n], the lower ones first; `reach` [B, n] bounds the sum of their terms' magnitudes."""

    slopes: Tensor
    offsets: Tensor
    start: int
    reach: Tensor

    @property
    def stop(self) -> int:
        return self.start + self.slopes.shape[-1]

    def over(self, start: int, stop: int) -> Tensor:
        """The slopes over the inputs from `start` to `stop`, which contain those they are about."""
        if not self.slopes.shape[-1]:
            return self.slopes.new_zeros(*self.slopes.shape[:-1], stop - start)
        return torch.nn.functional.pad(self.slopes, (self.start - start, stop - self.stop))


class LinearRules:
    """How linear bounds over `region` are made and carried on, with the errors of `rounding`."""

    def __init__(self, region: Region, rounding: RoundingModel) -> None:
        self._region = region
        self._rounding = rounding
        self._unit = rounding.unit
        self._farthest = torch.maximum(region.lower.abs(), region.upper.abs()).unsqueeze(-1)
        self._middle = region.middle.unsqueeze(-1)
        self._grown = 1 + relative_margin(region.lower.shape[1] + 2, region.lower.dtype)

    def constant(self, interval: Interval) -> LinearBounds:
        """The interval itself."""
        offsets = torch.stack([interval.lower, interval.upper])
        return LinearBounds(offsets.new_zeros(*offsets.shape, 0), offsets, 0, interval.magnitude)

    def of_rows(self, rows: LinearFunctions, error: Tensor, first: int, last: int) -> LinearBounds:
        """From functions [B, 2n] below v, then −v, for values known up to `error` [B, n].

        Only inputs from `first` to `last` are kept: of the others' part its minimum, a constant. That adds at
        most two numbers to the offset, each of which rounds once.
        """
        lower, upper = max(rows.start, first), min(rows.stop, last)
        offsets = rows.constant
        margin = torch.zeros_like(offsets)
        for start, stop in ((rows.start, lower), (upper, rows.stop)):
            if start < stop:
                dropped = rows.coefficients[..., start - rows.start : stop - rows.start]
                least = self._region.minimum(dropped, start)
                margin = margin + 2 * self._unit * (offsets.abs() + least.abs())
                offsets = offsets + least
        sign = error.new_tensor([1.0, -1.0])
        slopes = torch.stack(rows.coefficients[..., lower - rows.start : upper - rows.start].chunk(2, 1))
        offsets = torch.stack((offsets - margin).chunk(2, 1))
        return self._made(slopes * sign[:, None, None, None], offsets * sign[:, None, None], lower, error)

    def through_gate(
        self, planes: Planes, operands: Sequence[LinearBounds], gate_error: Tensor | float
    ) -> LinearBounds:
        """The output of a gate, known up to `gate_error`, within whose box the `operands` are."""
        start, stop = _window(operands)
        slopes = operands[0].slopes.new_zeros(2, *operands[0].slopes.shape[1:3], stop - start)
        offsets = torch.stack([planes.lower_offset, planes.upper_offset])
        size = offsets.abs().amax(0)
        for k, v in enumerate(operands):
            s = torch.stack([planes.lower_slope[k], planes.upper_slope[k]])
            over = v.over(start, stop)
            up, down = s.clamp_min(0), s.clamp_max(0)
            slopes += up.unsqueeze(-1) * over + down.unsqueeze(-1) * over.flip(0)
            offsets = offsets + up * v.offsets + down * v.offsets.flip(0)
            size = size + s.abs().amax(0) * v.reach
        # two products and two sums for each operand; twice, for the sum of magnitudes itself
        margin = gate_error + 2 * gamma(2 * len(operands) + 4, self._unit) * (size + gate_error)
        return self._made(slopes, offsets, start, margin)

    def through_form(
        self, form: AffineForm, variables: Mapping[str, LinearBounds], magnitude: Tensor, width: int
    ) -> LinearBounds:
        """An affine form over `variables`, the `magnitude` [B, n] of all of whose terms is known."""
        start, stop = _window([variables[name] for name in form.terms])
        batch = len(self._region)
        centre = form.bias.new_zeros(batch, form.size, stop - start)
        radius, reach = torch.zeros_like(centre), form.bias_magnitude.expand(batch, -1)
        offset = form.bias.expand(batch, -1)
        spread = torch.zeros_like(offset)
        for name, linear_map in form.terms.items():
            v = variables[name]
            low, high = v.over(start, stop).transpose(-1, -2)  # [B, K, n]
            centre = centre + linear_map.apply((low + high) / 2).transpose(-1, -2)
            radius = radius + linear_map.apply_absolute((high - low) / 2).transpose(-1, -2)
            offset = offset + linear_map.apply((v.offsets[0] + v.offsets[1]) / 2)
            spread = spread + linear_map.apply_absolute((v.offsets[1] - v.offsets[0]) / 2)
            reach = reach + linear_map.apply_absolute(v.reach)
        # |M|·reach bounds both the terms of M·(L+U)/2 and those of |M|·(U−L)/2; twice, for reach itself
        margin = self._rounding.affine(form.depth, width) * magnitude
        margin = margin + 4 * gamma(form.depth + width + 16, self._unit) * reach
        slopes = torch.stack([centre - radius, centre + radius])
        return self._made(slopes, torch.stack([offset - spread, offset + spread]), start, margin)

    def against(self, linear: LinearBounds, interval: Interval) -> LinearBounds:
        """`linear`, or on either side the interval's end where that is closer at the region's middle."""
        if not linear.slopes.shape[-1]:
            return self.constant(interval)
        value = self._at(linear, self._middle)
        ends = torch.stack([interval.lower, interval.upper])
        closer = torch.stack([value[0] > ends[0], value[1] < ends[1]]) & torch.isfinite(linear.reach)
        if bool(closer.all()):
            return linear
        slopes = torch.where(closer.unsqueeze(-1), linear.slopes, 0.0)
        reach = torch.maximum(torch.where(closer.any(0), linear.reach, 0.0), interval.magnitude)
        return LinearBounds(slopes, torch.where(closer, linear.offsets, ends), linear.start, reach)

    def interval(self, linear: LinearBounds) -> tuple[Tensor, Tensor]:
        """Lower and upper bounds [B, n] of the values over the region.

        The sum with the offset rounds once: by less than u of what is added up, at most 2·reach.
        """
        batch = len(self._region)
        both = torch.cat([linear.slopes[0], -linear.slopes[1]], 1)
        low, minus_high = self._region.minimum(both.expand(batch, -1, -1), linear.start).chunk(2, -1)
        margin = 4 * self._unit * linear.reach
        return linear.offsets[0] + low - margin, linear.offsets[1] - minus_high + margin

    def state(self, linear: LinearBounds, interval: Interval, relative: float) -> StateLines:
        """For a backward pass that ends at a state whose `interval` this is.

        `relative` is the γ of a sum over the state's entries and 16 more. What coefficients Λ make of the
        lines errs by at most |Λ|·γ·2·reach; replacing Λ·middle − |Λ|·radius of the interval by it rounds
        three times what is at most |Λ|·3·|interval| and the new number. |Λ|·4·γ·(reach + |interval|) covers
        all of it.
        """
        low, high = torch.cat([linear.slopes, linear.offsets.unsqueeze(-1)], -1)
        radius = (high - low) / 2
        radius[..., -1] += 4 * relative * (linear.reach + interval.magnitude)
        return StateLines((low + high) / 2, radius, linear.start)

    def _at(self, linear: LinearBounds, x: Tensor) -> Tensor:
        return (linear.slopes @ x[:, linear.start : linear.stop]).squeeze(-1) + linear.offsets

    def _made(self, slopes: Tensor, offsets: Tensor, start: int, margin: Tensor | float) -> LinearBounds:
        """With the offsets moved outward by `margin`, and by the rounding of doing that."""
        stop = start + slopes.shape[-1]
        size = offsets.abs().amax(0)
        margin = margin + 4 * self._unit * (size + margin)
        offsets = torch.stack([offsets[0] - margin, offsets[1] + margin])
        reach = (slopes.abs() @ self._farthest[:, start:stop]).squeeze(-1).amax(0) + size + margin
        return LinearBounds(slopes, offsets, start, reach * self._grown)


class LinearPass:
    """Linear bounds of the variables and forms of one block at one time step, each made when asked for.

    Those of `known` variables are given, and those of forms can be (`give`); all values that no rule reaches
    keep their intervals. `operand_of` gives the interval of a form and the magnitude of all its terms.
    """

    def __init__(
        self,
        block: Block,
        time: int,
        rules: LinearRules,
        operand_of: Callable[[AffineForm], Operand],
        intervals: Mapping[str, Interval],
        sites: Mapping[SiteKey, Site],
        known: Mapping[str, LinearBounds],
    ) -> None:
        self._block = block
        self._gates = {step.output: step for step in block.steps if isinstance(step, GateStep)}
        self._time = time
        self._rules = rules
        self._operand_of = operand_of
        self._intervals = intervals
        self._sites = sites
        self._variables = dict(known)
        self._given: dict[int, Callable[[], LinearBounds]] = {}
        self._forms: dict[int, LinearBounds] = {}

    def give(self, form: AffineForm, make: Callable[[], LinearBounds]) -> None:
        """Bounds of a form that a backward pass has found: `make` makes them, if they are asked for."""
        self._given[form.number] = make

    def states(self) -> list[LinearBounds]:
        """Of the states after the time step."""
        return [self.form(form) for form in self._block.outputs[: self._block.states]]

    def form(self, form: AffineForm) -> LinearBounds:
        if form.number not in self._forms:
            given = self._given.get(form.number)
            if given is None and form.source is not None:
                return self.variable(form.source)
            operand = self._operand_of(form)
            linear = self._through(form, operand.magnitude) if given is None else given()
            self._forms[form.number] = self._rules.against(linear, operand.interval)
        return self._forms[form.number]

    def _through(self, form: AffineForm, magnitude: Tensor) -> LinearBounds:
        parts = {name: self.variable(name) for name in form.terms}
        return self._rules.through_form(form, parts, magnitude, self._block.width)

    def variable(self, name: str) -> LinearBounds:
        if name not in self._variables:
            interval, step = self._intervals[name], self._gates.get(name)
            if step is None:
                self._variables[name] = self._rules.constant(interval)
            else:
                site = self._sites[step.at(self._time)]
                operands = [self.form(form) for form in step.operands]
                linear = self._rules.through_gate(site.planes, operands, site.gate_error)
                self._variables[name] = self._rules.against(linear, interval)
        return self._variables[name]


def _window(parts: Sequence[LinearBounds]) -> tuple[int, int]:
    """The inputs that some of the functions read."""
    used = [part for part in parts if part.slopes.shape[-1]]
    return min((part.start for part in used), default=0), max((part.stop for part in used), default=0)
