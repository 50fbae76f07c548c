"""Sets of inputs that a question is about: arrays and numbers, not yet bound to any network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from parsers.errors import BadInput, Parameter
from parsers.ir import Graph
from parsers.onnx.file.dimensions import InputSpec
from verifier.api.arrays import Array, Inputs, array, each, shapes_of
from verifier.network.evaluator import join
from verifier.problem import region as engine
from verifier.robustness.dataset import Sample, stacked, typed
from verifier.robustness.perturbation import Balls, Perturbation, StepChoice

Indices = int | Iterable[int] | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Ball:
    """What `ball` returns: the points near `center`, one sample or several along the first axis."""

    center: Inputs
    eps: float | Array
    moves: str | None = None
    p: float = math.inf
    clip: tuple[float, float] | None = None
    choice: StepChoice | None = None

    def parts(self, specs: Sequence[InputSpec], count: int | None) -> list[Ball]:
        """One for each of `count` samples, its arrays in the shapes of the inputs `specs`; None is one sample
        that is given without an axis of samples."""
        centers = each(specs, self.center, count)
        radius = np.asarray(self.eps, np.float64)
        if radius.ndim and radius.shape != (len(centers),):
            raise BadInput(
                Parameter("eps"), f" has shape {list(radius.shape)}; there are {len(centers)} samples"
            )
        radii = np.broadcast_to(radius, (len(centers),)).tolist()
        return [replace(self, center=x, eps=eps) for x, eps in zip(centers, radii, strict=True)]

    def sample(self, specs: Sequence[InputSpec], index: int, label: int) -> Sample:
        """The center of one of `parts`, as the network is fed it."""
        center = each(specs, self.center, None)[0]
        return Sample(index, label, {s.name: typed(s, center[s.name], index) for s in specs})

    def perturbation(self, specs: Sequence[InputSpec]) -> Perturbation:
        real = [spec.name for spec in specs if np.dtype(spec.dtype).kind == "f"]
        if self.moves is not None and self.moves not in real:
            raise BadInput(
                f"'{self.moves}' is no input of real numbers; those are {', '.join(real) or 'none'}"
            )
        if self.moves is None and len(real) != 1:
            example = {real[0]: 0.1} if real else None
            raise BadInput(
                f"the network has {len(real)} inputs of real numbers; say which one moves: ",
                Parameter("eps", example),
            )
        return Perturbation(self.moves or real[0], self.p, self.clip, self.choice)

    def __repr__(self) -> str:
        """`Ball(eps 0.05, p 2, around [20, 12])`"""
        eps = str(self.eps.tolist()) if isinstance(self.eps, np.ndarray) else f"{self.eps:g}"
        words = [f"eps {eps}", f"p {self.p:g}"]
        if self.clip is not None:
            words.append(f"clip {self.clip[0]:g} … {self.clip[1]:g}")
        if self.choice is not None:
            words.append("some of the entries")
        return f"Ball({', '.join(words)}, around {shapes_of(self.center)})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Box:
    """What `box` returns: the points with lower ≤ x ≤ upper, one box or several along the first axis."""

    lower: Inputs
    upper: Inputs

    def parts(self, specs: Sequence[InputSpec], count: int | None) -> list[Box]:
        """As `Ball.parts`."""
        ends = zip(each(specs, self.lower, count), each(specs, self.upper, count), strict=True)
        return [Box(lower, upper) for lower, upper in ends]

    def sample(self, specs: Sequence[InputSpec], index: int, label: int) -> Sample:
        """The middle of one of `parts`."""
        lower, upper = (each(specs, end, None)[0] for end in (self.lower, self.upper))
        middle = {s.name: (lower[s.name] / 2 + upper[s.name] / 2).astype(np.float64) for s in specs}
        whole = {s.name: np.floor(middle[s.name]) for s in specs if np.dtype(s.dtype).kind in "iu"}
        kept = {s.name: whole.get(s.name, middle[s.name]).astype(s.dtype) for s in specs}
        return Sample(index, label, {s.name: typed(s, kept[s.name], index) for s in specs})

    def __repr__(self) -> str:
        """`Box([20, 12])`"""
        return f"Box({shapes_of(self.lower)})"


Region = Ball | Box


def together(
    parts: Sequence[Region], samples: Sequence[Sample], specs: Sequence[InputSpec], graph: Graph
) -> engine.Region:
    """Parts of one region whose samples have one shape, as instances of an engine's region."""
    balls = [part for part in parts if isinstance(part, Ball)]
    if balls:
        radius = torch.tensor([part.eps for part in balls], dtype=torch.float64)
        return balls_of(balls[0], samples, specs, graph).of(radius)
    ends = ([getattr(part, end) for part in parts] for end in ("lower", "upper"))
    stacks = ({s.name: np.stack([array(x[s.name]) for x in end]) for s in specs} for end in ends)
    return engine.box_region(*(join(graph.inputs, stack) for stack in stacks))


