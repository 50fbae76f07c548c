"""Questions about a network over a region: is the class constant, how far is it, what can the outputs be?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, overload

import numpy as np
import torch

from parsers.errors import BadInput, Parameter
from parsers.ir import Graph
from verifier.api.arrays import Array, ArrayLike, Inputs, array, count_of
from verifier.api.network import Network
from verifier.api.regions import Ball, Box, Region, ball, balls_of, together
from verifier.problem.budget import Budget
from verifier.problem.method import Method
from verifier.problem.region import Region as EngineRegion
from verifier.problem.settings import Settings
from verifier.robustness import certify as deciding
from verifier.robustness.classifier import Classifier
from verifier.robustness.dataset import Sample, check_labels, grouped
from verifier.robustness.outcome import Outcome, Phase, RadiusBounds, Stats
from verifier.robustness.radius import Search, radii

Found = TypeVar("Found", Outcome, RadiusBounds)
FIRST = 0.01  # the first radius that is tried around a sample

Label = int | np.integer
Labels = Sequence[int] | Array


@overload
def certify(
    network: Network,
    region: Region,
    label: Label,
    *,
    timeout: float | None = None,
    method: str = "bab",
    settings: Settings | None = None,
) -> Outcome: ...
@overload
def certify(
    network: Network,
    region: Region,
    label: Labels,
    *,
    timeout: float | None = None,
    method: str = "bab",
    settings: Settings | None = None,
) -> list[Outcome]: ...
def certify(
    network: Network,
    region: Region,
    label: Label | Labels,
    *,
    timeout: float | None = None,
    method: str = "bab",
    settings: Settings | None = None,
) -> Outcome | list[Outcome]:
    """Prove that every input in `region` gets the class `label`, or find one that does not.

    With one label the region is that of one sample, and there is one outcome. With a sequence of N labels it
    holds N samples along its first axis, and there is a list of N outcomes in their order; those of one
    length are decided together, which takes less time.

    `verdict`: `certified`, proved over the real numbers and for the file's own float32 rounding in
    onnxruntime; `broken`, by the `counterexample`; `misclassified`, wrong at the sample itself; `unknown`,
    for the `reason`. `lower` ≤ least margin ≤ `upper`, in the units of the scores; a softmax at the end is
    left out.

    `timeout` in seconds a sample. Methods are tried from the cheapest on and none beyond `method`: interval,
    truncated-crown, crown, crown-octagon, alpha-crown, clip, multi-neuron, bab; the last needs a timeout,
    since branch and bound has no end of its own. Raises `BadInput` for what does not fit the network,
    `UnsupportedModel` where it has a node without a bound.

    Attack: PGD (Madry et al. 2018). Bounds: CROWN (Zhang et al. 2018), α-CROWN (Xu et al. 2021),
    Clip-and-Verify (Zhou et al. 2025), β-CROWN (Wang et al. 2021), GenBaB (Shi et al. 2025).

    >>> network, data = recert.load("models/vowels_gru.onnx"), np.load("models/vowels_test.npz")
    >>> recert.certify(network, recert.ball(data["inputs"][3], 0.01), data["labels"][3]).verdict
    <Verdict.certified: 'certified'>
    """

    limit, last = _seconds(timeout), _method(method)

    def ask(asked: _Asked, classifier: Classifier) -> Iterator[Outcome | Phase]:
        over = asked.over(classifier.graph)
        return deciding.certify(classifier, asked.samples, over, timeout=limit, method=last)

    found = _answers(network, region, label, settings, ask)
    return found if np.ndim(label) else found[0]


@overload
def radius(
    network: Network,
    x: Inputs | Ball,
    label: Label,
    *,
    tolerance: float = 1e-4,
    timeout: float | None = None,
    method: str = "bab",
    settings: Settings | None = None,
) -> RadiusBounds: ...
@overload
def radius(
    network: Network,
    x: Inputs | Ball,
    label: Labels,
    *,
    tolerance: float = 1e-4,
    timeout: float | None = None,
    method: str = "bab",
    settings: Settings | None = None,
) -> list[RadiusBounds]: ...
def radius(
    network: Network,
    x: Inputs | Ball,
    label: Label | Labels,
    *,
    tolerance: float = 1e-4,
    timeout: float | None = None,
    method: str = "bab",
    settings: Settings | None = None,
) -> RadiusBounds | list[RadiusBounds]:
    """How far is the nearest input of another class than `label`? At least `lower`, the certified radius, and
    at most `upper`, the distance of the `counterexample`, in the units of x.

    `x` is a sample, or several with as many labels, as in `ball` and `certify`: then all of it may move, in
    the maximum norm. For another norm, a range, or some of the steps give a `ball`, whose eps is the first
    radius that is tried. `tolerance` is relative, 0.01 at best for methods beyond crown. `timeout` and
    `method` as in `certify`; without a timeout methods go up to clip.

    Raises what `certify` raises. The question is POPQORN's (Ko et al. 2019).

    >>> network, data = recert.load("models/vowels_gru.onnx"), np.load("models/vowels_test.npz")
    >>> found = recert.radius(network, data["inputs"][3], 3, tolerance=0.1, method="crown")
    >>> 0.01 < found.lower < found.upper
    True
    """
    if isinstance(x, Box):
        raise BadInput(Parameter("x"), " must be a sample or a ball around one: a box has no radius")
    around = x if isinstance(x, Ball) else ball(x, FIRST)
    limit = _seconds(timeout)

    def ask(asked: _Asked, classifier: Classifier) -> Iterator[RadiusBounds | Phase]:
        first = max(part.eps for part in asked.parts if isinstance(part, Ball))
        if not float(first) > 0:
            raise BadInput(Parameter("eps", 0.0), ": the first radius must be greater than 0")
        balls = balls_of(around, asked.samples, asked.network.inputs, classifier.graph)
        search = Search(float(first), tolerance, limit, _method(method))
        return radii(classifier, asked.samples, balls, search)

    found = _answers(network, around, label, settings, ask)
    return found if np.ndim(label) else found[0]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OutputBounds:
    """`lower` ≤ rows · outputs ≤ `upper` over a region, proved by `method`: one number a row, [R], and [N, R]
    for N samples."""

    lower: Array
    upper: Array
    method: str
    stats: Stats

    def __repr__(self) -> str:
        """`OutputBounds([9] by crown-octagon, widest 2.13, 0.12 s)`"""
        widest = f"widest {float((self.upper - self.lower).max()):.4g}"
        return (
            f"OutputBounds({list(self.lower.shape)} by {self.method}, {widest}, {self.stats.seconds:.2f} s)"
        )


def bounds(
    network: Network,
    region: Region,
    rows: ArrayLike | None = None,
    *,
    method: str = "crown-octagon",
    settings: Settings | None = None,
) -> OutputBounds:
    """Lower and upper bounds of linear functions of the outputs, over every input in `region`.

    `rows` [R, K] multiply the K numbers of the output (of all outputs in order, flattened, where `load` was
    not told which); by default each is bounded by itself, as the file computes it, a softmax included. One
    sample or N, told from the shape of the region's arrays: `lower` and `upper` are [R] or [N, R], in the
    units of the outputs. `method`: crown or crown-octagon (CROWN, Zhang et al. 2018, without or with octagon
    constraints on the operands of gates); those beyond aim at a verdict.

    Raises `BadInput` for rows or arrays that do not fit, `UnsupportedModel` where a node has no bound.

    >>> network, data = recert.load("models/vowels_gru.onnx"), np.load("models/vowels_test.npz")
    >>> found = recert.bounds(network, recert.ball(data["inputs"][3], 0.01))
    >>> found.lower.shape, bool((found.lower <= found.upper).all())
    ((9,), True)
    """
    chosen = _method(method, lambda one: not one.about.aims)
    begun = time.monotonic()
    given = region.center if isinstance(region, Ball) else region.lower
    count = count_of(network.inputs, given)
    lower: dict[int, tuple[Array, str]] = {}
    for asked in _groups(network, region, [0] * (count or 1), count):
        prover = network.prover(asked.samples[0].shapes, settings or Settings())
        size = sum(math.prod(prover.graph.shape(name)) for name in prover.graph.outputs)
        wanted = np.eye(size) if rows is None else np.atleast_2d(array(rows).astype(np.float64))
        if wanted.shape[1] != size or not np.isfinite(wanted).all():
            raise BadInput(Parameter("rows"), f" must be [R, {size}], finite; they are {list(wanted.shape)}")
        both = torch.as_tensor(np.concatenate([wanted, -wanted]))
        over = asked.over(prover.graph)
        for place, sample in enumerate(asked.samples):
            least = prover.least(over.select(torch.tensor([place])), both, Budget(method=chosen))
            lower[sample.index] = least.lower[0].double().cpu().numpy(), least.method.value
    stack = np.stack([lower[k][0] for k in range(count or 1)])
    low, high = np.split(stack, 2, axis=1)
    if count is None:
        low, high = low[0], high[0]
    return OutputBounds(low, -high, lower[0][1], Stats(time.monotonic() - begun))


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """Samples of one shape, and their parts of the region."""

    network: Network
    parts: Sequence[Region]
    samples: Sequence[Sample]

    def over(self, graph: Graph) -> EngineRegion:
        return together(self.parts, self.samples, self.network.inputs, graph)


def _answers(
    network: Network,
    region: Region,
    label: Label | Labels,
    settings: Settings | None,
    ask: Callable[[_Asked, Classifier], Iterator[Found | Phase]],
) -> list[Found]:
    """In the order of the samples."""
    labels = _labels(label)
    found: dict[int, Found] = {}
    for asked in _groups(network, region, labels, len(labels) if np.ndim(label) else None):
        classifier = network.classifier(asked.samples[0].shapes, settings or Settings())
        check_labels(asked.samples, classifier.classes)
        for event in ask(asked, classifier):
            if not isinstance(event, Phase):
                found[event.index] = event
    return [found[k] for k in range(len(labels))]


def _labels(label: Label | Labels) -> list[int]:
    given = np.atleast_1d(array(label))
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise BadInput(Parameter("label"), " must be the number of a class, or one for each sample")
    return [int(k) for k in given.tolist()]


def _groups(network: object, region: object, labels: Sequence[int], count: int | None) -> Iterator[_Asked]:
    """The samples of `region` by shape."""
    if not isinstance(network, Network):
        raise BadInput(Parameter("network"), " must be what recert.load returns")
    if not isinstance(region, Region):
        raise BadInput(Parameter("region"), " must be recert.ball(x, eps) or recert.box(lower, upper)")
    parts = region.parts(network.inputs, count)
    samples = [
        part.sample(network.inputs, k, label)
        for k, (part, label) in enumerate(zip(parts, labels, strict=True))
    ]
    for group in grouped(samples):
        yield _Asked(network, [parts[sample.index] for sample in group], group)


def _seconds(timeout: float | None) -> float | None:
    if timeout is not None and not timeout > 0:
        raise BadInput(Parameter("timeout", timeout), ": give a number of seconds greater than 0, or None")
    return timeout if timeout is None or math.isfinite(timeout) else None


def _method(name: str, suits: Callable[[Method], bool] = lambda _: True) -> Method:
    suitable = [one for one in Method if suits(one)]
    for one in suitable:
        if one.value == name:
            return one
    names = ", ".join(one.value for one in suitable)
    raise BadInput(Parameter("method", name), f": give one of {names}")
