"""Zonotopes of values (Ghorbal et al. 2009; DeepZ: Singh et al. 2018), here for correlations, not intervals.

Every value v [n] is enclosed by a *zonotope*,

    v = centre + generators·z + e,        |zᵢ| ≤ 1,  |e| ≤ error,

where the first N of the z are the inputs, x = middle + radius·z, and every unit of a gate adds one more, for
where it is between two parallel planes (affine arithmetic: Stolfi & de Figueiredo 1997; for networks Singh et
al., "Fast and effective robustness certification", NeurIPS 2018). The intervals that follow are wide, as all
z could be at their ends together. They are not wanted here: two values that depend on the same z in different
ways are not at their ends together, and it is zonotopes that say which way (`verifier.bounds.multi_neuron`).

Rounding. A computed coefficient is a sum of k products and errs by at most γ_k times the sum of their
magnitudes; |z| ≤ 1. With reach(v) ≥ |centre| + Σ|generators| + error, all of these together move the value by
at most γ_k·Σ|s|·reach, which is added to `error`. What the network itself rounds is added too, and a gate's
new generator takes over all errors of its operands.

The parallel planes are nearly as close to each other as can be (`relaxations.parallel`): the longer
generators are, the more can be lost along them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from relaxations.parallel import parallel
from relaxations.rounding import gamma, relative_margin
from verifier.network.affine import AffineForm
from verifier.network.program import Block, GateStep, ScanStep
from verifier.network.rounding import RoundingModel
from verifier.problem.region import Region
from verifier.propagation.sites import Site


@dataclass(frozen=True, slots=True, eq=False)
class Zonotope:
    """`centre` and `error` [B, n], `generators` [B, n, G]: later values have more, and zeros are left out at
    the end. `reach` [B, n] bounds the magnitude of all of it."""

    centre: Tensor
    generators: Tensor
    error: Tensor
    reach: Tensor

    def over(self, count: int) -> Tensor:
        """The first `count` ≥ G generators."""
        return pad(self.generators, (0, count - self.generators.shape[-1]))

    def slice(self, start: int, stop: int) -> Zonotope:
        part = slice(start, stop)
        return Zonotope(*(t[:, part] for t in (self.centre, self.generators, self.error, self.reach)))


class Zonotopes:
    """How zonotopes over `region`, a box, are made and carried on, with the errors of `rounding`: the inputs
    are `middle` + `radius`·z [B, N]."""

    def __init__(self, region: Region, rounding: RoundingModel) -> None:
        self._batch, self.count = region.lower.shape
        self._rounding = rounding
        self._unit = rounding.unit
        self.middle = region.middle
        # up to the farther end, and what the difference rounds
        radius = torch.maximum(region.upper - region.middle, region.middle - region.lower)
        self.radius = radius * (1 + 8 * self._unit)

    def inputs(self, start: int, stop: int) -> Zonotope:
        """The inputs from `start` to `stop`."""
        radius, middle = self.radius[:, start:stop], self.middle[:, start:stop]
        return self._made(middle, pad(torch.diag_embed(radius), (start, 0)), torch.zeros_like(middle))

    def joined(self, parts: Sequence[Zonotope]) -> Zonotope:
        """One value after the other."""
        count = max(part.generators.shape[-1] for part in parts)
        return Zonotope(
            torch.cat([part.centre for part in parts], 1),
            torch.cat([part.over(count) for part in parts], 1),
            torch.cat([part.error for part in parts], 1),
            torch.cat([part.reach for part in parts], 1),
        )

    def form(self, form: AffineForm, variables: Mapping[str, Zonotope], width: int) -> Zonotope:
        """An affine form over `variables` of a block of that `width`."""
        if form.source is not None:
            return variables[form.source]
        parts = [(linear_map, variables[name]) for name, linear_map in form.terms.items()]
        count = max((part.generators.shape[-1] for _, part in parts), default=0)
        centre = form.bias.expand(self._batch, -1)
        reach = form.bias_magnitude.expand(self._batch, -1)
        error = torch.zeros_like(reach)
        generators = centre.new_zeros(self._batch, form.size, count)
        for linear_map, part in parts:
            size = part.generators.shape[-1]
            centre = centre + linear_map.apply(part.centre)
            generators[..., :size] += linear_map.apply(part.generators.mT).mT
            more = linear_map.apply_absolute(torch.stack([part.error, part.reach]))
            error, reach = error + more[0], reach + more[1]
        rounding = self._rounding.affine(form.depth, width)
        rounding = rounding + 4 * gamma(form.depth + width + 16, self._unit)
        return self._made(centre, generators, error + rounding * reach)

    def gate(self, site: Site, operands: Sequence[Zonotope], *, fresh: bool) -> Zonotope:
        """The output of a gate within whose region the `operands` are: of two parallel planes around it the
        middle, and for each unit a new generator, or an error where none is wanted."""
        mean = (site.planes.lower_slope + site.planes.upper_slope) / 2
        planes = parallel(site.box, mean)
        low, high = planes.lower_offset, planes.upper_offset
        centre, half = (low + high) / 2, (high - low) / 2
        found = self.sum(operands, planes.slope, centre)
        half = half + found.error + site.gate_error
        half = half + 4 * self._unit * (low.abs() + high.abs() + half)
        if not fresh:
            return self._made(found.centre, found.generators, half)
        self.count += half.shape[-1]
        generators = torch.cat([found.generators, torch.diag_embed(half)], -1)
        return self._made(found.centre, generators, torch.zeros_like(half))

    def sum(self, operands: Sequence[Zonotope], slope: Tensor, offset: Tensor) -> Zonotope:
        """Σₖ slope[k]·operandₖ + offset, for `slope` [k, B, n] and `offset` [B, n], over all generators there
        are."""
        centre, reach, error = offset, offset.abs(), torch.zeros_like(offset)
        generators = offset.new_zeros(*offset.shape, self.count)
        for s, part in zip(slope, operands, strict=True):
            size = part.generators.shape[-1]
            centre = centre + s * part.centre
            generators[..., :size] += s.unsqueeze(-1) * part.generators
            error, reach = error + s.abs() * part.error, reach + s.abs() * part.reach
        margin = 2 * gamma(2 * len(operands) + 4, self._unit) * (reach + error)
        return self._made(centre, generators, error + margin)

    def _made(self, centre: Tensor, generators: Tensor, error: Tensor) -> Zonotope:
        reach = centre.abs() + generators.abs().sum(-1) + error
        return Zonotope(centre, generators, error, reach * (1 + relative_margin(self.count, error.dtype)))


class ZonotopePass:
    """Zonotopes of the variables and forms of one block at one time step, those of its inputs being
    `known`."""

    def __init__(self, rules: Zonotopes, block: Block, known: dict[str, Zonotope]) -> None:
        self.rules = rules
        self._block = block
        self.variables = dict(known)
        self._forms: dict[int, Zonotope] = {}

    def form(self, form: AffineForm) -> Zonotope:
        if form.number not in self._forms:
            self._forms[form.number] = self.rules.form(form, self.variables, self._block.width)
        return self._forms[form.number]

    def operands(self, step: GateStep) -> list[Zonotope]:
        return [self.form(form) for form in step.operands]

    def gate(self, site: Site, *, fresh: bool) -> None:
        """Pass a gate; with a `fresh` generator for each unit, or without."""
        self.variables[site.step.output] = self.rules.gate(site, self.operands(site.step), fresh=fresh)


class ScanZonotopes:
    """Zonotopes through the time steps of a scan, whose surrounding block has those of `outer`."""

    def __init__(self, scan: ScanStep, outer: ZonotopePass) -> None:
        self._scan = scan
        self._outer = outer
        self._states = [outer.form(form) for form in scan.initial]
        self._sequences = [outer.form(form) for form in scan.sequences]
        self._stacked: list[dict[int, Zonotope]] = [{} for _ in scan.stacked]
        self._inner = outer

    def enter(self, position: int) -> ZonotopePass:
        """A time step, which reads this position of the sequences."""
        body = self._scan.body
        known = dict(zip(body.inputs, self._states, strict=False))
        for name, sequence in zip(body.inputs[body.states :], self._sequences, strict=True):
            size = body.variables[name]
            known[name] = sequence.slice(position * size, (position + 1) * size)
        self._inner = ZonotopePass(self._outer.rules, body, known)
        return self._inner

    def leave(self, position: int) -> None:
        """The end of the time step."""
        body = self._scan.body
        outputs = [self._inner.form(form) for form in body.outputs]
        self._states = outputs[: body.states]
        for stacked, found in zip(self._stacked, outputs[body.states :], strict=True):
            stacked[position] = found

    def end(self) -> None:
        """The end of the scan: the surrounding block has its outputs now."""
        known = self._outer.variables
        known |= dict(zip(self._scan.finals, self._states, strict=True))
        for name, stacked in zip(self._scan.stacked, self._stacked, strict=True):
            known[name] = self._outer.rules.joined([stacked[k] for k in range(self._scan.length)])