def balls_of(ball: Ball, samples: Sequence[Sample], specs: Sequence[InputSpec], graph: Graph) -> Balls:
    """Around samples of one shape, with what `ball` says of norm, range, steps and features."""
    return ball.perturbation(specs).balls(graph, stacked(samples))


def ball(
    x: Inputs,
    eps: float | Sequence[float] | Array | Mapping[str, float],
    *,
    p: float = math.inf,
    clip: tuple[float, float] | None = None,
    steps: Indices = None,
    features: Indices = None,
    per_step: bool = False,
) -> Ball:
    """The inputs x' with ‖x' − x‖_p ≤ eps, in the range `clip` if there is one.

    `x` is a sample: the array of the network's single input, or a dict with one for each input; in the
    network's own shape, with or without its batch axis of size 1, in the data's own units. Or it is several
    samples, along one more axis in front, or a list of arrays, which may differ in length. Numbers are
    rounded to the input's type: the question is about what the network would be fed.

    `eps` is the radius, in the units of x, or one for each sample. Where several inputs hold real numbers,
    `{"x": 0.1}` says which one moves; the others stay as they are. `p` ≥ 1. Only the time steps `steps` and,
    of each, the `features` move (indices, negative ones from the end; None for all); with `per_step` every
    step has a ball of its own (the L∞,p norm over steps).

    What does not fit a network, a norm or the range is told when the network is asked.

    >>> recert.ball(np.zeros((20, 12)), 0.05, p=2, steps=range(5))
    Ball(eps 0.05, p 2, some of the entries, around [20, 12])
    """
    moves = None
    if isinstance(eps, Mapping):
        if len(eps) != 1:
            raise BadInput(Parameter("eps"), f" names {len(eps)} inputs; one moves")
        ((moves, eps),) = eps.items()
    radius = array(eps)
    if radius.dtype.kind not in "fiu":
        raise BadInput(Parameter("eps"), " must be a number, or one for each sample")
    if clip is not None and (np.shape(clip) != (2,) or not clip[0] <= clip[1]):
        raise BadInput(Parameter("clip", clip), ": give the lowest and the highest value of the data")
    choice = None
    if steps is not None or features is not None or per_step:
        choice = StepChoice(_ranges(steps), _ranges(features), per_step)
    return Ball(x, radius.astype(np.float64) if radius.ndim else float(radius), moves, float(p), clip, choice)


def box(lower: Inputs, upper: Inputs) -> Box:
    """The inputs x with lower ≤ x ≤ upper, entry by entry; entries with lower = upper stay as they are.

    Both are arrays, or dicts with one for each input, as in `ball`, and exact: they are not rounded to the
    input's type. The middle of the box stands for the sample.

    >>> recert.box(np.zeros((20, 12)), np.ones((20, 12)))
    Box([20, 12])
    """
    return Box(lower, upper)


def _ranges(indices: Indices) -> tuple[tuple[int, int], ...] | None:
    if indices is None:
        return None
    chosen = [indices] if isinstance(indices, int) else [int(k) for k in indices]
    return tuple((k, k) for k in chosen)
