"""Bounds of many networks by every method, bit for bit: to show that a change of structure changed none.

    python -m benchmarks.recorded_bounds write FILE [NAME ...]
    python -m benchmarks.recorded_bounds compare FILE [NAME ...]

The networks are the shipped ones in `models/` and, where they are beside the repository, the real exports and
the published peers of `../shared`. `compare` prints every array that differs from the record, with its
largest difference, and ends with status 1. Seeds are fixed, one thread computes, and no method has a
deadline, so two runs of one version on one machine agree; another processor or version of torch may round
otherwise."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.paths import ROOT, SHARED
from parsers import read_onnx
from parsers.errors import OutOfTime, RecertError
from parsers.ir import Graph
from parsers.onnx.file.dimensions import declared as declared_inputs
from parsers.onnx.file.dimensions import may_be_batch
from parsers.onnx.file.load import load
from verifier.attack.effort import Effort as AttackEffort
from verifier.attack.objectives import attack_margins
from verifier.bounds.on_demand import BoundsOnDemand
from verifier.bounds.options import BoundOptions
from verifier.bounds.region_bounds import Bounds, bound_region
from verifier.network.evaluator import Evaluator
from verifier.network.program import Block, compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.budget import Budget
from verifier.problem.question import Objective, Question
from verifier.problem.region import Region, ball_region, box_region
from verifier.proof.branching.gate_splitting import Effort, branch_and_bound
from verifier.proof.branching.input_splitting import divide, divisible
from verifier.proof.branching.trees import Trees
from verifier.proof.refinement.ascent import AscentOptions, ascend
from verifier.proof.refinement.clipping import RowQuestions, clipped
from verifier.proof.refinement.multi_neuron_clipping import jointly

EPS = 0.01
MOST_ROWS = 6
SMALL = 300_000  # units of all gates at all time steps, times inputs; beyond, deep methods take too long here
FEW = 400  # units of all gates at all time steps: beyond, gates taken together take too long here
BEYOND = 0.05  # how far above the first bound the goal of deep methods lies


@dataclass(frozen=True, slots=True)
class Case:
    """A network and the point around which it is bounded."""

    name: str
    graph: Graph
    point: Tensor  # [1, n]
    eps: float


def exports() -> Iterator[tuple[str, Callable[[], Case]]]:
    """The real exports of `../shared/exports`, at their recorded inputs."""
    for path in sorted((SHARED / "exports").glob("*.onnx")):
        yield f"exports/{path.stem}", lambda path=path: _export(path)


def _export(path: Path) -> Case:
    with np.load(path.with_suffix(".npz")) as arrays:
        inputs = {key[3:]: arrays[key] for key in arrays.files if key.startswith("in_")}
    floats = {key: array for key, array in inputs.items() if array.dtype.kind == "f"}
    fixed = {key: array for key, array in inputs.items() if array.dtype.kind != "f"}
    graph = read_onnx(path, {key: array.shape for key, array in floats.items()}, fixed=fixed)
    flat = [torch.as_tensor(floats[v.name]).double().reshape(-1) for v in graph.inputs]
    if not flat:
        raise RecertError("every input is an integer, and fixed")
    return Case(path.stem, graph, torch.cat(flat).unsqueeze(0), EPS)


def shipped() -> Iterator[tuple[str, Callable[[], Case]]]:
    """The networks of `models/`, at their first two test samples of different lengths."""
    for path in sorted((ROOT / "models").glob("*.onnx")):
        data = "mnist_rows_test.npz" if path.stem.startswith("mnist") else "vowels_test.npz"
        yield f"models/{path.stem}", lambda path=path, data=data: _shipped(path, ROOT / "models" / data)


def _shipped(path: Path, data: Path) -> Case:
    with np.load(data) as arrays:
        sample = arrays["inputs"][0]
        length = int(arrays["lengths"][0]) if "lengths" in arrays.files else len(sample)
    (declared,) = declared_inputs(load(path))
    dims = declared.dims
    axes = [axis for axis, size in enumerate(dims) if not (size == 1 or may_be_batch(declared, axis))]
    first = dims[axes[0]]
    steps = first if isinstance(first, int) else min(length, 15)
    shape = [1] * len(dims)
    shape[axes[0]], shape[axes[1]] = steps, sample.shape[-1]
    graph = read_onnx(path, {declared.name: tuple(shape)})
    return Case(path.stem, graph, torch.as_tensor(sample[:steps].reshape(1, -1)).double(), EPS)


def peers() -> Iterator[tuple[str, Callable[[], Case]]]:
    """The published networks of `../shared/peers`, at their first image."""
    listed = SHARED / "peers" / "benchmarks.json"
    if not listed.is_file():
        return
    for name, entry in json.loads(listed.read_text()).items():
        yield f"peers/{name}", lambda name=name, entry=entry: _peer(name, entry)


def _peer(name: str, entry: Mapping[str, object]) -> Case:
    with np.load(SHARED / "peers" / "mnist_t10k_subset.npz") as data:
        image = data["image"][list(data["index"]).index(entry["images"][0])]  # type: ignore[index]
    graph = read_onnx(SHARED / "peers" / name, {entry["input"]: tuple(entry["shape"])})  # type: ignore[arg-type,dict-item]
    point = torch.as_tensor(image.astype(np.float64).reshape(1, -1) / 255)
    return Case(name, graph, point, EPS)


def bounds_of(case: Case) -> Iterator[tuple[str, Tensor]]:
    """(method, array) for every method that applies to the network."""
    program = compile_program(case.graph)
    size = sum(form.size for form in program.outputs)
    eye = torch.eye(size, dtype=torch.float64)[: MOST_ROWS // 2]
    rows = Objective(torch.cat([eye, -eye]).unsqueeze(0))
    region = ball_region(case.point, case.eps, math.inf)
    exact, deployed = RoundingModel(deployed=False), RoundingModel()
    with torch.no_grad():
        yield "interval", bound_region(program, region, exact, BoundOptions(backward=False)).minimum(rows)
        plain = bound_region(program, region, exact)
        yield "backward", plain.minimum(rows)
        yield (
            "backward l2",
            bound_region(program, ball_region(case.point, case.eps, 2.0), exact).minimum(rows),
        )
        yield "deployed", bound_region(program, region, deployed).minimum(rows)
        yield "lookback 2", bound_region(program, region, exact, BoundOptions(lookback=2)).minimum(rows)
    if _entries(plain) > SMALL:
        return
    over = BoundsOnDemand(program, region, deployed)
    with torch.no_grad():
        known = over.deepest().minimum(rows)
        yield "corners", known
    yield "slopes", _ascended(over.deepest(), rows)
    if not over.deepest().sites or not bool(torch.isfinite(known).all()):
        return
    yield from _deep(program, over, region, rows, known, case)


def _deep(
    program: Block, over: BoundsOnDemand, region: Region, rows: Objective, known: Tensor, case: Case
) -> Iterator[tuple[str, Tensor]]:
    goal = known + BEYOND * (1 + known.abs())
    ask = Question(rows, goal, False)
    rows_left = RowQuestions.of(over.deepest(), ask, known)
    found = clipped(over, rows_left, deadline=math.inf, together=16)
    yield "clipping", found.known
    yield "half-spaces", torch.cat([found.halfspace.normal.flatten(), found.halfspace.constant])
    if over.can_join and _units(over.deepest()) < FEW:
        more, _ = jointly(over, found, math.inf)
        yield "joint", more.known
    trees = _trees(rows_left)
    effort = Effort(nodes=60, parts=64)
    yield "branching", branch_and_bound(trees, over.deepest(), over.part, Budget(), effort=effort)
    yield from _few_inputs(program, region, rows, case)
    labels = torch.zeros(1, dtype=torch.int64)
    if sum(form.size for form in program.outputs) > 1:
        effort = AttackEffort(2, 8, 0)
        yield "attack", attack_margins(Evaluator(case.graph), region, labels, effort).lowest


def _few_inputs(program: Block, region: Region, rows: Objective, case: Case) -> Iterator[tuple[str, Tensor]]:
    """The same network where only three inputs move, so that the inputs themselves can be split."""
    lower, upper = region.lower.clone(), region.upper.clone()
    lower[:, 3:] = upper[:, 3:] = case.point[:, 3:]
    few = box_region(lower[0], upper[0])
    near = BoundsOnDemand(program, few, RoundingModel())
    with torch.no_grad():
        start = near.deepest().minimum(rows)
    yield "few inputs", start
    if not divisible(few):
        return
    outputs = near.deepest().output_interval()
    goal = start + 1e-3 * (outputs.upper - outputs.lower).amax()
    trees = _trees(RowQuestions.of(near.deepest(), Question(rows, goal, False), start))
    with suppress(OutOfTime):  # not decided in a few rounds: no number
        yield "input splitting", divide(trees, few, near.inner, _Rounds(), together=16)


def _ascended(bounds: Bounds, rows: Objective) -> Tensor:
    goal = torch.full((len(bounds.region), rows.outputs.shape[1]), math.inf, dtype=torch.float64)
    return ascend(bounds, Question(rows, goal, False), AscentOptions(steps=6, rate=0.1)).best


def _trees(rows: RowQuestions) -> Trees:
    return Trees(rows.instance, rows.instance, rows.row[:, 0], rows.ask.objective, rows.ask.goal, rows.known)


@dataclass(frozen=True)
class _Rounds(Budget):
    """Ends where it is looked at for the sixth time, as a search does in every round."""

    left: list[int] = field(default_factory=lambda: [6])

    @property
    def over(self) -> bool:
        self.left[0] -= 1
        if not self.left[0]:
            raise OutOfTime("too many rounds")
        return False


def _entries(bounds: Bounds) -> int:
    """Inputs times units of all gates at all time steps: about what the intermediate bounds cost."""
    return _units(bounds) * bounds.region.lower.shape[-1]


def _units(bounds: Bounds) -> int:
    return sum(site.step.size for site in bounds.sites.values())


def record(chosen: list[str]) -> dict[str, dict[str, list[str]]]:
    """Network → method → the numbers in hexadecimal; a refusal is recorded as its text."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, make in (*shipped(), *peers(), *exports()):
        if chosen and not any(part in name for part in chosen):
            continue
        entry: dict[str, list[str]] = {}
        try:
            for method, array in bounds_of(make()):
                entry[method] = [float(number).hex() for number in array.flatten().tolist()]
        except RecertError as refusal:
            entry["refused"] = [" ".join(str(refusal).split())]
        found[name] = entry
        print(f"{name}: {', '.join(entry)}", file=sys.stderr, flush=True)
    return found


def differences(old: Mapping[str, list[str]], new: Mapping[str, list[str]]) -> Iterator[str]:
    for method in dict.fromkeys((*old, *new)):
        before, after = old.get(method), new.get(method)
        if before == after:
            continue
        if before is None or after is None or len(before) != len(after) or method == "refused":
            yield f"{method}: {before} became {after}"
        else:
            gaps = [abs(float.fromhex(a) - float.fromhex(b)) for a, b in zip(before, after, strict=True)]
            yield f"{method}: differs by up to {max(gaps):.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("action", choices=["write", "compare"])
    parser.add_argument("file", type=Path)
    parser.add_argument("names", nargs="*", help="parts of names (all by default)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = record(options.names)
    if options.action == "write":
        options.file.write_text(json.dumps(found, indent=1))
        return
    held = json.loads(options.file.read_text())
    wrong = 0
    for name, entry in found.items():
        for line in differences(held.get(name, {}), entry):
            print(f"{name}: {line}")
            wrong += 1
    arrays = sum(len(entry) for entry in found.values())
    print(f"{len(found)} networks, {arrays} arrays compared, {wrong} differ")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
